"""Plot a digitized page as every 12-lead ECG is printed: 3 x 4 leads of 2.5 s with a rhythm strip, 25 mm/s, 10 mm/mV.

Gaps stay gaps; where a lead was not read, the plot says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage import __version__
from ecgpage.core.conventions import GAIN_MM_PER_MV, SPEED_MM_PER_S
from ecgpage.export.canvas import Colour, measure_text, wrap
from ecgpage.export.drawing import Box, Drawing, Lines, Text
from ecgpage.export.samples import find_runs
from ecgpage.export.types import Digitized

ROWS: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
"""Leads of the three rows, from left to right."""
CELL_S: Final = 2.5
"""Time, s, that a lead's cell shows."""
PAGE_S: Final = 10.0
"""Time, s, of the rhythm strip."""
STRIP_LEAD: Final = "II"
"""Lead of the rhythm strip, unless another one is known much longer."""
MUCH_LONGER: Final = 1.25
"""Ratio of known times from which another lead takes the strip."""
INK: Final[Colour] = (20, 20, 28)
"""Colour of traces and names, RGB."""
GREY: Final[Colour] = (95, 95, 100)
"""Colour of small print, RGB."""
AMBER: Final[Colour] = (176, 92, 0)
"""Colour of what was not read, RGB."""
PAPER: Final[Colour] = (255, 252, 250)
"""Colour of the paper, RGB."""
THIN_LINE: Final[Colour] = (248, 214, 210)
"""Colour of the 1-mm lines, RGB."""
THICK_LINE: Final[Colour] = (238, 178, 172)
"""Colour of the 5-mm lines, RGB."""
TRACE_MM, NAME_MM, SMALL_MM = 0.32, 4.2, 2.9
"""Width, mm, of traces; size, mm, of the font of names and of small print."""
SIDE_MM, PULSE_MM, HEAD_MM, FOOT_MM = 5.0, 15.0, 5.0, 20.0
"""Margin left and right; room for the pulse before a row; margin above the first row's traces; room for the foot, mm."""
REACH_MM: Final = (10.0, 30.0)
"""Room, mm, that a row has above and below its level: at least, and at most, where traces may overlap."""
APART_MM: Final = 3.0
"""Room, mm, between the traces of two rows, at least."""


@dataclass(frozen=True)
class Cell:
    """A lead's place on the plot, and the part of its signal that is shown there."""

    lead: str
    left_mm: float
    mv: NDArray[np.float32]
    """(n,) signal, mV, NaN in gaps."""
    start_s: float
    """Time of its first sample in the record."""
    seconds: float
    """Width of the cell."""
    usual: bool
    """Whether it shows the time that belongs to its column."""


def plot_leads(digitized: Digitized, title: str = "") -> Drawing:
    """Plot of a digitized page on ECG paper, 275 mm wide; ``title``: text above it.

    Each lead shows the 2.5 s of its column where they are known, else those of its signal that are known best, with their
    times beside its name; only the first 10 s of a longer signal count. The rhythm strip is lead II, or one that is known
    longer; it is left out when no lead is known for longer than its cell.
    """
    rows = _arrange(digitized)
    levels, height = _stack(rows, HEAD_MM + (NAME_MM * 1.5 if title else 0.0))
    width = 2 * SIDE_MM + PULSE_MM + PAGE_S * SPEED_MM_PER_S
    shapes: list[Lines | Box | Text] = [*_draw_paper(width, height)]
    if title:
        shapes.append(Text(title, (SIDE_MM, 6.5), NAME_MM, INK))
    for row, level in zip(rows, levels, strict=True):
        shapes.append(_draw_pulse(level))
        for cell in row:
            shapes += _draw_cell(cell, level, digitized)
    shapes += _draw_foot(digitized, width, height)
    read = len(digitized.leads) - len(digitized.lead_reasons)
    return Drawing(
        (width, height), shapes, title or f"12-lead ECG, {read} of {len(digitized.leads)} leads read"
    )


