"""Beats of a window: found at any rate on what a page shows, their usual form, and intervals out of turn."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.diagnosis.beat_pattern import ABSENT as NO_PATTERN
from ecgpage.diagnosis.beat_pattern import PATTERN, pattern_of
from ecgpage.diagnosis.beats import ABSENT, BEFORE, FORM, FS, LENGTH, RHYTHM, SEQUENCE, form_of, read_beats
from ecgpage.synth.simulated_digitization import STANDARD_MASK

AMPLITUDE = np.array([0.6, 1.0, 0.5, -0.8, 0.3, 0.7, -0.4, 0.5, 0.8, 1.2, 1.1, 0.9])
II = LEADS.index("II")


def window(
    at_s: list[float], wide: tuple[int, ...] = (), noise: float = 0.01, t_mv: float = 0.25
) -> np.ndarray:
    """(12, 1000) mV of beats with their QRS complexes at ``at_s``; those in ``wide`` have no P and a broad QRS.

    ``t_mv``: height of the T wave where the QRS complex is 1 mV high.
    """
    t = np.arange(1000) / FS
    lead = np.zeros(1000)
    for k, at in enumerate(at_s):
        width, height = (0.045, 1.4) if k in wide else (0.012, 1.0)
        lead += height * np.exp(-0.5 * ((t - at) / width) ** 2) + t_mv * np.exp(
            -0.5 * ((t - at - 0.27) / 0.04) ** 2
        )
        if k not in wide:
            lead += 0.12 * np.exp(-0.5 * ((t - at + 0.16) / 0.025) ** 2)
    rng = np.random.default_rng(0)
    return np.outer(AMPLITUDE, lead) + noise * rng.standard_normal((12, 1000))


def page(x: np.ndarray) -> np.ndarray:
    return np.where(STANDARD_MASK, x, np.nan)


@pytest.mark.parametrize("rate", [35, 60, 100, 150, 210])
@pytest.mark.parametrize("noise", [0.005, 0.03])
def test_beats_are_found_at_any_rate(rate: int, noise: float) -> None:
    wanted = np.arange(0.3, 9.8, 60 / rate)
    found = read_beats(page(window(wanted.tolist(), noise=noise)))
    assert len(found.at) == len(wanted)
    assert np.abs(found.at / FS - wanted).max() <= 0.03
    assert found.rhythm[RHYTHM.index("rate")] == pytest.approx(rate, rel=0.03)
    assert found.rhythm[RHYTHM.index("spread")] < 0.05


@pytest.mark.parametrize("rate", [40, 75, 110])
@pytest.mark.parametrize("t_mv", [0.8, 1.1])
def test_a_high_t_wave_is_no_beat(rate: int, t_mv: float) -> None:
    wanted = np.arange(0.3, 9.6, 60 / rate)
    found = read_beats(page(window(wanted.tolist(), t_mv=t_mv)))
    assert len(found.at) == len(wanted)
    assert np.abs(found.at / FS - wanted).max() <= 0.03


def test_without_a_strip_the_leads_stand_in_for_each_other() -> None:
    wanted = np.arange(0.5, 9.6, 0.8)
    x = page(window(wanted.tolist()))
    x[II, :750] = np.nan
    assert np.abs(read_beats(x).at / FS - wanted).max() <= 0.03


def test_the_usual_beat_of_a_lead_is_the_one_that_it_shows_mostly() -> None:
    found = read_beats(page(window(np.arange(0.5, 9.6, 0.8).tolist(), wide=(5,)))).usual
    assert found.shape == (12, LENGTH)
    assert np.isfinite(found).all()
    for lead, amplitude in enumerate(AMPLITUDE):
        assert found[lead, BEFORE - 3 : BEFORE + 4].sum() * np.sign(amplitude) > 0
    assert np.ptp(found[II]) == pytest.approx(1.0, abs=0.1)
    assert np.abs(found[II, BEFORE - 12 : BEFORE - 7]).max() < 0.1  # the broad one is not in it


@pytest.mark.parametrize(
    ("wide", "name", "other"), [((), "early narrow", "early wide"), ((4,), "early wide", "early narrow")]
)
def test_a_premature_beat_is_counted_by_its_form(wide: tuple[int, ...], name: str, other: str) -> None:
    at = np.arange(0.5, 9.6, 0.8)
    at[4] -= 0.3
    rhythm = dict(zip(RHYTHM, read_beats(page(window(at.tolist(), wide))).rhythm, strict=True))
    assert rhythm[name] == 1
    assert rhythm[other] == 0
    assert rhythm["earliest"] == pytest.approx(0.5 / 0.8, abs=0.08)
    assert rhythm["after it"] == pytest.approx(1.1 / 0.8, abs=0.08)
    assert rhythm["its QRS"] < 0.8 if wide else rhythm["its QRS"] > 0.9


def test_a_lead_that_is_not_shown_has_no_beat() -> None:
    x = page(window([1.0, 2.0, 3.0, 4.0, 5.0]))
    x[3] = np.nan
    usual = read_beats(x).usual
    assert np.isnan(usual[3]).all()
    assert np.isfinite(usual[II]).all()


@pytest.mark.parametrize(
    "x",
    [
        np.full((12, 1000), np.nan),
        np.zeros((12, 1000)),
        np.full((12, 1000), 1e30),
        np.where(np.arange(1000) == 20, 1.0, np.full((12, 1000), np.nan)),
        window([5.0]),
        np.random.default_rng(0).standard_normal((12, 1000)),
    ],
)
def test_odd_windows_give_finite_rhythm(x: np.ndarray) -> None:
    found = read_beats(x)
    assert found.usual.shape == (12, LENGTH)
    for numbers, names in ((found.rhythm, RHYTHM), (found.form, FORM), (found.pattern, PATTERN)):
        assert numbers.shape == (len(names),)
        assert np.isfinite(numbers).all()


def test_form_tells_waves_voltages_and_axis() -> None:
    usual = np.full((12, LENGTH), np.nan, np.float32)
    at = dict(zip(LEADS, usual, strict=True))
    for lead, size in {"I": 1.0, "aVF": -1.0, "V1": -1.5, "V5": 2.0, "V6": 1.0}.items():
        at[lead][:] = 0.2  # the level before the QRS complex is zero
        at[lead][BEFORE - 3 : BEFORE + 4] += size * np.array([0.3, 0.6, 0.9, 1.0, 0.9, 0.6, 0.3])
        at[lead][BEFORE + 24 : BEFORE + 28] += 0.25 * size
    found = dict(zip(FORM, form_of(usual), strict=True))
    assert found["V5 R"] == pytest.approx(2.0)
    assert found["V1 S"] == pytest.approx(-1.5)
    assert found["V5 0 ms"] == pytest.approx(2.0)
    assert found["V5 -80 ms"] == pytest.approx(0.0, abs=1e-6)
    assert found["Sokolow-Lyon"] == pytest.approx(3.5)
    assert found["QRS axis"] == pytest.approx(-np.pi / 4)
    assert found["V5 220 ms, mean of 40"] == pytest.approx(0.25)
    assert found["II R"] == found["Cornell"] == ABSENT
    np.testing.assert_array_equal(form_of(np.stack([usual, usual]))[1], form_of(usual))


def pattern(at_s: list[float], wide: tuple[int, ...] = ()) -> dict[str, float]:
    """Numbers of the pattern of a page's beats by their names."""
    return dict(zip(PATTERN, read_beats(page(window(at_s, wide))).pattern.tolist(), strict=True))


