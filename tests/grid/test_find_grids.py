"""All grids of a picture in the order of their likelihood, tracked and strictly periodic ones."""

import itertools

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.comb import CombSpectrum, GridComb
from ecgpage.grid.find_grids import agrees, find_grids
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.periodic_map import lay_lattice
from ecgpage.grid.spectrum import measure_working_picture
from tests.grid.periodic import draw_periodic, draw_text

pytestmark = pytest.mark.medium  # each looks for grids in a whole picture

PITCH = (24.6, 24.6)
SHAPE = (900, 1300)


def first_of(picture: Image) -> GridMap:
    return next(find_grids(picture, 4, []))


def pitch_of(grid: GridMap) -> tuple[float, float]:
    """Median distance, px, of nodes along x and along y."""
    x, y = (float(np.median(np.linalg.norm(np.diff(grid.nodes, axis=k), axis=2))) for k in (1, 0))
    return x, y


@pytest.mark.parametrize("kind", ["lines", "5-mm lines", "dashes"])
def test_the_first_grid_has_the_true_distance_below_regular_beats(kind: str) -> None:
    grid = first_of(draw_periodic(kind, PITCH, shape=SHAPE, beats_px=5.2 * PITCH[0]))
    assert pitch_of(grid) == pytest.approx(PITCH, rel=0.002)
    assert grid.is_printed


def test_lines_of_1_mm_alone_are_counted_in_fives() -> None:
    grid = first_of(draw_periodic("1-mm lines", (30.0, 30.0), shape=SHAPE))
    assert pitch_of(grid) == pytest.approx((30.0, 30.0), rel=0.002)


@pytest.mark.parametrize(("pitch_px", "angle_deg"), [((24.6, 25.34), 0.0), (PITCH, 0.7)], ids=str)
def test_stretched_and_turned_grids_are_found(pitch_px: tuple[float, float], angle_deg: float) -> None:
    grid = first_of(draw_periodic("lines", pitch_px, angle_deg, shape=SHAPE, beats_px=128.0))
    assert pitch_of(grid) == pytest.approx(pitch_px, rel=0.002)
    step = np.median(np.diff(grid.nodes, axis=1), axis=(0, 1))
    assert np.rad2deg(np.arctan2(step[1], step[0])) == pytest.approx(angle_deg, abs=0.05)


@pytest.mark.parametrize(
    "draw", [lambda: np.full((600, 900, 3), 240, np.uint8), draw_text], ids=["blank", "text"]
)
def test_where_there_is_no_grid_the_reason_is_given(draw) -> None:  # type: ignore[no-untyped-def]
    failures: list[EcgPageError] = []
    assert list(itertools.islice(find_grids(draw(), 4, failures), 1)) == []
    assert failures


def test_a_lattice_agrees_with_its_own_comb_and_with_no_multiple_of_it() -> None:
    comb = GridComb(PITCH, 0.0, 20.0, (10.0, 10.0))
    grid = lay_lattice(np.zeros((400, 600), np.uint8), comb)
    assert agrees(grid, comb)
    for factor in ((2.0, 2.0), (0.2, 0.2), (1.0, 1.2), (1.2, 1.0)):
        assert not agrees(grid, GridComb((24.6 * factor[0], 24.6 * factor[1]), 0.0, 20.0, (10.0, 10.0)))


def test_a_grid_tells_how_much_likelier_the_picture_is_with_it() -> None:
    grid = first_of(draw_periodic("lines", PITCH, shape=SHAPE))
    spectrum = CombSpectrum.measure(measure_working_picture(draw_periodic("lines", PITCH, shape=SHAPE)))
    others = [spectrum.weigh_pitch((PITCH[0] * f, PITCH[1] * f), 0.0) for f in (0.8, 1.25, 1.5)]
    assert grid.log_odds > 10
    assert grid.log_odds > max(others) + 5
