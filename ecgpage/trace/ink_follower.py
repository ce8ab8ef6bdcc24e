"""Follow the ink of one lead and read its voltage, column by column.

The trace is the cheapest connected way through the ink from the left to the right end of the segment: it may climb any
height within a column where there is ink and pays for every pixel without. Around that way the run of ink in each column
gives the value: its middle, or its tip where the run is a peak, because a steep stroke covers many rows of one column.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.signal import find_peaks

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage, Grey
from ecgpage.layout.types import PagePlan, Segment

REACH_MM: Final = 24.0
"""Height searched above and below a segment's usual level (2.4 mV)."""
TICK_HALF_MM: Final = 0.55
"""Columns this close to a separator carry no readable trace."""
PRIOR_PER_MM: Final = 0.004
"""Cost per column and mm of distance from the usual level: breaks ties towards the row's own trace."""
CLIMB: Final = 0.01
"""Cost of a pixel of height even where there is ink."""
CLEAR: Final = 0.4
"""Ink from which a pixel costs nothing, so that a tall stroke is not dearer than a short cut over paper."""
EDGE: Final = 0.4
"""Ink at which a stroke begins, relative to the ink along the trace."""
MAX_SPIKE_MM: Final = 1.2
"""Widest hollow of a spike between its strokes."""
MIN_PIECE_PX: Final = 12
"""Ink that shares fewer pixels with the way does not belong to the trace."""
MAX_GAP_MM: Final = 3.0
"""Longer parts without ink stay unknown."""


@dataclass(frozen=True)
class InkLine:
    """The line of one segment as its ink shows it."""

    x_mm: Array
    """(n,) page x of the columns, 0.1 mm apart."""
    y_mm: Array
    """(n,) page y of the line, NaN where no ink was found."""
    ink: Array
    """(n,) ink along the line, about 1 on a clear stroke."""


def follow_ink(page: FlatPage, plan: PagePlan, segment: Segment, *, spikes: bool = True) -> InkLine:
    """The line of a segment; ``spikes=False`` leaves the way where it cuts across narrow spikes."""
    first, last = round(page.column(segment.x0_mm)), round(page.column(segment.x1_mm))
    level = page.row(segment.baseline(plan.rows))
    reach = int(REACH_MM * Y_PX_PER_MM)
    top = round(level) - reach
    columns, rows = np.arange(first, last), np.arange(top, top + 2 * reach + 1)
    ink = _cut(page.ink, rows, columns)
    x_mm = page.x_mm(columns.astype(float))
    marks = [segment.x0_mm, segment.x1_mm, *plan.ticks_mm] if plan.ticks_mm else []
    hidden = (
        np.any([np.abs(x_mm - mark) < TICK_HALF_MM for mark in marks], axis=0)
        if marks
        else np.zeros(len(x_mm), bool)
    )
    ink[:, hidden] = 0.3  # whatever stands there is a separator
    cost = (
        np.clip((CLEAR - ink) / (CLEAR - 0.1), 0, 1)
        + PRIOR_PER_MM * np.abs(rows - level)[:, None] / Y_PX_PER_MM
    )
    low, high = _cheapest_way(cost)
    y, strength = _values(np.clip(ink, 0, 1.5), low, high, hidden, spikes)
    return InkLine(x_mm, page.y_mm(y + top), strength)


