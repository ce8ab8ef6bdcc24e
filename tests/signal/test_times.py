"""When columns were recorded: following each other, along one axis, or all at once; and which strips share their time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.limb_leads import BY_I_AND_II
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.strips import name_strips
from ecgpage.signal.times import PageTimes, find_times, list_hypotheses
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.reader import Trace

FS = 500.0
ZERO_MM = 50.0
GAIN = 10.0


def beat_times(seed: int = 1, usual_s: float = 0.8) -> np.ndarray:
    """Times, s, of 30 s of beats whose distances vary by a tenth, as breathing makes them."""
    return 0.3 + np.cumsum(usual_s * np.random.default_rng(seed).uniform(0.85, 1.15, round(30 / usual_s)))


def lead_mv(lead: str, time_s: np.ndarray, beats_s: np.ndarray) -> np.ndarray:
    """Signal, mV, of one lead at each time: QRS complexes and T waves of its own sizes."""
    rng = np.random.default_rng(LEADS.index(lead))
    r, s, t = rng.uniform((0.4, -1.0, 0.1), (1.2, -0.2, 0.3))
    since = time_s[:, None] - beats_s
    waves = ((0.0, 0.012, r), (0.03, 0.012, s), (0.25, 0.05, t))
    return np.asarray(
        sum(size * np.exp(-0.5 * ((since - at) / width) ** 2) for at, width, size in waves).sum(axis=1)
    )


def draw_trace(
    lead: str,
    x0_mm: float,
    x1_mm: float,
    begins_s: float,
    beats_s: np.ndarray,
    *,
    speed: float = 25.0,
    is_strip: bool = False,
) -> Trace:
    """Trace of a lead between two page x, its first sample recorded at ``begins_s``; its segment claims to start at 0."""
    x_mm = np.arange(x0_mm, x1_mm, STEP_MM)
    mv = lead_mv(lead, begins_s + (x_mm - x0_mm) / speed, beats_s)
    mv += np.random.default_rng(7).normal(0, 0.005, len(mv))
    row = 6 if is_strip else LEADS.index(lead) % 3
    segment = Segment(lead, row, x0_mm, x1_mm, 0.0, (x1_mm - x0_mm) / 25.0, ZERO_MM, GAIN, is_strip)
    return Trace(segment, x_mm, ZERO_MM - GAIN * mv, "network", np.full(len(x_mm), 0.05))


def draw_columns(
    starts_mm: Sequence[float],
    width_mm: float,
    times_s: Sequence[float],
    *,
    speed: float = 25.0,
    usual_s: float = 0.8,
) -> list[Trace]:
    """All leads in columns that begin at these page x, mm, and show what was recorded from these times on, s."""
    per_column = len(LEADS) // len(starts_mm)
    return [
        draw_trace(
            lead,
            starts_mm[k // per_column],
            starts_mm[k // per_column] + width_mm,
            times_s[k // per_column],
            beat_times(usual_s=usual_s),
            speed=speed,
        )
        for k, lead in enumerate(LEADS)
    ]


def strip(x0_mm: float = 20.0, x1_mm: float = 270.0, seed: int = 1) -> Trace:
    return draw_trace("II", x0_mm, x1_mm, 0.0, beat_times(seed), is_strip=True)


def tell(traces: list[Trace], **layout: object) -> PageTimes:
    page = PageLayout([], [t.segment for t in traces], [], [], 25.0, GAIN, 0.9)
    return find_times(traces, replace(page, **layout), FS)  # type: ignore[arg-type]


def starts(times: PageTimes) -> list[float]:
    """Times, s, at which the columns start."""
    return sorted({round(t.segment.start_s, 3) for t in times.columns})


PITCH = 20.0 + 62.5 * np.arange(4)


@pytest.mark.parametrize("with_strip", [True, False])
def test_columns_that_touch_follow_each_other(with_strip: bool) -> None:
    found = tell(draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5)) + [strip()] * with_strip)
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]
    assert len(found.columns) == 12
    assert len(found.strips) == with_strip
    assert found.notes == ()
    assert {t.segment.duration_s for t in found.columns} == {2.5}


def test_gaps_that_are_time_are_told_by_the_strip_below() -> None:
    """Each column ends 5 mm before the next: 0.2 s are not drawn."""
    found = tell([*draw_columns(PITCH, 57.5, (0.0, 2.5, 5.0, 7.5)), strip()])
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]
    assert {round(t.segment.duration_s, 6) for t in found.columns} == {2.3}


def test_gaps_that_are_no_time_are_told_by_the_strip_below() -> None:
    """Columns of 2.3 s with 5-mm gaps that go on where the one before ended."""
    found = tell([*draw_columns(PITCH, 57.5, (0.0, 2.3, 4.6, 6.9)), strip()])
    assert starts(found) == [0.0, 2.3, 4.6, 6.9]


def test_without_a_strip_the_record_s_length_tells_what_gaps_are() -> None:
    axis = tell(draw_columns(20.0 + 63.75 * np.arange(4), 58.75, (0.0, 2.55, 5.1, 7.65)))
    assert starts(axis) == [0.0, 2.55, 5.1, 7.65]
    drawn = tell(draw_columns(20.0 + 67.5 * np.arange(4), 62.5, (0.0, 2.5, 5.0, 7.5)))
    assert starts(drawn) == [0.0, 2.5, 5.0, 7.5]


@pytest.mark.parametrize(("gap_s", "width_s"), [(0.0, 1.9), (0.25, 1.7)])
def test_without_strip_and_usual_length_the_rhythm_tells_what_gaps_are(gap_s: float, width_s: float) -> None:
    """Four columns with 6-mm blanks, which are time or not: 7.6 s and 7.55 s are no usual length of a page."""
    beats_s = 0.3 + 0.72 * np.arange(30)
    begins = (width_s + gap_s) * np.arange(4)
    traces = [
        draw_trace(
            lead,
            20 + k * (25 * width_s + 6.25),
            20 + k * (25 * width_s + 6.25) + 25 * width_s,
            begins[k],
            beats_s,
        )
        for k in range(4)
        for lead in LEADS[3 * k : 3 * k + 3]
    ]
    assert starts(tell(traces)) == pytest.approx(list(begins), abs=0.002)


def test_the_margin_is_small_where_little_speaks_for_the_times() -> None:
    """One beat in two columns and no strip, against four columns above theirs."""
    vague = tell(draw_columns((20.0, 60.0), 30.0, (0.0, 1.2), usual_s=1.1))
    clear = tell([*draw_columns(PITCH, 57.5, (0.0, 2.5, 5.0, 7.5)), strip()])
    assert vague.margin < 3 < clear.margin


@pytest.mark.parametrize(("count", "width_mm"), [(2, 125.0), (4, 62.5)])
def test_columns_that_show_the_same_seconds_start_together(count: int, width_mm: float) -> None:
    found = tell(draw_columns(20.0 + width_mm * np.arange(count), width_mm, (0.0,) * count))
    assert starts(found) == [0.0]
    assert ["same seconds" in note for note in found.notes] == [True]


def test_the_same_seconds_above_a_strip_start_together() -> None:
    found = tell([*draw_columns(PITCH, 62.5, (0.0,) * 4), strip()])
    assert starts(found) == [0.0]
    assert len(found.strips) == 1


def test_two_columns_of_other_seconds_follow_each_other() -> None:
    found = tell(draw_columns((20.0, 145.0), 125.0, (0.0, 5.0)))
    assert starts(found) == [0.0, 5.0]
    assert found.notes == ()


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_a_strip_of_another_time_is_left_out_and_that_is_said(seed: int) -> None:
    """Unless its beats happen to stand near those of the columns, as a few of ten do by chance."""
    found = tell([*draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5)), strip(seed=seed)])
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]
    assert found.strips == []
    assert ["another time" in note for note in found.notes] == [True]


def test_print_that_is_taken_for_a_further_strip_does_not_take_the_strip_away() -> None:
    print_mm = np.random.default_rng(3).choice([-1.0, 0.0, 1.5], len(strip().x_mm))
    line = replace(strip(), y_mm=ZERO_MM + print_mm, segment=replace(strip().segment, lead="V5", row=7))
    found = tell([*draw_columns((20.0, 145.0), 125.0, (0.0, 5.0)), strip(), line])
    assert starts(found) == pytest.approx([0.0, 5.0])
    assert "II" in [t.segment.lead for t in found.strips]
    assert not any("another time" in note for note in found.notes)


def test_a_strip_that_begins_left_of_the_columns_is_as_much_ahead() -> None:
    """It shows 0.4 s, 10 mm, before the columns' first sample."""
    late = draw_columns(PITCH + 10, 57.5, (0.4, 2.9, 5.4, 7.9))
    found = tell([*late, strip(20.0, 280.0)])
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]
    (below,) = found.strips
    assert (below.segment.x0_mm, below.segment.start_s) == (30.0, 0.0)
    assert below.x_mm[0] == pytest.approx(30.0, abs=STEP_MM)
    assert below.segment.duration_s == pytest.approx(10.0)


