"""Where the leads of a page begin and end: the network's own mark of where each lead is drawn.

The layout puts columns by boxes, ends of ink, separators and the record's length. Where it is wrong, by a missed gap, a line
before the trace or columns of another width, the network still tells its lead from everything beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from ecgpage.core.types import Array
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

    @property
    def ends_mm(self) -> tuple[float, float]:
        """Page x, mm, of both ends; NaN where the lead runs on beyond what was looked at."""
        nan = float("nan")
        return nan if self.runs_left else self.start_mm, nan if self.runs_right else self.end_mm


UNSEEN: Final = Extent(float("nan"), float("nan"), False, False)
"""Extent of a lead that was not sought."""


def find_extent(reading: Reading, options: TraceOptions = TraceOptions()) -> Extent:
    """Extent of the lead in a reading with margins: its longest run, across gaps of up to ``bridge_mm``, and across those
    that are short beside the runs on both sides, as in a strip that the network loses for a moment.
    """
    drawn = reading.visible >= options.min_visible
    edges = np.flatnonzero(np.diff(np.concatenate([[False], drawn, [False]]).astype(np.int8))).reshape(-1, 2)
    if not len(edges):
        return UNSEEN
    runs = [list(map(int, edges[0]))]
    for first, end in edges[1:]:
        shorter = min(end - first, runs[-1][1] - runs[-1][0])
        bridge_mm = max(options.bridge_mm, options.bridge_share * shorter * STEP_MM)
        if (first - runs[-1][1]) * STEP_MM < bridge_mm:
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
    Places that give a record's usual length stay, unless nearly all leads of several columns agree on others: the layout may
    have assumed that length.
    Where leads run on beyond what was looked at, columns touch and nothing is known. ``extents``: one for each segment.
    """
    groups: dict[tuple[float, bool], list[int]] = {}
    for k, segment in enumerate(layout.segments):
        groups.setdefault((round(segment.x0_mm, 2), segment.is_strip), []).append(k)
    votes = {
        key: np.array([_agree([extents[k] for k in members], side, options) for side in (_start, _end)])
        for key, members in groups.items()
    }
    seen = {key: ends[:, 0] for key, ends in votes.items()}
    usual = {
        key: np.array([layout.segments[m[0]].x0_mm, layout.segments[m[0]].x1_mm]) for key, m in groups.items()
    }
    columns = sorted(key for key in groups if not key[1])
    drawn = [[extents[k] for k in groups[key]] for key in columns]
    _keep_printed(layout, [seen[key] for key in columns], [usual[key] for key in columns])
    # where there is one column, nothing depends on its beginning but the common time of all
    least = options.misplaced_mm if len(columns) > 1 else options.misplaced_alone_mm
    if not any((np.abs(seen[key] - usual[key]) > least).any() for key in groups):
        return layout
    if columns:
        for (left, a), (right, b) in pairwise(zip(columns, drawn, strict=True)):
            _part_overlapping(seen[left], seen[right], (usual[left], usual[right]), (a, b), options)
        _divide_touching([seen[key] for key in columns], [usual[key] for key in columns])
    # separators and the record's length know better than the network what it agrees with
    places = {
        key: np.where(np.abs(seen[key] - usual[key]) > options.own_error_mm, seen[key], usual[key])
        for key in groups
    }
    _keep_equal([places[key] for key in columns], [usual[key] for key in columns], drawn, options)
    if not layout.ticks_mm:
        _make_equal([places[key] for key in columns], options)
    segments = list(layout.segments)
    for key, members in groups.items():
        x0, x1 = places[key]
        if x1 - x0 > options.shortest_mm:
            for k in members:
                segments[k] = _place(segments[k], float(x0), float(x1), layout.speed_mm_per_s)
    moved = replace(layout, segments=segments)
    shares = np.concatenate([votes[k][np.abs(seen[k] - usual[k]) > options.misplaced_mm, 1] for k in groups])
    if len(columns) > 1 and shares.size and shares.mean() >= options.sure_share:
        return moved
    return layout if _shows_record(layout, options) and not _shows_record(moved, options) else moved


def _keep_printed(layout: PageLayout, seen: list[Array], usual: list[Array]) -> None:
    """Put the layout's ends of columns, (2,) begin and end each, for those seen, in place, where print tells them: separators
    and numbers of axes are surer than the network.
    """
    for left, right in pairwise(range(len(seen))) if layout.ticks_mm else ():
        seen[left][1], seen[right][0] = usual[left][1], usual[right][0]
    if layout.numbered_s:
        for ends, told in zip(seen, usual, strict=True):
            ends[:] = told


def _shows_record(layout: PageLayout, options: TraceOptions) -> bool:
    """Whether the columns, or the axis that they stand on, last as long as records do."""
    short = [s for s in layout.segments if not s.is_strip] or layout.segments
    spans = sorted({(s.x0_mm, s.x1_mm) for s in short})
    drawn, axis = sum(b - a for a, b in spans), spans[-1][1] - spans[0][0]
    seconds = np.array([drawn, axis]) / layout.speed_mm_per_s
    away = np.abs(seconds[:, None] - np.array(options.record_s))
    return bool(away.min() < options.record_error_s)


def _start(extent: Extent) -> tuple[float, bool]:
    return extent.start_mm, extent.runs_left


def _end(extent: Extent) -> tuple[float, bool]:
    return extent.end_mm, extent.runs_right


