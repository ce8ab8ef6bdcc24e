"""Lines and words of a PDF page stand where the page shows them."""

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.image.documents import InputPage, read_pages
from ecgpage.image.pdf_paths import PageDrawing
from tests.image.pdf_bytes import Page, picture, place, write_pdf

SIZE = (400.0, 300.0)
LINE = b"1 0 0 RG 2 w 50 60 m 150 60 l 150 90 l S\n"


def open_page(content: bytes, **page: object) -> tuple[InputPage, PageDrawing]:
    (found,) = read_pages(write_pdf([Page(content, size=SIZE, **page)]))  # type: ignore[arg-type]
    assert found.drawing is not None
    return found, found.drawing


def is_red(page: InputPage, drawing: PageDrawing, points: np.ndarray) -> bool:
    """Whether the picture is red at all points of the drawing."""
    x, y = np.rint(drawing.to_pixels(points)).astype(int).T
    red, green, _ = page.image[y, x].T.astype(int)
    return bool((red - green > 100).all())


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_lines_lie_on_their_picture_however_the_page_is_turned(turn: int) -> None:
    page, drawing = open_page(LINE, rotate=turn)
    (stroke,) = drawing.strokes
    assert drawing.size_pt == (SIZE if turn % 180 == 0 else SIZE[::-1])
    assert (stroke.colour, stroke.width_pt) == ((255, 0, 0), 2.0)
    middles = (stroke.points[:-1] + stroke.points[1:]) / 2
    assert is_red(page, drawing, middles)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_drawing_that_is_turned_still_finds_its_pixels(quarter: int) -> None:
    page, drawing = open_page(LINE)
    turned = drawing.rotate(quarter)
    points = turned.strokes[0].points
    x, y = turned.to_pixels(points, quarter).T
    np.testing.assert_allclose(np.stack([x, y], 1), drawing.to_pixels(drawing.strokes[0].points), atol=1e-6)
    back = turned.rotate(-quarter)
    np.testing.assert_allclose(back.strokes[0].points, drawing.strokes[0].points, atol=1e-9)
    assert page.image.shape[1] > page.image.shape[0]


def test_a_cropped_page_begins_at_its_crop() -> None:
    page, drawing = open_page(LINE, extra=b"/CropBox [40 50 240 250]")
    np.testing.assert_allclose(drawing.strokes[0].points, [[10, 190], [110, 190], [110, 160]], atol=1e-3)
    assert is_red(page, drawing, np.array([[60.0, 190.0]]))


def test_matrices_scale_points_and_widths() -> None:
    _, drawing = open_page(b"q 0.5 0 0 0.5 100 0 cm " + LINE + b"Q\n")
    (stroke,) = drawing.strokes
    assert stroke.width_pt == pytest.approx(1.0)
    np.testing.assert_allclose(stroke.points, [[125, 270], [175, 270], [175, 255]], atol=1e-3)


def test_clips_cut_lines_and_nested_ones_do_so_together() -> None:
    _, drawing = open_page(b"q 60 0 300 300 re W n q 0 0 120 300 re W n " + LINE + b"Q Q\n")
    np.testing.assert_allclose(drawing.strokes[0].points, [[60, 240], [120, 240]], atol=1e-3)


def test_curves_are_followed_and_closed_paths_return() -> None:
    _, drawing = open_page(b"10 10 m 10 110 110 110 110 10 c h S\n")
    points = drawing.strokes[0].points
    np.testing.assert_allclose(points[0], points[-1])
    assert points[:, 1].min() == pytest.approx(300 - 10 - 75, abs=0.5)


def test_thin_filled_boxes_are_lines_and_areas_are_none() -> None:
    _, drawing = open_page(b"0 0 1 rg 10 20 200 0.5 re f 10 40 100 100 re f\n" + LINE)
    first, second = drawing.strokes
    np.testing.assert_allclose(first.points, [[10, 279.75], [210, 279.75]], atol=1e-2)
    assert first.colour == (0, 0, 255)
    assert second.colour == (255, 0, 0)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_words_are_told_apart_with_their_places(turn: int) -> None:
    _, drawing = open_page(LINE + b"BT /F 12 Tf 100 200 Td (aVR V1   25 mm/s) Tj ET\n", rotate=turn)
    assert [word.text for word in drawing.words] == ["aVR", "V1", "25", "mm/s"]
    assert drawing.text == "aVR V1 25 mm/s"
    assert {word.turn for word in drawing.words} == {-turn // 90 % 4}
    if turn == 0:
        x0, y0, x1, y1 = drawing.words[0].box
        assert x0 == pytest.approx(100, abs=1.5)
        assert x1 < drawing.words[1].box[0]
        assert y0 < 100 <= y1 + 1.0


def test_pages_without_lines_have_no_drawing() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    scan = Page(place((400, 0, 0, 300, 0, 0)), {"P": picture(pixels)}, SIZE)
    words = Page(b"BT /F 12 Tf 100 200 Td (no line) Tj ET\n", size=SIZE)
    mixed = Page(place((200, 0, 0, 150, 0, 0)) + LINE, {"P": picture(pixels)}, SIZE)
    first, second, third = read_pages(write_pdf([scan, words, mixed]))
    assert first.drawing is None
    assert second.drawing is None
    assert third.drawing is not None
    assert first.image.shape == (300, 400, 3)


def test_encrypted_pages_have_their_lines_with_the_password_alone() -> None:
    content = write_pdf([Page(LINE, size=SIZE)], password="secret")
    with pytest.raises(EcgPageError, match="password"):
        next(read_pages(content))
    found = next(read_pages(content, password="secret"))
    assert found.drawing is not None
    assert len(found.drawing.strokes) == 1


def test_the_drawing_follows_a_resolution_that_was_asked_for() -> None:
    (page,) = read_pages(write_pdf([Page(LINE, size=SIZE)]), dpi=144)
    assert page.drawing is not None
    assert page.drawing.px_per_pt == pytest.approx(2.0, rel=1e-3)
    assert is_red(page, page.drawing, np.array([[100.0, 240.0]]))


@pytest.mark.medium
def test_four_hundred_pages_one_at_a_time() -> None:
    pages = [Page(b"%d 0 0 RG 50 %d m 150 60 l S\n" % (k % 2, k), size=SIZE) for k in range(400)]
    for k, page in enumerate(read_pages(write_pdf(pages), dpi=60)):
        assert page.drawing is not None
        assert page.drawing.strokes[0].points[0, 1] == pytest.approx(300 - k, abs=1e-2) or k > 300
    assert k == 399
