"""Likelihoods of paper speed and gain: what print, pulses and lengths may and may not overrule."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.arrangement import Arrangement, Cell
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import Hints, LayoutOptions
from ecgpage.layout.scales import tell_gains, tell_speed, weigh_speeds, weigh_speeds_seen
from ecgpage.layout.types import Pulse

COLUMNS = Columns(4, 20.0, 62.5, 62.5)
"""Four columns of 2.5 s at 25 mm/s."""


def pulses(width_mm: float, height_mm: float = 10.0, score: float = 0.8, count: int = 3) -> list[Pulse]:
    return [Pulse(12.0, 40.0 + 30 * k, height_mm, score, width_mm) for k in range(count)]


def likeliest(odds: Mapping[float, float]) -> float:
    return max(odds, key=lambda scale: odds[scale])


def lead(odds: Mapping[float, float]) -> float:
    """Log odds of the likeliest over the second."""
    first, second = sorted(odds.values())[-1:-3:-1]
    return first - second


# speed


@pytest.mark.parametrize("length_mm", [62.5, 125.0, 187.0, 250.0, 253.0])
def test_a_usual_page_without_any_sign_runs_at_25(length_mm: float) -> None:
    assert likeliest(weigh_speeds(length_mm, [], None, 10.0)) == 25.0


@pytest.mark.parametrize(
    ("speed", "length_mm"), [(25.0, 125.0), (25.0, 500.0), (50.0, 125.0), (50.0, 250.0), (12.5, 125.0)]
)
def test_length_alone_never_overrules_print(speed: float, length_mm: float) -> None:
    assert likeliest(weigh_speeds(length_mm, [], speed, 10.0)) == speed


@pytest.mark.parametrize("length_mm", [125.0, 250.0])
@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_length_alone_never_overrules_clear_pulses_of_the_usual_duration(
    length_mm: float, speed: float
) -> None:
    assert likeliest(weigh_speeds(length_mm, pulses(0.2 * speed), None, 10.0)) == speed


def test_rows_longer_than_the_record_run_faster() -> None:
    """And nothing else does: no page shows 20 s of a record of 10 s."""
    assert likeliest(weigh_speeds(500.0, [], None, 10.0)) == 50.0


@pytest.mark.parametrize("length_mm", [125.0, 250.0])
def test_pulses_of_half_the_duration_do_not_halve_the_speed(length_mm: float) -> None:
    assert likeliest(weigh_speeds(length_mm, pulses(2.5), None, 10.0)) == 25.0


def test_pulses_of_half_the_duration_under_printed_12_5_are_usual_ones() -> None:
    assert likeliest(weigh_speeds(125.0, pulses(2.5), 12.5, 10.0)) == 12.5


def test_print_and_pulses_that_agree_are_surer_than_either() -> None:
    both = lead(weigh_speeds_seen(pulses(10.0), 50.0))
    assert both > lead(weigh_speeds_seen([], 50.0)) > 0
    assert likeliest(weigh_speeds_seen(pulses(10.0), None)) == 50.0
    assert both > lead(weigh_speeds_seen(pulses(10.0), None))


def test_many_pulses_of_one_device_tell_no_more_than_one() -> None:
    assert weigh_speeds_seen(pulses(10.0, count=12), None) == weigh_speeds_seen(pulses(10.0, count=1), None)


def test_pulses_that_only_boxes_show_tell_nothing_of_the_speed() -> None:
    assert weigh_speeds_seen(pulses(10.0, score=0.0), None) == weigh_speeds_seen([], None)


@pytest.mark.parametrize(
    ("speed", "found", "written", "said"),
    [
        (25.0, [], None, "25 mm/s assumed"),
        (25.0, pulses(5.0), None, ""),
        (25.0, [], 25.0, ""),
        (50.0, [], 50.0, "50 mm/s: it is written"),
        (50.0, pulses(10.0), None, "50 mm/s: pulses are 10 mm wide"),
        (50.0, [], None, "50 mm/s: rows of 500 mm"),
        (25.0, pulses(5.0), 50.0, "25 mm/s, though 50 mm/s"),
    ],
)
def test_the_note_names_what_the_speed_rests_on(
    speed: float, found: list[Pulse], written: float | None, said: str
) -> None:
    notes: list[str] = []
    odds = {25.0: -1.0, 50.0: -1.0, 12.5: -9.0} | {speed: 0.0}
    assert tell_speed(odds, found, written, 500.0, notes) == speed
    assert len(notes) == bool(said)
    assert all(note.startswith(said) for note in notes)


# gain


def gains_of(
    found: list[tuple[int, Pulse]], written: float | None = None, options: LayoutOptions = LayoutOptions()
) -> tuple[dict[str, float], list[str]]:
    """Gains, and notes, of a page of three rows by four columns, names down the columns; pulses with their rows."""
    notes: list[str] = []
    cells = tuple(Cell(name, k % 3, k // 3) for k, name in enumerate(LEADS))
    page = Arrangement((40.0, 70.0, 100.0), COLUMNS, cells, 0.0, 1.0, 0, 0, known_order=True)
    return tell_gains(page, found, COLUMNS, written, notes, options), notes


def both(gain: float) -> dict[str, float]:
    return {"limb": gain, "chest": gain}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("gain", [10.0, 5.0, 20.0])
def test_clear_pulses_give_the_gain(gain: float, count: int) -> None:
    """Pages of some devices show one only."""
    assert gains_of(list(enumerate(pulses(5.0, gain, count=count)))) == (both(gain), [])


def test_vague_pulses_do_not_double_the_gain() -> None:
    """Boxes reach further than what they enclose."""
    gains, notes = gains_of(list(enumerate(pulses(5.0, 20.0, score=0.0))))
    assert gains == both(10.0)
    assert ["unclear" in note for note in notes] == [True]


def test_vague_pulses_give_way_to_print_that_they_contradict() -> None:
    assert gains_of(list(enumerate(pulses(5.0, 10.0, score=0.0))), 5.0) == (both(5.0), [])


def test_clear_pulses_are_surer_than_print_and_it_is_said() -> None:
    gains, notes = gains_of(list(enumerate(pulses(5.0, 10.0))), 20.0)
    assert gains == both(10.0)
    assert ["though 20 mm/mV" in note for note in notes] == [True]


def test_pulses_at_the_right_give_the_gain_of_the_chest_leads() -> None:
    left = list(enumerate(pulses(5.0, 10.0)))
    right = [(row, replace(pulse, x_mm=272.0, height_mm=5.0)) for row, pulse in left]
    assert gains_of(left + right)[0] == {"limb": 10.0, "chest": 5.0}
    assert gains_of(right)[0] == both(5.0), "a group without pulses has the other's gain"


def test_without_any_sign_the_gain_is_assumed_and_that_is_said() -> None:
    gains, notes = gains_of([])
    assert gains == both(10.0)
    assert [note.split(":")[0] for note in notes] == ["10 mm/mV assumed"]
    assert gains_of([], 5.0) == (both(5.0), [])


# what is known beforehand


@pytest.mark.parametrize("speed", [12.5, 25.0, 50.0, 100.0])
def test_a_given_speed_overrules_print_pulses_and_length(speed: float) -> None:
    options, notes = LayoutOptions(hints=Hints(speed_mm_per_s=speed)), []
    odds = weigh_speeds(250.0, pulses(5.0), 25.0, 10.0, options)
    assert tell_speed(odds, pulses(5.0), 25.0, 250.0, notes) == speed
    assert notes == [f"{speed:g} mm/s as given"]


def test_a_given_gain_overrules_pulses_and_print() -> None:
    options = LayoutOptions(hints=Hints(gain_mm_per_mv=2.5))
    assert gains_of(list(enumerate(pulses(5.0))), 10.0, options) == (both(2.5), ["2.5 mm/mV as given"])
