"""Which way up a page lies."""

import pytest

from ecgpage.grid.flat_page import flatten_page
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.orientation import find_upright_turn
from ecgpage.synth.truth_adapters import exact_grid
from tests.layout.pages import MODEL, draw_styled


@pytest.mark.medium
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_the_detector_tells_which_way_up_a_page_lies(quarter_turns: int) -> None:
    page = draw_styled(150.0, layout="6x2+1")
    detector = LeadDetector.load(MODEL)
    turned = flatten_page(page.image, exact_grid(page).rotate(quarter_turns))
    assert find_upright_turn(turned, detector) == -quarter_turns % 4
