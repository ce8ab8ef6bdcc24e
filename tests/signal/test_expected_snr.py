"""How good a lead is expected to be, which leads are left out for it, and how that is measured."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.assembly import assemble
from ecgpage.signal.expected_snr import TYPICAL_LAG_S, PageErrors, expect
from ecgpage.signal.limb_leads import Part, estimate_errors
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.types import PageSignals
from ecgpage.trace.reader import Trace
from tests.drawn import FS, record
from tests.limb_leads import part

TIMES = np.arange(1250) / FS


def wave(hz: float, sigma_mv: float, level_mv: float = 0.0) -> Part:
    return Part("V1", 0, level_mv + np.sin(2 * np.pi * hz * TIMES), np.full(len(TIMES), sigma_mv))


def snr_db(found: Part, lag_s: float = 0.0) -> float:
    expected = expect(found, FS, PageErrors(lag_s))
    assert expected is not None
    return expected.reader_snr_db


def test_ten_times_the_error_is_20_db_less() -> None:
    assert snr_db(wave(1, 0.02)) - snr_db(wave(1, 0.2)) == pytest.approx(20, abs=0.1)


def test_an_error_of_time_costs_steep_leads_most() -> None:
    slow, steep = (snr_db(wave(hz, 0.02)) - snr_db(wave(hz, 0.02), 0.001) for hz in (1, 10))
    assert slow < 1
    assert steep > 10


def test_a_lag_that_nobody_knows_is_a_typical_one() -> None:
    assert snr_db(wave(5, 0.02), float("nan")) == snr_db(wave(5, 0.02), TYPICAL_LAG_S)


def test_levels_and_gaps_change_little() -> None:
    gap = wave(5, 0.02)
    gap.mv[300:400] = np.nan
    assert snr_db(wave(5, 0.02, 3.0)) == pytest.approx(snr_db(wave(5, 0.02)))
    assert snr_db(gap, 0.001) == pytest.approx(snr_db(wave(5, 0.02), 0.001), abs=0.5)


def test_a_reading_without_samples_has_no_expectation() -> None:
    assert expect(Part("V1", 0, np.full(9, np.nan), np.ones(9)), FS, PageErrors(0.0)) is None


@pytest.mark.parametrize("lag_s", [0.0, 0.002])
def test_the_limb_leads_tell_how_far_readings_stand_apart(lag_s: float) -> None:
    lags = {"I": lag_s, "II": -lag_s, "III": 0.0}
    parts = [part(lead, 0.004, k, lag_s=lag) for k, (lead, lag) in enumerate(lags.items())]
    assert estimate_errors(parts, FS)[0] == pytest.approx(lag_s * (2 / 3) ** 0.5, abs=0.0004)
    assert np.isnan(estimate_errors(parts[:2], FS)[0])


def test_limb_leads_that_disagree_and_large_pixels_are_told_though_the_reader_does_not_know() -> None:
    page = PageErrors(0.0, 0.0)
    known = expect(wave(5, 0.02), FS, page)
    for worse in (
        PageErrors(0.0, 0.01),
        PageErrors(0.0, 0.0, pixel_s=0.02),
        PageErrors(0.0, 0.0, pixel_mv=0.1),
    ):
        found = expect(wave(5, 0.02), FS, worse)
        assert known is not None
        assert found is not None
        assert found.snr_db < known.snr_db
        assert found.reader_snr_db == known.reader_snr_db


@pytest.mark.parametrize("noise_mv", [0.005, 0.02])
def test_the_limb_leads_tell_how_much_they_disagree(noise_mv: float) -> None:
    parts = [part(lead, noise_mv, k) for k, lead in enumerate(("I", "II", "III"))]
    slope = np.mean([np.gradient(p.mv) * FS for p in parts], axis=0)
    assert estimate_errors(parts, FS)[1] == pytest.approx(noise_mv / slope.std(), rel=0.5)
    assert np.isnan(estimate_errors(parts[:2], FS)[1])


def read(sigma_mm: float, source: str, *, gate: bool, gain: float = 10.0) -> PageSignals:
    """V1 of one page of 10 mm/mV, drawn at ``gain`` mm/mV itself, with an expected error."""
    segment = Segment("V1", 0, 10.0, 72.5, 0.0, 2.5, 50.0, gain)
    x_mm = 10 + np.arange(1251) * 0.05
    mv = np.interp((x_mm - 10) / 25, np.arange(5000) / FS, record()[:, LEADS.index("V1")])
    trace = Trace(segment, x_mm, 50 - gain * mv, source, np.full(len(x_mm), sigma_mm))
    layout = PageLayout([], [segment], [], [], 25.0, 10.0, 1.0)
    return assemble([trace], layout, FS, 5000, SignalOptions(min_snr_db=0.0 if gate else -np.inf))


@pytest.mark.parametrize(
    ("sigma_mm", "source", "gate", "given"),
    [
        (0.2, "network", True, True),
        (30.0, "network", True, False),
        (30.0, "network", False, True),
    ],
)
def test_a_lead_expected_to_be_noise_is_left_out(
    sigma_mm: float, source: str, gate: bool, given: bool
) -> None:
    signals = read(sigma_mm, source, gate=gate)
    reading = signals.readings[LEADS.index("V1")]
    assert bool(np.isfinite(signals.mv[:1200, LEADS.index("V1")]).all()) == given
    assert (reading.source == source) == given
    assert ("more noise than signal" in reading.reason) != given
    assert np.isfinite(reading.snr_db) == given


def test_a_lead_at_half_gain_has_twice_the_error_in_millivolts() -> None:
    full, half = (
        read(0.05, "network", gate=True, gain=gain).readings[LEADS.index("V1")].expectation
        for gain in (10.0, 5.0)
    )
    assert full is not None
    assert half is not None
    assert half.terms[0] == pytest.approx(4 * full.terms[0])
    assert half.power == pytest.approx(full.power, rel=1e-3)
