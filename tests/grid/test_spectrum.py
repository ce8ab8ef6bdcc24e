"""The grid is found by its period; the lines of ECG paper come in fives."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.synth.page.model import Grid
from ecgpage.synth.page.rasterize import draw_page
from tests.drawn import clean_page, record

DPI = 150.0
PX_PER_MM = DPI / 25.4


def picture(grid: Grid) -> np.ndarray:
    return draw_page(replace(clean_page().truth.page, grid=grid), record(), DPI)


def test_the_strong_lines_are_found_first() -> None:
    assert find_grid_frequencies(picture(Grid()))[0].period_px == pytest.approx(5 * PX_PER_MM, rel=0.035)


@pytest.mark.parametrize("minor", [(220.0, 75.0, 90.0), (220.0, 110.0, 110.0)])
def test_fine_lines_nearly_as_dark_as_the_strong_ones_are_among_the_first(minor: tuple[float, ...]) -> None:
    """Halves and thirds of the box score better than lines that are there."""
    red, green, blue = minor
    alike = Grid(major=(150.0, 60.0, 150.0), minor=(red, green, blue))
    first, second = (
        frequency.period_px / PX_PER_MM for frequency in find_grid_frequencies(picture(alike))[:2]
    )
    assert sorted((first, second)) == pytest.approx([1.0, 5.0], rel=0.035)


def test_a_blank_sheet_has_no_grid() -> None:
    assert find_grid_frequencies(np.full((600, 800, 3), 240, np.uint8)) == []


def test_a_small_page_among_the_edges_of_other_things_is_found() -> None:
    """On a tenth of the picture, and aslant."""
    share = 0.35
    page = cv2.resize(picture(Grid()), None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(1)
    table = np.full((1400, 1800, 3), 90, np.uint8)
    for _ in range(40):
        x, y = rng.integers(0, (1700, 1300))
        width, height = rng.integers(60, 500, 2)
        table[y : y + height, x : x + width] = rng.integers(20, 235)
    turn = cv2.getRotationMatrix2D((0, 0), -17, 1.0)
    turn[:, 2] = 900, 250
    seen = cv2.warpAffine(page, turn, (1800, 1400), table, borderMode=cv2.BORDER_TRANSPARENT)
    first = find_grid_frequencies(np.asarray(seen, np.uint8))[0]
    assert first.period_px == pytest.approx(5 * share * PX_PER_MM, rel=0.035)
    assert first.angle_rad == pytest.approx(np.deg2rad(17), abs=0.04)