def _part_overlapping(
    left: Array,
    right: Array,
    usual: tuple[Array, Array],
    shown: tuple[Sequence[Extent], Sequence[Extent]],
    options: TraceOptions,
) -> None:
    """Give columns, (2,) begin and end each, that were seen to overlap the border that most of their leads show, in place.

    No two leads of a row are drawn at one place. Where one of both ends was not seen it is the other one, unless the layout
    left room between them.
    """
    if np.isfinite(left[1]) and np.isfinite(right[0]):
        if left[1] - right[0] < options.same_end_mm:
            return
        ends = [e for side, of in zip((_end, _start), shown, strict=True) for e in map(side, of)]
        places = np.array([x for x, runs_on in ends if np.isfinite(x) and not runs_on])
        votes = (np.abs(places[:, None] - places) < options.same_end_mm).sum(axis=1)
        best = np.flatnonzero(votes == votes.max())
        border = (usual[0][1] + usual[1][0]) / 2
        middle = places[best[np.abs(places[best] - border).argmin()]]
        left[1] = right[0] = float(np.median(places[np.abs(places - middle) < options.same_end_mm]))
    elif np.isfinite(left[1]) and usual[1][0] < left[1]:
        right[0] = left[1]
    elif np.isfinite(right[0]) and usual[0][1] > right[0]:
        left[1] = right[0]


def _divide_touching(seen: list[Array], usual: list[Array]) -> None:
    """Put the unseen borders of columns that touch, (2,) begin and end each, evenly between the outer ends, in place."""
    edges = [
        seen[0][0],
        *(np.nanmean([a[1], b[0]]) if np.isfinite([a[1], b[0]]).any() else np.nan for a, b in pairwise(seen)),
        seen[-1][1],
    ]
    edges[0] = edges[0] if np.isfinite(edges[0]) else usual[0][0]
    edges[-1] = edges[-1] if np.isfinite(edges[-1]) else usual[-1][1]
    known = np.flatnonzero(np.isfinite(edges))
    filled = np.interp(np.arange(len(edges)), known, np.array(edges)[known])
    for k, (a, b) in enumerate(pairwise(seen), 1):
        if not np.isfinite([a[1], b[0]]).any():
            a[1] = b[0] = filled[k]


def _keep_equal(
    places: Sequence[Array], usual: Sequence[Array], shown: Sequence[Sequence[Extent]], options: TraceOptions
) -> None:
    """Leave an end or a border of touching columns, (2,) begin and end each, where the layout has it, in place, where that
    makes all columns equally wide and a part of the leads alone shows another one: a pulse's foot, a word or a beat may
    stand there.
    """
    count = len(places)
    edges = [(k - 1, 1) if k else (0, 0) for k in range(count + 1)] if count > 2 else []
    for k, (column, side) in enumerate(edges):
        sides = [(column, side)] if k in (0, count) else [(column, 1), (column + 1, 0)]
        at, back = (float(np.mean([of[c][end] for c, end in sides])) for of in (places, usual))
        if (
            abs(at - back) <= options.misplaced_mm
            or np.ptp([places[c][end] for c, end in sides]) > options.touching_mm
        ):
            continue
        ends = np.array([(e.start_mm, e.end_mm)[end] for c, end in sides for e in shown[c]])
        tried = [place.copy() for place in places]
        for c, end in sides:
            tried[c][end] = usual[c][end]
        is_even = np.ptp([np.ptp(t) for t in tried]) < 2 * options.same_end_mm
        was_even = np.ptp([np.ptp(place) for place in places]) < 2 * options.same_end_mm
        if is_even and not was_even and np.mean(np.abs(ends - at) < options.same_end_mm) < options.sure_share:
            for c, end in sides:
                places[c][end] = usual[c][end]


def _make_equal(places: list[Array], options: TraceOptions) -> None:
    """Make columns that touch, (2,) begin and end each, equally wide where they nearly are, in place: one trace jumps to the
    next at their borders, which tells badly where.
    """
    if len(places) < 2:
        return
    borders = np.array([places[0][0], *((a[1] + b[0]) / 2 for a, b in pairwise(places)), places[-1][1]])
    gaps = np.array([b[0] - a[1] for a, b in pairwise(places)])
    even = np.linspace(borders[0], borders[-1], len(borders))
    if np.abs(gaps).mean() < options.touching_mm and np.abs(borders - even).max() < options.uneven_mm:
        for place, ends in zip(places, pairwise(even), strict=True):
            place[:] = ends


def _agree(
    extents: Sequence[Extent], side: Callable[[Extent], tuple[float, bool]], options: TraceOptions
) -> tuple[float, float]:
    """Page x, mm, of an end that most leads of a column show, and their share; NaN where they disagree or run on.

    Text over a trace may hide its end, so of two ends that equally many leads show the outer one counts.
    """
    places = np.array([x for x, runs_on in map(side, extents) if np.isfinite(x) and not runs_on])
    if not len(places):
        return float("nan"), 0.0
    alike = np.abs(places[:, None] - places) < options.same_end_mm
    outwards = -places if side is _start else places
    best = max(range(len(places)), key=lambda k: (int(alike[k].sum()), float(outwards[k])))
    share = float(alike[best].sum()) / len(extents)
    return (float(np.median(places[alike[best]])) if share >= options.agreeing_share else float("nan")), share


def _place(segment: Segment, start_mm: float, end_mm: float, speed_mm_per_s: float) -> Segment:
    """Segment at another place; its time starts where it started."""
    seconds = (end_mm - start_mm) / speed_mm_per_s
    return replace(segment, x0_mm=start_mm, x1_mm=end_mm, duration_s=seconds)
