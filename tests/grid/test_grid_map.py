"""A map between its nodes, and what is flattened through it."""

import numpy as np
import pytest

from ecgpage.grid.grid_map import GridMap, flatten


def bent(ny: int, nx: int) -> GridMap:
    x, y = np.meshgrid(40.0 * np.arange(nx), 40.0 * np.arange(ny))
    nodes = np.stack([30 + x + 9 * np.sin(y / 300) + x * x / 9e4, 20 + y + 12 * np.cos(x / 250)], axis=-1)
    return GridMap(nodes, (5.0, -10.0), np.ones((ny, nx)), 0.0, "drawn")


def test_row_bands_are_the_map_at_each_pixel() -> None:
    """Also of a lattice so wide that far nodes are left out."""
    grid = bent(9, 90)
    x_mm, y_mm = np.arange(3.0, 455.0, 0.7), np.arange(-11.0, 32.0, 0.9)
    seen = np.full((2, len(y_mm), len(x_mm)), np.nan)
    for rows, at_x, at_y in grid.map_row_bands(x_mm, y_mm):
        seen[:, rows] = at_x, at_y
    true = np.stack(grid.to_image(*np.meshgrid(x_mm, y_mm)))
    np.testing.assert_allclose(seen, true, atol=5e-3)


@pytest.mark.parametrize("quick", [False, True])
def test_a_flat_page_looks_as_its_map_says(quick: bool) -> None:
    grid = bent(8, 10)
    rows, columns = np.mgrid[:400, :500]
    image = np.asarray(np.rint(120 + 50 * np.sin(columns / 25) + 50 * np.sin(rows / 30)), np.uint8)
    x_mm, y_mm = np.arange(6.0, 48.0, 0.25), np.arange(-9.0, 24.0, 0.25)
    at_x, at_y = grid.to_image(*np.meshgrid(x_mm, y_mm))
    expected = 120 + 50 * np.sin(at_x / 25) + 50 * np.sin(at_y / 30)
    flat = flatten(image, grid, x_mm, y_mm, quick=quick)
    assert np.abs(flat - expected).max() < 2
