"""Distances and directions of strictly periodic grids are measured far more exactly than the spectrum's bins."""

import itertools

import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.grid.comb import CombSpectrum
from ecgpage.grid.comb_refinement import MeasuredComb, measure_comb
from ecgpage.grid.periodic_map import map_unbent
from ecgpage.grid.spectrum import measure_working_picture
from tests.grid.periodic import draw_periodic

pytestmark = pytest.mark.medium  # each finds a comb in a whole picture

EXACT = 0.0006
"""Share by which a distance may be off."""


def measure(picture: Image) -> MeasuredComb:
    spectrum = CombSpectrum.measure(measure_working_picture(picture))
    return measure_comb(spectrum, spectrum.find_combs((0.0,))[0])


def draw_snapped(
    pitch_px: float, tops: tuple[int, ...] = (0,), shape: tuple[int, int] = (700, 1000)
) -> Image:
    """uint8 (h, w, 3) page whose 1-mm lines were moved onto whole pixels; ``tops``: of panels whose grids begin anew."""
    page = np.full((*shape, 3), 255, np.uint8)
    tops = (*tops, shape[0])
    for top, bottom in itertools.pairwise(tops):
        for axis, first, last in ((0, top, bottom), (1, 0, shape[1])):
            for k in range(int((last - first) * 5 / pitch_px)):
                at = int(np.floor(first + 0.3 + k * pitch_px / 5 + 0.5))
                line = page[at, :] if axis == 0 else page[top:bottom, at]
                line[:] = np.minimum(line, (235, 120, 120) if k % 5 == 0 else (250, 205, 205))
    return page


@pytest.mark.parametrize("pitch_px", [(24.6, 24.6), (24.6, 24.9)], ids=str)
@pytest.mark.parametrize("angle_deg", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["lines", "1-mm lines"])
def test_distance_and_direction_are_exact(kind: str, angle_deg: float, pitch_px: tuple[float, float]) -> None:
    measured = measure(draw_periodic(kind, pitch_px, angle_deg))
    assert measured.comb.pitch_px == pytest.approx(pitch_px, rel=EXACT)
    assert np.rad2deg(measured.slant_rad) == pytest.approx(angle_deg, abs=0.02)
    assert max(measured.error) < EXACT


@pytest.mark.parametrize("pitch_px", [15.15, 18.9, 26.3])
def test_lines_on_whole_pixels_have_their_mean_distance(pitch_px: float) -> None:
    measured = measure(draw_snapped(pitch_px))
    assert measured.comb.pitch_px == pytest.approx((pitch_px, pitch_px), rel=EXACT)
    grid = map_unbent(255 - draw_snapped(pitch_px).min(axis=2), measured)
    assert grid is not None
    steps = np.diff(grid.nodes, axis=1)[..., 0]
    assert steps.mean(axis=1) == pytest.approx(np.full(len(steps), pitch_px), rel=EXACT)
    assert np.abs(steps - pitch_px).max() < 0.02  # 18.9 px are nearly five millimetres of 96 dpi


@pytest.mark.parametrize("pitch_px", [15.15, 18.9, 26.3])
def test_panels_that_begin_anew_do_not_change_the_distance(pitch_px: float) -> None:
    measured = measure(draw_snapped(pitch_px, (0, 217, 433)))
    assert measured.comb.pitch_px[0] == pytest.approx(
        pitch_px, rel=EXACT
    )  # the lines go on through all panels
    assert measured.comb.pitch_px[1] == pytest.approx(pitch_px, rel=0.005)


@pytest.mark.parametrize("dpi", [100, 150])
def test_lines_moved_onto_the_pixels_of_a_plot_stand_where_they_were_meant(dpi: int) -> None:
    pitch_px = dpi / 25.4 * 5
    picture = draw_snapped(pitch_px)
    grid = map_unbent(255 - picture.min(axis=2), measure(picture))
    assert grid is not None
    x = grid.nodes[..., 0]
    assert np.ptp(x - pitch_px * np.arange(x.shape[1])) < 0.1


def test_a_turned_page_is_none_that_a_program_drew() -> None:
    picture = draw_periodic("lines", (24.6, 24.6), 0.3)
    assert map_unbent(255 - picture.min(axis=2), measure(picture)) is None