def test_a_strip_that_begins_right_of_the_columns_is_as_much_late() -> None:
    later = draw_trace("II", 25.0, 270.0, 0.2, beat_times(), is_strip=True)
    (below,) = tell([*draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5)), later]).strips
    assert below.segment.start_s == pytest.approx(0.2)


# speed


@pytest.mark.parametrize("odds", [{25.0: 0.0, 50.0: -2.8}, {25.0: 0.0, 50.0: -2.8, 12.5: -5.0}], ids=str)
def test_times_and_rate_of_the_beats_overrule_a_doubtful_speed(odds: dict[float, float]) -> None:
    starts_mm = 20.0 + 125.0 * np.arange(4)
    found = tell(draw_columns(starts_mm, 125.0, (0.0, 2.5, 5.0, 7.5), speed=50.0), speed_odds=odds)
    assert found.speed_mm_per_s == 50.0
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]
    assert ["50 mm/s" in note for note in found.notes] == [True]


def test_they_do_not_overrule_a_speed_that_is_sure_or_settled() -> None:
    traces = draw_columns(20.0 + 125.0 * np.arange(4), 125.0, (0.0, 2.5, 5.0, 7.5), speed=50.0)
    assert tell(traces, speed_odds={25.0: 0.0, 50.0: -30.0}).speed_mm_per_s == 25.0
    assert tell(traces).speed_mm_per_s == 25.0


