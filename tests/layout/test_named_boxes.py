"""Leads told by their printed names, where the boxes of the detector mislead."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.boxes import PageBoxes, PrintedNames
from ecgpage.layout.known_layouts import order_of
from ecgpage.layout.name_pattern import find_name_pattern
from ecgpage.layout.named_boxes import find_named_boxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.page_layout import read_layout
from ecgpage.synth import DrawnPage
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.layout.pages import draw_styled, flatten_exactly

AT_NAME_MM = (4.0, -7.0)
"""Middle of a name right of its lead's start and below its level."""


def print_names(
    page: DrawnPage, unread: tuple[int, ...] = (), more: tuple[tuple[float, float, str], ...] = ()
) -> PrintedNames:
    """Names of a drawn page as a text reader reads them, but for the ``unread`` ones, and further words (x, y, lead)."""
    segments = page.truth.page.segments
    words = [
        (s.x0 + AT_NAME_MM[0], s.baseline + AT_NAME_MM[1], s.lead)
        for k, s in enumerate(segments)
        if k not in unread
    ]
    words += more
    chances = np.full((len(words), len(LEADS)), 0.002)
    chances[np.arange(len(words)), [LEADS.index(name) for _, _, name in words]] = 0.97
    return PrintedNames(np.array([w[:2] for w in words]), chances, np.zeros(len(words)))


def quarter_boxes(page: DrawnPage) -> PageBoxes:
    """Boxes of a page with two columns, each taken for two, under the names of a 3x4 page."""
    boxes = true_boxes(page, exact_grid(page))
    x0, _, x1, _ = boxes.leads.T
    middle = (x0 + x1) / 2
    halves = np.concatenate([boxes.leads, boxes.leads])
    halves[: len(boxes.leads), 2], halves[len(boxes.leads) :, 0] = middle, middle
    n = len(halves)
    return PageBoxes(halves, np.full(n, 0.8), np.full((n, len(LEADS)), 1 / len(LEADS)), boxes.pulses)


def test_names_in_their_places_outweigh_boxes_of_other_columns() -> None:
    page = draw_styled(layout="6x2")
    boxes = replace(quarter_boxes(page), printed=print_names(page, unread=(2, 9)))
    layout = read_layout(flatten_exactly(page), boxes, 10.0)
    assert [(s.lead, s.row) for s in layout.segments] == [(lead, k % 6) for k, lead in enumerate(LEADS)]
    drawn = page.truth.page.segments
    assert layout.segments[0].x0_mm == pytest.approx(drawn[0].x0, abs=1.0)
    assert layout.segments[6].x0_mm == pytest.approx(drawn[6].x0, abs=1.0)


def test_a_strip_is_found_by_its_name() -> None:
    page = draw_styled(layout="3x4+1")
    boxes = replace(true_boxes(page, exact_grid(page)), printed=print_names(page))
    lost = replace(boxes, leads=boxes.leads[:-1], scores=boxes.scores[:-1], names=boxes.names[:-1])
    layout = read_layout(flatten_exactly(page), lost, 10.0)
    assert [s.lead for s in layout.segments if s.is_strip] == ["II"]


def test_labels_of_an_axis_are_no_strip() -> None:
    page = draw_styled(layout="3x4", bottom=40.0)
    last = max(s.baseline for s in page.truth.page.segments)
    labels = tuple((20.0 + 25.0 * k, last + 18.0, "V6") for k in range(9))
    boxes = replace(true_boxes(page, exact_grid(page)), printed=print_names(page, more=labels))
    layout = read_layout(flatten_exactly(page), boxes, 10.0)
    assert not any(s.is_strip for s in layout.segments)


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1", "cabrera 6x2", "3x4 by rows"])
def test_the_order_of_names_tells_the_layout(layout: str) -> None:
    columns = {"3x4": 4, "6x2": 2, "12x1": 1, "cabrera 6x2": 2, "3x4 by rows": 4}[layout]
    cells = order_of(layout).cells
    words = [
        (20.0 + 250 / columns * c, 30.0 + 14.0 * r, name.removeprefix("-"))
        for r, names in enumerate(cells)
        for c, name in enumerate(names)
    ]
    chances = np.full((len(words), len(LEADS)), 0.002)
    chances[np.arange(len(words)), [LEADS.index(name) for _, _, name in words]] = 0.9
    chances[3] = 0.05  # not read
    pattern = find_name_pattern(PrintedNames(np.array([w[:2] for w in words]), chances, np.zeros(len(words))))
    assert pattern is not None
    assert pattern.order.cells == cells
    assert (pattern.words < 0).sum() == 1


