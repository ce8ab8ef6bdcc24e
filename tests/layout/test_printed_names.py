"""Names that were read beside leads, and what they do to an arrangement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.arrangement import arrange
from ecgpage.layout.boxes import PageBoxes, PrintedNames
from ecgpage.layout.printed_names import add_printed_names
from tests.layout.pages import SHUFFLED, arrange_boxes, list_leads, page_boxes


def print_names(
    boxes: PageBoxes, names: dict[int, str], dx: float = 4.0, dy: float = -7.0, margin: Sequence[int] = ()
) -> PageBoxes:
    """The boxes with names beside some of them; those of ``margin`` 14 mm before their lead."""
    at = np.array([boxes.leads[k, [0, 1]] + (-14.0 if k in margin else dx, 8.0 + dy) for k in names])
    chance = np.zeros((len(names), len(LEADS)))
    chance[np.arange(len(names)), [LEADS.index(n.removeprefix("-")) for n in names.values()]] = 0.97
    minus = np.array([0.97 * n.startswith("-") for n in names.values()])
    return replace(boxes, printed=PrintedNames(at.reshape(-1, 2), chance, minus))


def read_names(boxes: PageBoxes) -> list[str]:
    return list_leads(arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)))


@pytest.mark.parametrize(("dx", "dy"), [(4.0, -7.0), (2.0, 9.0), (6.0, -1.0)])
def test_printed_names_beat_places(dx: float, dy: float) -> None:
    names = [LEADS[k] for k in SHUFFLED]
    assert read_names(print_names(page_boxes(), dict(enumerate(names)), dx, dy)) == names


def test_two_leads_that_are_exchanged_are_followed() -> None:
    names = list(LEADS)
    names[6], names[10] = names[10], names[6]
    assert read_names(print_names(page_boxes(), dict(enumerate(names)))) == names


def test_one_name_that_was_misread_does_not_change_the_layout() -> None:
    names = {k: name for k, name in enumerate(LEADS) if k != 4} | {4: "V1"}
    assert read_names(print_names(page_boxes(), names)) == list(LEADS)


def test_places_name_the_leads_where_nothing_is_printed() -> None:
    assert read_names(print_names(page_boxes(), {})) == list(LEADS)
    assert read_names(print_names(page_boxes(), {0: "I", 5: "aVF", 7: "V2"})) == list(LEADS)


def test_names_in_the_margin_are_those_of_the_first_column() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    assert read_names(print_names(page_boxes(), dict(enumerate(names)), dy=0.0, margin=(0, 1, 2))) == names


def test_words_beside_a_few_leads_only_are_no_names() -> None:
    boxes = print_names(page_boxes(), {0: "V4", 12: "I"})
    assert add_printed_names(boxes, boxes.leads[:, [1, 3]].mean(axis=1), np.zeros(0)) is boxes


def test_a_word_elsewhere_along_the_lead_is_no_name() -> None:
    boxes = print_names(page_boxes(), dict(enumerate(LEADS)) | {12: "I"})
    boxes.printed.places[12, 0] += 7.0
    cells = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells
    assert [cell.lead for cell in cells if cell.is_strip] == ["II"]


def test_a_strip_carries_the_name_beside_it() -> None:
    boxes = print_names(page_boxes(), dict(enumerate(LEADS)) | {12: "aVF"})
    cells = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells
    assert [cell.lead for cell in cells if cell.is_strip] == ["aVF"]


def test_a_minus_before_avr_turns_it_round_in_any_order() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    at = names.index("aVR")
    for name in ("aVR", "-aVR"):
        names[at] = name
        boxes = print_names(page_boxes(), dict(enumerate(names)))
        cells = {
            c.lead: c for c in arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells if not c.is_strip
        }
        assert cells["aVR"].is_inverted == (name == "-aVR")


def test_a_lead_that_no_box_shows_is_told_by_its_name_beside_ink() -> None:
    """Of a page in twelve rows one box is missing; its name is printed and its ink runs there."""
    names = list(np.random.default_rng(3).permutation(np.array(LEADS)))
    levels = np.linspace(20.0, 185.0, 12)
    leads = np.array([[20.0, y - 8, 270.0, y + 8] for y in levels])
    all_boxes = PageBoxes(leads, np.full(12, 0.9), np.full((12, 12), 1 / 12), np.zeros((0, 4)))
    both = print_names(all_boxes, dict(enumerate(names)))
    kept = [k for k in range(12) if k != 4]
    boxes = replace(both, leads=leads[kept], scores=both.scores[kept], names=both.names[kept])
    ink = np.array([[y, 20.0, 270.0] for y in levels])
    assert list_leads(arrange(boxes, levels[kept], ink)) == names
    assert list_leads(arrange(boxes, levels[kept])) != names  # without ink there is no lead


def print_beside(boxes: PageBoxes, chances: np.ndarray, down_mm: float) -> PageBoxes:
    """The boxes with a word beside the beginning of each lead."""
    levels = boxes.leads[:, [1, 3]].mean(axis=1)
    places = np.column_stack([boxes.leads[:, 0] + 3.0, levels + down_mm])
    return replace(boxes, printed=PrintedNames(places, chances, np.zeros(len(places))))


def test_words_that_cannot_be_told_leave_the_detectors_names() -> None:
    boxes = page_boxes(strip=None)
    rng = np.random.default_rng(5)
    blurred = rng.dirichlet(np.full(len(LEADS), 3.0), len(boxes.leads)) * 0.9
    seen = arrange_boxes(print_beside(boxes, blurred, 9.0))
    assert list_leads(seen) == list(LEADS)
    assert seen.confidence > 0.6


def test_names_halfway_between_rows_go_with_the_leads_that_look_like_them() -> None:
    """They stand 15 mm below their rows, which are 30 mm apart: or are they those of the rows below?"""
    boxes = page_boxes(strip=None)
    for down_mm in (13.6, -13.6):
        chances = np.eye(len(LEADS))[[LEADS.index(lead) for lead in LEADS]] * 0.97
        names = [cell.lead for cell in arrange_boxes(print_beside(boxes, chances, down_mm)).cells]
        assert names == list(LEADS)
