"""Ends of columns and strips, measured in the ink where boxes are off."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.column_edges import _fit_ticks
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import PageLayout
from ecgpage.synth import DrawnPage
from ecgpage.synth.page.model import Paper
from ecgpage.synth.truth_adapters import compare_plan, exact_grid, true_boxes
from tests.drawn import FS, lawful_record
from tests.layout.pages import draw_styled, read_drawn_plan

WANDER_MV = 0.9
"""Rise, mV, of a strip by wander: further than a row is followed from the line of a box."""


def wide_boxes(page: DrawnPage, by_mm: float) -> PageBoxes:
    """The true boxes of a page, reaching further at both ends than its leads."""
    boxes = true_boxes(page, exact_grid(page))
    return replace(boxes, leads=boxes.leads + np.array([-by_mm, 0, by_mm, 0]))


def ends_of(layout: PageLayout) -> list[tuple[float, float]]:
    return [(s.x0_mm, s.x1_mm) for s in layout.segments]


def test_a_strip_ends_where_its_ink_does_though_its_box_is_too_wide() -> None:
    page = draw_styled(layout="strip", pulse="none")
    layout = read_drawn_plan(page, wide_boxes(page, 4.0))
    assert compare_plan(page, exact_grid(page), layout).is_right, ends_of(layout)


def test_a_strip_that_wanders_off_its_line_runs_on() -> None:
    mv = lawful_record().copy()
    mv[:, LEADS.index("II")] += np.interp(np.arange(5000) / FS, [5.5, 6.5, 10.0], [0.0, WANDER_MV, WANDER_MV])
    page = draw_styled(mv=mv, layout="3x4+1", pulse="none")
    layout = read_drawn_plan(page)
    assert compare_plan(page, exact_grid(page), layout).is_right, ends_of(layout)


def test_rows_go_on_as_far_as_their_ink_though_their_boxes_end_before() -> None:
    page = draw_styled(layout="3 strips", pulse="none")
    boxes = true_boxes(page, exact_grid(page))
    layout = read_drawn_plan(page, replace(boxes, leads=boxes.leads - np.array([0, 0, 55.0, 0])))
    assert compare_plan(page, exact_grid(page), layout).is_right, ends_of(layout)


def test_a_stray_pulse_at_the_other_end_does_not_move_it() -> None:
    page = draw_styled(layout="6x2")
    boxes = true_boxes(page, exact_grid(page))
    x1, y1 = boxes.leads[:, 2].max(), boxes.leads[0, 3]
    stray = np.array([[x1 - 4.0, y1 - 10.0, x1 + 3.0, y1]])
    layout = read_drawn_plan(page, replace(boxes, pulses=np.concatenate([boxes.pulses, stray])))
    assert compare_plan(page, exact_grid(page), layout).is_right, ends_of(layout)


@pytest.mark.medium
@pytest.mark.parametrize("separator", ["gap", "marks", "dotted"])
def test_columns_stand_apart_whatever_is_between_them(separator: str) -> None:
    page = draw_styled(200.0, layout="3x4", separator=separator, gap=3.0, paper=Paper(297.0, 210.0))
    boxes = true_boxes(page, exact_grid(page))
    boxes.leads[:, 0] -= 1.2  # as if they touched
    boxes.leads[:, 2] += 1.2
    layout = read_drawn_plan(page, boxes)
    assert compare_plan(page, exact_grid(page), layout).is_right, ends_of(layout)


def test_separators_tell_the_gap_where_an_outer_end_is_off() -> None:
    ticks = [(1, 93.0), (2, 161.7), (3, 230.4)]
    late = Columns(4, 25.8, 69.15, 62.5)
    moved = _fit_ticks(late, ticks, True, LayoutOptions())
    assert [moved.span(k) for k in range(4)] == [
        pytest.approx((27.4 + k * 68.7, 89.9 + k * 68.7), abs=0.01) for k in range(4)
    ]
    touching = Columns(4, 25.8, 62.5, 62.5)  # the record's length is surer than strokes on whole pixels
    assert _fit_ticks(touching, [(1, 88.0), (2, 150.7), (3, 213.4)], True, LayoutOptions()).pitch_mm == 62.5
