"""Habits of PTB-XL's 100-Hz records, which the Challenge scores against.

Records at 100 Hz are kept beside a 500-Hz form from which the page was printed. Where the page shows the finer form, the
answer is given the coarser one's low-pass and lag, and nothing where the finer one had stopped.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import firwin

from ecgpage.pipeline import Digitizer
from ecgpage.results import RecordReading
from ecgpage.signal.sampling import filter_symmetric, known_runs

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
LOW_HZ: Final = 100
FINE_HZ: Final = 500
MIN_IMAGE: Final = 0.5
"""Correlation of that repetition with what was read. On drawn pages of fold 8 (clean, scanned, photographed; 16 each) it was
0.4 at most with 500-Hz records and 0.2 to 0.96, in eleven cases above 0.5, with 100-Hz ones."""


def read_record(
    digitizer: Digitizer, paths: Sequence[str | Path], fs: float, n_samples: int
) -> RecordReading:
    """Signals of one record as ``Digitizer.read_record`` gives them; of 100-Hz records in the form that PTB-XL keeps.

    A page that repeats a 100-Hz record gives its samples as they stand, any other its low-pass and lag.
    """
    if fs != LOW_HZ:
        return digitizer.read_record(paths, fs, n_samples)
    step = FINE_HZ // LOW_HZ
    fine = digitizer.read_record(paths, FINE_HZ, n_samples * step)
    image = spectral_image(fine.shown)
    log.info("100 Hz asked for; the page repeats a 100-Hz record with correlation %.2f", image)
    repeats = image >= MIN_IMAGE
    shown = fine.shown[::step] if repeats else blank_flat_tail(low_rate_form(fine.shown), fine.shown)
    return replace(fine, mv=shown[:n_samples], whole_page=shown if len(shown) > n_samples else None)


def low_rate_form(mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """PTB-XL's 100-Hz form (n / 5, 12) of 500-Hz signals (n, 12) mV; NaN where the signal is NaN."""
    taps, step = firwin(121, LOW_PASS_HZ, fs=FINE_HZ), FINE_HZ // LOW_HZ
    out = np.full((len(mv) // step, mv.shape[1]), np.nan, np.float32)
    at = np.arange(len(out)) * step
    for lead, run in known_runs(mv):
        smooth = filter_symmetric(mv[run, lead].astype(np.float64), taps)
        inside = at[(at >= run[0]) & (at <= run[-1])]
        later = np.minimum(inside + LOW_LAG_S * FINE_HZ, run[-1])
        out[inside // step, lead] = CubicSpline(run, smooth)(later)
    return out


def blank_flat_tail(coarse: NDArray[np.float32], fine: NDArray[np.float32]) -> NDArray[np.float32]:
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


def spectral_image(mv: NDArray[np.float32]) -> float:
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
        smooth, high = filter_symmetric(trace, low), filter_symmetric(trace, band)[inner]
        seen += float(high @ high)
        for phase in range(2 * step):  # half samples
            knots = np.arange(np.ceil(at[0] / step) * step + phase / 2, at[-1], step)
            lines = np.interp(at, knots, np.interp(knots, at, smooth))
            image = filter_symmetric(lines, band)[inner]
            together[phase] += image @ high
            drawn[phase] += image @ image
    return float((together / np.sqrt(drawn * seen + 1e-12)).max())
