"""Columns move to where the network sees their leads drawn, and nowhere else."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout, Row, Segment
from ecgpage.trace import extents as trace_extents
from ecgpage.trace.crops import MARGIN_MM, Reading
from ecgpage.trace.extents import Extent, find_extent, widen
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.places import SeenEnds, place_columns
from ecgpage.trace.reader import read_traces

SPEED = 25.0
NO_ENDS = np.empty(0)


def read_marks(x0_mm: float, x1_mm: float, *drawn_mm: tuple[float, float]) -> Reading:
    """Reading of a window with its margins that sees a lead drawn in these stretches of page x, mm."""
    x_mm = np.arange(x0_mm - MARGIN_MM, x1_mm + MARGIN_MM + STEP_MM / 2, STEP_MM)
    seen = np.zeros(len(x_mm), bool)
    for first, end in drawn_mm:
        seen |= (x_mm > first - STEP_MM / 2) & (x_mm < end + STEP_MM / 2)
    return Reading(x_mm, np.where(seen, 50.0, np.nan), np.full(len(x_mm), 0.1), np.where(seen, 0.9, 0.1))


def page(first_mm: float = 20.0, *, ticks: bool = False, strip: bool = True, rows: int = 3) -> PageLayout:
    """Layout of 12 / ``rows`` columns that last 10 s together and touch each other, and a strip."""
    count = 12 // rows
    width = 250.0 / count
    segments = [
        Segment(
            name,
            k % rows,
            first_mm + width * (k // rows),
            first_mm + width * (k // rows + 1),
            10.0 / count * (k // rows),
            10.0 / count,
            30.0,
        )
        for k, name in enumerate(LEADS)
    ]
    if strip:
        segments.append(Segment("II", rows, first_mm, first_mm + 250.0, 0.0, 10.0, 30.0, is_strip=True))
    ticks_mm = [first_mm + width * k for k in range(1, count)] if ticks else []
    return PageLayout([], segments, [], ticks_mm, SPEED, 10.0, 0.9)


def see(layout: PageLayout, shift_mm: float = 0.0) -> list[Extent]:
    """Extents of a page whose columns touch, drawn ``shift_mm`` right of its layout: only the outer ends are seen."""
    first, last = min(s.x0_mm for s in layout.segments), max(s.x1_mm for s in layout.segments)
    return [
        Extent(s.x0_mm + shift_mm, s.x1_mm + shift_mm, s.x0_mm > first + 1, s.x1_mm < last - 1)
        for s in layout.segments
    ]


def move_columns(layout: PageLayout, extents: list[Extent], ink_ends: Array | None = None) -> PageLayout:
    """Columns moved by what the network sees, and by the ends of ink where they are given."""
    ink = np.full((len(extents), 2), np.nan) if ink_ends is None else ink_ends
    return trace_extents.move_columns(layout, extents, ink)


def ends(layout: PageLayout) -> list[tuple[float, float]]:
    """Page x, mm, of the ends of columns, then of the strip."""
    return sorted({(round(s.x0_mm, 2), round(s.x1_mm, 2)) for s in layout.segments})


# where one lead is drawn


def test_an_extent_is_the_longest_run() -> None:
    extent = find_extent(read_marks(20.0, 82.5, (17.0, 19.0), (25.0, 80.0)))
    assert (extent.start_mm, extent.end_mm) == pytest.approx((25.0, 80.0), abs=STEP_MM)
    assert not extent.runs_left
    assert not extent.runs_right


@pytest.mark.parametrize(("gap_mm", "start_mm"), [(2.0, 22.0), (5.0, 45.0)])
def test_small_gaps_do_not_divide_a_lead_and_wide_ones_do(gap_mm: float, start_mm: float) -> None:
    extent = find_extent(read_marks(20.0, 82.5, (22.0, 45.0 - gap_mm), (45.0, 80.0)))
    assert extent.start_mm == pytest.approx(start_mm, abs=STEP_MM)
    assert extent.end_mm == pytest.approx(80.0, abs=STEP_MM)


def test_a_strip_that_is_lost_for_a_moment_runs_on() -> None:
    extent = find_extent(read_marks(20.0, 270.0, (21.0, 145.0), (149.0, 268.0)))
    assert (extent.start_mm, extent.end_mm) == pytest.approx((21.0, 268.0), abs=STEP_MM)


def test_a_lead_may_run_on_beyond_the_window_which_then_widens_on_that_side() -> None:
    window = (20.0, 82.5, 50.0)
    left = find_extent(read_marks(20.0, 82.5, (0.0, 80.0)))
    assert (left.runs_left, left.runs_right) == (True, False)
    assert widen(window, left) == (20.0 - MARGIN_MM, 82.5, 50.0)
    right = find_extent(read_marks(20.0, 82.5, (25.0, 100.0)))
    assert (right.runs_left, right.runs_right) == (False, True)
    assert widen(window, right) == (20.0, 82.5 + MARGIN_MM, 50.0)


def test_where_nothing_is_drawn_nothing_is_known() -> None:
    extent = find_extent(read_marks(20.0, 82.5))
    assert np.isnan([extent.start_mm, extent.end_mm]).all()
    assert not extent.runs_left
    assert not extent.runs_right


# columns


@pytest.mark.parametrize("shift_mm", [0.0, 0.2, -0.2])
def test_what_agrees_about_stays_as_the_layout_has_it(shift_mm: float) -> None:
    layout = page()
    assert move_columns(layout, see(layout, shift_mm)) is layout


@pytest.mark.parametrize("shift_mm", [2.0, -4.0, 7.3])
def test_columns_and_strip_move_to_where_they_are_drawn(shift_mm: float) -> None:
    layout = page()
    moved = move_columns(layout, see(layout, shift_mm))
    np.testing.assert_allclose(ends(moved), np.array(ends(layout)) + shift_mm, atol=0.02)
    assert [s.start_s for s in moved.segments] == [s.start_s for s in layout.segments]
    assert [s.duration_s for s in moved.segments] == pytest.approx([s.duration_s for s in layout.segments])


def test_a_missed_gap_between_columns_is_found() -> None:
    """The layout divides the width evenly; 5 mm before the last column are blank."""
    wrong = page(strip=False, rows=6)
    wrong = replace(
        wrong,
        segments=[
            replace(s, x0_mm=20.0 if s.x0_mm < 100 else 147.5, x1_mm=147.5 if s.x0_mm < 100 else 275.0)
            for s in wrong.segments
        ],
    )
    extents = [
        Extent(20.0, 145.0, False, False) if s.x0_mm < 100 else Extent(150.0, 275.0, False, False)
        for s in wrong.segments
    ]
    assert ends(move_columns(wrong, extents)) == [(20.0, 145.0), (150.0, 275.0)]


def test_a_minority_of_leads_moves_nothing() -> None:
    layout = page()
    extents = see(layout)
    extents[0] = replace(extents[0], start_mm=26.0)
    assert move_columns(layout, extents) is layout


def test_ink_tells_where_the_network_disagrees_with_itself() -> None:
    """Text over the beginning of a trace hides it from the network."""
    layout = page(strip=False, rows=6)
    extents = see(layout, -3.0)
    ink = np.full((12, 2), np.nan)
    ink[:6, 0] = 17.0
    for k in (0, 2, 4):
        extents[k] = replace(extents[k], start_mm=23.0)
    assert ends(move_columns(layout, extents, ink))[0][0] == pytest.approx(17.0)


def test_separators_are_surer_than_the_network() -> None:
    """The network sees leads begin late, behind the separators' strokes."""
    for ticks in (True, False):
        layout = page(ticks=ticks, strip=False)
        extents = [
            Extent(s.x0_mm + 1.5 * (s.x0_mm > 21), s.x1_mm - 2.0 * (s.x1_mm < 269), False, False)
            for s in layout.segments
        ]
        moved = move_columns(
            replace(layout, speed_mm_per_s=24.0), extents
        )  # no record's time to fall back on
        assert (moved.segments == layout.segments) == ticks


