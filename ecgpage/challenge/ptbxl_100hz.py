"""Habits of PTB-XL's 100-Hz records, which the Challenge scores against.

Records at 100 Hz are kept beside a 500-Hz form from which the page was printed. Where the page shows the finer form, the
answer is given the coarser one's low-pass and lag, and nothing where the finer one had stopped.
"""

import logging
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import firwin

from ecgpage.core.types import Array

log = logging.getLogger(__name__)
LOW_PASS_HZ: Final = 45.0
LOW_LAG_S: Final = 0.0012
"""PTB-XL's 100-Hz form is the 500-Hz one without what is above 45 Hz, taken 1.2 ms later: least squares over 159 records of
folds 1-3 that have both, 42.5 dB of agreement on fold 4 (19.0 dB as they stand)."""
IMAGE_BAND_HZ: Final = (52.0, 85.0)
"""Where straight lines between samples 10 ms apart repeat what stands below 48 Hz."""
HOLD_S: Final = 0.1
"""PTB-XL's 500-Hz form keeps its last value for the last 0.1 s (46 to 59 samples in all 488 records of the pack), where the
100-Hz form goes on: what is printed there is no signal."""
MAX_HOLD_MV: Final = 0.01
"""Standard deviation up to which a lead stands still. On drawn pages of fold 8 all 47 such ends that were read stayed below
0.007 in all leads; elsewhere, 17 % of stretches of that length are as quiet as this limit."""
MIN_RUN: Final = 8
"""Samples; shorter pieces are not filtered, and left out."""
LOW_HZ: Final = 100
FINE_HZ: Final = 500
MIN_IMAGE: Final = 0.5
"""Correlation of that repetition with what was read. On drawn pages of fold 8 (clean, scanned, photographed; 16 each) it was
0.4 at most with 500-Hz records and 0.2 to 0.96, in eleven cases above 0.5, with 100-Hz ones."""


def low_rate_form(mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """PTB-XL's 100-Hz form (n / 5, 12) of 500-Hz signals (n, 12) mV; NaN where the signal is NaN."""
    taps = firwin(121, LOW_PASS_HZ, fs=FINE_HZ)
    out = np.full((len(mv) // (FINE_HZ // LOW_HZ), mv.shape[1]), np.nan, np.float32)
    at = np.arange(len(out)) * (FINE_HZ // LOW_HZ)
    for k, column in enumerate(mv.T):
        known = np.isfinite(column)
        for run in np.split(np.arange(len(column)), np.flatnonzero(np.diff(known.astype(int))) + 1):
            if not known[run[0]] or len(run) < MIN_RUN:
                continue
            smooth = _convolved(column[run].astype(np.float64), taps)
            inside = at[(at >= run[0]) & (at <= run[-1])]
            later = np.minimum(inside + LOW_LAG_S * FINE_HZ, run[-1])
            out[inside // (FINE_HZ // LOW_HZ), k] = CubicSpline(run, smooth)(later)
    return out


def without_hold(coarse: NDArray[np.float32], fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signals (n, 12) mV at LOW_HZ, NaN in the last HOLD_S when their form at FINE_HZ, (5 n, 12), stands still there."""
    most, least = (
        round(share * HOLD_S * FINE_HZ) for share in (0.9, 0.1)
    )  # the very end of a trace is often smudged
    end = fine[-most:-least]
    spread = np.nanstd(end[:, np.isfinite(end).mean(axis=0) > 0.5], axis=0)
    if len(spread) == 0 or spread.max() > MAX_HOLD_MV:
        return coarse
    log.info("the page stands still at its end: the last %.1f s are left out", HOLD_S)
    out = coarse.copy()
    out[-round(HOLD_S * LOW_HZ) :] = np.nan
    return out


def coarse_image(mv: NDArray[np.float32]) -> float:
    """How well signals (n, 12) mV at 500 Hz agree, in IMAGE_BAND_HZ, with what straight lines between their samples 10 ms
    apart would show there, the best over the samples' phase: high when the page was drawn from a 100-Hz record.
    """
    low, band = firwin(101, 47.0, fs=FINE_HZ), firwin(101, IMAGE_BAND_HZ, pass_zero=False, fs=FINE_HZ)
    step = FINE_HZ // LOW_HZ
    together, drawn, seen = np.zeros(2 * step), np.zeros(2 * step), 0.0
    for column in mv.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < FINE_HZ:
            continue
        at = np.arange(known[0], known[-1] + 1, dtype=np.float64)
        trace = np.interp(at, known, column[known])
        inner = slice(len(low) // 2, -(len(low) // 2))  # the filters' ends tell nothing
        smooth, high = _convolved(trace, low), _convolved(trace, band)[inner]
        seen += float(high @ high)
        for phase in range(2 * step):  # half samples
            knots = np.arange(np.ceil(at[0] / step) * step + phase / 2, at[-1], step)
            lines = np.interp(at, knots, np.interp(knots, at, smooth))
            image = _convolved(lines, band)[inner]
            together[phase] += image @ high
            drawn[phase] += image @ image
    return float((together / np.sqrt(drawn * seen + 1e-12)).max())


def _convolved(values: Array, taps: Array) -> Array:
    """Same length; the ends go on point-symmetrically."""
    half = min(len(taps) // 2, len(values) - 1)
    start, end = 2 * values[0] - values[half:0:-1], 2 * values[-1] - values[-2 : -half - 2 : -1]
    kernel = taps[len(taps) // 2 - half : len(taps) // 2 + half + 1]
    return np.convolve(
        np.concatenate([start, values, end]),
        kernel / kernel.sum() if half < len(taps) // 2 else taps,
        "valid",
    )