@pytest.mark.parametrize("usual_s", [0.45, 0.8, 1.3])
def test_usual_pages_stay_at_25_whatever_the_rate(usual_s: float) -> None:
    odds = {25.0: 0.0, 50.0: -2.8, 12.5: -5.0}
    found = tell(draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5), usual_s=usual_s), speed_odds=odds)
    assert found.speed_mm_per_s == 25.0
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]


def test_the_width_of_the_beats_tells_the_speed_where_rate_and_length_are_usual_at_another() -> None:
    odds = {25.0: 0.0, 50.0: -1.5}
    traces = draw_columns(PITCH, 62.5, 1.25 * np.arange(4), speed=50.0, usual_s=0.55)
    assert tell(traces, speed_odds=odds).speed_mm_per_s == 50.0
    weights = SignalOptions().time_weights
    blind = SignalOptions(time_weights={**weights, "width": 0.0})
    page = PageLayout([], [t.segment for t in traces], [], [], 25.0, GAIN, 0.9, speed_odds=odds)
    assert find_times(traces, page, FS, blind).speed_mm_per_s == 25.0


def test_a_strip_that_begins_after_its_column_keeps_its_name() -> None:
    columns = draw_columns(PITCH, 62.5, 2.5 * np.arange(4))
    late = draw_trace("II", 23.8, 270.0, 0.152, beat_times(), is_strip=True)
    late = replace(late, segment=replace(late.segment, start_s=0.152))
    page = PageLayout([], [t.segment for t in columns], [], [], 25.0, GAIN, 0.9)
    (named,) = name_strips([late], columns, page, FS, SignalOptions())
    assert named.segment.lead == "II"


