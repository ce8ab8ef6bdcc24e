"""Bring signals of any rate and leads to the windows and planes that the signal networks take."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, rfft
from scipy.signal import resample_poly

from ecgpage.core.conventions import LEADS, EcgPageError, canonical_lead

FS: Final = 100
"""Sampling frequency of the networks' input, Hz; it keeps frequencies up to 50 Hz, enough for these diagnoses."""
WINDOW: Final = 10 * FS
"""Samples of one window: the 10 s of a page."""
BASELINE_SIGMA_S: Final = 0.8
"""Standard deviation, s, of the Gaussian that follows the baseline; as a high-pass it halves the power at 0.3 Hz."""
LARGEST_MV: Final = 8.0
"""Voltage, mV, at which deflections are cut: larger ones are digitization errors."""


def to_windows(signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> NDArray[np.float32]:
    """Windows (k, 12, 1000) mV at 100 Hz of a signal (n_samples, n_leads) mV at ``fs`` Hz; k may be 0.

    A record shorter than 10 s is padded with NaN; a longer one is cut into the fewest evenly spaced windows that cover it.
    Windows without a finite sample are left out.
    """
    leads = to_standard_leads(signal, fs, lead_names)  # (12, n)
    n = leads.shape[1]
    k = max(1, math.ceil(n / WINDOW))
    padded = np.full((len(LEADS), max(n, WINDOW)), np.nan, np.float32)
    padded[:, :n] = leads
    starts = np.linspace(0, padded.shape[1] - WINDOW, k).round().astype(int)
    windows = np.stack([padded[:, start : start + WINDOW] for start in starts])
    return windows[np.isfinite(windows).any((1, 2))]


def to_standard_leads(signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> NDArray[np.float32]:
    """Leads (12, n) mV at 100 Hz in the order ``LEADS`` of a signal (n_samples, n_leads) mV at ``fs`` Hz.

    A missing lead is NaN, infinite values count as missing. Of a lead named twice the second column fills gaps of the
    first. Raises EcgPageError when shape and names do not match, and for an impossible rate.
    """
    mv = np.asarray(signal, np.float64)
    if mv.ndim != 2 or mv.shape[1] != len(lead_names):
        raise EcgPageError(f"signal must be (n_samples, {len(lead_names)} leads), its shape is {mv.shape}")
    if not (math.isfinite(fs) and fs > 0):
        raise EcgPageError(f"sampling frequency must be positive, got {fs} Hz")
    standard = np.full((len(LEADS), len(mv)), np.nan)
    for column, name in zip(mv.T, lead_names, strict=True):
        lead = canonical_lead(name)
        if lead is not None:
            row = standard[LEADS.index(lead)]
            np.copyto(row, column, where=~np.isfinite(row) & np.isfinite(column))
    return resample(standard, fs, FS).astype(np.float32)


def resample(x: NDArray[np.float64], fs_in: float, fs_out: float) -> NDArray[np.float64]:
    """Signals (n_leads, ceil(n * fs_out / fs_in)) from (n_leads, n) by an anti-aliasing polyphase filter; NaN spans stay.

    Gaps are bridged by straight lines for the filter and put back afterwards, so that no NaN spreads and
    no step rings. Raises EcgPageError when ``fs_in`` is out of range.
    """
    ratio = Fraction(fs_out / fs_in).limit_denominator(10_000)
    if ratio == 1 or x.shape[1] == 0:
        return x
    if ratio == 0:
        raise EcgPageError(f"sampling frequency of {fs_in} Hz is out of range")
    finite = np.isfinite(x)
    time = np.arange(x.shape[1])
    bridged = np.zeros_like(x)
    for row, known, filled in zip(x, finite, bridged, strict=True):
        if known.any():
            filled[:] = np.interp(time, time[known], row[known])
    up, down = ratio.as_integer_ratio()
    y = resample_poly(bridged, up, down, axis=1, padtype="line")
    source = np.minimum((np.arange(y.shape[1]) * down + up // 2) // up, x.shape[1] - 1)
    y[~finite[:, source]] = np.nan
    return y


def to_planes(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Planes (n, 24, t) of windows (n, 12, t) mV at 100 Hz with NaN: leads without baseline, then masks of known samples.

    The baseline is the lead's median plus a Gaussian average over the known samples within about 2 s (normalised
    convolution, Knutsson and Westin 1993) of the lead cut at +-0.3 mV, so that neither QRS complexes nor the
    edges of a 2.5-s segment move it much.
    """
    known = np.isfinite(windows)
    mask = known.astype(np.float32)
    in_order = np.sort(np.where(known, windows, np.float32(np.inf)), -1)
    middle = ((known.sum(-1, keepdims=True) - 1) // 2).clip(0)  # the lower one of two
    level = np.take_along_axis(in_order, middle, -1)
    x = np.where(known, windows - np.where(np.isfinite(level), level, 0), 0).clip(-LARGEST_MV, LARGEST_MV)
    baseline = _smooth(x.clip(-0.3, 0.3)) / np.maximum(_smooth(mask), np.float32(1e-3))
    return np.concatenate([(x - baseline) * mask, mask], axis=1)


def baseline_kernel() -> NDArray[np.float32]:
    """Weights of the Gaussian average that follows the baseline, one a sample, which add up to 1."""
    radius = int(2.5 * BASELINE_SIGMA_S * FS)
    t = np.arange(-radius, radius + 1, dtype=np.float32)
    kernel = np.exp(-0.5 * (t / np.float32(BASELINE_SIGMA_S * FS)) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _smooth(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signals (n, 12, t) after a Gaussian low-pass along time; zeros stand beyond the ends."""
    kernel = baseline_kernel()
    size = x.shape[-1] + len(kernel) - 1
    spectrum = rfft(x, size) * rfft(kernel, size)
    start = len(kernel) // 2
    return np.asarray(irfft(spectrum, size)[..., start : start + x.shape[-1]], np.float32)
