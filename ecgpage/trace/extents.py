"""Where the leads of a page begin and end: the network's own mark of where each lead is drawn, and the ends of its ink.

The layout puts columns by boxes, separators and the record's length. Where it is wrong, by a missed gap, a line before the
trace or columns of another width, the network still tells its lead from everything beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.trace.crops import MARGIN_MM, Reading, Window
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.options import TraceOptions
from ecgpage.trace.places import SeenEnds, place_columns, place_strip

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
    layout: PageLayout,
    extents: Sequence[Extent],
    ink_ends: Array,
    options: TraceOptions = TraceOptions(),
) -> PageLayout:
    """Layout whose columns and strips begin and end where their leads are likeliest drawn; itself where it has them there.

    ``extents``: what the network saw, one for each segment; ``ink_ends``: (segments, 2) page x, mm, of the ends of their ink,
    NaN where it shows none.
    """
    groups = group_segments(layout)
    seen = {key: _list_ends([extents[k] for k in m], ink_ends[m]) for key, m in groups.items()}
    usual = {
        key: np.array([layout.segments[m[0]].x0_mm, layout.segments[m[0]].x1_mm]) for key, m in groups.items()
    }
    columns = sorted(key for key in groups if not key[1])
    places = dict(usual)
    if columns and not layout.numbered_s:  # the numbers of axes are surer than anything that is drawn
        likeliest = place_columns(
            np.array([usual[key] for key in columns]),
            [seen[key] for key in columns],
            layout.speed_mm_per_s,
            has_separators=bool(layout.ticks_mm),
            options=options,
        )
        places.update(zip(columns, likeliest, strict=True))
    outer = None
    if columns:
        before, after = (np.array([of[columns[0]][0], of[columns[-1]][1]]) for of in (usual, places))
        outer = before, after
    for key in groups:
        if key[1]:
            placed = place_strip(usual[key], outer, seen[key], options)
            places[key] = placed if placed[1] - placed[0] > options.shortest_mm else usual[key]
    if all(np.abs(places[key] - usual[key]).max() < STEP_MM for key in groups):
        return layout
    segments = list(layout.segments)
    for key, members in groups.items():
        for k in members:
            x0, x1 = places[key]
            segments[k] = _place(segments[k], float(x0), float(x1), layout.speed_mm_per_s)
    return replace(layout, segments=segments)


def group_segments(layout: PageLayout) -> dict[tuple[float, bool], list[int]]:
    """Numbers of the segments that begin at one page x, mm, by that and by whether they are strips."""
    groups: dict[tuple[float, bool], list[int]] = {}
    for k, segment in enumerate(layout.segments):
        groups.setdefault((round(segment.x0_mm, 2), segment.is_strip), []).append(k)
    return groups


def _list_ends(extents: Sequence[Extent], ink: Array) -> tuple[SeenEnds, SeenEnds]:
    """What both sides of leads show, by the network and by the ends of their ink (n, 2), NaN for none."""
    found = []
    for side, outward in ((0, -1), (1, 1)):
        network = np.array([e.ends_mm[side] for e in extents])
        runs_on = [(e.runs_left, e.runs_right)[side] for e in extents]
        edges = np.array([(e.start_mm, e.end_mm)[side] for e in extents])[np.array(runs_on, bool)]
        own = ink[np.isfinite(ink[:, side]), side]
        found.append(SeenEnds(network[np.isfinite(network)], own, edges, outward))
    return found[0], found[1]


def _place(segment: Segment, start_mm: float, end_mm: float, speed_mm_per_s: float) -> Segment:
    """Segment at another place; its time starts where it started."""
    seconds = (end_mm - start_mm) / speed_mm_per_s
    return replace(segment, x0_mm=start_mm, x1_mm=end_mm, duration_s=seconds)
