"""Drawn training pages: what a page shows, and what its boxes say."""

import numpy as np
import pytest

from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.synth.flat_pages import (
    LONG_SIDE,
    PULSE_CLASS,
    DrawnFlatPage,
    clip_boxes,
    draw_flat_page,
    lose_edge,
)
from ecgpage.synth.page.layout import LAYOUTS
from tests.synth.pages import beats


@pytest.fixture(scope="module")
def drawn() -> list[DrawnFlatPage]:
    """Twelve pages of one record."""
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))
    labels = np.zeros(len(CLASSES), np.bool_)
    found = [draw_flat_page(signal, 100.0, [5, k]) for k in range(12)]
    return [DrawnFlatPage(i, b, c, labels, False, 7, layout, mix) for i, b, c, layout, mix in found]


@pytest.mark.medium
def test_pages_have_a_longer_side_of_640_px_and_boxes_within(drawn: list[DrawnFlatPage]):
    for page in drawn:
        rows, columns = page.image.shape
        assert page.image.dtype == np.uint8
        assert max(rows, columns) == LONG_SIDE
        assert page.boxes.dtype == np.float32
        assert (page.boxes >= 0).all()
        assert (page.boxes <= [columns, rows, columns, rows]).all()
        assert (page.boxes[:, 2:] - page.boxes[:, :2] >= 3).all()


def test_classes_are_the_leads_of_the_layout(drawn: list[DrawnFlatPage]):
    for page in drawn:
        printed = {LEADS.index(lead.removeprefix("-")) for c in LAYOUTS[page.layout].columns for lead in c}
        found = set(page.classes.tolist()) - {PULSE_CLASS}
        assert len(printed - found) <= 2  # a corner of a page may be out of the picture
        assert page.classes.dtype == np.int64


def test_both_whole_and_cut_pages_are_drawn(drawn: list[DrawnFlatPage]):
    assert {page.mix.endswith(" cut") for page in drawn} == {True, False}


def test_a_lead_is_drawn_where_its_box_is():
    """On clean pages the darkest hundredth of the pixels lies in the leads' boxes far more often than chance."""
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))
    for k in range(6):
        image, boxes, classes, _, _ = draw_flat_page(
            signal, 100.0, [k], any_look=0.0, mix_odds={"clean": 1.0}
        )
        inside = np.zeros(image.shape, bool)
        for x0, y0, x1, y1 in np.round(boxes[classes < PULSE_CLASS]).astype(int):
            inside[y0:y1, x0:x1] = True
        dark = image <= np.quantile(image, 0.01)
        assert inside[dark].mean() > 1.4 * inside.mean()


@pytest.mark.medium
def test_leads_are_exchanged_where_they_are_asked_for_and_nowhere_else():
    signal = np.tile((beats(100, 1)[0, 0] / 1000).astype(np.float32)[:, None], (1, 12))

    def names(k: int, share: float) -> list[int]:
        """Classes in the order of reading."""
        _, boxes, classes, _, _ = draw_flat_page(signal, 100.0, [k], any_look=1.0, in_any_order=share)
        return [int(c) for c in classes[np.lexsort((boxes[:, 0], boxes[:, 1].round(-1)))]]

    usual, exchanged, again = ([names(k, share) for k in range(4)] for share in (0.0, 1.0, 0.0))
    assert usual == again
    assert sum(a != b for a, b in zip(usual, exchanged, strict=True)) >= 2  # names are printed on most pages


def test_the_edge_without_picture_spares_the_boxes():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (200, 300), dtype=np.uint8)
    boxes = np.array([[20, 10, 290, 180]], np.float32)
    changed = np.zeros(image.shape, bool)
    for _ in range(40):
        changed |= lose_edge(image, boxes, rng) != image
    assert changed.any()
    assert not changed[10:180, 20:290].any()


def test_boxes_off_the_page_are_cut_or_left_out():
    boxes = np.array([[-10, 5, 30, 20], [90, 0, 130, 50], [10, 10, 12, 40]], np.float32)
    inside, seen = clip_boxes(boxes, (60, 100))
    assert seen.tolist() == [True, False, False]  # a quarter seen; too narrow
    np.testing.assert_array_equal(inside, [[0, 5, 30, 20]])
