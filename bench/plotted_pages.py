"""Draw pages with plotting packages of others, with their truth from the very figures that are saved.

The packages are no requirement of anything else: ``pip install ecg_plot==0.2.8 pmecg==0.3.0`` (MIT; GPL-3.0-or-later, used
here as it is, by nothing that ships). Both draw with Matplotlib. The truth rests on the lines that Matplotlib holds, not
on what the packages say about them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Image
from ecgpage.layout.known_layouts import LAYOUT_OF

Signal = NDArray[np.float32]
"""(12, n_samples) mV, leads in the order of ``LEADS``."""


@dataclass(frozen=True)
class Piece:
    """Samples of a lead on one line of a figure."""

    lead: str
    row: int
    column: int | None
    """None for a rhythm strip."""
    axes: Axes
    line: Line2D
    first: int
    """First point of the line."""
    last: int
    """One past the last point."""
    start: int
    """First sample of the record."""
    level: float
    """Height of 0 mV in the axes' units."""


@dataclass(frozen=True)
class Setting:
    """One way in which a package draws."""

    package: str
    name: str
    layout: str
    column_times: str
    dpi: int
    speed: float
    """mm/s, when the grid's squares are taken for millimetres."""
    gain: float
    """mm/mV, likewise."""
    draw: Callable[[Signal, float], tuple[Figure, list[Piece]]]


def draw_plotted(
    setting: Setting, signal: Signal, fs: float, pdf: BytesIO | None = None
) -> tuple[Image, dict[str, Any]]:
    """Picture uint8 (H, W, 3) of ``signal`` at ``fs`` Hz in one setting, and its truth with the keys of ``WorldFacts``; the
    same figure is written to ``pdf``.
    """
    figure, pieces = setting.draw(signal, fs)
    figure.set_dpi(setting.dpi)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba(), np.uint8)[..., :3].copy()  # type: ignore[attr-defined]
    segments = [_facts(piece, setting, fs, image.shape[0]) for piece in pieces]
    axes = pieces[0].axes
    second, millivolt = _units(pieces[0], fs, image.shape[0])
    box = axes.get_window_extent()
    if pdf is not None:
        figure.savefig(pdf, format="pdf")
    plt.close(figure)
    facts = {
        "package": setting.package,
        "setting": setting.name,
        "layout": setting.layout,
        "speed": setting.speed,
        "gain": setting.gain,
        "trace_px_per_mm": (second / setting.speed, millivolt / setting.gain),
        "column_times": setting.column_times,
        "strip_times": "same" if any(p.column is None for p in pieces) else "none",
        "segments": segments,
        "shape": image.shape[:2],
        "middle_px": ((box.x0 + box.x1) / 2 - 0.5, image.shape[0] - (box.y0 + box.y1) / 2 - 0.5),
    }
    return image, facts


def _place(axes: Axes, x: float, y: float, height: int) -> tuple[float, float]:
    """Image position of a point in the axes' units."""
    across, up = axes.transData.transform((x, y))
    return float(across) - 0.5, height - float(up) - 0.5


def _units(piece: Piece, fs: float, height: int) -> tuple[float, float]:
    """Pixels of a second and of a millivolt."""
    x, y = (np.asarray(v, np.float64) for v in piece.line.get_data())
    known = np.flatnonzero(np.isfinite(y[piece.first : piece.last])) + piece.first
    a, b = known[0], known[-1]
    x0, _ = _place(piece.axes, x[a], 0.0, height)
    x1, _ = _place(piece.axes, x[b], 0.0, height)
    _, y0 = _place(piece.axes, 0.0, piece.level, height)
    _, y1 = _place(piece.axes, 0.0, piece.level + 1.0, height)
    per_unit = (y0 - y1) * _unit_of(piece)
    return (x1 - x0) / (b - a) * fs, per_unit


def _unit_of(piece: Piece) -> float:
    """Units of the axes of one millivolt."""
    return float(getattr(piece.line, "units_per_mv", 1.0))


