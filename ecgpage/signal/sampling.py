"""Sample traces in millivolts at a rate, and reduce the rate of signals.

Traces hold 500 samples a second at 25 mm/s. A lower rate takes two steps: sampling at a multiple of it, at 500 Hz or more,
then a low-pass before decimation, so that nothing above half the rate is folded down.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import firwin

from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout
from ecgpage.trace.reader import PATH, Trace

FINE_HZ: Final = 500.0
"""Sampling frequency, Hz, that keeps everything a trace holds."""
PASS_SHARE: Final = 0.45
"""Cut-off of the low-pass before decimation, as a share of the lower rate."""
TAPS_PER_SAMPLE: Final = 24
"""Length of the low-pass in samples of the lower rate."""
ALL: Final = 10**9
"""More samples than any page has."""
MIN_RUN: Final = 8
"""Fewest consecutive samples that are filtered; shorter runs are left out."""


def oversampling(fs: float) -> int:
    """Factor, 1 or more, between the rate at which signals are assembled and ``fs`` Hz."""
    return max(1, math.ceil(FINE_HZ / fs - 1e-9))


def reduce_rate(mv: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Signals (n // factor, leads), mV: every ``factor``-th sample of (n, leads), low-passed; NaN where the signal is."""
    taps = firwin(factor * TAPS_PER_SAMPLE + 1, PASS_SHARE, fs=factor)
    out = np.full((len(mv) // factor, mv.shape[1]), np.nan, np.float32)
    at = np.arange(len(out)) * factor
    for lead, run in known_runs(mv):
        inside = at[(at >= run[0]) & (at <= run[-1])]
        out[inside // factor, lead] = filter_symmetric(mv[run, lead].astype(np.float64), taps)[
            inside - run[0]
        ]
    return out


def known_runs(mv: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Lead and sample indices of each run of MIN_RUN or more known samples in signals (n, leads)."""
    for lead, column in enumerate(mv.T):
        known = np.isfinite(column)
        for run in np.split(np.arange(len(column)), np.flatnonzero(np.diff(known.astype(int))) + 1):
            if len(run) >= MIN_RUN and known[run[0]]:
                yield lead, run


def filter_symmetric(values: Array, taps: Array) -> Array:
    """Values (n,) filtered by a symmetric FIR filter, (n,); the ends are extended point-symmetrically."""
    half = min(len(taps) // 2, len(values) - 1)
    start, end = 2 * values[0] - values[half:0:-1], 2 * values[-1] - values[-2 : -half - 2 : -1]
    kernel = taps[len(taps) // 2 - half : len(taps) // 2 + half + 1]
    return np.convolve(
        np.concatenate([start, values, end]),
        kernel / kernel.sum() if half < len(taps) // 2 else taps,
        "valid",
    )


def sample_trace(
    trace: Trace, layout: PageLayout, fs: float, n_samples: int
) -> tuple[int, NDArray[np.float32]]:
    """Index of the first sample, and values in mV, of one trace at ``fs`` Hz; NaN where the trace has a gap.

    A cubic spline goes through the points of a network's trace, straight lines through those of a path, as they are drawn.
    """
    segment = trace.segment
    time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / layout.speed_mm_per_s
    volts = (segment.zero_mm - trace.y_mm) / segment.gain_mm_per_mv
    first = round(segment.start_s * fs)
    last = max(first, min(n_samples, round((segment.start_s + segment.duration_s) * fs)))
    wanted = np.arange(first, last) / fs
    known = np.isfinite(volts)
    if known.sum() < 4:
        return first, np.full(last - first, np.nan, np.float32)
    if trace.source == PATH:
        inside = np.clip(wanted, time_s[0], time_s[-1])
        return first, np.interp(inside, time_s, volts).astype(np.float32)
    values = CubicSpline(time_s[known], volts[known])(np.clip(wanted, time_s[known][0], time_s[known][-1]))
    nearest = np.clip(np.rint((wanted - time_s[0]) / (time_s[1] - time_s[0])).astype(int), 0, len(time_s) - 1)
    values[~known[nearest]] = np.nan
    return first, values.astype(np.float32)


def sample_from_start(trace: Trace, layout: PageLayout, fs: float) -> NDArray[np.float32]:
    """Values (n,), mV, of one trace at ``fs`` Hz from its own beginning to its end, whenever that is."""
    moved = replace(trace, segment=replace(trace.segment, start_s=0.0))
    return sample_trace(moved, layout, fs, ALL)[1]


def median_offset(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    """Median difference, mV, of two readings of one lead where both are known; 0 where they never are."""
    both = np.isfinite(fixed) & np.isfinite(moving)
    return float(np.median(fixed[both] - moving[both])) if both.any() else 0.0
