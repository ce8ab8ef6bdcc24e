"""Samples of a signal as formats take them: runs of known ones, amplitudes within 16 bits, another rate.

A known sample is finite; everything else (NaN, infinite) is a gap. Whatever is changed gives a note.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array

LIMIT_MV: Final = 32.767
"""Largest amplitude, mV, that 16 bits of 1 uV hold beside one value for gaps."""
MIN_SPLINE: Final = 4
"""Fewest samples for a cubic spline; shorter runs are interpolated linearly."""


def find_runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, stop) of each run of True in a mask (n,); stop is the index after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def clip_signal(
    signal: NDArray[np.floating], leads: tuple[str, ...], limit_mv: float = LIMIT_MV
) -> tuple[Array, tuple[str, ...]]:
    """Copy of a signal (n, leads) within ±``limit_mv``, NaN in every gap, and a note for each lead that was clipped."""
    values = np.where(np.isfinite(signal), signal, np.nan).astype(np.float64)
    beyond = (np.abs(values) > limit_mv + 1e-6).sum(axis=0)  # float32 of the limit itself lies within
    notes = tuple(
        f"{lead}: {count} sample{'s' if count > 1 else ''} beyond {limit_mv:g} mV clipped to it"
        for lead, count in zip(leads, beyond, strict=True)
        if count
    )
    return np.clip(values, -limit_mv, limit_mv), notes


def change_rate(signal: NDArray[np.floating], fs: float, new_fs: float) -> Array:
    """Signal (n, leads) at ``fs`` Hz, sampled at ``new_fs`` Hz: (round(n * new_fs / fs), leads), at least one sample.

    Cubic between the samples of each run, low-passed before where the rate goes down. A new sample is known where the
    nearest old one is, so that gaps keep their places within half a sample.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 (all of these take long to load, and are seldom needed)
    from scipy.signal import firwin  # noqa: PLC0415

    from ecgpage.signal.sampling import PASS_SHARE, TAPS_PER_SAMPLE, filter_symmetric  # noqa: PLC0415

    at = np.arange(max(1, round(len(signal) * new_fs / fs))) * (fs / new_fs)  # places in old samples
    nearest = np.minimum(np.rint(at).astype(int), len(signal) - 1)
    out = np.full((len(at), signal.shape[1]), np.nan)
    taps = (
        firwin(math.ceil(fs / new_fs * TAPS_PER_SAMPLE) // 2 * 2 + 1, PASS_SHARE * new_fs, fs=fs)
        if new_fs < fs
        else None
    )
    for lead, column in enumerate(signal.astype(np.float64).T):
        for first, stop in find_runs(np.isfinite(column)):
            values = column[first:stop] if taps is None else filter_symmetric(column[first:stop], taps)
            inside = (nearest >= first) & (nearest < stop)
            where = np.clip(at[inside], first, stop - 1)
            places = np.arange(first, stop)
            enough = len(places) >= MIN_SPLINE
            out[inside, lead] = (
                CubicSpline(places, values)(where) if enough else np.interp(where, places, values)
            )
    return out
