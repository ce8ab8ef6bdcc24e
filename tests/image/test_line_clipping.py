"""Lines end where an outline cuts them."""

import numpy as np
import pytest

from ecgpage.image.line_clipping import Outline, clip_line

BOX = Outline(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 5.0], [0.0, 5.0], [0.0, 0.0]]))
DIAMOND = Outline(np.array([[0.0, 0.0], [5.0, 5.0], [10.0, 0.0], [5.0, -5.0]]))


def test_rectangles_are_known_however_they_are_closed() -> None:
    assert BOX.is_box
    assert Outline(np.array([[0.0, 0.0], [0.0, 5.0], [10.0, 5.0], [10.0, 0.0]])).is_box
    assert not DIAMOND.is_box


def test_a_line_is_cut_at_the_edges_of_a_rectangle() -> None:
    (part,) = clip_line(np.array([[-10.0, 2.0], [20.0, 2.0]]), BOX)
    np.testing.assert_allclose(part, [[0, 2], [10, 2]])


def test_a_line_that_leaves_and_comes_back_has_two_parts() -> None:
    zigzag = np.array([[1.0, 1.0], [3.0, 9.0], [5.0, 1.0], [6.0, 1.0]])
    first, second = clip_line(zigzag, BOX)
    np.testing.assert_allclose(first, [[1, 1], [2, 5]])
    np.testing.assert_allclose(second, [[4, 5], [5, 1], [6, 1]])


@pytest.mark.parametrize("outline", [BOX, DIAMOND])
def test_what_lies_outside_is_gone(outline: Outline) -> None:
    assert clip_line(np.array([[-10.0, 20.0], [20.0, 21.0]]), outline) == []


def test_any_outline_cuts() -> None:
    (part,) = clip_line(np.array([[-3.0, 1.0], [20.0, 1.0]]), DIAMOND)
    np.testing.assert_allclose(part, [[1, 1], [9, 1]])


def test_points_within_stay_as_they_are() -> None:
    line = np.random.default_rng(2).uniform((1, 1), (9, 4), (50, 2))
    (part,) = clip_line(line, BOX)
    np.testing.assert_array_equal(part, line)