def test_words_in_no_order_are_no_pattern() -> None:
    rng = np.random.default_rng(3)
    places = rng.uniform((0, 0), (250, 180), (30, 2))
    chances = rng.dirichlet(np.full(len(LEADS), 0.1), 30)
    assert find_name_pattern(PrintedNames(places, chances, np.zeros(30))) is None


def test_chest_leads_stand_in_their_order_though_their_numbers_are_misread() -> None:
    cells = order_of("6x2").cells
    places = np.array([(20.0 + 125 * c, 30.0 + 14.0 * r) for r in range(6) for c in range(2)])
    chances = np.full((12, len(LEADS)), 0.002)
    for k, name in enumerate(name for names in cells for name in names):
        chances[k, LEADS.index(name if k % 2 == 0 else "V3")] = 0.9
    pattern = find_name_pattern(PrintedNames(places, chances, np.zeros(12)))
    assert pattern is not None
    assert pattern.order.cells == cells
    assert pattern.share == 1.0


@pytest.mark.parametrize("shown", [0.42, 0.55, 0.7])
def test_a_picture_that_cuts_the_last_leads_keeps_the_columns_of_the_names(shown: float) -> None:
    page = draw_styled(layout="3x4")
    flat, boxes = flatten_exactly(page), true_boxes(page, exact_grid(page))
    segments = page.truth.page.segments
    last = max(segments, key=lambda s: s.x0)
    cut_mm = last.x0 + shown * (last.x0 - segments[0].x0) / 3
    flat.ink[:, round(flat.column(cut_mm)) :] = 0.0
    boxes.leads[:, 2] = np.minimum(boxes.leads[:, 2], cut_mm)
    names = boxes.names.copy()
    names[:] = 1 / len(LEADS)  # the print tells the leads
    layout = read_layout(flat, replace(boxes, names=names, printed=print_names(page)), 10.0)
    found = {s.lead: s.x0_mm for s in layout.segments}
    assert found == {s.lead: pytest.approx(s.x0, abs=2.0) for s in segments}


@pytest.mark.parametrize("unread", [(), (4,)])
def test_names_that_are_read_in_another_order_are_no_misread_known_order(unread: tuple[int, ...]) -> None:
    cells = np.array(order_of("6x2").cells)
    cells[2, 0], cells[5, 1] = cells[5, 1], cells[2, 0]  # III and V6 exchanged
    names = cells.ravel().tolist()
    places = np.array([(20.0 + 125 * c, 30.0 + 14.0 * r) for r in range(6) for c in range(2)])
    chances = np.full((12, len(LEADS)), 0.002)
    chances[np.arange(12), [LEADS.index(name) for name in names]] = 0.97
    chances[list(unread)] = 0.002
    assert find_name_pattern(PrintedNames(places, chances, np.zeros(12))) is None


def test_a_page_in_another_order_is_read_by_its_names_though_boxes_say_the_known_one() -> None:
    page = draw_styled(layout="6x2")
    boxes = true_boxes(page, exact_grid(page))
    printed = print_names(page)
    chances = printed.chances.copy()
    chances[[2, 11]] = chances[[11, 2]]
    layout = read_layout(
        flatten_exactly(page), replace(boxes, printed=replace(printed, chances=chances)), 10.0
    )
    expected = list(LEADS)
    expected[2], expected[11] = expected[11], expected[2]
    assert [s.lead for s in layout.segments] == expected


