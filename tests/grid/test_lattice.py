"""The lattice through tiles lies on the lines that their phases count."""

import numpy as np

from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.grid.lattice import fit_lattice
from ecgpage.grid.tracking import Tile
from tests.grid.lattices import PX_PER_MM, tilted


def make_tiles(odd: int | None = None) -> list[Tile]:
    """Tiles of the tilted page; number ``odd`` is wrong by two lines."""
    tiles = []
    for k, (x, y) in enumerate((x, y) for y in np.arange(30.0, 780, 40) for x in np.arange(30.0, 1180, 40)):
        phase = np.stack(tilted(np.array(x), np.array(y))) / SQUARE_MM
        gradient = np.eye(2) / (SQUARE_MM * PX_PER_MM)
        tiles.append(Tile(x, y, phase + 2.0 * (k == odd), gradient, 3.0))
    return tiles


def measure_error_mm(tiles: list[Tile]) -> float:
    """Largest distance, mm, of seen nodes from whole lines."""
    grid = fit_lattice(tiles)
    x, y = np.moveaxis(grid.nodes, -1, 0)
    inside = (x > 30) & (x < 1150) & (y > 30) & (y < 750)
    places = np.stack(tilted(x, y), axis=-1)[inside]
    return float(np.abs(places - SQUARE_MM * np.rint(places / SQUARE_MM)).max())


def test_nodes_lie_where_whole_lines_cross() -> None:
    assert measure_error_mm(make_tiles()) < 0.1


def test_a_tile_that_is_wrong_by_two_lines_does_not_matter() -> None:
    assert measure_error_mm(make_tiles(odd=300)) < 0.1
