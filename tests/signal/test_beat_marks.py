"""Marks of beats in any lead, the beats in them, and lags between them."""

import numpy as np
import pytest

from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.beat_marks import (
    correlate_at,
    find_beats,
    find_lag,
    mark_beats,
    mark_traces,
    measure_beats,
)
from ecgpage.trace.reader import Trace

FS = 500.0
BEATS_S = np.array([0.8, 1.9, 2.7])


def wave(beats_s: np.ndarray, seconds: float = 4.0, *, r: float = 0.9, s: float = -0.5) -> np.ndarray:
    """Signal (n,), mV: an R and an S wave at each beat, and a T wave."""
    since = np.arange(round(seconds * FS))[:, None] / FS - beats_s
    waves = ((0.0, 0.012, r), (0.03, 0.012, s), (0.25, 0.05, 0.2))
    total = sum(size * np.exp(-0.5 * ((since - at) / width) ** 2) for at, width, size in waves)
    return np.asarray(total.sum(axis=1), np.float32)


@pytest.mark.parametrize(("r", "s"), [(0.9, -0.5), (-0.9, 0.5), (0.3, -1.1)])
def test_marks_stand_at_the_beats_whichever_way_they_point(r: float, s: float) -> None:
    mark = mark_beats(wave(BEATS_S, r=r, s=s), FS)
    assert find_beats(mark, FS) == pytest.approx(BEATS_S + 0.015, abs=0.02)
    assert np.median(mark) < 0.05 * mark.max()


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_stretched_signals_have_beats_as_much_wider(stretch: float) -> None:
    at = np.arange(round(5000 * stretch)) / stretch
    leads = [
        np.interp(at, np.arange(5000), wave(BEATS_S, 10.0, r=r, s=s)).astype(np.float32)
        for r, s in ((0.9, -0.5), (-0.4, 1.1))
    ]
    width_s = measure_beats(leads, BEATS_S * stretch, FS)
    assert width_s == pytest.approx(0.05 * stretch, rel=0.25)


def test_gaps_between_beats_have_no_width_and_none_of_their_own() -> None:
    whole = wave(BEATS_S, 4.0)
    torn = whole.copy()
    torn[100:300] = np.nan
    assert measure_beats([torn], BEATS_S, FS) == pytest.approx(measure_beats([whole], BEATS_S, FS), rel=0.02)
    assert np.isnan(measure_beats([whole], np.zeros(0), FS))
    assert np.isnan(measure_beats([], BEATS_S, FS))


def test_gaps_of_a_trace_are_no_beats() -> None:
    values = np.full(1000, 0.3, np.float32)
    values[400:500] = np.nan
    mark = mark_beats(values, FS)
    assert np.isnan(mark[400:500]).all()
    assert np.nanmax(mark) == 0.0


def test_the_lag_is_the_time_of_the_first_mark_at_which_the_second_one_begins() -> None:
    first = mark_beats(wave(BEATS_S), FS)
    later = mark_beats(wave(BEATS_S - 0.15, r=-0.4, s=0.9), FS)
    fit, lag = find_lag(first, later, FS, 0.4)
    assert fit > 0.8
    assert lag == pytest.approx(0.15, abs=0.02)
    right, wrong = correlate_at(first, later, [round(0.15 * FS), 0], FS)
    assert right > wrong


def test_too_little_in_common_correlates_by_nothing() -> None:
    mark = mark_beats(wave(BEATS_S), FS)
    assert correlate_at(mark, mark, [len(mark) - round(0.4 * FS), 2 * len(mark)], FS).tolist() == [0.0, 0.0]
    assert correlate_at(mark, np.zeros_like(mark), [0], FS) == 0.0


def test_leads_that_begin_together_are_marked_together_and_a_gap_of_one_is_none_of_all() -> None:
    traces = []
    for lead, sign in (("I", 1.0), ("aVR", -1.0)):
        mv = sign * wave(BEATS_S)
        x_mm = 20 + np.arange(len(mv)) * 0.05
        y_mm = 50 - 10 * mv.astype(float)
        if lead == "I":
            y_mm[300:700] = np.nan
        segment = Segment(lead, 0, 20.0, 120.0, 2.5, 4.0, 50.0)
        traces.append(Trace(segment, x_mm, y_mm, "network", np.full(len(mv), 0.05)))
    layout = PageLayout([], [t.segment for t in traces], [], [], 25.0, 10.0, 0.9)
    mark = mark_traces(traces, layout, FS)
    assert np.isfinite(mark).all()
    assert find_beats(mark, FS) == pytest.approx(BEATS_S + 0.015, abs=0.02)
    assert len(mark_traces([], layout, FS)) == 0


def test_correlations_are_those_of_the_samples_in_common() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(2, 1, n).astype(np.float32) for n in (900, 500))
    a[rng.random(900) < 0.1] = b[40:60] = np.nan
    for lag in (-200, -3, 0, 411):
        x, y = a[max(0, lag) :], b[max(0, -lag) :]
        n = min(len(x), len(y))
        both = np.isfinite(x[:n] + y[:n])
        expected = np.corrcoef(x[:n][both], y[:n][both])[0, 1]
        assert correlate_at(a, b, [lag], FS)[0] == pytest.approx(expected, abs=1e-6)
