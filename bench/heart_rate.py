"""Heart rate of signals, by their QRS complexes: waves of 8 to 25 Hz, which T waves are not, of all leads together."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from ecgpage.core.types import Array

QRS_HZ: Final = (8.0, 25.0)
"""Frequencies of QRS complexes; T waves lie below, noise of muscles above."""
WIDTH_S: Final = 0.12
"""Width, s, of a QRS complex: its power is averaged over it."""
EDGE_S: Final = 0.08
"""Time, s, at both ends of a lead's piece that does not count: the filter rings there."""
LEAST_PIECE_S: Final = 1.0
"""Length, s, of a lead's piece, at least."""
REFRACTORY_S: Final = 0.24
"""Least time, s, from beat to beat: 250 a minute."""
SURROUNDINGS_S: Final = 3.0
"""Time, s, around a beat whose highest power it is compared with."""
LEAST_SHARE: Final = 0.2
"""Power of a QRS complex over the usual highest one and over the highest one around it, at least."""


def heart_rate(mv: NDArray[np.float32], fs: float) -> float:
    """Beats a minute of signals (n, leads), mV at ``fs`` Hz, NaN where unknown; NaN with fewer than three beats.

    By the median time from beat to beat: neither a missed beat nor a piece that no lead shows changes it.
    """
    at = find_qrs(mv, fs)
    return 60 * fs / float(np.median(np.diff(at))) if len(at) > 2 else float("nan")


def find_qrs(mv: NDArray[np.float32], fs: float) -> NDArray[np.intp]:
    """Samples of the QRS complexes of signals (n, leads), mV at ``fs`` Hz, NaN where unknown."""
    power = [_measure_power(lead, fs) for lead in np.asarray(mv, np.float64).T]
    known = np.isfinite(power)
    total = np.where(known, power, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    peaks = find_peaks(total, distance=max(1, round(REFRACTORY_S * fs)))[0]
    if not len(peaks):
        return np.zeros(0, np.intp)
    highest = maximum_filter1d(total, round(SURROUNDINGS_S * fs))[peaks]
    least = LEAST_SHARE * np.maximum(highest, float(np.median(highest)))
    return np.asarray(peaks[total[peaks] > least], np.intp)


def _measure_power(lead: Array, fs: float) -> Array:
    """Power (n,) of a lead's QRS complexes over its highest; NaN where the lead is unknown."""
    power = np.full(len(lead), np.nan)
    inside = np.flatnonzero(np.isfinite(lead))
    kernel = np.hanning(round(WIDTH_S * fs) | 1)
    band = butter(2, QRS_HZ, "bandpass", fs=fs, output="sos")
    edge = round(EDGE_S * fs)
    for piece in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
        if len(piece) < LEAST_PIECE_S * fs:
            continue
        wave = sosfiltfilt(band, lead[piece] - np.median(lead[piece]))
        smooth = np.convolve(wave**2, kernel / kernel.sum(), "same")
        power[piece[edge:-edge]] = smooth[edge:-edge]
    most = float(np.nanquantile(power, 0.98)) if np.isfinite(power).any() else 0.0
    return power / most if most > 0 else power
