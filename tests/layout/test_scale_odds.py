"""Likelihoods of paper speed and gain: what print, pulses, lengths and beats may and may not overrule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.arrangement import Arrangement, Cell
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import Hints, LayoutOptions
from ecgpage.layout.scales import (
    find_doubt,
    find_group,
    name_rivals,
    tell_gains,
    tell_speed,
    weigh_gains,
    weigh_page,
    weigh_speeds,
    weigh_speeds_seen,
)
from ecgpage.layout.types import Gains, PrintedScales, Pulse, ScaleEvidence, SeenBeats

COLUMNS = Columns(4, 20.0, 62.5, 62.5)
"""Four columns of 2.5 s at 25 mm/s."""
SURE = 5.0
"""Log likelihood ratio of a word that is read clearly."""
Scale = TypeVar("Scale")


def pulses(width_mm: float, height_mm: float = 10.0, score: float = 0.9, count: int = 3) -> list[Pulse]:
    return [Pulse(12.0, 40.0 + 30 * k, height_mm, score, width_mm) for k in range(count)]


def printed(speed: float | None = None, gain: float | None = None) -> PrintedScales:
    speeds = {v: SURE * (v == speed) for v in (12.5, 25.0, 50.0)}
    pairs: list[Gains] = [(g, g) for g in (2.5, 5.0, 10.0, 20.0)]
    gains = {pair: SURE * (pair[0] == gain) for pair in pairs}
    return PrintedScales(speeds, gains, speed, None if gain is None else (gain, gain))


def page(
    length_mm: float = float("nan"),
    found: list[Pulse] | None = None,
    speed: float | None = None,
    *,
    columns: int = 4,
    apart_mm: float = float("nan"),
) -> ScaleEvidence:
    """What a page shows whose pulses stand beside the limb leads."""
    beside = tuple(("limb", pulse) for pulse in found or [])
    return ScaleEvidence(printed(speed), beside, length_mm, columns, beats=SeenBeats(apart_mm))


def likeliest(odds: Mapping[Scale, float]) -> Scale:
    return max(odds, key=lambda scale: odds[scale])


def lead(odds: Mapping[float, float]) -> float:
    """Log odds of the likeliest over the second."""
    first, second = sorted(odds.values())[-1:-3:-1]
    return first - second


# speed


@pytest.mark.parametrize("length_mm", [62.5, 125.0, 187.0, 250.0, 253.0])
def test_a_usual_page_without_any_sign_runs_at_25(length_mm: float) -> None:
    assert likeliest(weigh_speeds(page(length_mm))) == 25.0


@pytest.mark.parametrize(
    ("speed", "length_mm"), [(25.0, 125.0), (25.0, 500.0), (50.0, 125.0), (50.0, 250.0), (12.5, 125.0)]
)
def test_length_alone_never_overrules_print(speed: float, length_mm: float) -> None:
    assert likeliest(weigh_speeds(page(length_mm, speed=speed))) == speed


@pytest.mark.parametrize("length_mm", [125.0, 250.0])
@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_length_alone_never_overrules_clear_pulses_of_the_usual_duration(
    length_mm: float, speed: float
) -> None:
    assert likeliest(weigh_speeds(page(length_mm, pulses(0.2 * speed)))) == speed


def test_rows_longer_than_the_record_run_faster() -> None:
    """Where they are no two columns that show all of it each."""
    assert likeliest(weigh_speeds(page(500.0))) == 50.0
    assert likeliest(weigh_speeds(page(500.0, columns=2))) == 25.0


def test_long_rows_with_pulses_of_the_usual_width_stay_at_25() -> None:
    assert likeliest(weigh_speeds(page(500.0, pulses(5.0), columns=2))) == 25.0


@pytest.mark.parametrize(("speed", "apart_mm"), [(12.5, 10.0), (25.0, 20.0), (50.0, 40.0)])
def test_beats_tell_the_speed_where_rows_of_any_length_do_not(speed: float, apart_mm: float) -> None:
    odds = weigh_speeds(page(237.0, apart_mm=apart_mm))
    assert odds[speed] - weigh_speeds(page(237.0))[speed] == max(
        odds[v] - weigh_speeds(page(237.0))[v] for v in odds
    )


def test_pulses_of_half_the_duration_do_not_halve_the_speed() -> None:
    assert likeliest(weigh_speeds(page(250.0, pulses(2.5)))) == 25.0


def test_pulses_and_rows_of_half_the_length_do() -> None:
    assert likeliest(weigh_speeds(page(125.0, pulses(2.5), apart_mm=9.0))) == 12.5


def test_pulses_of_half_the_duration_under_printed_12_5_are_usual_ones() -> None:
    assert likeliest(weigh_speeds(page(125.0, pulses(2.5), 12.5))) == 12.5


def test_print_and_pulses_that_agree_are_surer_than_either() -> None:
    both = lead(weigh_speeds_seen(page(found=pulses(10.0), speed=50.0)))
    assert both > lead(weigh_speeds_seen(page(speed=50.0))) > 0
    assert likeliest(weigh_speeds_seen(page(found=pulses(10.0)))) == 50.0
    assert both > lead(weigh_speeds_seen(page(found=pulses(10.0))))


def test_many_pulses_of_one_device_tell_no_more_than_one() -> None:
    assert weigh_speeds_seen(page(found=pulses(10.0, count=12))) == weigh_speeds_seen(
        page(found=pulses(10.0, count=1))
    )


def test_pulses_that_only_boxes_show_tell_nothing_of_the_speed() -> None:
    assert weigh_speeds_seen(page(found=pulses(10.0, score=0.0))) == weigh_speeds_seen(page())


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
    assert tell_speed(odds, page(500.0, found, written), notes) == speed
    assert len(notes) == bool(said)
    assert all(note.startswith(said) for note in notes)


# gain


def gains_of(
    found: list[tuple[int, Pulse]], written: float | None = None, options: LayoutOptions = LayoutOptions()
) -> tuple[dict[str, float], list[str]]:
    """Gains, and notes, of a page of three rows by four columns, names down the columns; pulses with their rows."""
    notes: list[str] = []
    cells = tuple(Cell(name, k % 3, k // 3) for k, name in enumerate(LEADS))
    leads = Arrangement((40.0, 70.0, 100.0), COLUMNS, cells, 0.0, 1.0, 0, 0, known_order=True)
    beside = tuple((find_group(leads, COLUMNS, row, pulse), pulse) for row, pulse in found)
    seen = ScaleEvidence(printed(gain=written), beside)
    return tell_gains(weigh_gains(seen, options), seen, notes, options), notes


def both(gain: float) -> dict[str, float]:
    return {"limb": gain, "chest": gain}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("gain", [10.0, 5.0, 20.0, 2.5])
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


def test_a_shape_as_wide_as_no_pulse_tells_no_gain() -> None:
    """Two strokes of a letter have a roof, too."""
    assert gains_of([(0, pulses(5.0, 5.0)[0])])[0] == both(5.0)
    assert gains_of([(0, pulses(0.95, 5.0)[0])])[0] == both(10.0)


def test_one_of_two_pulses_at_half_the_height_of_the_other_gives_way_to_the_print() -> None:
    """A line of the grid was taken for its roof."""
    shown = [(0, pulses(4.9, 10.1)[0]), (1, pulses(4.9, 5.0)[0])]
    notes: list[str] = []
    beside = tuple(("limb", pulse) for _, pulse in shown)
    words = PrintedScales({}, {(10.0, 10.0): 4.5, (10.0, 5.0): 2.6, (5.0, 5.0): 0.0}, None, (10.0, 10.0))
    seen = ScaleEvidence(words, beside, beats=SeenBeats(limb_mm=13.0, chest_mm=21.4))
    assert tell_gains(weigh_gains(seen), seen, notes) == both(10.0)


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


# rivals


@pytest.mark.parametrize("factor", [0.5, 2 / 3, 2.0, 5.0])
def test_a_page_of_usual_sizes_fits_no_other_grid_and_one_of_odd_sizes_does(factor: float) -> None:
    usual = ScaleEvidence(
        printed(25.0, 10.0),
        tuple(("limb", pulse) for pulse in pulses(5.0)),
        250.0,
        4,
        beats=SeenBeats(20.0, 1.6, 10.0, 14.0),
    )
    assert find_doubt(usual) < 0
    wrong = usual.at(factor, factor)
    assert find_doubt(wrong) > 2.0
    assert weigh_page(usual) - weigh_page(wrong) == pytest.approx(find_doubt(wrong), abs=0.2)


def test_scales_that_are_nearly_as_likely_are_named() -> None:
    sure: Mapping[Gains, float] = {(10.0, 10.0): 0.0, (5.0, 5.0): -4.0}
    assert name_rivals({25.0: 0.0, 50.0: -4.0}, sure) == []
    assert name_rivals({25.0: 0.0, 50.0: -0.3}, sure) == ["50 mm/s is nearly as likely"]
    assert name_rivals({25.0: 0.0}, {(10.0, 10.0): 0.0, (10.0, 5.0): -0.3}) == [
        "10/5 mm/mV is nearly as likely"
    ]


# what is known beforehand


@pytest.mark.parametrize("speed", [12.5, 25.0, 50.0, 100.0])
def test_a_given_speed_overrules_print_pulses_and_length(speed: float) -> None:
    options, notes = LayoutOptions(hints=Hints(speed_mm_per_s=speed)), []
    seen = page(250.0, pulses(5.0), 25.0)
    assert tell_speed(weigh_speeds(seen, options), seen, notes) == speed
    assert notes == [f"{speed:g} mm/s as given"]


def test_a_given_gain_overrules_pulses_and_print() -> None:
    options = LayoutOptions(hints=Hints(gain_mm_per_mv=2.5))
    assert gains_of(list(enumerate(pulses(5.0))), 10.0, options) == (both(2.5), ["2.5 mm/mV as given"])


# numbers of axes


@pytest.mark.parametrize("speed", [12.5, 25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_numbers_of_axes_tell_speed_and_gain(speed: float, gain: float) -> None:
    seen = replace(page(), axes_mm=(1.003 * speed, 0.997 * gain))
    assert likeliest(weigh_speeds(seen)) == speed
    assert likeliest(weigh_gains(seen)) == (gain, gain)


def test_a_grid_on_which_the_numbers_fit_no_usual_scale_is_doubtful() -> None:
    assert find_doubt(replace(page(), axes_mm=(15.6, 6.2))) > 2.0
    assert find_doubt(replace(page(), axes_mm=(25.0, 10.0))) < 0.0


def test_numbers_alone_do_not_overrule_print_and_pulses_together() -> None:
    seen = replace(page(250.0, pulses(5.0), 25.0), axes_mm=(50.0, float("nan")))
    assert likeliest(weigh_speeds(seen)) == 25.0