def _cut(ink: Grey, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Grey:
    """Copy of a window; zero outside the page."""
    inside = ((rows >= 0) & (rows < ink.shape[0]))[:, None] & ((columns >= 0) & (columns < ink.shape[1]))
    window = ink[np.clip(rows, 0, ink.shape[0] - 1)[:, None], np.clip(columns, 0, ink.shape[1] - 1)]
    return np.where(inside, window, np.float32(0))


def _cheapest_way(cost: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last row that the cheapest left-to-right way visits in each column of a (h, w) cost.

    Within a column the way may climb and pays each pixel it passes; it enters the next column at the row where it left.
    Vectorised over rows: climbing from a to b costs a difference of cumulated costs, so the best a is a running minimum.
    """
    height, width = cost.shape
    climb = cost + CLIMB
    above = np.concatenate([np.zeros((1, width)), np.cumsum(climb, axis=0)])  # cost of rows < k
    entered = np.empty((width, height), np.intp)
    index = np.arange(height)
    total = np.zeros(height)
    for x in range(width):
        down = total - above[:-1, x]
        best_down = np.minimum.accumulate(down)
        from_down = np.maximum.accumulate(np.where(down <= best_down, index, 0))
        up = (total + above[1:, x])[::-1]
        best_up = np.minimum.accumulate(up)
        from_up = index[::-1][np.maximum.accumulate(np.where(up <= best_up, index, 0))][::-1]
        cost_down = best_down + above[1:, x]
        cost_up = best_up[::-1] - above[:-1, x]
        take_down = cost_down <= cost_up
        entered[x] = np.where(take_down, from_down, from_up)
        total = np.where(take_down, cost_down, cost_up)
    leave = np.empty(width, np.intp)
    enter = np.empty(width, np.intp)
    at = int(total.argmin())
    for x in range(width - 1, -1, -1):
        leave[x], enter[x] = at, entered[x, at]
        at = enter[x]
    return np.minimum(enter, leave), np.maximum(enter, leave)


def _values(
    ink: Array, low: NDArray[np.intp], high: NDArray[np.intp], hidden: NDArray[np.bool_], spikes: bool
) -> tuple[Array, Array]:
    """Row of the trace (sub-pixel) and ink along it for each column; NaN rows where too long a part has no ink."""
    width = ink.shape[1]
    columns = np.arange(width)
    middle = (low + high) // 2
    on_way = np.array([ink[a : b + 1, x].max() for x, (a, b) in enumerate(zip(low, high, strict=True))])
    usual = max(float(np.median(on_way[~hidden])) if (~hidden).any() else 1.0, 0.3)
    inked = ink > EDGE * usual
    jumped = np.zeros(width, bool)
    if spikes:
        low, high, jumped = _into_spikes(inked, low, high)
    seen = ((on_way > EDGE * usual) | jumped) & ~hidden
    top, bottom = _run_edges(ink, inked, low, high, EDGE * usual)
    thickness = float(np.median((bottom - top)[seen])) if seen.any() else 2.0
    value = _run_values(top, bottom, thickness)
    value = np.where(seen, value, np.nan)
    known = np.flatnonzero(np.isfinite(value))
    if len(known) == 0:
        return np.full(width, np.nan), np.zeros(width)
    filled = np.interp(columns, known, value[known])
    gap = np.diff(np.concatenate([[-1], known, [width]])) - 1
    for before, length in zip(np.concatenate([[-1], known]), gap, strict=True):
        if length > MAX_GAP_MM * X_PX_PER_MM:
            filled[before + 1 : before + 1 + length] = np.nan
    return filled, np.where(hidden, 0.0, ink[middle, columns])


def _into_spikes(
    inked: NDArray[np.bool_], low: NDArray[np.intp], high: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Move the way into narrow spikes that it cut across between their two strokes.

    There the column has no ink on the way but has some, further up or down, that hangs together with the trace.
    """
    columns = np.arange(inked.shape[1])
    labels = cv2.connectedComponents(inked.astype(np.uint8), connectivity=8)[1]
    index = np.arange(inked.shape[0])[:, None]
    on_way = (index >= low) & (index <= high)
    counts = np.bincount(labels[on_way & inked], minlength=labels.max() + 1)
    counts[0] = 0
    trace = counts[labels] >= MIN_PIECE_PX
    cut = ~(on_way & inked).any(axis=0) & trace.any(axis=0)
    cut &= ~_long_runs(cut, round(MAX_SPIKE_MM * X_PX_PER_MM))
    distance = np.where(trace, np.abs(index - (low + high) // 2), 10**6)
    nearest = distance.argmin(axis=0)
    return (
        np.where(cut, nearest, low),
        np.where(cut, nearest, high),
        cut & (distance[nearest, columns] < 10**6),
    )


def _long_runs(mask: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Where ``mask`` stays true for more than ``longest`` entries."""
    return (
        cv2.morphologyEx(mask.astype(np.uint8)[None], cv2.MORPH_OPEN, np.ones((1, longest + 1), np.uint8))[0]
        > 0
    )


def _run_edges(
    ink: Array, inked: NDArray[np.bool_], low: NDArray[np.intp], high: NDArray[np.intp], level: float
) -> tuple[Array, Array]:
    """Upper and lower edge (sub-pixel rows) of the run of ink around the way, one pair a column."""
    height, width = ink.shape
    index = np.arange(height)[:, None]
    within = (index >= low) & (index <= high)
    start = np.where(inked & within, index, height).min(axis=0)
    stop = np.where(inked & within, index, -1).max(axis=0)
    empty = start > stop
    start, stop = np.where(empty, low, start), np.where(empty, high, stop)
    gap_above = np.where(~inked & (index < start), index, -1).max(axis=0)
    gap_below = np.where(~inked & (index > stop), index, height).min(axis=0)
    first, last = gap_above + 1, gap_below - 1
    columns = np.arange(width)

    def crossing(inner: NDArray[np.intp], outer: NDArray[np.intp]) -> Array:
        a = ink[np.clip(inner, 0, height - 1), columns]
        b = ink[np.clip(outer, 0, height - 1), columns]
        share = np.clip((a - level) / np.maximum(a - b, 1e-6), 0, 1)
        return inner + (outer - inner) * share

    return crossing(first, first - 1), crossing(last, last + 1)


def _run_values(top: Array, bottom: Array, thickness: float) -> Array:
    """Centre line of a pen stroke from the upper and lower edge of its ink, one value a column.

    Where the line is monotonous the middle of the run is right however steep it is. At a peak the pen covers both flanks,
    so the tip stands half a stroke inside the outermost ink; the columns beside it belong to both flanks and are
    interpolated.
    """
    value = (top + bottom) / 2
    radius = thickness / 2
    reach = max(1, round(radius * X_PX_PER_MM / Y_PX_PER_MM))
    tips = np.zeros(len(value), bool)
    blurred = np.zeros(len(value), bool)
    for edge, sign in ((top, -1.0), (bottom, 1.0)):
        peaks, _ = find_peaks(sign * edge, prominence=thickness, plateau_size=(None, 4 * reach))
        sharp = peaks[(bottom - top)[peaks] > 1.5 * thickness]
        value[sharp] = edge[sharp] - sign * radius
        tips[sharp] = True
        for offset in range(-reach, reach + 1):
            blurred[np.clip(sharp + offset, 0, len(value) - 1)] = True
    kept = np.flatnonzero(tips | ~blurred)
    if len(kept) < 2:
        return value
    return PchipInterpolator(kept, value[kept], extrapolate=True)(np.arange(len(value)))
