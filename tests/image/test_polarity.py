"""Pictures with light traces on a dark ground are turned into paper; dark surroundings of a page are not."""

from functools import cache

import cv2
import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.image.polarity import as_positive, list_positives
from ecgpage.synth import draw_picture
from tests.drawn import FS, record


def is_negative(picture: Image) -> bool:
    """Whether a picture is taken for a negative."""
    return not np.array_equal(as_positive(picture), picture)


def draw_screen(ground: tuple[int, int, int], ink: tuple[int, int, int]) -> Image:
    """uint8 (600, 900, 3): a faint grid and four traces."""
    picture = np.empty((600, 900, 3), np.uint8)
    picture[:] = ground
    faint = [round(0.75 * g + 0.25 * i) for g, i in zip(ground, ink, strict=True)]
    picture[::20], picture[:, ::20] = faint, faint
    x = np.arange(20, 880)
    beat = 70 * np.exp(-0.5 * ((np.mod(x, 110) - 55) / 4) ** 2)
    for level in (120, 250, 380, 510):
        line = np.stack([x, level - beat], axis=1).astype(np.int32)
        cv2.polylines(picture, [line], False, ink, 2, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("ink", [(255, 255, 255), (0, 255, 0), (255, 220, 0)], ids=str)
@pytest.mark.parametrize("ground", [(0, 0, 0), (10, 20, 60)], ids=str)
def test_light_traces_on_dark_become_dark_ones_on_light(
    ground: tuple[int, int, int], ink: tuple[int, int, int]
) -> None:
    screen = draw_screen(ground, ink)
    assert is_negative(screen)
    turned = as_positive(screen)
    np.testing.assert_array_equal(turned, 255 - screen)
    assert not is_negative(turned)


def test_lines_a_multiple_of_some_pixels_apart_do_not_pass_for_a_lit_page() -> None:
    assert all(
        is_negative(draw_screen((0, 0, 0), (255, 255, 255))[dy:, dx:]) for dy in (0, 1) for dx in (0, 1)
    )


@pytest.mark.parametrize("paper", [(255, 255, 255), (255, 225, 225), (150, 140, 130)], ids=str)
def test_paper_stays_as_it_is(paper: tuple[int, int, int]) -> None:
    page = draw_screen(paper, (20, 20, 20))
    before = page.copy()
    np.testing.assert_array_equal(as_positive(page), before)


@pytest.mark.parametrize("share", [0.3, 0.4, 0.65, 0.75])
def test_a_page_on_a_dark_table_is_no_negative(share: float) -> None:
    """Though most of the picture is dark with the smaller page."""
    photo = np.full((600, 900, 3), 30, np.uint8)
    page = draw_screen((235, 230, 225), (20, 20, 20))
    small = cv2.resize(page, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    photo[40 : 40 + len(small), 60 : 60 + small.shape[1]] = small
    assert not is_negative(photo)


@pytest.mark.parametrize("share", [0.4, 0.75])
def test_the_negative_of_a_page_on_a_dark_table_is_one(share: float) -> None:
    """Though most of it is the table, which is light then."""
    photo = np.full((600, 900, 3), 30, np.uint8)
    page = draw_screen((160, 155, 150), (20, 20, 20))
    small = cv2.resize(page, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    photo[40 : 40 + len(small), 60 : 60 + small.shape[1]] = small
    negative = np.asarray(255 - photo, np.uint8)
    np.testing.assert_array_equal(as_positive(negative), photo)


def test_a_dark_picture_of_little_contrast_is_no_negative_when_a_third_of_it_is_lit() -> None:
    photo = np.full((400, 600, 3), 40, np.uint8)
    photo[:, :240] = 150
    assert not is_negative(photo)
    photo[:, 60:240] = 40
    assert is_negative(photo), "a tenth lit: traces"


@cache
def small_page() -> Image:
    """Photo of a page that takes a third of it: squares between its 5-mm lines are as wide as strokes, its ink is pale."""
    return draw_picture(record(), FS, mix="photo-clean", seed=(3, 16)).image


@pytest.mark.parametrize("longer_side", [3103, 2000, 1200, 900])
def test_squares_between_dark_lines_are_no_light_strokes(longer_side: int) -> None:
    scale = longer_side / max(small_page().shape)
    page = np.asarray(cv2.resize(small_page(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    assert len(list_positives(page)) == 1
    assert list_positives(page)[0] is page
    assert is_negative(np.asarray(255 - page, np.uint8))


def test_where_strokes_do_not_tell_both_pictures_are_worth_a_look() -> None:
    waves = 128 + 60 * np.sin(np.arange(900)[:, None] / 1.3 + np.arange(1300) / 9)
    moire = np.repeat(np.rint(waves).astype(np.uint8)[..., None], 3, axis=2)
    assert len(list_positives(moire)) == 2
    assert len(list_positives(draw_screen((255, 255, 255), (0, 0, 0)))) == 1
