"""The layout of a page from boxes that are unsure, of another page, or none of a page at all."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.layout.pages import draw_styled, join_boxes, read_drawn_plan


def test_leads_that_are_seen_where_no_layout_has_them_are_refused() -> None:
    """The second column's boxes are half as wide as the first one's, each begins further right than the one above."""
    page = draw_styled(layout="6x2")
    boxes = true_boxes(page, exact_grid(page))
    width = float(np.median(boxes.leads[:, 2] - boxes.leads[:, 0]))
    steps = 0.09 * width * np.arange(6)
    leads = boxes.leads.copy()
    leads[6:, 0] += 0.15 * width + steps
    leads[6:, 2] += -0.55 * width + steps
    with pytest.raises(EcgPageError, match="no layout that is known"):
        read_drawn_plan(page, replace(boxes, leads=leads))


def test_an_unsure_box_without_ink_is_left_out() -> None:
    page = draw_styled(layout="6x2", bottom=60.0)
    boxes = true_boxes(page, exact_grid(page))
    at = boxes.leads[:, 3].max() + 12.0
    stray = replace(
        boxes,
        leads=np.array([[30.0, at, 150.0, at + 20.0]]),
        scores=np.array([0.4]),
        names=boxes.names[:1],
        pulses=np.zeros((0, 4)),
    )
    layout = read_drawn_plan(page, join_boxes(boxes, stray))
    assert [s.lead for s in layout.segments] == list(LEADS)