def _facts(piece: Piece, setting: Setting, fs: float, height: int) -> dict[str, Any]:
    x = np.asarray(piece.line.get_xdata(), np.float64)
    step = (x[-1] - x[0]) / (len(x) - 1)
    begin, end = x[piece.first], x[piece.first] + step * (piece.last - piece.first)
    return {
        "lead": piece.lead,
        "row": piece.row,
        "column": piece.column,
        "start_px": _place(piece.axes, begin, piece.level, height),
        "end_px": _place(piece.axes, end, piece.level, height),
        "t0": piece.start / fs,
        "t1": (piece.start + piece.last - piece.first) / fs,
        "gain": setting.gain,
    }


# --- ecg_plot -------------------------------------------------------------------------------------------------


def _ecg_plot(
    columns: int, seconds: float, **options: Any
) -> Callable[[Signal, float], tuple[Figure, list[Piece]]]:
    """Draw by ``ecg_plot.plot``: columns of ``seconds`` that all start at 0, down each column in turn."""

    def draw(signal: Signal, fs: float) -> tuple[Figure, list[Piece]]:
        ecg_plot = import_module("ecg_plot.ecg_plot")
        part = signal[:, : round(seconds * fs)].astype(np.float64)
        ecg_plot.plot(part, fs, title="", columns=columns, **options)
        figure = plt.gcf()
        lines = _traces(figure.axes[0], part.shape[1])
        rows = len(LEADS) // columns
        pieces = []
        for k, line in enumerate(lines):
            level = float(np.median(np.asarray(line.get_ydata()) - part[k]))
            at = k % rows, k // rows
            pieces.append(Piece(LEADS[k], *at, figure.axes[0], line, 0, part.shape[1], 0, level))
        return figure, pieces

    return draw


def _ecg_plot_12(columns: int, seconds: float) -> Callable[[Signal, float], tuple[Figure, list[Piece]]]:
    """Draw by ``ecg_plot.plot_12``: a subplot with axes for each lead, along the rows."""

    def draw(signal: Signal, fs: float) -> tuple[Figure, list[Piece]]:
        ecg_plot = import_module("ecg_plot.ecg_plot")
        part = signal[:, : round(seconds * fs)].astype(np.float64)
        ecg_plot.plot_12(part, fs, title="ECG", columns=columns)
        figure = plt.gcf()
        pieces = [
            Piece(
                LEADS[k],
                k // columns,
                k % columns,
                axes,
                _traces(axes, part.shape[1])[0],
                0,
                part.shape[1],
                0,
                0.0,
            )
            for k, axes in enumerate(figure.axes)
        ]
        return figure, pieces

    return draw


def _traces(axes: Axes, n_samples: int) -> list[Line2D]:
    """Lines of whole traces, in the order in which they were drawn."""
    return [line for line in axes.lines if len(np.asarray(line.get_xdata())) == n_samples]


# --- pmecg ----------------------------------------------------------------------------------------------------


def _pmecg(
    layout: str, strips: Sequence[str] = (), **options: Any
) -> Callable[[Signal, float], tuple[Figure, list[Piece]]]:
    """Draw by ``pmecg.ECGPlotter``: columns that follow each other in time, strips below."""

    def draw(signal: Signal, fs: float) -> tuple[Figure, list[Piece]]:
        pmecg = import_module("pmecg")
        drawn = (
            np.where(np.array([[name == "-aVR"] for name in _leads(layout)]), -1, 1) * signal[_order(layout)]
        )
        plotter = pmecg.ECGPlotter(**options)
        rows = LAYOUT_OF[layout].rows
        below = (
            pmecg.RhythmStripsConfig((signal[[LEADS.index(s) for s in strips]].T, list(strips)))
            if strips
            else None
        )
        figure = plotter.plot(
            (drawn.T.astype(np.float64), list(_leads(layout))),
            configuration=[list(row) for row in rows],
            sampling_frequency=fs,
            show=False,
            information=pmecg.plot.ECGInformation(
                "Kvik Hospital", "Tersa Marvik", 60, "Female", "2021-03-04", "M 5", "0.05-150 Hz"
            ),
            rhythm_strips=below,
        )
        axes = figure.axes[0]
        lines = _traces(axes, signal.shape[1])
        return figure, list(_pmecg_pieces(axes, lines, rows, strips, signal, plotter.voltage))

    return draw


def _leads(layout: str) -> tuple[str, ...]:
    return LAYOUT_OF[layout].leads


def _order(layout: str) -> list[int]:
    return [LEADS.index(name.removeprefix("-")) for name in _leads(layout)]