@pytest.mark.parametrize(("layout", "y_mm"), [("6x2", -7.0), ("6x2", 0.0), ("3x4", -7.0), ("3x4", 0.0)])
def test_names_in_the_margin_do_not_tell_how_far_columns_stand_apart(layout: str, y_mm: float) -> None:
    page = draw_styled(layout=layout)
    segments = page.truth.page.segments
    first = min(s.x0 for s in segments)
    words = [
        (
            (s.x0 - 16.0, s.baseline + y_mm)
            if s.x0 == first
            else (s.x0 + AT_NAME_MM[0], s.baseline + AT_NAME_MM[1])
        )
        for s in segments
    ]
    printed = replace(print_names(page), places=np.array(words))
    boxes = replace(true_boxes(page, exact_grid(page)), printed=printed)
    named = replace(boxes, names=np.full_like(boxes.names, 1 / len(LEADS)))
    seen = {s.lead: s.x0_mm for s in read_layout(flatten_exactly(page), named, 10.0).segments}
    assert seen == {s.lead: pytest.approx(s.x0, abs=1.0) for s in segments}


def test_names_of_one_column_do_not_tell_where_rows_begin() -> None:
    page = draw_styled(layout="12x1")
    segments = page.truth.page.segments
    boxes = true_boxes(page, exact_grid(page))
    start = float(np.median(boxes.leads[:, 0]))
    false = np.array([[start + 5.0, s.baseline - 10.0, start + 10.0, s.baseline] for s in segments[:3]])
    boxes = replace(boxes, printed=print_names(page), pulses=np.concatenate([boxes.pulses[:0], false]))
    found = read_layout(flatten_exactly(page), boxes, 10.0).segments
    assert [s.x0_mm for s in found] == pytest.approx([s.x0 for s in segments], abs=1.0)


def test_names_between_rows_belong_to_the_rows_with_boxes() -> None:
    """A line of text stands as far above the first names as their leads stand below them."""
    page = draw_styled(layout="6x2")
    boxes = true_boxes(page, exact_grid(page))
    step = 26.0
    rows = 50.0 + step * np.arange(6)
    levels = rows[np.unique([s.baseline for s in page.truth.page.segments], return_inverse=True)[1]]
    printed = print_names(page)
    printed.places[:, 1] = levels - step / 2
    ink = np.array([(y, 20.0, 270.0) for y in (rows[0] - step, *rows)])
    pattern = find_name_pattern(printed)
    assert pattern is not None
    boxes = replace(boxes, printed=printed, scores=np.full(len(levels), 0.9))
    found = find_named_boxes(pattern, boxes, levels, ink, LayoutOptions())
    assert found is not None
    np.testing.assert_allclose(np.unique(np.round(found[1], 1)), rows, atol=0.1)


def test_texture_beside_a_page_outweighs_no_names_that_were_read_clearly() -> None:
    """Six smudges in the margin look like chest leads; the leads' own names, in no usual order, stand beside them."""
    names = ("I", "aVL", "V2", "V1", "V4", "aVR")
    y_mm = 20.0 + 31.0 * np.arange(6)
    places = np.array([*((26.0, y) for y in y_mm), *((-4.0, y + 4.0) for y in y_mm)])
    chances = np.full((12, len(LEADS)), 0.002)
    chances[np.arange(6), [LEADS.index(name) for name in names]] = 0.97
    chances[6:, 6:] = np.full(6, 0.09) + 0.4 * np.eye(6)
    printed = PrintedNames(places, chances, np.zeros(12))
    smudges = PrintedNames(places[6:], chances[6:], np.zeros(6))
    assert find_name_pattern(smudges) is not None
    assert find_name_pattern(printed) is None
