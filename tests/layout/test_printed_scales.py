"""Printed scales: what words on a page tell, and what they do not."""

import numpy as np
import pytest

from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.printed_scales import weigh_known_print, weigh_print
from ecgpage.layout.text_reader import WORDS, RecognisedText
from ecgpage.layout.types import PrintedScales

SPEEDS = (25.0, 50.0, 12.5)


def weigh(*words: tuple[float, float, dict[str, float]]) -> PrintedScales:
    """Likelihoods of words at page x, y, mm, with the probability of each reading."""
    chances = np.zeros((len(words), len(WORDS)))
    for k, (_, _, told) in enumerate(words):
        for word, chance in told.items():
            chances[k, WORDS.index(word)] = chance
    total = chances.sum(axis=1)
    places = np.array([(x, y) for x, y, _ in words]).reshape(-1, 2)
    return weigh_print(RecognisedText(places, total, chances / np.maximum(total[:, None], 1e-9)), SPEEDS)


def by(scales: dict[float, float] | object, one: object, other: object) -> float:
    return scales[one] - scales[other]  # type: ignore[index]


def test_nothing_read_tells_nothing() -> None:
    found = weigh()
    assert found.speed is None
    assert found.gain is None
    assert len(set(found.speeds.values())) == 1


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_a_clear_line_of_both_counts(speed: float, gain: float) -> None:
    found = weigh((20, 190, {f"{speed:g} mm/s": 0.999}), (45, 190, {f"{gain:g} mm/mV": 0.999}))
    assert (found.speed, found.gain) == (speed, (gain, gain))


def test_a_second_word_on_the_line_makes_an_unsure_one_sure() -> None:
    alone = weigh((20, 190, {"50 mm/s": 0.8}))
    both = weigh((20, 190, {"50 mm/s": 0.8}), (45, 190, {"10 mm/mV": 0.8}))
    apart = weigh((20, 190, {"50 mm/s": 0.8}), (45, 60, {"10 mm/mV": 0.8}))
    assert by(both.speeds, 50.0, 25.0) > by(alone.speeds, 50.0, 25.0) + 1.0
    assert by(both.speeds, 50.0, 25.0) > by(apart.speeds, 50.0, 25.0) + 1.0


def test_a_clear_pair_outweighs_a_third_word_of_its_line() -> None:
    """Such as "2*2.5s", which looks like a speed."""
    line = (13, 203, {"10 mm/mV": 0.999}), (29, 203, {"50 mm/s": 0.995}), (46, 203, {"12.5 mm/s": 0.81})
    assert weigh(*line).speed == 50.0


def test_a_swarm_of_vague_words_tells_hardly_anything() -> None:
    swarm = weigh(*[(30.0 * k, 25.0 * (k % 5), {"50 mm/s": 0.7}) for k in range(12)])
    assert swarm.speed is None
    assert by(swarm.speeds, 50.0, 25.0) < 2.0


def test_what_a_word_may_also_be_is_kept() -> None:
    line = (50, 250, {"25 mm/s": 0.999}), (75, 250, {"20 mm/mV": 0.72, "10 mm/mV": 0.2})
    assert 0.5 < by(weigh(*line).gains, (20.0, 20.0), (10.0, 10.0)) < 2.5


def test_two_gains_in_order_are_those_of_limb_and_chest_leads() -> None:
    speed = (20.0, 190.0, {"25 mm/s": 0.999})
    mixed = weigh(speed, (45, 190, {"10 mm/mV": 0.999}), (75, 190, {"5 mm/mV": 0.999}))
    assert mixed.gain == (10.0, 5.0)
    turned = weigh(speed, (45, 190, {"5 mm/mV": 0.999}), (75, 190, {"10 mm/mV": 0.999}))
    assert turned.gain != (10.0, 5.0)


def test_one_gain_printed_twice_is_that_of_all_leads() -> None:
    """As in "Limb: 10 mm/mV Chest: 10.0 mm/mV"."""
    speed = (20.0, 190.0, {"25 mm/s": 0.999})
    found = weigh(speed, (45, 190, {"10 mm/mV": 0.999}), (75, 190, {"10 mm/mV": 0.999}))
    assert found.gain == (10.0, 10.0)


def test_scales_that_were_read_for_certain_count_as_much_as_the_options_say() -> None:
    found = weigh_known_print(50.0, None, SPEEDS)
    assert by(found.speeds, 50.0, 25.0) == LayoutOptions().print_odds
    assert (found.speed, found.gain) == (50.0, None)
    assert set(found.gains.values()) == {0.0}
