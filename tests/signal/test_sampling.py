"""Lower rates: nothing above half the rate is folded down, gaps stay gaps."""

import numpy as np
import pytest

from ecgpage.signal.sampling import oversampling, reduce_rate


def wave(hz: float, fs: float, seconds: float = 4.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * fs)) / fs).astype(np.float32)[:, None]


@pytest.mark.parametrize(("fs", "factor"), [(500, 1), (1000, 1), (250, 2), (257, 2), (100, 5), (120, 5)])
def test_low_rates_are_read_at_500_hz_or_more(fs: float, factor: int) -> None:
    assert oversampling(fs) == factor


@pytest.mark.parametrize("factor", [2, 5])
def test_what_a_lower_rate_can_hold_is_kept(factor: int) -> None:
    slow = reduce_rate(wave(0.2 * 500 / factor, 500.0), factor)
    true = wave(0.2 * 500 / factor, 500.0 / factor)
    assert slow.shape == true.shape
    np.testing.assert_allclose(slow[30:-30], true[30:-30], atol=0.01)


@pytest.mark.parametrize("factor", [2, 5])
def test_what_it_cannot_hold_is_not_folded_down(factor: int) -> None:
    assert np.abs(reduce_rate(wave(0.7 * 500 / factor, 500.0), factor)[30:-30]).max() < 0.01


def test_gaps_stay_gaps() -> None:
    mv = np.repeat(wave(5.0, 500.0), 2, axis=1)
    mv[500:700, 0] = np.nan
    slow = reduce_rate(mv, 5)
    assert np.isnan(slow[100:140, 0]).all()
    assert np.isfinite(slow[:100, 0]).all()
    assert np.isfinite(slow[:, 1]).all()