@pytest.mark.parametrize("shows_ink", [False, True])
def test_an_end_that_some_leads_show_does_not_shorten_a_record(shows_ink: bool) -> None:
    layout = page(strip=False, rows=12)
    extents = see(layout)
    for k in range(4):
        extents[k] = replace(extents[k], end_mm=268.0)
    ink = np.full((12, 2), np.nan)
    ink[:, 0], ink[:, 1] = 20.0, 250.0
    extents = [replace(e, end_mm=250.0) for e in extents] if shows_ink else extents
    found = move_columns(layout, extents, ink if shows_ink else None)
    assert ends(found) == [(20.0, 250.0 if shows_ink else 270.0)]


@pytest.mark.parametrize("agreeing", [6, 3])
def test_a_gap_that_most_ink_shows_is_there(agreeing: int) -> None:
    """Both columns end 4 mm early; the layout took them for half a record each."""
    layout = page(strip=False, rows=6)
    seen = {20.0: (20.0, 141.0), 145.0: (143.0, 266.0)}
    extents = [
        Extent(*(seen[s.x0_mm] if s.row < agreeing else (float("nan"),) * 2), False, False)
        for s in layout.segments
    ]
    ink = np.array([[e.start_mm, e.end_mm] for e in extents])
    found = np.array(ends(move_columns(layout, extents, ink)))
    np.testing.assert_allclose(found, [(20.0, 141.0), (143.0, 266.0)], atol=1.1)


