"""Speed and gain: from pulses, from what is written, and what is assumed without either."""

import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.model import Text
from ecgpage.synth.truth_adapters import compare_plan, exact_grid
from tests.drawn import FS
from tests.layout.pages import draw_clean, draw_styled, read_drawn_plan, read_seen_plan


@pytest.mark.medium
@pytest.mark.parametrize(
    "style",
    [
        {"gain": 5.0},
        {"gain": 20.0, "layout": "3x4"},
        {"speed": 50.0, "pulse_span": 5.0},
        {"pulse": "right"},
        {"pulse_foot": 0.0},
        {"separator": "gap", "gap": 4.0},
        {"layout": "6x2", "chest_gain": 10.0, "gain": 10.0, "pulse": "none", "separator": "none"},
    ],
    ids=str,
)
def test_scales_pulses_and_separators_are_read_as_they_were_drawn(style: dict[str, object]) -> None:
    page = draw_styled(**style)
    seen = compare_plan(page, exact_grid(page), read_drawn_plan(page))
    assert seen.is_right, seen.wrong
    assert seen.is_scaled, seen.wrong


@pytest.mark.medium
def test_chest_leads_at_half_gain_have_their_own_scale() -> None:
    page = draw_styled(layout="12x1", chest_gain=5.0)
    gains = {s.lead: s.gain_mm_per_mv for s in read_drawn_plan(page).segments}
    assert gains == {lead: 5.0 if lead.startswith("V") else 10.0 for lead in LEADS}


@pytest.mark.medium
def test_speed_and_gain_are_read_where_no_pulse_tells_them() -> None:
    texts = (Text("50 mm/s", 30.0, 208.0, 3.5), Text("5 mm/mV", 60.0, 208.0, 3.5))
    page = draw_styled(150.0, speed=50.0, gain=5.0, pulse="none", texts=texts, bottom=15.0)
    layout = read_seen_plan(page)
    assert (layout.speed_mm_per_s, layout.gain_mm_per_mv) == (50.0, 5.0)
    assert any("written" in note for note in layout.notes)
    silent = read_seen_plan(draw_styled(150.0, pulse="none"))
    assert [note.split(" assumed")[0] for note in silent.notes] == ["25 mm/s", "10 mm/mV"]


@pytest.mark.medium
def test_a_scale_at_the_foot_of_the_page_is_read_for_a_lead_far_above() -> None:
    texts = (Text("25mm/s", 15.0, 205.0, 3.5, "DejaVuSans"), Text("20mm/mV", 45.0, 205.0, 3.5, "DejaVuSans"))
    style = PageStyle(layout="strip", gain=20.0, pulse="none", top=25.0, bottom=120.0, texts=texts)
    layout = read_seen_plan(draw_clean(build_page(style, 5000, FS), 150.0))
    assert [abs(s.gain_mm_per_mv) for s in layout.segments] == [20.0]
    assert not any("assumed" in note for note in layout.notes)
