"""Heart beats are measured in the ink, in millimetres of the page."""

import pytest

from ecgpage.layout.types import SeenBeats
from tests.layout.pages import draw_styled, read_drawn_plan


def see_beats(**style: object) -> SeenBeats:
    return read_drawn_plan(draw_styled(150.0, layout="6x2", **style)).scale_evidence.beats


@pytest.mark.medium
def test_beats_grow_with_the_gain_alone() -> None:
    usual, small = see_beats(), see_beats(gain=5.0)
    assert small.apart_mm == pytest.approx(usual.apart_mm, rel=0.02)
    assert small.limb_mm == pytest.approx(usual.limb_mm / 2, rel=0.25)
    assert small.chest_mm == pytest.approx(usual.chest_mm / 2, rel=0.25)


@pytest.mark.medium
def test_beats_of_a_usual_page_are_about_a_second_apart_and_a_millivolt_high() -> None:
    usual = see_beats()
    assert 10.0 < usual.apart_mm < 35.0
    assert 0.5 < usual.width_mm < 3.0
    assert 3.0 < usual.limb_mm < 30.0
