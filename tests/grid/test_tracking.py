"""The map between its nodes, and the surfaces that are fitted to lines."""

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.grid_map import GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.grid.smoothing import _build_bending, fit_surface
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.synth.page.rasterize import draw_page
from tests.drawn import clean_page, record


def bent(ny: int, nx: int) -> GridMap:
    x, y = np.meshgrid(40.0 * np.arange(nx), 40.0 * np.arange(ny))
    nodes = np.stack([30 + x + 9 * np.sin(y / 300) + x * x / 9e4, 20 + y + 12 * np.cos(x / 250)], axis=-1)
    return GridMap(nodes, (5.0, -10.0), np.ones((ny, nx)), 0.0, "drawn")


def test_strips_are_the_map_at_each_pixel() -> None:
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


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (9, 9)])
def test_fits_solve_the_penalised_system(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    values, weights = rng.normal(size=shape), rng.uniform(0.1, 1, size=shape)
    surface, _ = fit_surface(values, weights, 2.0, rounds=1)

    def loss(tried: np.ndarray) -> float:
        twist = np.diff(np.diff(tried, axis=0), axis=1)
        bending = sum((np.diff(tried, 2, axis=axis) ** 2).sum() for axis in (0, 1)) + 2 * (twist**2).sum()
        return float((weights * (values - tried) ** 2).sum() + 2.0 * bending)

    others = [loss(surface + change) for change in 1e-3 * rng.normal(size=(50, *shape))]
    assert loss(surface) < min(others)


def test_bending_of_a_plane_is_nothing() -> None:
    bands = _build_bending((6, 8))
    n = bands.shape[1]
    matrix = np.zeros((n, n))
    for k, band in enumerate(bands):
        matrix += np.diag(band[: n - k], -k) + (np.diag(band[: n - k], k) if k else 0)
    plane = (2.0 * np.arange(6) + 3.0 * np.arange(8)[:, None]).ravel()
    np.testing.assert_allclose(matrix @ plane, 0, atol=1e-9)
    assert np.abs(matrix @ plane**2).max() > 1


def test_a_map_that_two_halves_of_its_lines_do_not_share_is_refused() -> None:
    image = draw_page(clean_page().truth.page, record(), 120.0)
    frequencies = find_grid_frequencies(image)
    found = lock_grid(image, frequencies)
    assert found.residual_px < 0.1 * found.px_per_mm
    strict = GridOptions(max_error_mm=0.1 * found.residual_px / found.px_per_mm)
    with pytest.raises(EcgPageError, match="too faint"):
        lock_grid(image, frequencies, options=strict)


def heavy_lined(pitch_px: int, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) paper with lines ``pitch_px`` apart, every fifth of them heavy."""
    dark = np.zeros(shape, np.float32)
    for axis, side in enumerate(shape):
        for k, at in enumerate(range(pitch_px // 2, side, pitch_px)):
            line = [slice(None), slice(None)]
            line[axis] = slice(at, at + 2)
            dark[tuple(line)] = np.maximum(dark[tuple(line)], 150 if k % 5 == 0 else 60)
    noise = np.random.default_rng(1).normal(0, 3, shape)
    grey = np.clip(245 - dark + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("pitch_px", "shape", "box_px"), [(24, (1000, 1400), 24), (7, (900, 1200), 35)], ids=["5 mm", "1 mm"]
)
def test_heavy_lines_count_five_finer_ones_as_millimetres_only_where_a_page_fits(
    pitch_px: int, shape: tuple[int, int], box_px: int
) -> None:
    """1400 px of lines 24 px apart are 290 mm of boxes, no 58 mm of millimetres."""
    image = heavy_lined(pitch_px, shape)
    grid = lock_grid(image, find_grid_frequencies(image))
    assert grid.px_per_mm * 5 == pytest.approx(box_px, rel=0.01)
