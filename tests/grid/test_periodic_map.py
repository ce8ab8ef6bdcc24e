"""Maps of strictly periodic grids: distance, direction and place of the lines over the whole picture."""

import cv2
import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.comb import GridComb
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.periodic_map import SOURCE, find_pattern_offsets, lay_lattice, map_comb
from ecgpage.image.decode import darkest_channel
from tests.grid.periodic import KINDS, draw_periodic

PITCH = (24.6, 24.6)
ORIGIN = np.array([7.3, 4.6])
"""Place, px, of one crossing of 5-mm lines in the pictures."""


def comb(pitch_px: tuple[float, float] = PITCH, angle_deg: float = 0.0) -> GridComb:
    """A comb as the spectrum gives it: off by a third of a percent, and by a tenth of a degree."""
    x, y = pitch_px
    return GridComb((x * 1.003, y * 0.997), float(np.deg2rad(angle_deg + 0.1)), 20.0, (10.0, 10.0))


def map_picture(picture: Image, found: GridComb) -> GridMap:
    return map_comb(255 - darkest_channel(picture), found)


def pitch_of(grid: GridMap) -> tuple[float, float]:
    """Median distance, px, of nodes along x and along y."""
    x, y = (float(np.median(np.linalg.norm(np.diff(grid.nodes, axis=k), axis=2))) for k in (1, 0))
    return x, y


def off_px(grid: GridMap, pitch_px: tuple[float, float], angle_deg: float) -> np.ndarray:
    """(n, 2) distance, px, of the map's trusted nodes from the nearest crossings of 5-mm lines, along both directions."""
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    squares = (grid.nodes[grid.quality > 0] - ORIGIN) @ turn.T / pitch_px
    return (squares - np.rint(squares)) * pitch_px


@pytest.mark.parametrize("beats_px", [None, 101.0], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_lie_on_the_lines_of_every_kind(kind: str, beats_px: float | None) -> None:
    """On crossings of 5-mm lines, or on a crossing of 1-mm ones where no others are drawn."""
    grid = map_picture(draw_periodic(kind, PITCH, beats_px=beats_px), comb())
    assert pitch_of(grid) == pytest.approx(PITCH, rel=0.002)
    fine = 5 if kind == "dots" else 1
    off = off_px(grid, (PITCH[0] / fine, PITCH[1] / fine), 0.0)
    assert np.abs(off.mean(axis=0)).max() < 0.06 * 24.6 / 5  # where on a line its nodes lie tells nothing
    assert off.std(axis=0).max() < 0.1
    assert (grid.source, grid.is_printed) == (SOURCE, True)


@pytest.mark.parametrize(
    ("pitch_px", "angle_deg"), [((24.6, 24.6 * 1.03), 0.0), (PITCH, 0.7), ((24.6, 23.9), -1.1)], ids=str
)
def test_stretched_and_turned_grids_are_followed(pitch_px: tuple[float, float], angle_deg: float) -> None:
    grid = map_picture(draw_periodic("dashes", pitch_px, angle_deg), comb(pitch_px, angle_deg))
    assert pitch_of(grid) == pytest.approx(pitch_px, rel=0.002)
    step = np.median(np.diff(grid.nodes, axis=1), axis=(0, 1))
    assert np.rad2deg(np.arctan2(step[1], step[0])) == pytest.approx(angle_deg, abs=0.03)
    assert np.sqrt((off_px(grid, pitch_px, angle_deg) ** 2).mean()) < 0.15


def test_an_upscaled_picture_has_the_upscaled_distance() -> None:
    small = draw_periodic("lines", PITCH)
    picture = cv2.resize(small, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)
    grid = map_picture(np.asarray(picture, np.uint8), comb((24.6 * 1.7, 24.6 * 1.7)))
    assert pitch_of(grid) == pytest.approx((24.6 * 1.7, 24.6 * 1.7), rel=0.002)


def test_the_map_reaches_over_the_whole_picture() -> None:
    picture = draw_periodic("lines", PITCH)
    nodes = map_picture(picture, comb()).nodes
    height, width = picture.shape[:2]
    assert nodes.min(axis=(0, 1)) == pytest.approx((0, 0), abs=1.5 * PITCH[0])
    assert nodes.max(axis=(0, 1)) == pytest.approx((width, height), abs=1.5 * PITCH[0])


def test_a_map_ends_a_few_squares_beyond_where_its_grid_ends() -> None:
    picture = draw_periodic("lines", PITCH)
    picture[:, 620:] = 240
    grid = map_picture(picture, comb())
    end = grid.nodes[grid.quality > 0][:, 0].max()
    assert 620 - PITCH[0] < end < 620 + 5 * PITCH[0]


@pytest.mark.parametrize("part", [0.0, 0.07])
def test_too_little_of_a_grid_is_refused(part: float) -> None:
    picture = draw_periodic("lines", PITCH)
    bare = draw_periodic("none")
    width = round(part * picture.shape[1])
    bare[:, :width] = picture[:, :width]
    with pytest.raises(EcgPageError, match="too small a part"):
        map_picture(bare, comb())


# its parts


def test_a_lattice_covers_the_picture_with_the_comb_s_steps() -> None:
    found = comb((30.0, 27.0), 5.0)
    grid = lay_lattice(np.zeros((300, 400), np.uint8), found)
    assert pitch_of(grid) == pytest.approx(found.pitch_px)
    assert np.isnan(grid.residual_px)
    inside = grid.nodes[grid.quality > 0]
    assert (inside >= -0.5).all()
    assert (inside < (400, 300)).all()
    assert len(inside) == pytest.approx(300 * 400 / (found.pitch_px[0] * found.pitch_px[1]), rel=0.15)


@pytest.mark.parametrize("offset_mm", [-0.31, 0.0, 0.043, 0.36])
@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_of_a_pattern_are_found_between_samples(offset_mm: float, axis: int) -> None:
    at_mm = (np.arange(40) + 0.5) / 8 - 2.5
    usual = np.exp(-0.5 * (at_mm / 0.3) ** 2) + 0.4 * np.exp(-0.5 * ((at_mm - 1.5) / 0.2) ** 2)
    moved = np.exp(-0.5 * ((at_mm - offset_mm) / 0.3) ** 2)
    moved += 0.4 * np.exp(-0.5 * ((at_mm - offset_mm - 1.5) / 0.2) ** 2)
    profiles = np.tile(moved, (9, 11, 1)).astype(np.float32)
    offset, weight = find_pattern_offsets(profiles, usual, axis=axis)
    np.testing.assert_allclose(offset, offset_mm, atol=0.01)
    np.testing.assert_allclose(weight, 1.0)


def test_squares_that_look_otherwise_count_for_nothing() -> None:
    at_mm = (np.arange(40) + 0.5) / 8 - 2.5
    usual = np.exp(-0.5 * (at_mm / 0.3) ** 2)
    noise = np.random.default_rng(0).normal(0, 1, (15, 15, 40)).astype(np.float32)
    _, weight = find_pattern_offsets(noise, usual, axis=0)
    assert weight.mean() < 0.2