def _arrange(digitized: Digitized) -> list[list[Cell]]:
    """Rows of cells."""
    left = SIDE_MM + PULSE_MM
    rows = [
        [
            _cut(digitized, lead, left + column * CELL_S * SPEED_MM_PER_S, column * CELL_S)
            for column, lead in enumerate(row)
        ]
        for row in ROWS
    ]
    count = round(PAGE_S * digitized.fs)
    known = dict(
        zip(digitized.leads, np.isfinite(digitized.signal[:count]).sum(axis=0) / digitized.fs, strict=True)
    )
    longest = max(known, key=lambda lead: known[lead])
    lead = longest if known[longest] > MUCH_LONGER * known[STRIP_LEAD] else STRIP_LEAD
    if known[lead] > MUCH_LONGER * CELL_S:
        mv = digitized.signal[:count, digitized.leads.index(lead)]
        rows.append([Cell(lead, left, mv, 0.0, PAGE_S, True)])
    return rows


def _cut(digitized: Digitized, lead: str, left_mm: float, usual_s: float) -> Cell:
    """Cell of a lead: the time of its column, or the one that is known best when less than half of that is known."""
    column = digitized.signal[:, digitized.leads.index(lead)]
    size = round(CELL_S * digitized.fs)
    starts = {s: round(s * digitized.fs) for s in np.arange(0.0, PAGE_S, CELL_S)}
    shares = {s: float(np.isfinite(column[k : k + size]).sum()) / size for s, k in starts.items()}
    best = max(shares, key=lambda s: shares[s])
    start = best if shares[usual_s] < min(0.5, shares[best]) else usual_s
    first = starts[start]
    return Cell(lead, left_mm, column[first : first + size], float(start), CELL_S, start == usual_s)


def _stack(rows: Sequence[Sequence[Cell]], top_mm: float) -> tuple[list[float], float]:
    """Levels of 0 mV of the rows, on 5-mm lines, and the height of the plot, mm."""
    levels, below = [], top_mm - APART_MM
    for row in rows:
        mv = np.concatenate([cell.mv for cell in row])
        mv = mv[np.isfinite(mv)]
        up, down = (float(v) * GAIN_MM_PER_MV for v in ((mv.max(), -mv.min()) if len(mv) else (0.0, 0.0)))
        up, down = (float(np.clip(reach, *REACH_MM)) for reach in (up + NAME_MM, down))
        levels.append(5.0 * np.ceil((below + APART_MM + up) / 5.0))
        below = levels[-1] + down
    return levels, 5.0 * float(np.ceil((below + APART_MM + FOOT_MM) / 5.0))


def _draw_paper(width: float, height: float) -> list[Lines | Box]:
    """Paper with lines 1 and 5 mm apart."""
    paper: list[Lines | Box] = [Box((0, 0), (width, height), PAPER)]
    for step, colour, thick in ((1.0, THIN_LINE, 0.1), (5.0, THICK_LINE, 0.16)):
        upright = [np.array([[x, 0.0], [x, height]]) for x in np.arange(0.0, width + 0.1, step)]
        level = [np.array([[0.0, y], [width, y]]) for y in np.arange(0.0, height + 0.1, step)]
        paper.append(Lines(upright + level, colour, thick))
    return paper


def _draw_pulse(level: float) -> Lines:
    """Calibration pulse of 1 mV and 0.2 s before a row."""
    x, y = np.array([0.0, 4.0, 4.0, 9.0, 9.0, 13.0]), np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    return Lines(
        [np.stack([SIDE_MM + 1.0 + x, level - GAIN_MM_PER_MV * y], axis=1)], INK, TRACE_MM, {"pulse": "1 mV"}
    )


def _draw_cell(cell: Cell, level: float, digitized: Digitized) -> list[Lines | Text]:
    """Trace of a lead with its name, its start, and why parts of it are missing."""
    shapes: list[Lines | Text] = []
    x = cell.left_mm + np.arange(len(cell.mv)) / digitized.fs * SPEED_MM_PER_S
    y = level - GAIN_MM_PER_MV * cell.mv.astype(np.float64)
    runs = [np.stack([x[a:b], y[a:b]], axis=1) for a, b in find_runs(np.isfinite(y)) if b - a > 1]
    if runs:
        shapes.append(Lines(runs, INK, TRACE_MM, {"lead": cell.lead}))
    mark = [np.array([[cell.left_mm, level + s * 2.0], [cell.left_mm, level + s * 5.0]]) for s in (-1, 1)]
    shapes.append(Lines(mark, INK, TRACE_MM))
    reach = y[x < cell.left_mm + 2 + measure_text(cell.lead, NAME_MM)]
    above = min([level - 6.0, *(reach[np.isfinite(reach)] - 1.2)])
    name_y = max(above, level - REACH_MM[1])
    shapes.append(Text(cell.lead, (cell.left_mm + 1.0, name_y), NAME_MM, INK))
    if not cell.usual:
        times = f"{cell.start_s:g} - {cell.start_s + cell.seconds:g} s"
        after = cell.left_mm + 2.2 + measure_text(cell.lead, NAME_MM)
        shapes.append(Text(times, (after, name_y), SMALL_MM, GREY))
    return [*shapes, *_explain_gaps(cell, level, digitized)]


