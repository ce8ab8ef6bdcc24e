"""Likelihood of what repeats in a picture with a grid: seen as it lies, or on the page that its map flattens."""

from typing import Final

import cv2
import numpy as np
import pytest

from ecgpage.core.types import Array, Image
from ecgpage.grid.comb import CombSpectrum, GridComb
from ecgpage.grid.find_grids import _list_grids, agrees
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.likelihood import is_bent, weigh_grid, weigh_in_picture
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import find_frequencies, measure_working_picture
from ecgpage.image.decode import darkest_channel
from tests.grid.periodic import draw_periodic

pytestmark = pytest.mark.medium  # whole pictures are drawn and transformed

PITCH_PX: Final = 40.0
SHAPE: Final = (1000, 1400)
PLANE: Final = np.array([[0.85, -0.12, 150.0], [0.1, 0.75, 60.0], [0.00025, -0.0001, 1.0]])
"""Sheet px -> picture px of a sheet that is seen from aside."""
OPTIONS: Final = GridOptions()


def see(points: Array) -> Array:
    """(..., 2) places of the sheet in its picture."""
    at = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ PLANE.T
    return np.asarray(at[..., :2] / at[..., 2:])


def draw_from_aside(around: Image) -> Image:
    """Picture of the sheet on what is ``around`` it."""
    sheet = draw_periodic("lines", (PITCH_PX, PITCH_PX), shape=SHAPE, origin_px=(0.0, 0.0))
    size = SHAPE[::-1]
    inside = cv2.warpPerspective(np.full(SHAPE, 255, np.uint8), PLANE, size) > 127
    return np.where(inside[..., None], cv2.warpPerspective(sheet, PLANE, size), around).astype(np.uint8)


def lattice(step: float) -> Array:
    """(ny, nx, 2) crossings of lines of the sheet, ``step`` squares apart."""
    x, y = np.meshgrid(np.arange(1, 33, step), np.arange(1, 23, step))
    return np.stack([x, y], axis=-1) * PITCH_PX


def map_of(nodes: Array) -> GridMap:
    return GridMap(nodes, (0.0, 0.0), np.ones(nodes.shape[:2]), 0.0, "5 mm lines")


def weigh(picture: Image, grid: GridMap) -> float:
    spectrum = CombSpectrum.measure(measure_working_picture(picture))
    return weigh_grid(darkest_channel(picture), grid, spectrum, OPTIONS)


def test_a_grid_seen_from_aside_shows_on_the_page_that_its_map_flattens_and_odd_distances_do_not() -> None:
    picture = draw_from_aside(np.full((*SHAPE, 3), 60, np.uint8))
    grid = map_of(see(lattice(1.0)))
    assert is_bent(grid)
    as_it_lies = weigh_in_picture(grid, CombSpectrum.measure(measure_working_picture(picture)), OPTIONS)
    true = weigh(picture, grid)
    assert true > as_it_lies + 8.0
    for step in (0.73, 1.37):
        assert weigh(picture, map_of(see(lattice(step)))) < true - 8.0


def test_an_even_grid_is_weighed_as_it_lies() -> None:
    picture = draw_periodic("lines", (PITCH_PX, PITCH_PX), shape=SHAPE, origin_px=(0.0, 0.0))
    grid = map_of(lattice(1.0))
    assert not is_bent(grid)
    as_it_lies = weigh_in_picture(grid, CombSpectrum.measure(measure_working_picture(picture)), OPTIONS)
    assert weigh(picture, grid) == as_it_lies > 8.0


def list_beside(by_chance: GridComb) -> list[GridMap]:
    """Grids of the sheet seen from aside in whose spectrum another one shows."""
    picture = draw_from_aside(np.full((*SHAPE, 3), 60, np.uint8))
    seen = measure_working_picture(picture)
    spectrum, light = CombSpectrum.measure(seen), darkest_channel(picture)
    return list(_list_grids(picture, light, spectrum, find_frequencies(seen), [by_chance], 4, [], OPTIONS))


def test_a_sheet_seen_from_aside_comes_before_what_repeats_by_chance() -> None:
    first, *others = list_beside(GridComb((70.0, 70.0), 0.0, 7.0, (3.5, 3.5)))
    middle = np.array([700.0, 500.0])
    place = np.linalg.norm(first.nodes - see(middle), axis=-1)[:-1, :-1]
    row, column = np.unravel_index(place.argmin(), place.shape)
    step = np.linalg.norm(first.nodes[row, column + 1] - first.nodes[row, column])
    assert step == pytest.approx(
        np.linalg.norm(see(middle + np.array([PITCH_PX, 0.0])) - see(middle)), rel=0.05
    )
    assert others


def test_a_grid_whose_lines_show_far_clearer_stays_before_a_bent_one() -> None:
    clear = GridComb((70.0, 70.0), 0.0, 60.0, (30.0, 30.0))
    assert agrees(list_beside(clear)[0], clear)
