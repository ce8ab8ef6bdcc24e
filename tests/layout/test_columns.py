"""Columns of equal width through the edges of boxes."""

import numpy as np
import pytest

from ecgpage.layout.columns import Columns, fit_columns, place_in_panels, shared_span
from ecgpage.layout.options import LayoutOptions
from tests.layout.pages import page_boxes


def find_best(leads: np.ndarray, scores: np.ndarray, count: int, wanted: Columns) -> Columns:
    """Of the columns that fit, those nearest to the wanted ones."""
    found = fit_columns(leads, scores, count)
    assert found
    return min(found, key=lambda c: abs(c.first_mm - wanted.first_mm) + abs(c.pitch_mm - wanted.pitch_mm))


def test_columns_go_through_boxes_whose_edges_are_off() -> None:
    boxes = page_boxes()
    leads = boxes.leads + np.random.default_rng(2).normal(0, 1.0, boxes.leads.shape)
    columns = find_best(leads, boxes.scores, 4, Columns(4, 20.0, 62.5, 62.5))
    assert columns.first_mm == pytest.approx(20.0, abs=1.0)
    assert columns.pitch_mm == pytest.approx(62.5, abs=0.5)
    assert columns.end_mm == pytest.approx(270.0, abs=1.5)


def test_one_box_that_is_far_off_does_not_pull_them() -> None:
    boxes = page_boxes()
    leads = boxes.leads.copy()
    leads[4, [0, 2]] += 14.0
    columns = find_best(leads, boxes.scores, 4, Columns(4, 20.0, 62.5, 62.5))
    assert columns.first_mm == pytest.approx(20.0, abs=0.3)
    assert columns.pitch_mm == pytest.approx(62.5, abs=0.3)


def test_a_gap_between_columns_is_kept() -> None:
    boxes = page_boxes(strip=None)
    leads = boxes.leads - np.array([0.0, 0.0, 6.0, 0.0])
    columns = find_best(leads, boxes.scores, 4, Columns(4, 20.0, 62.5, 56.5))
    assert columns.gap_mm == pytest.approx(6.0, abs=0.2)
    assert columns.span(1) == pytest.approx((82.5, 139.0), abs=0.3)


def test_columns_narrower_than_half_a_second_are_none() -> None:
    boxes = page_boxes(strip=None)
    assert fit_columns(boxes.leads * [0.2, 1, 0.2, 1], boxes.scores, 4) == []


def test_spans_share_what_they_have_in_common_of_what_they_cover() -> None:
    assert shared_span((0.0, 10.0), (5.0, 15.0)) == pytest.approx(1 / 3)
    assert shared_span((0.0, 10.0), (20.0, 30.0)) == 0.0


def test_columns_stand_where_the_numbers_of_their_axes_do() -> None:
    """Boxes enclose the names and numbers beside the panels, too."""
    boxes = Columns(2, 15.0, 256.0, 261.0)
    panels = np.array([[21.6, 271.6, 0.0], [282.0, 532.0, 0.0]])
    found = place_in_panels(boxes, panels, LayoutOptions())
    assert found is not None
    assert [found.span(k) for k in (0, 1)] == [pytest.approx(p[:2]) for p in panels]


@pytest.mark.parametrize(
    "panels",
    [
        np.zeros((0, 3)),
        np.array([[21.6, 532.0, 0.0]]),
        np.array([[60.0, 271.6, 0.0], [320.0, 532.0, 0.0]]),
    ],
    ids=["no axis", "one axis below both columns", "axes elsewhere"],
)
def test_columns_without_axes_of_their_own_are_left_to_the_boxes(panels: np.ndarray) -> None:
    assert place_in_panels(Columns(2, 20.0, 260.0, 250.0), panels, LayoutOptions()) is None
