"""Where the heart beats in what a page shows: marks that are high in QRS complexes of any form, and their lags."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate, find_peaks

from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout
from ecgpage.signal.sampling import sample_from_start
from ecgpage.trace.reader import Trace

BEAT_S: Final = 0.06
"""Width, s, of the smoothing that makes a QRS complex one hump."""
PEAK_SHARE: Final = 0.45
"""Height of a mark over the highest from which it is a beat."""
REFRACTORY_S: Final = 0.12
"""Least time, s, from beat to beat, whatever the speed that is tried."""
AROUND_S: Final = 0.2
"""Time, s, either way of a beat in which its width is measured."""
SLOPE_S: Final = 0.012
"""Half width, s, of the smoothing of a signal whose slopes are measured."""
LAG_STEP: Final = 2
"""Samples from one lag to the next that is tried."""
FLAT: Final = 1e-9
"""Part of a signal's squares below which those of a piece are taken for rounding."""


def mark_traces(traces: Sequence[Trace], layout: PageLayout, fs: float) -> NDArray[np.float32]:
    """Beats (n,) of leads that begin together, from their beginning, at ``fs`` Hz, all leads together; NaN where none has a
    value.
    """
    marks = [mark_beats(sample_from_start(trace, layout, fs), fs) for trace in traces]
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


def measure_beats(signals: Sequence[NDArray[np.float32]], beats_s: Array, fs: float) -> float:
    """Duration, s, in which the beats of leads that begin together rise and fall; NaN without a beat.

    Args:
        signals: of each lead (n,), mV, from the common beginning.
        beats_s: times (k,), s, of their beats.
        fs: samples per second, Hz.

    It is the width of a box that holds as much of the squared slopes as evenly: square of their sum over the sum of their
    squares, median of the beats. Stretched in time, signals have beats as much wider.
    """
    kernel = np.hanning(max(3, round(2 * SLOPE_S * fs) | 1))
    n = max(map(len, signals), default=0)
    energy = np.zeros(n)
    for mv in signals:
        known = np.isfinite(mv)
        if len(mv) <= len(kernel) or known.sum() < fs / 2:
            continue
        smooth = np.convolve(np.where(known, mv, 0.0), kernel / kernel.sum(), "same")
        steep = np.gradient(smooth) ** 2
        # where the signal is not known all around, a step is none of its own
        steep[np.convolve(~known, np.ones(len(kernel) + 2), "same")[: len(mv)] > 0] = 0.0
        energy[: len(mv)] += steep / (float(steep.mean()) + 1e-12)
    reach = round(AROUND_S * fs)
    widths = []
    for place in np.rint(np.asarray(beats_s) * fs).astype(int):
        if place < reach or place + reach >= n:
            continue
        near = energy[place - reach : place + reach + 1]
        near = np.maximum(near - np.median(near), 0.0)
        if near.any():
            widths.append(float(near.sum() ** 2 / (near**2).sum()) / fs)
    return float(np.median(widths)) if widths else float("nan")


def find_lag(
    a: NDArray[np.float32], b: NDArray[np.float32], fs: float, reach_s: float
) -> tuple[float, float]:
    """Correlation of two marks at the lag, up to ``reach_s``, at which they agree best, and that lag, s: the time of the
    first one at which the second one begins.
    """
    reach = round(reach_s * fs)
    fits = correlate_at(a, b, range(-reach, reach + 1, LAG_STEP), fs)
    best = int(np.argmax(fits))
    return float(fits[best]), (best * LAG_STEP - reach) / fs


def correlate_at(a: NDArray[np.float32], b: NDArray[np.float32], lags: Sequence[int], fs: float) -> Array:
    """Correlation coefficients (k,) of signals (n,) and (m,), the second one beginning ``lags`` (k,) samples into the first.

    Samples that are NaN in either do not count; 0 with less than half a second in common, or where one of them is flat.
    """
    both = compare_at(a, b, lags)
    # what is left of a flat piece by rounding
    use = (
        (both.count > fs / 2) & (both.spread_a > FLAT * both.total_a) & (both.spread_b > FLAT * both.total_b)
    )
    fits = np.zeros(len(lags))
    fits[use] = both.shared[use] / np.sqrt(both.spread_a[use] * both.spread_b[use])
    return np.clip(fits, -1.0, 1.0)


@dataclass(frozen=True)
class Overlap:
    """What two signals have in common at each of k lags: sums over the samples known in both, without their means."""

    count: Array
    """(k,) number of these samples."""
    spread_a: Array
    """(k,) sum of the squares of the first signal."""
    spread_b: Array
    shared: Array
    """(k,) sum of the products of both."""
    total_a: float
    """Sum of the squares of all that is known of the first signal."""
    total_b: float


def compare_at(a: NDArray[np.float32], b: NDArray[np.float32], lags: Sequence[int]) -> Overlap:
    """What signals (n,) and (m,) have in common where the second one begins ``lags`` (k,) samples into the first."""
    places = np.asarray(lags) + len(b) - 1
    inside = (places >= 0) & (places < len(a) + len(b) - 1) & bool(len(a)) & bool(len(b))
    x, y = _split_known(a), _split_known(b)

    def total(p: Array, q: Array) -> Array:
        """Sum of the products of what is in common at each lag; 0 beyond reach."""
        sums = np.zeros(len(places))
        if inside.any():
            sums[inside] = correlate(p, q, "full")[places[inside]]
        return sums

    count = np.rint(total(x[0], y[0]))
    some = np.maximum(count, 1)
    sum_a, sum_b = total(x[1], y[0]), total(x[0], y[1])
    return Overlap(
        count,
        total(x[2], y[0]) - sum_a**2 / some,
        total(x[0], y[2]) - sum_b**2 / some,
        total(x[1], y[1]) - sum_a * sum_b / some,
        float(x[2].sum()),
        float(y[2].sum()),
    )


def _split_known(values: NDArray[np.float32]) -> tuple[Array, Array, Array]:
    """Which of the values (n,) are known, as 0 and 1; they without their mean, 0 where unknown; and the squares of these."""
    known = np.isfinite(values)
    centred = np.where(known, values - (float(values[known].mean()) if known.any() else 0.0), 0.0)
    centred = centred.astype(np.float64)
    return known.astype(np.float64), centred, centred**2