@pytest.mark.parametrize("shift_mm", [2.0, 5.0])
def test_leads_below_each_other_move_too(shift_mm: float) -> None:
    layout = page(strip=False, rows=12)
    moved = move_columns(layout, see(layout, shift_mm))
    assert ends(moved) == [(20.0 + shift_mm, 270.0 + shift_mm)]


def test_columns_that_were_seen_to_overlap_meet_where_most_leads_of_both_show_it() -> None:
    layout = page(strip=False)
    extents = [Extent(s.x0_mm, s.x1_mm, False, False) for s in layout.segments]
    for k in (1, 2):  # a beat at the border is taken for two leads' own
        extents[k] = replace(extents[k], end_mm=extents[k].end_mm + 2.2 + 0.1 * k)
    extents[4] = replace(extents[4], start_mm=extents[4].start_mm - 2.4)
    assert ends(move_columns(layout, extents)) == ends(layout)


@pytest.mark.parametrize("leads", [2, 3])
def test_pulses_beside_the_leads_do_not_make_columns_unequal(leads: int) -> None:
    layout = page(strip=False)
    extents = [Extent(s.x0_mm, s.x1_mm, False, False) for s in layout.segments]
    for k in range(leads):  # the foot of a pulse before them
        extents[k] = replace(extents[k], start_mm=18.3)
    assert ends(move_columns(layout, extents)) == ends(layout)


@pytest.mark.parametrize("leads", [2, 3])
def test_one_border_of_equal_columns_stays(leads: int) -> None:
    layout = page(strip=False)
    extents = [Extent(s.x0_mm, s.x1_mm, False, False) for s in layout.segments]
    for k in range(leads):  # a beat across the border, whose place the others see badly
        extents[6 + k] = replace(extents[6 + k], end_mm=212.7)
        extents[9 + k] = replace(extents[9 + k], start_mm=204.0 - 2 * k)
    assert ends(move_columns(layout, extents)) == ends(layout)


def test_separators_that_are_seen_instead_of_all_borders_move_none() -> None:
    layout = page(strip=False)
    beside = [Extent(s.x0_mm + 1.8, s.x1_mm + 1.8, False, False) for s in layout.segments]
    extents = [
        replace(
            e,
            start_mm=e.start_mm - 1.8 * (s.x0_mm < 21),
            end_mm=e.end_mm - 1.8 * (s.x1_mm > 269),
        )
        for s, e in zip(layout.segments, beside, strict=True)
    ]
    assert ends(move_columns(layout, extents)) == ends(layout)


def test_ink_tells_where_the_first_column_begins() -> None:
    """Boxes are too wide on both sides; the border stands where it is."""
    layout = page(19.0, strip=False, rows=6)
    wide = replace(
        layout,
        segments=[
            replace(s, x0_mm=18.8 if s.x0_mm < 20 else 145.0, x1_mm=145.0 if s.x0_mm < 20 else 271.2)
            for s in layout.segments
        ],
    )
    nan = float("nan")
    seen = {18.8: Extent(nan, 145.0, False, False), 145.0: Extent(145.0, nan, False, False)}
    extents = [seen[s.x0_mm] for s in wide.segments]
    ink = np.array([(20.0, np.nan)] * 6 + [(np.nan, 270.0)] * 6)
    np.testing.assert_allclose(
        ends(move_columns(wide, extents, ink)), [(20.0, 145.0), (145.0, 270.0)], atol=0.1
    )


def test_a_strip_begins_with_the_columns_though_a_part_of_it_is_not_seen() -> None:
    layout = page()
    extents = [Extent(s.x0_mm, s.x1_mm, False, False) for s in layout.segments]
    extents[-1] = replace(extents[-1], start_mm=80.5)
    assert move_columns(layout, extents) is layout


@pytest.mark.parametrize("is_left_open", [True, False])
def test_a_column_that_was_not_seen_to_begin_begins_where_the_one_before_ends(is_left_open: bool) -> None:
    layout = page(strip=False)
    drawn = 10.0  # the layout has all columns narrower and further left than they are drawn
    nan = float("nan")
    extents = []
    for s in layout.segments:
        k = round((s.x0_mm - 20.0) / 62.5)
        x0, x1 = 20.0 + drawn + 60.0 * k, 20.0 + drawn + 60.0 * (k + 1)
        if k == 2 and is_left_open:
            x0 = nan
        elif k == 1 and not is_left_open:
            x1 = nan
        extents.append(Extent(x0, x1, False, False))
    found = ends(move_columns(layout, extents))
    assert found[2][0] == pytest.approx(150.0, abs=0.8)
    assert all(left[1] <= right[0] + 0.01 for left, right in pairwise(found))


