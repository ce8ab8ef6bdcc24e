"""Model of a page in millimetres, before any pixel is drawn.

Conventions:
    page    millimetres, origin at the top-left corner of the paper, x right (time), y down
    color   RGB, 0 to 255
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = NDArray[np.float64]
Color = tuple[float, float, float]
Box = tuple[float, float, float, float]
"""Corners x0, y0, x1, y1."""

BLACK: Color = (0.0, 0.0, 0.0)
WHITE: Color = (255.0, 255.0, 255.0)
MM_PER_POINT = 25.4 / 72
"""Length, mm, of a typographic point."""


@dataclass(frozen=True)
class Paper:
    """Sheet of paper, by default landscape US letter."""

    width: float = 279.4
    height: float = 215.9
    color: Color = WHITE
    frame: float = 0.0
    """Width, mm, of a black line along the edge of the printed page; 0 for none."""
    margin: float = 0.0
    """Width, mm, of the blank sheet around the page; the page's origin stays at the corner of the print."""


@dataclass(frozen=True)
class Grid:
    """Printed millimetre grid."""

    major: Color = (255.0, 0.0, 0.0)
    minor: Color = (254.0, 223.0, 219.0)
    major_width: float = 0.5 * MM_PER_POINT
    minor_width: float = 0.5 * MM_PER_POINT
    major_step: float = 5.0
    minor_step: float = 1.0
    minor_kind: Literal["lines", "dots", "none"] = "lines"
    major_kind: Literal["lines", "dots", "none"] = "lines"
    snap: bool = True
    """Whether lines sit on whole pixels, like those of a plotting library or a laser printer."""
    snap_dpi: float = 0.0
    """Resolution, dpi, of these pixels where it differs from the drawn page's; 0 where not."""
    heavy_step: float = 0.0
    """Distance, mm, of lines drawn more than twice as wide, 25 on many devices; 0 for none."""
    area: Box | None = None
    """Printed part, the whole paper when None; lines are counted from its left and bottom edges."""

    def area_on(self, paper: Paper) -> Box:
        """Printed part on this paper."""
        return self.area or (0.0, 0.0, paper.width, paper.height)


@dataclass(frozen=True)
class Segment:
    """Drawn piece of one lead: samples ``start`` to ``stop`` of column ``channel``."""

    lead: str
    channel: int
    start: int
    stop: int
    x0: float
    """Page x, mm, of sample ``start``."""
    baseline: float
    """Page y, mm, of 0 mV."""
    gain: float = 10.0
    """Gain, mm/mV."""
    strip: bool = False
    """Whether it is a rhythm strip below the twelve leads."""
    name_at: tuple[float, float] | None = None
    """Start, page mm, of the printed name's baseline; None when the name is not printed."""
    name: str | None = None
    """Printed name where it is not the lead's own; None: the lead's."""


@dataclass(frozen=True)
class Pulse:
    """Calibration pulse: a path that runs from left to right."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    width: float = 1.125 * MM_PER_POINT
    lead: str | None = None
    """Lead of the segment beside it."""


@dataclass(frozen=True)
class Tick:
    """Vertical line with square ends that separates two leads."""

    x: float
    y0: float
    y1: float
    width: float = 2.25 * MM_PER_POINT
    snap: bool = True
    """Whether centre and ends sit on whole pixels, see ``Grid.snap``."""


@dataclass(frozen=True)
class Plotter:
    """Device that draws fewer points than were recorded, or only on the dots of its own bitmap."""

    step: float
    """Distance, page mm, of two drawn points along time."""
    quantum: float = 0.0
    """Step, mm, of heights above or below the baseline; 0 for any height."""
    stairs: bool = False
    """Whether each point is held over its step; otherwise straight lines join the points."""
    smooth: bool = True
    """Whether a point is the trace's mean over its step; otherwise its value in the middle of the step."""


@dataclass(frozen=True)
class Bar:
    """Filled upright rectangle of frames, logos and bar codes."""

    box: Box
    color: Color | None = None
    """The ink of the traces when None."""


@dataclass(frozen=True)
class Stamp:
    """Printed picture in one ink: QR or bar code, logo."""

    box: Box
    mask: NDArray[np.uint8]
    """(h, w) ink, 255 where there is any; stretched over the box."""
    background: bool = False
    """Whether the box is blanked to the paper's colour first."""


@dataclass(frozen=True)
class Text:
    """Printed text whose baseline starts at (x, y), mm; ``size``: em, mm."""

    text: str
    x: float
    y: float
    size: float = 11 * MM_PER_POINT
    font: str = "DejaVuSans"
    color: Color | None = None
    """The ink of the traces when None."""