def test_a_regular_rhythm_has_no_early_or_unlike_beat_and_constant_p_waves() -> None:
    found = pattern(np.arange(0.5, 9.6, 0.8).tolist())
    assert found["rate"] == pytest.approx(75, abs=0.5)
    assert found["early 1"] > 0.97
    assert found["early alike"] < 0.5
    assert found["unlike"] == found["early unlike"] == found["longest run of unlike"] == 0
    assert found["change above 5 %"] == 0
    assert found["rest's share"] == 1
    assert found["share with P"] == 1
    assert found["PR"] == pytest.approx(0.16, abs=0.02)
    assert found["early unlike 1"] == NO_PATTERN


def test_an_early_beat_is_told_by_its_interval_pause_and_form() -> None:
    at = np.arange(0.5, 9.6, 0.8)
    at[4] -= 0.3
    alike, unlike = pattern(at.tolist()), pattern(at.tolist(), wide=(4,))
    assert alike["early 1"] == pytest.approx(0.5 / 0.8, abs=0.03)
    assert alike["after early 1"] == pytest.approx(1.1 / 0.8, abs=0.03)
    assert alike["early alike with pause"] == pytest.approx(1, abs=0.2)
    assert alike["unlike"] == 0
    assert unlike["unlike"] == unlike["early unlike"] == unlike["longest run of unlike"] == 1
    assert unlike["early unlike 1"] == pytest.approx(0.5 / 0.8, abs=0.08)
    assert unlike["early alike"] < 0.5
    assert unlike["width of unlike"] > 0.1
    assert unlike["least likeness"] < 0.8 < unlike["second likeness"]
    for found in (alike, unlike):  # the beats beside it stay regular
        assert found["rest's change"] < 0.02
        assert found["rest's share"] < 1


