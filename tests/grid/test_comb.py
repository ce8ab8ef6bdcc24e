"""Strictly periodic grids of lines, dashes or dots are found at their own distance and direction, and nowhere else."""

import itertools

import cv2
import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.grid.comb import GridComb, find_combs, weigh_surprises
from ecgpage.grid.options import GridOptions
from tests.grid.periodic import KINDS, draw_periodic, draw_text

SURE = GridOptions().min_comb
"""Score from which a comb stands above tracked grids."""
STEP = 0.005
"""Share of a distance that a spectrum's bins resolve."""

TURN_DEG = 0.25
"""Degrees that they resolve at the lower harmonics."""


def find_likeliest(picture: Image) -> GridComb:
    return find_combs(picture)[0]


@pytest.mark.parametrize("beats_px", [None, 101.0, 123.0], ids=str)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dots"])
def test_every_kind_of_grid_is_found_at_its_distance(kind: str, beats_px: float | None) -> None:
    """Whether beats stand at a regular distance, even one of five squares, or none are drawn."""
    comb = find_likeliest(draw_periodic(kind, (24.6, 24.6), beats_px=beats_px))
    assert comb.pitch_px == pytest.approx((24.6, 24.6), rel=STEP)
    assert np.rad2deg(comb.angle_rad) == pytest.approx(0.0, abs=TURN_DEG)
    assert comb.score > SURE


@pytest.mark.parametrize("depth", [6.0, 15.0])
def test_a_pale_grid_is_found(depth: float) -> None:
    comb = find_likeliest(draw_periodic("lines", (24.6, 24.6), depth=depth))
    assert comb.pitch_px == pytest.approx((24.6, 24.6), rel=STEP)
    assert comb.score > SURE


def test_below_dark_traces_a_pale_grid_is_still_the_likeliest() -> None:
    """If not surely: traces raise the contrast that its lines are measured in."""
    comb = find_likeliest(draw_periodic("lines", (24.6, 24.6), depth=20.0, beats_px=101.0))
    assert comb.pitch_px == pytest.approx((24.6, 24.6), rel=STEP)


@pytest.mark.parametrize("stretch", [0.97, 1.03])
def test_a_grid_may_be_stretched_along_one_direction(stretch: float) -> None:
    comb = find_likeliest(draw_periodic("lines", (24.6, 24.6 * stretch)))
    assert comb.pitch_px == pytest.approx((24.6, 24.6 * stretch), rel=STEP)


@pytest.mark.parametrize("angle_deg", [0.7, -1.2])
def test_a_turned_grid_is_found_with_its_direction(angle_deg: float) -> None:
    comb = find_likeliest(draw_periodic("lines", (24.6, 24.6), angle_deg))
    assert np.rad2deg(comb.angle_rad) == pytest.approx(angle_deg, abs=TURN_DEG)
    assert comb.pitch_px == pytest.approx((24.6, 24.6), rel=STEP)


def test_a_direction_beyond_the_turns_is_looked_for_where_it_is_given() -> None:
    picture = draw_periodic("lines", (24.6, 24.6), 9.3)
    assert max((c.score for c in find_combs(picture)), default=0.0) < SURE
    comb = find_combs(picture, [0.0, float(np.deg2rad(9.0))])[0]
    assert np.rad2deg(comb.angle_rad) == pytest.approx(9.3, abs=TURN_DEG)
    assert comb.pitch_px == pytest.approx((24.6, 24.6), rel=STEP)


@pytest.mark.parametrize("factor", [0.8, 1.7, 2.6])
def test_resized_pictures_have_the_resized_distance(factor: float) -> None:
    """Also beyond the side to which pictures are reduced."""
    picture = draw_periodic("lines", (24.6, 24.6))
    resized = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    comb = find_likeliest(np.asarray(resized, np.uint8))
    assert comb.pitch_px == pytest.approx((24.6 * factor, 24.6 * factor), rel=STEP)


def test_every_further_comb_has_another_distance_and_is_less_likely() -> None:
    found = find_combs(draw_periodic("5-mm lines", (24.6, 24.6)), limit=3)
    assert len(found) > 1
    assert all(a.score >= b.score > 0 for a, b in itertools.pairwise(found))
    assert all(abs(np.log(c.pitch_px[0] / found[0].pitch_px[0])) > 0.05 for c in found[1:])
    assert len(find_combs(draw_periodic("5-mm lines", (24.6, 24.6)), limit=1)) == 1


def draw_noise() -> Image:
    return np.random.default_rng(0).integers(0, 256, (700, 1000, 3)).astype(np.uint8)


def draw_blank() -> Image:
    return np.full((700, 1000, 3), 240, np.uint8)


def draw_traces_only() -> Image:
    return draw_periodic("none", beats_px=101.0)


def draw_stripes() -> Image:
    """Ruled paper: lines in one direction only."""
    picture = draw_blank()
    picture[::25] = 120
    return picture


@pytest.mark.parametrize("draw", [draw_noise, draw_blank, draw_text, draw_traces_only, draw_stripes])
def test_what_has_no_grid_gets_none_that_is_sure(draw) -> None:  # type: ignore[no-untyped-def]
    assert max((comb.score for comb in find_combs(draw())), default=0.0) < SURE


# surprises


def test_what_stands_out_speaks_for_a_grid_and_what_does_not_against_it() -> None:
    surprise = np.linspace(0, 12, 200)
    odds = weigh_surprises(surprise, GridOptions().comb_power)
    assert odds[10] < -0.5
    assert odds[-1] > 2.0
    assert odds.min() >= -1.2
    assert odds.max() <= 3.0


def test_by_chance_harmonics_speak_against_a_grid() -> None:
    """The mean log likelihood ratio of what follows the law without a grid is negative."""
    chance = np.random.default_rng(0).exponential(1.0, (20000, 3)).max(axis=1)
    assert weigh_surprises(chance, GridOptions().comb_power).mean() < -0.1
