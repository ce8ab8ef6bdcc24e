"""Which way up a page lies."""

import pytest

from ecgpage.grid.flat_page import flatten_page
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.orientation import find_upright_turn
from ecgpage.synth.truth_adapters import exact_grid
from tests.layout.pages import MODEL, draw_styled, load_eyes


@pytest.mark.medium
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_the_detector_tells_which_way_up_a_page_lies(quarter_turns: int) -> None:
    page = draw_styled(150.0, layout="6x2+1")
    detector = LeadDetector.load(MODEL)
    turned = flatten_page(page.image, exact_grid(page).rotate(quarter_turns))
    assert find_upright_turn(turned, detector) == -quarter_turns % 4


@pytest.mark.medium
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_names_tell_which_way_up_a_page_lies_where_the_leads_do_not(quarter_turns: int) -> None:
    page = draw_styled(150.0, layout="3x4")
    detector, reader = load_eyes()
    unsure = LayoutOptions(
        sure_upright=1.0, sure_layout=0.1, usually_upright=30.0
    )  # the leads do not settle it
    turned = flatten_page(page.image, exact_grid(page).rotate(quarter_turns))
    assert find_upright_turn(turned, detector, unsure, reader) == -quarter_turns % 4
