"""Runs, clipping and another rate, against sums that can be done by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgpage.core.conventions import LEADS
from ecgpage.export.samples import change_rate, clip_signal, find_runs


@given(mask=st.lists(st.booleans(), max_size=40))
def test_runs_put_together_are_the_mask(mask: list[bool]) -> None:
    rebuilt = [False] * len(mask)
    runs = find_runs(np.array(mask, bool))
    for start, stop in runs:
        rebuilt[start:stop] = [True] * (stop - start)
    assert rebuilt == mask
    assert all(a[1] < b[0] for a, b in pairwise(runs))  # apart, in order


def test_clipping_counts_samples_and_keeps_gaps() -> None:
    signal = np.zeros((5, 12))
    signal[:3, 2], signal[0, 7], signal[4, 7] = 33.0, -40.0, np.nan
    values, notes = clip_signal(signal, LEADS)
    assert notes == (
        "III: 3 samples beyond 32.767 mV clipped to it",
        "V2: 1 sample beyond 32.767 mV clipped to it",
    )
    assert (values[0, 2], values[0, 7]) == (32.767, -32.767)
    assert np.isnan(values[4, 7])


def test_the_limit_itself_is_not_clipped() -> None:
    assert clip_signal(np.full((3, 12), 32.767, np.float32), LEADS)[1] == ()


@pytest.mark.parametrize(("fs", "new_fs"), [(100.0, 500.0), (500.0, 250.0), (1250.0, 500.0), (360.5, 500.0)])
def test_a_slow_sine_is_the_same_at_another_rate(fs: float, new_fs: float) -> None:
    sine = np.sin(2 * np.pi * 4 * np.arange(round(4 * fs)) / fs)[:, None]
    found = change_rate(sine, fs, new_fs)
    expected = np.sin(2 * np.pi * 4 * np.arange(len(found)) / new_fs)[:, None]
    assert len(found) == round(len(sine) * new_fs / fs)
    np.testing.assert_allclose(found[30:-30], expected[30:-30], atol=0.003)  # pass band even to 0.25 %


def test_what_the_lower_rate_cannot_hold_is_not_folded_down() -> None:
    fast = np.sin(2 * np.pi * 200 * np.arange(5000) / 1000)[:, None]  # would become 50 Hz at 250 Hz
    assert np.abs(change_rate(fast, 1000.0, 250.0)[50:-50]).max() < 0.01


@given(
    runs=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6),
    new_fs=st.sampled_from([200.0, 250.0, 500.0]),
    fs=st.sampled_from([100.0, 360.5, 1250.0]),
)
@settings(max_examples=40, deadline=None)
def test_gaps_keep_their_places_and_nothing_leaks_into_them(
    runs: list[tuple[int, int]], new_fs: float, fs: float
) -> None:
    level = np.concatenate([np.r_[np.full(gap, np.nan), np.full(known, 1.5)] for gap, known in runs])
    found = change_rate(level[:, None], fs, new_fs)[:, 0]
    nearest = np.minimum(np.rint(np.arange(len(found)) * fs / new_fs).astype(int), len(level) - 1)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(level)[nearest])
    np.testing.assert_allclose(found[np.isfinite(found)], 1.5, atol=1e-9)