@dataclass(frozen=True)
class Page:
    """One page, ready to be drawn."""

    layout: str
    fs: float
    speed: float = 25.0
    """Paper speed, mm/s."""
    gain: float = 10.0
    """Gain, mm/mV, as printed on the page."""
    paper: Paper = field(default_factory=Paper)
    grid: Grid | None = field(default_factory=Grid)
    ink: Color = BLACK
    trace_width: float = 0.75 * MM_PER_POINT
    wear: float = 0.0
    """Share of ink, 0 to 1, that the palest spots of a trace lose."""
    plotter: Plotter | None = None
    """Device that draws the traces; the truth stays the recorded trace. None draws every sample."""
    name_size: float = 11 * MM_PER_POINT
    name_font: str = "DejaVuSans"
    segments: tuple[Segment, ...] = ()
    pulses: tuple[Pulse, ...] = ()
    separators: tuple[Tick, ...] = ()
    bars: tuple[Bar, ...] = ()
    texts: tuple[Text, ...] = ()
    stamps: tuple[Stamp, ...] = ()


def segment_path(page: Page, segment: Segment, signal: NDArray[np.floating]) -> tuple[Axis, Axis]:
    """Place of each sample of ``segment`` on the page, mm: x (n,) and y (n,), NaN where the signal is NaN.

    ``signal`` (n_samples, n_channels) in mV.
    """
    mv = np.asarray(signal[segment.start : segment.stop, segment.channel], np.float64)
    x = segment.x0 + np.arange(len(mv), dtype=np.float64) * (page.speed / page.fs)
    return x, segment.baseline - mv * segment.gain


def ink_path(page: Page, segment: Segment, signal: NDArray[np.floating]) -> tuple[Axis, Axis]:
    """Path of the pen, mm: ``segment_path`` drawn by the page's plotter, x (m,) rising and y (m,)."""
    x, y = segment_path(page, segment, signal)
    return (x, y) if page.plotter is None else plotted(page.plotter, x, y, segment.baseline)


def plotted(plotter: Plotter, x: Axis, y: Axis, baseline: float) -> tuple[Axis, Axis]:
    """Path (m,), (m,), mm, of ``plotter`` for a trace x (n,) rising, y (n,), mm; NaN leaves a gap."""
    known = np.isfinite(y)
    ends = np.flatnonzero(np.diff(known, prepend=False, append=False))
    paths = [
        _plotted_run(plotter, x[first:last], y[first:last], baseline)
        for first, last in zip(ends[::2], ends[1::2], strict=True)
        if last - first > 1
    ]
    if not paths:
        return x[:0], y[:0]
    gap = np.array([np.nan])
    pieces = [(np.append(px, px[-1]), np.append(py, gap)) for px, py in paths]
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


def _plotted_run(plotter: Plotter, x: Axis, y: Axis, baseline: float) -> tuple[Axis, Axis]:
    count = max(int(np.ceil((x[-1] - x[0]) / plotter.step - 1e-9)), 1)
    edges = np.minimum(x[0] + plotter.step * np.arange(count + 1, dtype=np.float64), x[-1])
    middle = (edges[:-1] + edges[1:]) / 2
    if plotter.smooth:
        area = np.concatenate([[0.0], np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)])
        # between samples the area grows as a parabola: the trapezoids' edges are added as samples
        at = np.interp(edges, x, y)
        cell = np.clip(np.searchsorted(x, edges, side="right") - 1, 0, len(x) - 2)
        level = np.diff(area[cell] + (edges - x[cell]) * (y[cell] + at) / 2) / np.diff(edges)
    else:
        level = np.interp(middle, x, y)
    if plotter.quantum:
        level = baseline + np.round((level - baseline) / plotter.quantum) * plotter.quantum
    if plotter.stairs:
        flank = 0.01 * np.diff(edges)
        corners = np.stack([edges[:-1] + flank, edges[1:] - flank], axis=1).ravel()
        return corners, np.repeat(level, 2)
    return (
        np.concatenate([edges[:1], middle, edges[-1:]]),
        np.concatenate([level[:1], level, level[-1:]]),
    )


def masked_signal(page: Page, signal: NDArray[np.floating]) -> NDArray[np.float32]:
    """``signal`` (n_samples, n_channels) mV as float32, NaN wherever the page does not draw it."""
    masked = np.full(signal.shape, np.nan, np.float32)
    for segment in page.segments:
        window = slice(segment.start, segment.stop)
        masked[window, segment.channel] = signal[window, segment.channel]
    return masked