def test_beats_in_a_row_are_told_from_single_ones_and_bigeminy_by_alternating_intervals() -> None:
    at = np.arange(0.5, 9.6, 0.8)
    assert pattern(at.tolist(), wide=(3, 4, 5))["longest run of unlike"] == 3
    assert pattern(at.tolist(), wide=(3, 6, 9))["longest run of unlike"] == 1
    pairs = np.sort(np.concatenate([np.arange(0.5, 9.0, 1.6), np.arange(1.0, 9.5, 1.6)]))
    found = pattern(pairs.tolist())
    assert found["alternation"] == 1
    assert found["lag 1"] < -0.7 < 0.5 < found["lag 2"]


def test_an_irregular_rhythm_without_p_waves_differs_from_a_regular_one() -> None:
    rng = np.random.default_rng(1)
    at = 0.4 + np.cumsum(rng.uniform(0.45, 1.05, 11))
    x = window(at.tolist())
    t = np.arange(1000) / FS
    for one in at:  # their P waves taken out again
        x -= np.outer(AMPLITUDE, 0.12 * np.exp(-0.5 * ((t - one + 0.16) / 0.025) ** 2))
    found = dict(zip(PATTERN, read_beats(page(x)).pattern.tolist(), strict=True))
    plain = pattern(np.arange(0.5, 9.6, 0.75).tolist())
    assert found["rest's change"] == NO_PATTERN or found["rest's change"] > 0.05
    assert found["change above 10 %"] > 0.6
    assert found["share with P"] < 0.5 < plain["share with P"]
    assert found["P height"] < 0.5 * plain["P height"]


def test_too_few_beats_have_no_pattern() -> None:
    cut = np.zeros((3, 12, LENGTH))
    assert (pattern_of(np.array([100, 200, 300]), cut, cut[0]) == NO_PATTERN).all()


def test_the_numbers_of_the_trees_begin_with_rhythm_and_form() -> None:
    found = read_beats(page(window([1.0, 2.0, 3.0, 4.0, 5.0])))
    first = len(RHYTHM) + len(FORM)
    np.testing.assert_array_equal(found.numbers[:first], np.concatenate([found.rhythm, found.form]))
    np.testing.assert_array_equal(found.numbers[first:], found.pattern)
    assert dict(zip(SEQUENCE, found.sequence, strict=True))["rate"] == pytest.approx(60, abs=2)
    np.testing.assert_array_equal(found.sequence[len(RHYTHM) :], found.pattern)
