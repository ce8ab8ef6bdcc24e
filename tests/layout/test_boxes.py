"""Boxes that stand for one lead, and boxes of several pages."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.boxes import SeveralPagesError, merge_boxes, overlap
from tests.layout.pages import arrange_boxes, join_boxes, page_boxes


def test_two_boxes_at_one_place_are_one_lead_with_the_mean_of_their_names() -> None:
    boxes = page_boxes()
    again = replace(page_boxes(["V1"], strip=None, score=0.6), leads=boxes.leads[:1] + 1.0)
    levels = np.arange(14.0)
    kept, levels_kept = merge_boxes(join_boxes(boxes, again), levels)
    assert len(kept.leads) == 13
    assert levels_kept.tolist() == levels[:13].tolist()
    first, other = kept.names[0, LEADS.index("I")], kept.names[0, LEADS.index("V1")]
    assert first == pytest.approx((0.9 * 0.95 + 0.6 * 0.01) / 1.5)
    assert other == pytest.approx((0.9 * 0.01 + 0.6 * 0.95) / 1.5)


def test_boxes_overlap_by_what_they_share_of_what_they_cover() -> None:
    box = np.array([0.0, 0.0, 10.0, 10.0])
    assert overlap(box, box) == 1.0
    assert overlap(box, box + np.array([5.0, 0.0, 5.0, 0.0])) == pytest.approx(1 / 3)
    assert overlap(box, box + 10.0) == 0.0


def test_a_guess_at_part_of_a_strip_is_no_lead() -> None:
    strip = page_boxes((), strip="II")
    part = replace(strip, leads=strip.leads + np.array([180.0, 0, 0, 0]), scores=strip.scores - 0.1)
    arrangement = arrange_boxes(join_boxes(strip, part))
    assert [cell.lead for cell in arrangement.cells] == ["II"]


def test_two_pages_in_one_picture_are_refused() -> None:
    second = page_boxes()
    second.leads[:, [1, 3]] += 130.0
    with pytest.raises(SeveralPagesError, match="several ECG pages"):
        arrange_boxes(join_boxes(page_boxes(), second))
