"""Where the leads of a page begin and end: the network's own mark of where each lead is drawn.

The layout puts columns by boxes, ends of ink, separators and the record's length. Where it is wrong, by a missed gap, a line
before the trace or columns of another width, the network still tells its lead from everything beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.layout.types import PageLayout, Segment
from ecgpage.trace.crops import MARGIN_MM, Reading, Window
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.options import TraceOptions

OPEN_MM: Final = 0.3
"""Distance, mm, of a mark's end from the end of what was looked at, below which the lead runs on beyond."""


@dataclass(frozen=True)
class Extent:
    """Page x, mm, between which one lead is drawn; NaN where that was not seen."""

    start_mm: float
    end_mm: float
    runs_left: bool
    """Whether it is still drawn where the window begins."""
    runs_right: bool


def find_extent(reading: Reading, options: TraceOptions = TraceOptions()) -> Extent:
    """Extent of the lead in a reading with margins: its longest run, across gaps of up to ``bridge_mm``."""
    drawn = reading.visible >= options.min_visible
    edges = np.flatnonzero(np.diff(np.concatenate([[False], drawn, [False]]).astype(np.int8))).reshape(-1, 2)
    if not len(edges):
        return Extent(float("nan"), float("nan"), False, False)
    runs = [list(map(int, edges[0]))]
    for first, end in edges[1:]:
        if (first - runs[-1][1]) * STEP_MM < options.bridge_mm:
            runs[-1][1] = int(end)
        else:
            runs.append([int(first), int(end)])
    first, end = max(runs, key=lambda run: run[1] - run[0])
    slack = round(OPEN_MM / STEP_MM)
    return Extent(
        float(reading.x_mm[first]),
        float(reading.x_mm[end - 1]),
        first <= slack,
        end >= len(drawn) - slack,
    )


def widen(window: Window, extent: Extent) -> Window:
    """Window that reaches as much further as margins do on each side on which its lead runs on."""
    x0_mm, x1_mm, level_mm = window
    return x0_mm - MARGIN_MM * extent.runs_left, x1_mm + MARGIN_MM * extent.runs_right, level_mm


def move_columns(
    layout: PageLayout, extents: Sequence[Extent], options: TraceOptions = TraceOptions()
) -> PageLayout:
    """Layout whose columns and strips begin and end where most of their leads are drawn.

    Nothing moves unless some end is off by more than ``misplaced_mm`` and most leads of the column agree on the new one.
    Where leads run on beyond what was looked at, columns touch and nothing is known. ``extents``: one for each segment.
    """
    groups: dict[tuple[float, bool], list[int]] = {}
    for k, segment in enumerate(layout.segments):
        groups.setdefault((round(segment.x0_mm, 2), segment.is_strip), []).append(k)
    places = []
    is_wrong = False
    for members in groups.values():
        usual = layout.segments[members[0]]
        start, end = (_agree([extents[k] for k in members], side, options) for side in (_start, _end))
        off = np.abs([start - usual.x0_mm, end - usual.x1_mm])
        is_wrong |= bool((off > options.misplaced_mm).any())
        places.append(
            (members, *np.where(np.isfinite([start, end]), [start, end], [usual.x0_mm, usual.x1_mm]))
        )
    if not is_wrong:
        return layout
    segments = list(layout.segments)
    for members, x0, x1 in places:
        if x1 - x0 > options.shortest_mm:
            for k in members:
                segments[k] = _place(segments[k], float(x0), float(x1), layout.speed_mm_per_s)
    return replace(layout, segments=segments)


def _start(extent: Extent) -> tuple[float, bool]:
    return extent.start_mm, extent.runs_left


def _end(extent: Extent) -> tuple[float, bool]:
    return extent.end_mm, extent.runs_right


def _agree(
    extents: Sequence[Extent], side: Callable[[Extent], tuple[float, bool]], options: TraceOptions
) -> float:
    """Page x, mm, of an end that most leads of a column show; NaN where they disagree or run on."""
    places = np.array([x for x, runs_on in map(side, extents) if np.isfinite(x) and not runs_on])
    if len(places) < max(1.0, options.agreeing_share * len(extents)):
        return float("nan")
    middle = float(np.median(places))
    agreeing = (np.abs(places - middle) < options.same_end_mm).sum()
    return middle if agreeing >= options.agreeing_share * len(extents) else float("nan")


def _place(segment: Segment, start_mm: float, end_mm: float, speed_mm_per_s: float) -> Segment:
    """Segment at another place; its time starts where it started."""
    seconds = (end_mm - start_mm) / speed_mm_per_s
    return replace(segment, x0_mm=start_mm, x1_mm=end_mm, duration_s=seconds)
