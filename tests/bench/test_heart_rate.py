"""The heart rate by QRS complexes, which tall T waves, noise and pieces that no lead shows do not change."""

import numpy as np
import pytest

from bench.heart_rate import find_qrs, heart_rate

FS = 500.0


def beats(rate: float, t_mv: float, seconds: float = 10.0) -> np.ndarray:
    """(n, 12) mV: QRS complexes 80 ms wide at a rate, beats a minute, and T waves of a height 0.3 s after them."""
    t = np.arange(round(seconds * FS)) / FS
    at = np.arange(0.4, seconds - 0.4, 60 / rate)[:, None]
    qrs = np.exp(-0.5 * ((t - at) / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((t - at - 0.03) / 0.012) ** 2)
    wave = t_mv * np.exp(-0.5 * ((t - at - 0.3) / 0.05) ** 2)
    sizes = np.linspace(0.4, 1.6, 12) * np.where(np.arange(12) % 3, 1, -1)
    noise = np.random.default_rng(4).normal(0, 0.02, (len(t), 12))
    return ((qrs + wave).sum(axis=0)[:, None] * sizes + noise).astype(np.float32)


@pytest.mark.parametrize("rate", [42.0, 75.0, 135.0])
@pytest.mark.parametrize("t_mv", [0.2, 1.5])
def test_t_waves_are_no_beats(rate: float, t_mv: float) -> None:
    assert heart_rate(beats(rate, t_mv), FS) == pytest.approx(rate, rel=0.01)


def test_leads_in_columns_give_the_rate_of_all() -> None:
    mv = beats(75.0, 1.0)
    shown = np.full_like(mv, np.nan)
    for column in range(4):
        here = slice(column * 1250, (column + 1) * 1250)
        shown[here, 3 * column : 3 * column + 3] = mv[here, 3 * column : 3 * column + 3]
    assert heart_rate(shown, FS) == pytest.approx(75.0, rel=0.01)


def test_nothing_known_has_no_beats() -> None:
    mv = np.full((5000, 12), np.nan, np.float32)
    assert len(find_qrs(mv, FS)) == 0
    assert np.isnan(heart_rate(mv, FS))