@pytest.mark.parametrize("named", [lead for lead in LEADS[:3] if lead != "II"])
def test_a_misread_name_of_a_strip_gives_way_to_the_lead_that_it_repeats_though_both_are_alike(
    named: str,
) -> None:
    columns = draw_columns(PITCH, 62.5, 2.5 * np.arange(4))
    second = columns[1]
    unlike = np.random.default_rng(5).normal(0, 0.3, len(second.y_mm))
    smooth = np.convolve(unlike, np.ones(25) / 5, "same")
    number = LEADS.index(named)
    columns[number] = replace(second, segment=columns[number].segment, y_mm=second.y_mm + smooth)
    page = PageLayout([], [t.segment for t in columns], [], [], 25.0, GAIN, 0.9)
    misread = replace(strip(), segment=replace(strip().segment, lead=named))
    (found,) = name_strips([misread], columns, page, FS, SignalOptions())
    assert found.segment.lead == "II"


@pytest.mark.parametrize("seconds_apart", [0.0, 2.5])
def test_limb_leads_tell_the_same_seconds_where_beats_cannot(seconds_apart: float) -> None:
    regular = 0.3 + 2.5 / 3 * np.arange(14)
    traces = []
    for k, trace in enumerate(draw_columns(list(PITCH), 62.5, [0.0] * 4)):
        lead, time_s = LEADS[k], seconds_apart * (k // 3) + (trace.x_mm - trace.x_mm[0]) / 25
        one, two = lead_mv("I", time_s, regular), lead_mv("II", time_s, regular)
        one += 0.1 * np.sin(2 * np.pi * time_s / 3.7)  # breath
        two += 0.1 * np.cos(2 * np.pi * time_s / 3.3)
        by_one, by_two = BY_I_AND_II.get(lead, (0.0, 0.0))
        mv = by_one * one + by_two * two if lead in BY_I_AND_II else lead_mv(lead, time_s, regular)
        traces.append(replace(trace, y_mm=ZERO_MM - GAIN * mv))
    assert starts(tell(traces)) == pytest.approx(sorted({k * seconds_apart for k in range(4)}), abs=0.01)


# numbers of axes


def numbers_of(kind: str, numbered_s: tuple[float, ...]) -> float:
    """Log probability of the numbers of axes for columns of one kind, touching ones of 2.5 s each."""
    traces = draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5))
    page = PageLayout([], [t.segment for t in traces], [], [], 25.0, GAIN, 0.9, numbered_s=numbered_s)
    found = {h.kind: h.evidence for h in list_hypotheses(traces, page, [25.0], FS)}
    return found[kind].get("numbers", 0.0)


def test_axes_that_go_on_tell_that_columns_follow_each_other() -> None:
    told = (0.0, 2.5, 5.0, 7.5)
    assert numbers_of("drawn", told) > numbers_of("together", told) + 3.0


def test_axes_that_begin_anew_speak_for_the_same_seconds_but_do_not_prove_them() -> None:
    told = (0.0,) * 4
    assert 0.5 < numbers_of("together", told) - numbers_of("drawn", told) < 3.0
    found = tell(draw_columns(PITCH, 62.5, (0.0, 2.5, 5.0, 7.5)), numbered_s=told)
    assert starts(found) == [0.0, 2.5, 5.0, 7.5]


def test_no_numbers_tell_nothing() -> None:
    assert numbers_of("together", ()) == 0.0


def test_places_by_numbers_are_not_moved_by_beats() -> None:
    late = draw_columns(20.0 + 130.0 * np.arange(2), 125.0, (0.0, 0.02))
    assert starts(tell(late, numbered_s=(0.0, 0.0))) == [0.0]
    assert starts(tell(late)) != [0.0]
