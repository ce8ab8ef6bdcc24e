"""Tracked lines are told to be 1 or 5 mm apart by what stands out of them and between them."""

import numpy as np
import pytest

from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spacing import find_spacing
from ecgpage.grid.spectrum import find_grid_frequencies
from tests.grid.lattices import PX_PER_MM, draw_lattice, flat, map_lattice


def test_of_lines_of_which_each_fifth_stands_out_the_fifths_are_kept() -> None:
    """150 x 100 mm of 1-mm lines; the lattice that was tracked takes them for 5 mm apart."""
    dark = 255 - draw_lattice((520, 780), flat, step_mm=1.0, heavy_every=5)
    kept, half_widths_mm = find_spacing(dark, map_lattice(np.arange(150), np.arange(100), step_mm=1.0))
    assert kept.source == "1 mm lines"
    np.testing.assert_allclose(kept.nodes[0, 0], (13.0, 8.5))
    assert kept.px_per_mm == pytest.approx(PX_PER_MM)
    assert max(half_widths_mm) < 0.5  # the next line is 1 mm away


def test_lines_with_finer_ones_between_them_are_5_mm_apart() -> None:
    dark = 255 - draw_lattice((520, 780), flat, step_mm=1.0, heavy_every=5)
    lines = map_lattice(np.arange(30), np.arange(20))
    kept, _ = find_spacing(dark, lines)
    assert kept is lines


def test_lines_are_5_mm_apart_where_nothing_stands_out_of_few() -> None:
    dark = 255 - draw_lattice((520, 780), flat)
    lines = map_lattice(np.arange(30), np.arange(20))
    assert find_spacing(dark, lines)[0] is lines


def test_of_lines_tracked_at_half_their_period_each_second_one_is_none() -> None:
    dark = 255 - draw_lattice((1100, 2000), flat)
    tracked = map_lattice(np.arange(1, 79), np.arange(1, 43), step_mm=2.5)
    kept, _ = find_spacing(dark, tracked)
    assert kept.source == "5 mm lines"
    np.testing.assert_allclose(kept.nodes[0, 0], (13.0 + 25.0, 8.5 + 25.0))
    assert kept.px_per_mm == pytest.approx(PX_PER_MM)


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


@pytest.mark.medium
@pytest.mark.parametrize(
    ("pitch_px", "shape", "square_px"), [(24, (1000, 1400), 24), (7, (900, 1200), 35)], ids=["5 mm", "1 mm"]
)
def test_heavy_lines_count_five_finer_ones_as_millimetres_only_where_a_page_fits(
    pitch_px: int, shape: tuple[int, int], square_px: int
) -> None:
    """1400 px of lines 24 px apart are 290 mm of squares, not 58 mm of millimetres."""
    image = heavy_lined(pitch_px, shape)
    grid = lock_grid(image, find_grid_frequencies(image))
    assert grid.px_per_mm * 5 == pytest.approx(square_px, rel=0.01)


def test_how_large_a_picture_has_to_be_is_an_option() -> None:
    image = heavy_lined(24, (1000, 1400))
    grid = lock_grid(image, find_grid_frequencies(image), options=GridOptions(min_picture_mm=40.0))
    assert grid.px_per_mm * 5 == pytest.approx(5 * 24, rel=0.01)