def _explain_gaps(cell: Cell, level: float, digitized: Digitized) -> list[Text]:
    """Small print in the gaps of a cell that have room for it."""
    reason = digitized.lead_reasons.get(cell.lead)
    if reason is not None:
        why = reason if reason.startswith("not ") else f"not read: {reason}"
        return _print_small(why, cell.left_mm, cell.seconds, level)
    missing = np.ones(round(cell.seconds * digitized.fs), bool)
    missing[: len(cell.mv)] = ~np.isfinite(cell.mv)
    texts: list[Text] = []
    for a, b in find_runs(missing):
        start, seconds = a / digitized.fs, (b - a) / digitized.fs
        middle = cell.start_s + start + seconds / 2
        why = "not read" if _is_printed(digitized, cell.lead, middle) else "not printed"
        texts += _print_small(why, cell.left_mm + start * SPEED_MM_PER_S, seconds, level)
    return texts


def _is_printed(digitized: Digitized, lead: str, time_s: float) -> bool:
    """Whether the page shows a lead at a time, by its layout; where that is not known, it may."""
    if digitized.layout is None:
        return True
    segments = [s for s in digitized.layout.segments if s.lead == lead]
    return any(s.start_s <= time_s <= s.start_s + s.duration_s for s in segments)


def _print_small(text: str, left_mm: float, seconds: float, level: float) -> list[Text]:
    """Lines of small print in the middle of a gap; none where they are wider than it."""
    width = seconds * SPEED_MM_PER_S - 2.0
    lines = wrap(text, SMALL_MM, width)
    if max(measure_text(line, SMALL_MM) for line in lines) > width:
        return []
    x, y = left_mm + 1.0 + width / 2, level + 0.35 * SMALL_MM - 0.6 * SMALL_MM * (len(lines) - 1)
    return [
        Text(line, (x, y + 1.2 * SMALL_MM * k), SMALL_MM, AMBER, "middle") for k, line in enumerate(lines)
    ]


def _draw_foot(digitized: Digitized, width: float, height: float) -> list[Lines | Text]:
    """Scale in words and as a bar of 1 s and 1 mV, and what the plot was made of."""
    base = height - SIDE_MM
    read = len(digitized.leads) - len(digitized.lead_reasons)
    seconds = len(digitized.signal) / digitized.fs
    made = f"{read} of {len(digitized.leads)} leads read, {digitized.fs:g} samples/s, ecgpage {__version__}"
    if seconds > PAGE_S:
        made += f"; the first {PAGE_S:g} of {seconds:g} s"
    notes = "; ".join(digitized.reasons)
    right = width - SIDE_MM
    bar = np.array(
        [[right - SPEED_MM_PER_S, base - GAIN_MM_PER_MV], [right - SPEED_MM_PER_S, base], [right, base]]
    )
    shapes: list[Lines | Text] = [
        Text(f"{SPEED_MM_PER_S:g} mm/s, {GAIN_MM_PER_MV:g} mm/mV", (SIDE_MM + 1.0, base - 9.0), NAME_MM, INK),
        Text(made, (SIDE_MM + 1.0, base - 4.5), SMALL_MM, GREY),
        Lines([bar], INK, 0.4, {"scale": "1 s, 1 mV"}),
        Text("1 mV", (bar[0, 0] - 1.0, base - 4.0), SMALL_MM, INK, "end"),
        Text("1 s", (right - SPEED_MM_PER_S / 2, base - 1.2), SMALL_MM, INK, "middle"),
    ]
    if notes:
        line = wrap(notes, SMALL_MM, right - SPEED_MM_PER_S - 15.0 - SIDE_MM)
        shapes.append(
            Text(line[0] + (" ..." if len(line) > 1 else ""), (SIDE_MM + 1.0, base), SMALL_MM, AMBER)
        )
    return shapes