def _pmecg_pieces(
    axes: Axes,
    lines: list[Line2D],
    rows: Sequence[Sequence[str]],
    strips: Sequence[str],
    signal: Signal,
    voltage: float,
) -> list[Piece]:
    """Pieces on the lines of all rows, each of which holds its leads one after the other."""
    per_mv = voltage / 25.4
    pieces = []
    for k, line in enumerate(lines):
        names = rows[k] if k < len(rows) else [strips[k - len(rows)]]
        ends = np.round(np.linspace(0, signal.shape[1], len(names) + 1)).astype(int)
        y = np.asarray(line.get_ydata(), np.float64)
        setattr(line, "units_per_mv", per_mv)  # noqa: B010
        for j, name in enumerate(names):
            sign = -1 if name.startswith("-") else 1
            lead = name.removeprefix("-")
            mv = sign * signal[LEADS.index(lead), ends[j] : ends[j + 1]]
            level = float(np.nanmedian(y[ends[j] : ends[j + 1]] - mv * per_mv))
            column = j if k < len(rows) else None
            pieces.append(
                Piece(lead, k, column, axes, line, int(ends[j]), int(ends[j + 1]), int(ends[j]), level)
            )
    return pieces


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("ecg_plot", "12x1 of 10 s, 100 dpi", "12x1", "consecutive", 100, 25, 10, _ecg_plot(1, 10)),
    Setting("ecg_plot", "6x2, both 10 s, 80 dpi", "6x2", "whole record", 80, 25, 10, _ecg_plot(2, 10)),
    Setting("ecg_plot", "6x2, both 0-5 s, grey, 150 dpi", "6x2", "simultaneous", 150, 25, 10, _ecg_plot(2, 5, style="bw")),
    Setting("ecg_plot", "3x4, all 0-2.5 s, 200 dpi", "3x4", "simultaneous", 200, 25, 10, _ecg_plot(4, 2.5)),
    Setting(
        "ecg_plot", "3x4, all 0-2.5 s, grey, no lines, 300 dpi", "3x4", "simultaneous", 300, 25, 10,
        _ecg_plot(4, 2.5, style="bw", row_height=9, show_separate_line=False),
    ),
    Setting(
        "ecg_plot", "6x2 subplots along rows, 10 s, 120 dpi", "6x2 by rows", "whole record", 120, 25, 5, _ecg_plot_12(2, 10)
    ),
    Setting(
        "pmecg", "3x4+II, texts, 150 dpi", "3x4+1", "consecutive", 150, 25, 10, _pmecg("3x4", ["II"], print_information=True)
    ),
    Setting(
        "pmecg", "3x4, no pulse, 100 dpi", "3x4", "consecutive", 100, 25, 10,
        _pmecg("3x4", show_calibration=False, row_distance=2.5),
    ),
    Setting(
        "pmecg", "6x2, grey, texts, 200 dpi", "6x2", "consecutive", 200, 25, 10,
        _pmecg("6x2", print_information=True, grid_color="#999999"),
    ),
    Setting(
        "pmecg", "12x1, time axis, 80 dpi", "12x1", "consecutive", 80, 25, 10,
        _pmecg("12x1", show_time_axis=True, row_distance=1.5, line_width=1.0),
    ),
    Setting(
        "pmecg", "6x2 at 50 mm/s and 20 mm/mV, texts, 110 dpi", "6x2", "consecutive", 110, 50, 20,
        _pmecg("6x2", speed=50.0, voltage=20.0, print_information=True, grid_color="#8fb98f"),
    ),
    Setting(
        "pmecg", "Cabrera 3x4+3 at 5 mm/mV, no separators, 300 dpi", "cabrera 3x4+3", "consecutive", 300, 25, 5,
        _pmecg(
            "cabrera 3x4+1", ["V1", "II", "V5"], voltage=5.0, print_information=True, show_separators=False,
            disconnect_segments=False,
        ),
    ),
)  # fmt: skip
"""Six settings of each package: layouts, columns, styles and resolutions."""


def check_packages() -> None:
    """Raise EcgPageError where a package is missing."""
    for name in ("ecg_plot", "pmecg"):
        if find_spec(name) is None:
            raise EcgPageError(f"{name} is missing: pip install ecg_plot==0.2.8 pmecg==0.3.0")
