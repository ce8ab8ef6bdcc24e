"""Rows of boxes, by the levels of their ink and by what stands above what."""

import numpy as np
import pytest

from ecgpage.layout.row_assignment import (
    add_spare_rows,
    assign_rows,
    find_regular_places,
    measure_row_distance,
)
from tests.layout.pages import ROWS_MM, STRIP_MM, page_boxes


def levels_of(leads: np.ndarray) -> np.ndarray:
    return leads[:, [1, 3]].mean(axis=1)


def test_boxes_beside_each_other_are_in_one_row() -> None:
    boxes = page_boxes()
    levels = levels_of(boxes.leads) + np.random.default_rng(1).normal(0, 0.7, 13)
    row_of, rows_mm = assign_rows(boxes, levels, np.zeros(0), measure_row_distance(boxes.leads, levels))
    assert row_of.tolist() == [0, 1, 2] * 4 + [3]
    assert rows_mm == pytest.approx([*ROWS_MM, STRIP_MM], abs=1.0)


def test_a_box_whose_ink_is_its_neighbours_goes_back_to_its_own_row() -> None:
    """The level of aVF was measured on V6's ink: two boxes above each other would be in one row."""
    boxes = page_boxes()
    levels = levels_of(boxes.leads)
    levels[4] = ROWS_MM[2]
    boxes.leads[4, 3] += 14.0
    row_of, _ = assign_rows(
        boxes, levels, np.zeros(0), measure_row_distance(boxes.leads, levels_of(boxes.leads))
    )
    assert row_of[3:6].tolist() == [0, 1, 2]


def test_rows_of_ink_without_boxes_take_their_place_among_the_others() -> None:
    row_of, levels = add_spare_rows(np.array([0, 1]), np.array([40.0, 100.0]), np.array([70.0, 99.0]), 5.0)
    assert levels.tolist() == [40.0, 70.0, 100.0]
    assert row_of.tolist() == [0, 2]


def test_a_gap_twice_as_wide_as_usual_has_room_for_a_row() -> None:
    assert find_regular_places(np.array([20.0, 40.0, 60.0, 100.0])) == [80.0]
    assert find_regular_places(np.array([20.0, 40.0, 60.0, 80.0])) == []
    assert find_regular_places(np.array([20.0, 40.0])) == []


def test_rows_near_each_other_are_told_by_a_smaller_distance() -> None:
    near = page_boxes()
    near.leads[:, [1, 3]] *= 0.3
    assert measure_row_distance(near.leads, levels_of(near.leads)) < measure_row_distance(
        page_boxes().leads, levels_of(page_boxes().leads)
    )
