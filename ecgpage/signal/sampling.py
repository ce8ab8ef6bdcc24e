"""Samples of a trace at a rate, in millivolts."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ecgpage.layout.types import PagePlan
from ecgpage.trace.reader import Trace


def sample_trace(trace: Trace, plan: PagePlan, fs: float, n_samples: int) -> tuple[int, NDArray[np.float32]]:
    """First sample index and values in mV of one trace at ``fs``; NaN where the trace has a gap."""
    segment = trace.segment
    time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / plan.speed_mm_per_s
    volts = (segment.zero_mm - trace.y_mm) / segment.gain_mm_per_mv
    first = round(segment.start_s * fs)
    last = min(n_samples, round((segment.start_s + segment.duration_s) * fs))
    wanted = np.arange(first, last) / fs
    known = np.isfinite(volts)
    if known.sum() < 4:
        return first, np.full(last - first, np.nan, np.float32)
    values = CubicSpline(time_s[known], volts[known])(np.clip(wanted, time_s[known][0], time_s[known][-1]))
    nearest = np.clip(np.rint((wanted - time_s[0]) / (time_s[1] - time_s[0])).astype(int), 0, len(time_s) - 1)
    values[~known[nearest]] = np.nan
    return first, values.astype(np.float32)


def common_level(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    both = np.isfinite(fixed) & np.isfinite(moving)
    return float(np.median(fixed[both] - moving[both])) if both.any() else 0.0
