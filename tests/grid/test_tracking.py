"""Tracked phases count the lines of a grid, over perspective and over gaps."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import GridFrequency
from ecgpage.grid.tracking import Tile, Tracker, count_across
from tests.grid.lattices import PX_PER_MM, Warp, draw_lattice, flat, tilted

SHAPE = (800, 1200)


def frequency_at(x: float, y: float, angle_rad: float = 0.0) -> GridFrequency:
    """The frequency of the 5-mm lines, as a spectrum gives it, with one seed."""
    return GridFrequency(1.02 * SQUARE_MM * PX_PER_MM, angle_rad, 2.0, np.array([[x, y]]))


def measure_miscounts(tiles: list[Tile], warp: Warp) -> np.ndarray:
    """(n, 2) lines that the tiles' phases are off, but for the whole number from which they count."""
    x, y = (np.array([getattr(tile, name) for tile in tiles]) for name in "xy")
    true = np.stack(warp(x, y), axis=1) / SQUARE_MM
    off = np.array([tile.phase for tile in tiles]) - true
    return off - np.rint(np.median(off, axis=0))


@pytest.mark.parametrize(("warp", "angle_rad"), [(flat, 0.0), (tilted, 0.07)], ids=["flat", "tilted"])
def test_phases_count_the_lines_all_over_the_picture(warp: Warp, angle_rad: float) -> None:
    tracker = Tracker(draw_lattice(SHAPE, warp), frequency_at(610.0, 390.0, angle_rad))
    tiles = tracker.grow([])
    assert len(tiles) > 0.85 * tracker.n_tiles
    assert np.abs(measure_miscounts(tiles, warp)).max() < 0.05


def test_gradients_are_those_of_the_lines() -> None:
    tiles = Tracker(draw_lattice(SHAPE, flat), frequency_at(610.0, 390.0)).grow([])
    lines_per_px = 1 / (SQUARE_MM * PX_PER_MM)
    inner = [t for t in tiles if 100 < t.x < SHAPE[1] - 100 and 100 < t.y < SHAPE[0] - 100]
    for tile in inner:
        np.testing.assert_allclose(tile.gradient, lines_per_px * np.eye(2), atol=0.02 * lines_per_px)


@pytest.mark.parametrize("bridges", [False, True])
def test_lines_behind_a_blank_band_are_counted_only_when_gaps_are_bridged(bridges: bool) -> None:
    light = draw_lattice(SHAPE, flat)
    light[:, 560:630] = 235
    options = GridOptions(bridge_gaps=bridges, max_folds=0)
    tiles = Tracker(light, frequency_at(300.0, 390.0), options=options).grow([])
    assert (max(tile.x for tile in tiles) > 1000) == bridges
    assert np.abs(measure_miscounts(tiles, flat)).max() < 0.1


def fold(turn: float, stretch: float) -> Warp:
    """A sheet folded from above to below: behind the fold its lines run and lie apart otherwise."""

    def warp(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        behind = np.maximum(x - 600.0, 0.0)
        page_x, page_y = flat(x + (stretch - 1) * behind, y + turn * behind)
        return page_x, page_y

    return warp


@pytest.mark.parametrize(("turn", "stretch"), [(0.3, 1.1), (-0.25, 1.3), (0.2, 0.8)])
@pytest.mark.parametrize("crease_px", [0, 8])
def test_lines_behind_a_fold_are_counted_on(turn: float, stretch: float, crease_px: int) -> None:
    warp = fold(turn, stretch)
    light = draw_lattice(SHAPE, warp)
    light[:, 600 - crease_px : 600 + crease_px] = 150
    light[:, 600:] = light[:, 600:] // 2
    frequency = frequency_at(300.0, 390.0)
    tiles = Tracker(light, frequency).grow([])
    assert sum(tile.x > 700 for tile in tiles) > 0.2 * len(tiles)
    assert np.abs(measure_miscounts(tiles, warp)).max() < 0.2
    before = Tracker(light, frequency, options=GridOptions(max_folds=0)).grow([])
    assert not any(tile.x > 700 for tile in before)


def test_parts_that_no_whole_number_of_lines_brings_together_are_not_joined() -> None:
    tiles = Tracker(draw_lattice(SHAPE, flat), frequency_at(610.0, 390.0)).grow([])
    left, right = ([t for t in tiles if low < t.x < high] for low, high in ((0, 560), (640, 1200)))
    reach = 200.0
    for lines in ((0.0, 0.0), (3.0, -7.0)):
        moved = [replace(t, phase=t.phase - np.array(lines)) for t in right]
        np.testing.assert_array_equal(count_across(left, moved, reach), lines)
    moved = [replace(t, phase=t.phase - np.array([0.5, 2.0])) for t in right]
    assert count_across(left, moved, reach) is None
    assert count_across(left, right, 10.0) is None
    assert count_across(left, [], reach) is None


def test_nothing_is_tracked_where_there_are_no_lines() -> None:
    noise = np.random.default_rng(0).integers(200, 255, SHAPE).astype(np.uint8)
    assert Tracker(noise, frequency_at(610.0, 390.0)).grow([]) == []


def test_lines_that_are_known_are_not_tracked_again() -> None:
    light, frequency = draw_lattice(SHAPE, flat), frequency_at(610.0, 390.0)
    known = Tracker(light, frequency).grow([])
    assert Tracker(light, frequency).grow(known) == []
