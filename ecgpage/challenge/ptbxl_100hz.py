"""Habits of PTB-XL's 100-Hz records, which the Challenge scores against.

PTB-XL keeps each record at 100 Hz and at 500 Hz. Signals read from a page that shows the 500-Hz version get the low-pass and
the lag of the 100-Hz version, and NaN where the 500-Hz version has a flat tail.
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
"""Cut-off, Hz, of the low-pass between PTB-XL's 500-Hz and 100-Hz versions. With LOW_LAG_S: least squares over 159 records
of folds 1-3 that have both, 42.5 dB of agreement on fold 4 (19.0 dB without)."""
LOW_LAG_S: Final = 0.0012
"""Delay, s, at which the 100-Hz version samples the 500-Hz one."""
IMAGE_BAND_HZ: Final = (52.0, 85.0)
"""Band, Hz, in which straight lines between samples 10 ms apart repeat the spectrum below 48 Hz (spectral imaging)."""
HOLD_S: Final = 0.1
"""Length, s, of the flat tail of PTB-XL's 500-Hz version, which keeps its last value (46 to 59 samples in all 488 records of
the pack) where the 100-Hz version continues."""
MAX_HOLD_MV: Final = 0.01
"""Standard deviation, mV, up to which a lead is flat. On drawn pages of fold 8 all 47 flat tails that were read stayed below
0.007 in all leads; elsewhere, 17 % of stretches of that length are within this limit."""
LOW_HZ: Final = 100
"""Sampling frequency, Hz, of the coarse version."""
FINE_HZ: Final = 500
"""Sampling frequency, Hz, of the fine version."""
MIN_IMAGE: Final = 0.5
"""Correlation, in IMAGE_BAND_HZ, of the spectral image with the signal, from which the page shows a 100-Hz record. On drawn
pages of fold 8 (clean, scanned, photographed; 16 each) it was at most 0.4 with 500-Hz records and 0.2 to 0.96, in eleven
cases above 0.5, with 100-Hz ones."""


def read_record(
    digitizer: Digitizer, paths: Sequence[str | Path], fs: float, n_samples: int
) -> RecordReading:
    """Signals of one record as ``Digitizer.read_record`` gives them; at 100 Hz as PTB-XL's 100-Hz version has them.

    A page that shows a 100-Hz record is sampled without a filter, any other with the low-pass and the lag of PTB-XL.
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
    """Signals (n / 5, 12) mV of PTB-XL's 100-Hz version from 500-Hz signals (n, 12) mV; NaN where the signal is NaN."""
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
    """Signals ``coarse`` (n, 12) mV at LOW_HZ, NaN in the last HOLD_S when ``fine`` (5 n, 12) at FINE_HZ is flat there."""
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
    """Correlation of signals (n, 12) mV at 500 Hz, in IMAGE_BAND_HZ, with straight lines between their samples 10 ms apart.

    It is the largest over the phase of these samples, and high when the page was drawn from a 100-Hz record.
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
        inner = slice(len(low) // 2, -(len(low) // 2))  # filters are not valid at the ends
        smooth, high = filter_symmetric(trace, low), filter_symmetric(trace, band)[inner]
        seen += float(high @ high)
        for phase in range(2 * step):  # half samples
            knots = np.arange(np.ceil(at[0] / step) * step + phase / 2, at[-1], step)
            lines = np.interp(at, knots, np.interp(knots, at, smooth))
            image = filter_symmetric(lines, band)[inner]
            together[phase] += image @ high
            drawn[phase] += image @ image
    return float((together / np.sqrt(drawn * seen + 1e-12)).max())
