"""Ink that is as bright as paper in one channel or two."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ecgpage.image.decode import brightest_channel
from ecgpage.image.ink_colour import darken, list_ink_views
from ecgpage.image.polarity import as_positive

Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def draw(
    ink: Colour, grid: Colour = (255, 200, 200), ground: Colour = WHITE, words: Colour | None = None
) -> NDArray[np.uint8]:
    """Page of a grid, eight waves and perhaps something written."""
    page = np.full((600, 800, 3), ground, np.uint8)
    page[::20], page[:, ::20] = grid, grid
    if words is not None:
        page[20:60, 20:400:8] = words
    x = np.arange(30, 770)
    for level in range(100, 600, 60):
        y = (level + 15 * np.sin(x / 9)).astype(int)
        page[y, x] = page[y + 1, x] = page[y, x + 1] = ink
    return page


def dark_share(page: NDArray[np.uint8], ink: Colour, drawn: NDArray[np.uint8]) -> float:
    """Share of the ink of ``drawn`` that is dark in every colour of ``page``."""
    return float((brightest_channel(page)[(drawn == ink).all(axis=2)] < 80).mean())


@pytest.mark.parametrize(
    ("ink", "grid", "ground"),
    [
        ((0, 0, 255), (255, 200, 200), WHITE),
        ((0, 0, 255), (200, 200, 200), WHITE),
        ((255, 0, 0), (200, 220, 255), WHITE),
        ((255, 0, 0), (255, 200, 200), WHITE),
        ((255, 0, 255), (210, 210, 210), WHITE),
        ((0, 255, 0), (0, 80, 0), BLACK),
        ((0, 255, 0), (60, 60, 60), BLACK),
        ((255, 255, 0), (60, 60, 60), BLACK),
        ((0, 255, 255), (0, 60, 60), BLACK),
    ],
)
def test_ink_of_a_pure_colour_is_black_in_the_first_view(ink: Colour, grid: Colour, ground: Colour) -> None:
    drawn = draw(ink, grid, ground)
    page = as_positive(drawn)
    assert dark_share(page, ink, drawn) == 0.0
    views = list_ink_views(page)
    assert views.last == []
    assert dark_share(darken(page, views.first[0]), ink, drawn) == 1.0


@pytest.mark.parametrize("ink", [(0, 0, 0), (20, 20, 90), (0, 128, 0), (40, 40, 40)])
@pytest.mark.parametrize("grid", [(255, 200, 200), (255, 0, 0), (200, 200, 200)])
def test_ink_that_is_dark_in_every_colour_needs_no_view(ink: Colour, grid: Colour) -> None:
    views = list_ink_views(draw(ink, grid))
    assert views.first == []
    assert views.last == [] or grid != (200, 200, 200)


def test_coloured_traces_beside_black_words_are_worth_a_look_where_the_page_is_not_read() -> None:
    drawn = draw((0, 0, 255), (210, 210, 210), words=BLACK)
    views = list_ink_views(drawn)
    assert views.first == []
    assert dark_share(darken(drawn, views.last[0]), (0, 0, 255), drawn) == 1.0


def test_an_empty_page_has_no_view() -> None:
    views = list_ink_views(np.full((300, 400, 3), 240, np.uint8))
    assert (views.first, views.last) == ([], [])


def test_a_darkened_picture_keeps_what_is_not_brightest_in_the_channels_left_out() -> None:
    page = np.array([[[10, 20, 200], [200, 20, 10], [90, 90, 90]]], np.uint8)
    assert darken(page, (0, 1)).tolist() == [[[10, 20, 20], [200, 20, 10], [90, 90, 90]]]
    assert darken(page, (2,)).tolist() == [[[10, 20, 200], [10, 10, 10], [90, 90, 90]]]
