"""Limb leads correct each other; 100-Hz forms of 500-Hz signals."""

import numpy as np
import pytest

from ecgpage.challenge.ptbxl_100hz import LOW_LAG_S, MIN_IMAGE, blank_flat_tail, low_rate_form, spectral_image
from ecgpage.signal.limb_leads import Part, is_upside_down, reconcile_limb_leads
from tests.drawn import FS, record
from tests.limb_leads import NOISE_MV, lawful, part


def error(found: Part) -> float:
    """Root mean square in mV without the constant."""
    return float(np.std(found.mv - lawful(found.lead)))


@pytest.mark.parametrize("leads", [("I", "II", "III"), ("aVR", "aVL", "aVF"), ("I", "II", "III", "II")])
def test_redundant_readings_lose_a_part_of_their_noise(leads: tuple[str, ...]) -> None:
    before = [part(lead, NOISE_MV, seed) for seed, lead in enumerate(leads)]
    after = reconcile_limb_leads(before, FS)
    ratio = np.mean([error(b) ** 2 for b in after]) / np.mean([error(b) ** 2 for b in before])
    # two leads stand behind three or four readings
    assert ratio == pytest.approx(2 / len(leads), abs=0.1)


def test_a_worse_reading_learns_from_the_better_ones() -> None:
    before = [part("I", 0.005, 1), part("II", 0.005, 2), part("III", 0.06, 3)]
    after = reconcile_limb_leads(before, FS)
    assert error(after[2]) < 0.35 * error(before[2])
    assert error(after[0]) < 1.1 * error(before[0])


def test_readings_that_stand_apart_in_time_are_brought_together() -> None:
    lags = {"I": 0.001, "II": -0.001, "III": 0.0}
    before = [part(lead, 0.004, k, lag_s=lag) for k, (lead, lag) in enumerate(lags.items())]
    after = reconcile_limb_leads(before, FS)
    assert sum(error(p) ** 2 for p in after) < 0.6 * sum(error(p) ** 2 for p in before)


def test_levels_stay_where_they_were() -> None:
    before = [part(lead, 0.004, k) for k, lead in enumerate(("I", "II", "III"))]
    raised = Part("III", 0, before[2].mv + 0.3, before[2].sigma_mv)
    after = reconcile_limb_leads([*before[:2], raised], FS)
    assert np.mean(after[2].mv - raised.mv) == pytest.approx(0, abs=0.02)


def test_contradicting_readings_stay_as_they_are() -> None:
    before = [part("I", 0.004, 1), part("II", 0.004, 2), part("III", 0.004, 3)]
    wrong = Part("III", 0, np.roll(before[2].mv, 200), before[2].sigma_mv)
    after = reconcile_limb_leads([*before[:2], wrong], FS)
    assert np.array_equal(after[2].mv, wrong.mv)
    assert np.array_equal(after[0].mv, before[0].mv)


def test_nothing_is_added_where_nothing_was_read() -> None:
    before = [part("aVR", NOISE_MV, 1), part("aVL", NOISE_MV, 2), part("aVF", NOISE_MV, 3)]
    before[1].mv[300:420] = np.nan
    after = reconcile_limb_leads(before, FS)
    assert np.array_equal(np.isnan(after[1].mv), np.isnan(before[1].mv))
    assert np.isfinite(after[0].mv).all()


def test_two_readings_and_chest_leads_are_left_alone() -> None:
    before = [part("I", NOISE_MV, 1), part("aVL", NOISE_MV, 2)]
    chest = Part("V1", 0, before[0].mv * 2, before[0].sigma_mv)
    for old, new in zip([*before, chest], reconcile_limb_leads([*before, chest], FS), strict=True):
        assert np.array_equal(old.mv, new.mv)


@pytest.mark.parametrize("others", [("I", "aVL"), ("aVL", "aVF"), ("I", "II", "III", "aVL", "aVF")])
def test_the_laws_tell_the_sign_of_a_lead(others: tuple[str, ...]) -> None:
    upright = [part(lead, NOISE_MV, seed) for seed, lead in enumerate(("aVR", *others))]
    turned = [Part("aVR", 0, -upright[0].mv, upright[0].sigma_mv), *upright[1:]]
    assert not is_upside_down(upright, "aVR", FS)
    assert is_upside_down(turned, "aVR", FS)


def test_no_sign_is_told_by_too_few_or_unlawful_leads() -> None:
    turned = Part("aVR", 0, -part("aVR", NOISE_MV, 1).mv, np.full(1250, NOISE_MV))
    assert not is_upside_down([turned, part("I", NOISE_MV, 2)], "aVR", FS)
    strange = Part("aVL", 0, np.roll(part("aVL", NOISE_MV, 3).mv, 300), np.full(1250, NOISE_MV))
    assert not is_upside_down([turned, strange, part("aVF", NOISE_MV, 4)], "aVR", FS)


def test_the_low_rate_form_is_the_slow_part_a_little_later() -> None:
    t = np.arange(5000) / FS
    slow, fast = np.sin(2 * np.pi * 11 * t), 0.5 * np.sin(2 * np.pi * 80 * t)
    mv = np.full((5000, 12), np.nan, np.float32)
    mv[:, 0] = slow + fast
    mv[500:1750, 3] = slow[500:1750]
    low = low_rate_form(mv)
    at = np.arange(1000) / 100 + LOW_LAG_S
    assert low.shape == (1000, 12)
    assert np.abs(low[20:-20, 0] - np.sin(2 * np.pi * 11 * at)[20:-20]).max() < 0.02
    assert np.array_equal(np.isfinite(low[:, 3]), (np.arange(1000) >= 100) & (np.arange(1000) < 350))
    assert np.isnan(low[:, 1]).all()


def test_a_page_drawn_from_a_100_hz_record_shows_its_corners() -> None:
    fine = record().astype(np.float32)
    knots = np.arange(0, len(fine), 5)
    coarse = np.stack([np.interp(np.arange(len(fine)), knots, column[knots]) for column in fine.T], axis=1)
    assert spectral_image(coarse.astype(np.float32)) > MIN_IMAGE
    assert spectral_image(fine) < spectral_image(coarse.astype(np.float32)) - 0.2


@pytest.mark.parametrize(("still", "left"), [(True, 990), (False, 1000)])
def test_a_held_end_is_no_signal(still: bool, left: int) -> None:
    mv = np.full((5000, 12), np.nan, np.float32)
    mv[3750:, 9:] = record()[3750:, 9:] + 0.2 * np.sin(np.arange(1250) / 9)[:, None]
    if still:
        mv[4950:] = mv[4950] + np.random.default_rng(1).normal(0, 0.003, (50, 12))
    mv[:1250, 0] = 0.0  # what ends earlier says nothing
    coarse = low_rate_form(mv)
    found = blank_flat_tail(coarse, mv)
    assert np.isfinite(found[:, 9:]).sum(axis=0).tolist() == [left - 750] * 3
    assert np.array_equal(found[:left], coarse[:left], equal_nan=True)


def test_an_empty_page_has_no_held_end() -> None:
    empty = np.full((1000, 12), np.nan, np.float32)
    assert np.isnan(blank_flat_tail(empty, np.full((5000, 12), np.nan, np.float32))).all()