def test_a_strip_that_is_seen_to_run_on_ends_with_the_columns() -> None:
    layout = page()
    layout = replace(layout, segments=[*layout.segments[:-1], replace(layout.segments[-1], x1_mm=180.0)])
    extents = [Extent(s.x0_mm, s.x1_mm, False, False) for s in layout.segments]
    assert move_columns(layout, extents) is layout
    extents[-1] = Extent(20.0, 192.0, False, True)
    assert move_columns(layout, extents).segments[-1].x1_mm == pytest.approx(270.0)


def test_a_page_of_which_the_network_sees_nothing_stays() -> None:
    layout = page()
    blind = [Extent(float("nan"), float("nan"), False, False) for _ in layout.segments]
    assert move_columns(layout, blind) is layout


class SeesTwoStrips:
    """Stands for the network: two strips are drawn from 20 to 270 mm."""

    def read_wide(
        self, _image: Any, _grid: Any, windows: list[tuple[float, float, float]], _: Any
    ) -> list[Reading]:
        return [read_marks(x0, x1, (20.0, 270.0)) for x0, x1, _ in windows]


def test_a_strip_is_read_to_where_the_others_end() -> None:
    both = [
        Segment(lead, k, 20.0, 275.0, 0.0, 10.2, 30.0, is_strip=True) for k, lead in enumerate(("II", "V5"))
    ]
    both[1] = replace(both[1], x1_mm=200.0, duration_s=7.2)
    layout = PageLayout(
        [Row(np.arange(300.0), np.full(300, 30.0), np.ones(300))] * 2, both, [], [], SPEED, 10.0, 0.9
    )
    ink = np.zeros((100 * Y_PX_PER_MM, 400 * X_PX_PER_MM))
    ink[50 * Y_PX_PER_MM, 20 * X_PX_PER_MM : 270 * X_PX_PER_MM + 1] = 1.0
    flat: Any = SimpleNamespace(
        grid=SimpleNamespace(to_image=lambda x, y: (x, y), px_per_mm=1.0),
        ink=ink,
        column=lambda x_mm: x_mm * X_PX_PER_MM,
        row=lambda y_mm: y_mm * Y_PX_PER_MM,
        x_mm=lambda column: column / X_PX_PER_MM,
    )
    network: Any = SeesTwoStrips()
    traces = read_traces(np.zeros((100, 400, 3), np.uint8), flat, layout, network)
    for trace in traces:
        assert trace.x_mm[-1] == pytest.approx(trace.segment.x1_mm, abs=2 * STEP_MM)
        assert trace.segment.x1_mm == pytest.approx(270.0, abs=1.0)


def test_numbers_of_axes_are_surer_than_the_network() -> None:
    layout = replace(page(strip=False), numbered_s=(0.0, 2.5, 5.0, 7.5))
    seen = see(layout, 4.0)
    assert move_columns(layout, seen).segments == layout.segments
    assert move_columns(replace(layout, numbered_s=()), seen).segments != layout.segments


def test_strokes_that_the_network_sees_hold_columns_beside_which_it_sees_more() -> None:
    """The layout begins 2 mm late; moiré makes the last column run on, and one end of ink of nothing."""
    right = 20.0 + 62.5 * np.arange(5)
    usual = np.stack([right[:-1] + 2.1, right[1:] + 1.2], axis=1)
    seen = []
    for k in range(4):
        begin = SeenEnds(right[k] + np.array([0.1, 0.15, 0.1]), NO_ENDS, outward=-1)
        end = SeenEnds(right[k + 1] + np.array([-0.2, -0.1, -0.2]), NO_ENDS)
        seen.append((begin, end))
    seen[0] = (replace(seen[0][0], ink=np.array([16.6, 20.0, 20.0])), seen[0][1])
    seen[1] = (seen[1][0], SeenEnds(np.array([145.1]), np.array([164.5]), np.array([157.2, 157.2])))
    seen[3] = (seen[3][0], SeenEnds(NO_ENDS, NO_ENDS, np.array([280.3, 280.3, 280.3])))
    found = place_columns(usual, seen, SPEED, has_separators=True)
    np.testing.assert_allclose(found, np.stack([right[:-1], right[1:]], axis=1), atol=0.3)
