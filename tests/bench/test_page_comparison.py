"""A layout is compared with the truth place by place: what is right counts, what is moved, misnamed or stretched does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.page_comparison import TruePage, compare, not_read, tabulate
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.known_layouts import LAYOUT_OF
from ecgpage.layout.types import PageLayout, Row, Segment

PX_PER_MM = 6.0
WIDTH = 1700


def facts(**changes: Any) -> dict[str, Any]:
    """Truth of a 3x4 page with a strip of another time, upright, 6 px/mm."""
    segments = []
    for column, leads in enumerate(LAYOUT_OF["3x4"].columns):
        for row, lead in enumerate(leads):
            x0, y = 10 + 62.5 * column, 40.0 + 30 * row
            segments.append(piece(lead, column, (x0, x0 + 62.5), y, (2.5 * column, 2.5 * column + 2.5)))
    segments.append(piece("II", None, (10, 260), 130.0, (12.0, 22.0)))
    return {
        "speed": 25.0, "gain": 10.0, "trace_px_per_mm": [PX_PER_MM, PX_PER_MM], "middle_px": [800.0, 500.0],
        "segments": segments, "shape": [900, WIDTH], "strip_times": "other", **changes,
    }  # fmt: skip


def piece(
    lead: str, column: int | None, x: tuple[float, float], y: float, t: tuple[float, float]
) -> dict[str, Any]:
    return {
        "lead": lead, "column": column, "start_px": [x[0] * PX_PER_MM, y * PX_PER_MM],
        "end_px": [x[1] * PX_PER_MM, y * PX_PER_MM], "t0": t[0], "t1": t[1], "gain": 10.0,
    }  # fmt: skip


def grid(stretch: float = 1.0) -> GridMap:
    """Map of the page whose millimetres are ``stretch`` times as long as the true ones along x."""
    x, y = np.meshgrid(np.arange(0, 300, 5.0), np.arange(0, 160, 5.0))
    nodes = np.stack([x * PX_PER_MM * stretch, y * PX_PER_MM], axis=-1)
    return GridMap(nodes, (0.0, 0.0), np.ones(x.shape), 0.1, "drawn")


def layout(stretch: float = 1.0) -> PageLayout:
    """The right layout, read on ``grid(stretch)``; times start at 0."""
    across = np.arange(0.0, 280.0)
    rows = [Row(across, np.full(280, y), np.ones(280)) for y in (40.0, 70.0, 100.0, 130.0)]
    segments = []
    for s in facts()["segments"]:
        row = round((s["start_px"][1] / PX_PER_MM - 40) / 30)
        ends = [s[k][0] / PX_PER_MM / stretch for k in ("start_px", "end_px")]
        start = 0.0 if s["column"] is None else s["t0"]
        segments.append(
            Segment(s["lead"], row, *ends, start, (ends[1] - ends[0]) / 25, 0.0, is_strip=s["column"] is None)
        )
    return PageLayout(rows, segments, [], [], 25.0, 10.0, 1.0)


def test_the_right_layout_is_right_whenever_its_strip_began() -> None:
    seen = compare(TruePage.from_facts(facts()), grid(), layout())
    assert seen.is_read
    assert seen.scale
    assert seen.layout
    assert seen.names
    assert seen.times
    assert seen.time_off_s < 1e-6


def test_all_times_may_be_shifted_together() -> None:
    shifted = replace(layout(), segments=[replace(s, start_s=s.start_s + 3.0) for s in layout().segments])
    assert compare(TruePage.from_facts(facts()), grid(), shifted).times


@pytest.mark.parametrize("lead", range(12))
def test_one_late_lead_is_seen(lead: int) -> None:
    read = layout()
    late = replace(read.segments[lead], start_s=read.segments[lead].start_s + 0.05)
    read.segments[lead] = late
    seen = compare(TruePage.from_facts(facts()), grid(), read)
    assert seen.names
    assert not seen.times
    assert seen.time_off_s == pytest.approx(0.05, abs=1e-6)


def test_a_wrong_name_leaves_the_layout_right() -> None:
    read = layout()
    read.segments[3] = replace(read.segments[3], lead="V6")
    seen = compare(TruePage.from_facts(facts()), grid(), read)
    assert seen.layout
    assert not seen.names


def test_a_lost_and_an_invented_lead_are_seen() -> None:
    read = layout()
    for segments in (read.segments[1:], [*read.segments, replace(read.segments[0], x0_mm=262, x1_mm=270)]):
        assert not compare(TruePage.from_facts(facts()), grid(), replace(read, segments=segments)).layout


@pytest.mark.parametrize("stretch", [0.992, 1.004, 1.008])
def test_a_scale_counts_within_half_a_per_cent(stretch: float) -> None:
    seen = compare(TruePage.from_facts(facts()), grid(stretch), layout(stretch))
    assert seen.x_scale == pytest.approx(stretch, rel=1e-6)
    assert seen.scale == (abs(stretch - 1) < 0.005)
    assert seen.layout


def test_half_the_gain_at_the_chest_is_seen() -> None:
    told = facts()
    for segment in told["segments"]:
        segment["gain"] = 5.0 if segment["lead"].startswith("V") else 10.0
    assert compare(TruePage.from_facts(told), grid(), layout()).y_scale == pytest.approx(2.0)
    half = [replace(s, gain_mm_per_mv=5.0) if s.lead.startswith("V") else s for s in layout().segments]
    assert compare(TruePage.from_facts(told), grid(), replace(layout(), segments=half)).scale


def test_what_the_picture_cuts_off_is_not_asked_for() -> None:
    narrow = facts(shape=[900, 1000])
    true = TruePage.from_facts(narrow)
    assert len(true.segments) == 10
    for s in true.segments:
        assert s.end[0] <= 1000
        assert (s.t1 - s.t0) * 25 * PX_PER_MM == pytest.approx(s.end[0] - s.start[0])


def test_tables_count_pages_by_their_keys() -> None:
    seen = compare(TruePage.from_facts(facts()), grid(), layout())
    rows = [
        {"kind": kind, "seconds": "2.0", **{k: str(v) for k, v in vars(result).items()}}
        for kind, result in (("a", seen), ("a", not_read("no grid")), ("b", seen))
    ]
    lines = tabulate(rows, ["kind"]).splitlines()
    assert lines[2] == "| a | 2 | 50% | 50% | 50% | 50% | 50% | 50% | 50% | 50% | 2.0 |"
    assert lines[-1].startswith("| all | 3 | 67% |")
