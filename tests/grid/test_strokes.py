"""Strokes are painted over with the paper around them; coloured grids stay."""

import numpy as np

from ecgpage.grid.spectrum import find_frequencies, measure_working_picture
from ecgpage.grid.strokes import remove_strokes

PERIOD_PX = 24


def draw_beats(line: tuple[int, int, int] = (246, 205, 205)) -> np.ndarray:
    """Page with pink lines, on which twelve rows of even beats are drawn."""
    image = np.full((960, 1200, 3), 250, np.uint8)
    image[::PERIOD_PX] = line
    image[:, ::PERIOD_PX] = line
    for y in range(60, 940, 70):
        image[y : y + 3] = 30
        for x in range(35, 1200, 61):
            image[y - 34 : y, x : x + 4] = 30
    return image


def test_traces_get_the_colour_of_the_paper() -> None:
    image = draw_beats()
    paper = remove_strokes(image)
    assert paper is not None
    assert paper.min() > 190
    np.testing.assert_array_equal(paper[20:45, 8:20], image[20:45, 8:20])


def test_a_grid_behind_even_beats_is_the_likeliest_without_them() -> None:
    paper = remove_strokes(draw_beats())
    assert paper is not None
    found = find_frequencies(measure_working_picture(paper))
    assert found
    assert abs(found[0].period_px / PERIOD_PX - 1) < 0.05


def test_a_page_that_is_dark_all_over_has_no_strokes() -> None:
    noise = np.random.default_rng(1).integers(0, 2, (300, 300, 1), dtype=np.uint8) * 200
    assert remove_strokes(np.repeat(noise, 3, axis=2)) is None
