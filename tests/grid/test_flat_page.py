"""The flat page keeps the ink and loses the grid."""

import cv2
import numpy as np
import pytest

from ecgpage.grid.flat_page import AROUND_PX_PER_MM, FlatPage, flatten_page
from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.grid.options import GridOptions
from tests.grid.lattices import PX_PER_MM, draw_lattice, flat, map_lattice

SHAPE = (500, 700)
LEVEL_PX, UPRIGHT_PX = 8.5 + 7.4 * SQUARE_MM * PX_PER_MM, 13.0 + 12.4 * SQUARE_MM * PX_PER_MM
"""Places of a horizontal and a vertical stroke, between lines."""


def flatten_strokes(options: GridOptions) -> FlatPage:
    """A grid of dark grey lines with two black strokes."""
    light = draw_lattice(SHAPE, flat, noise=2.0)
    for start, end in (((0, LEVEL_PX), (700, LEVEL_PX)), ((UPRIGHT_PX, 0), (UPRIGHT_PX, 500))):
        cv2.line(light, *(tuple(int(v) for v in np.rint(p)) for p in (start, end)), 10, 2, cv2.LINE_AA)
    grid = map_lattice(np.arange(27), np.arange(19))
    return flatten_page(np.repeat(light[..., None], 3, axis=2), grid, options=options)


def measure_along_stroke(page: FlatPage) -> np.ndarray:
    """Darkest ink within half a millimetre of the horizontal stroke, column by column."""
    row = int(page.row((LEVEL_PX - 8.5) / PX_PER_MM))
    return np.asarray(page.ink[row - 4 : row + 5, 30:-30].max(axis=0))


def test_strokes_stay_and_lines_go() -> None:
    page = flatten_strokes(GridOptions())
    assert np.median(measure_along_stroke(page)) == pytest.approx(1.0, abs=0.2)
    row = int(page.row(4 * SQUARE_MM))  # a line of the grid
    assert np.abs(np.median(page.ink[row, :])) < 0.05


def test_strokes_are_closed_where_they_cross_dark_lines() -> None:
    open_strokes = measure_along_stroke(flatten_strokes(GridOptions(close_strokes=False)))
    closed = measure_along_stroke(flatten_strokes(GridOptions()))
    assert open_strokes.min() < 0.75
    assert closed.min() > open_strokes.min() + 0.1


def test_columns_and_rows_are_millimetres_of_the_page() -> None:
    page = flatten_strokes(GridOptions())
    assert page.x_mm(page.column(31.0)) == pytest.approx(31.0)
    assert page.y_mm(page.row(31.0)) == pytest.approx(31.0)
    assert page.ink.shape[1] == page.column(page.x0_mm + SQUARE_MM * 27)


def test_the_overview_says_where_it_lies() -> None:
    page = flatten_strokes(GridOptions())
    view, (edge_mm, mm_per_px) = page.overview(200)
    assert max(view.shape) == 200
    stroke_mm = (LEVEL_PX - 8.5) / PX_PER_MM
    row = int((stroke_mm - edge_mm[1]) / mm_per_px[1])
    assert np.abs(view.min(axis=1).astype(int)).min() < 200
    assert abs(int(np.median(view, axis=1).argmin()) - row) <= 1
    assert page.around.size_mm[0] * AROUND_PX_PER_MM == page.around.light.shape[1]
