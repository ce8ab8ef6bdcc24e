"""From boxes to the names of leads: faulty boxes, wrong names, orders known and unknown."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from tests.layout.pages import SHUFFLED, arrange_boxes, drop_boxes, join_boxes, list_leads, page_boxes


def test_a_page_of_good_boxes_is_read_with_confidence() -> None:
    arrangement = arrange_boxes(page_boxes())
    assert list_leads(arrangement) == list(LEADS)
    assert [cell.lead for cell in arrangement.cells if cell.is_strip] == ["II"]
    assert arrangement.confidence > 0.7
    assert arrangement.columns.first_mm == pytest.approx(20.0, abs=0.1)
    assert arrangement.columns.pitch_mm == pytest.approx(62.5, abs=0.1)


def test_no_two_strips_show_one_lead() -> None:
    boxes = page_boxes()
    again = replace(boxes, leads=boxes.leads[-1:] + np.array([0, 30, 0, 30]), scores=boxes.scores[-1:])
    names = 0.5 * boxes.names[-1:] + 0.4 * np.eye(len(LEADS))[[LEADS.index("V1")]]
    arrangement = arrange_boxes(join_boxes(boxes, replace(again, names=names)))
    assert sorted(cell.lead for cell in arrangement.cells if cell.is_strip) == ["II", "V1"]


@pytest.mark.parametrize("lost", [(0,), (5, 6), (0, 3, 6), (11, 12)], ids=str)
def test_leads_whose_box_was_missed_are_named_by_the_layout(lost: tuple[int, ...]) -> None:
    arrangement = arrange_boxes(drop_boxes(page_boxes(), *lost))
    assert list_leads(arrangement) == list(LEADS)
    assert arrangement.missed == len([k for k in lost if k < 12])


@pytest.mark.parametrize("wrong", [((4, "V2"),), ((0, "III"), (7, "V6"))], ids=str)
def test_a_wrong_name_or_two_do_not_change_the_layout(wrong: tuple[tuple[int, str], ...]) -> None:
    boxes = page_boxes()
    for k, name in wrong:
        boxes.names[k] = 0.01
        boxes.names[k, LEADS.index(name)] = 0.95
    arrangement = arrange_boxes(boxes)
    assert list_leads(arrangement) == list(LEADS)
    assert arrangement.misnamed == len(wrong)


def test_a_box_beside_the_layout_is_left_out() -> None:
    stray = page_boxes(["V3"], strip=None, score=0.6)
    stray.leads[0] = (150.0, 2.0, 190.0, 14.0)
    assert list_leads(arrange_boxes(join_boxes(page_boxes(), stray))) == list(LEADS)


def test_names_in_no_known_order_are_followed() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    arrangement = arrange_boxes(page_boxes(names))
    assert list_leads(arrangement) == names
    assert not arrangement.known_order


def test_cabrera_order_turns_avr_round() -> None:
    names = ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:])
    cells = {cell.lead: cell for cell in arrange_boxes(page_boxes(names)).cells if not cell.is_strip}
    assert tuple(cells) == names
    assert [lead for lead, cell in cells.items() if cell.is_inverted] == ["aVR"]


def test_no_box_at_all_is_refused() -> None:
    with pytest.raises(EcgPageError, match="no lead"):
        arrange_boxes(drop_boxes(page_boxes(), *range(13)))
