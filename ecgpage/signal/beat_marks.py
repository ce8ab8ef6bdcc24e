"""Where the heart beats in what a page shows: marks that are high in QRS complexes of any form, and their lags."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout
from ecgpage.signal.sampling import sample_trace
from ecgpage.trace.reader import Trace

BEAT_S: Final = 0.06
"""Width, s, of the smoothing that makes a QRS complex one hump."""
PEAK_SHARE: Final = 0.45
"""Height of a mark over the highest from which it is a beat."""
REFRACTORY_S: Final = 0.12
"""Least time, s, from beat to beat, whatever the speed that is tried."""
LAG_STEP: Final = 2
"""Samples from one lag to the next that is tried."""
ALL: Final = 10**9
"""More samples than any page has."""


def mark_traces(traces: Sequence[Trace], layout: PageLayout, fs: float) -> NDArray[np.float32]:
    """Beats (n,) of leads that begin together, from their beginning, at ``fs`` Hz, all leads together; NaN where none has a
    value.
    """
    marks = []
    for trace in traces:
        moved = replace(trace, segment=replace(trace.segment, start_s=0.0))
        marks.append(mark_beats(sample_trace(moved, layout, fs, ALL)[1], fs))
    n = max(map(len, marks), default=0)
    if not n:
        return np.zeros(0, np.float32)
    padded = np.stack([np.pad(m, (0, n - len(m)), constant_values=np.nan) for m in marks])
    known = np.isfinite(padded)
    filled = np.where(known, padded, 0.0)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = filled.sum(axis=1, keepdims=True) / count
    size = np.sqrt((np.where(known, padded - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count)
    together = (filled / (size + 1e-6)).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known.any(axis=0), together, np.nan).astype(np.float32)


def mark_beats(values: NDArray[np.float32], fs: float) -> NDArray[np.float32]:
    """Absolute slope (n,) of a signal, mV a sample, smoothed over BEAT_S: high in a QRS complex of any form."""
    if len(values) < 2:
        return values
    kernel = np.hanning(max(3, round(2 * BEAT_S * fs) | 1))
    known = np.isfinite(values)
    steep = np.abs(np.gradient(np.where(known, values, 0.0)))
    steep[~known | ~np.roll(known, 1) | ~np.roll(known, -1)] = 0.0
    smooth = np.convolve(steep, kernel / kernel.sum(), "same")[: len(values)]
    return np.where(known, smooth, np.nan).astype(np.float32)


def find_beats(mark: NDArray[np.float32], fs: float) -> Array:
    """Times (k,), s, of the beats of a mark (n,)."""
    filled = np.nan_to_num(mark)
    if len(filled) < fs / 2:
        return np.zeros(0)
    distance = max(1, round(REFRACTORY_S * fs))
    return find_peaks(filled, height=PEAK_SHARE * float(filled.max()), distance=distance)[0] / fs


def find_lag(
    a: NDArray[np.float32], b: NDArray[np.float32], fs: float, reach_s: float
) -> tuple[float, float]:
    """Correlation of two marks at the lag, up to ``reach_s``, at which they agree best, and that lag, s: the time of the
    first one at which the second one begins.
    """
    reach = round(reach_s * fs)
    fits = [correlate_at(a, b, lag, fs) for lag in range(-reach, reach + 1, LAG_STEP)]
    best = int(np.argmax(fits))
    return fits[best], (best * LAG_STEP - reach) / fs


def correlate_at(a: NDArray[np.float32], b: NDArray[np.float32], lag: int, fs: float) -> float:
    """Correlation coefficient of two signals where the second one begins ``lag`` samples into the first; 0 with less than
    half a second in common.
    """
    a, b = a[max(0, lag) :], b[max(0, -lag) :]
    n = min(len(a), len(b))
    x, y = a[:n], b[:n]
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() <= fs / 2 or x[both].std() == 0 or y[both].std() == 0:
        return 0.0
    return float(np.corrcoef(x[both], y[both])[0, 1])
