"""Measure the beats of a window: their times, the usual beat of each lead, rhythm, and numbers that describe the beat.

Conventions:
    window  float (12, t), mV at 100 Hz, leads in the order ``LEADS``, NaN where not known
    beat    float32 (12, 88), mV, from 0.36 s before to 0.51 s after the QRS complex, NaN where no beat shows it
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecgpage.core.conventions import LEADS
from ecgpage.diagnosis.beat_pattern import BEFORE, FS, P_WAVE, PATTERN, QRS, pattern_of

LENGTH: Final = 88
"""Samples of a beat."""
REFRACTORY: Final = 22
"""Fewest samples between two beats: 270 beats a minute."""
LEAST_KNOWN: Final = 50
"""Fewest known samples with which a lead takes part in the search."""
LEAST_SLOPE_MV: Final = 0.014
"""Slope of a lead (rms, mV a sample) below which it counts less: it may show noise alone."""
LEAST_SHARE: Final = 0.4
"""Height of a slope's peak above which it is a beat, as a share of the median of the eight highest peaks."""
QUICK: Final = 1.0
"""Standard deviation, samples, of the Gaussian that smooths a lead before its slope is taken."""
SLOW: Final = 4.0
"""Standard deviation, samples, of the Gaussian that leaves of a lead the slopes of T waves, which do not count."""
T_REACH: Final = 40
"""Samples after a beat within which a lower peak may be its T wave."""
T_SHARE: Final = 0.6
"""Height of such a peak, as a share of the beat's, below which it is one. Source of the rule: Pan and Tompkins 1985, A
real-time QRS detection algorithm, with 0.36 s and a half. Of 712 simulated pages of folds 1 and 5 three had a T wave among
their beats with these two, one with 0.4 s and 0.6, and 27 with neither the rule nor ``SLOW``."""

LEVEL: Final = slice(BEFORE - 10, BEFORE - 6)
"""Samples of a beat just before its QRS complex, whose mean is its zero level."""
WIDE_QRS: Final = slice(BEFORE - 8, BEFORE + 12)
"""Samples of a beat that hold also a wide QRS complex."""
T_WAVE: Final = slice(BEFORE + 12, LENGTH - 6)
"""Samples of a beat that hold its T wave."""
EARLY: Final = 0.88
"""Interval, as a share of the median one, below which a beat is premature."""

RHYTHM: Final = (
    "beats", "rate", "mean rate", "spread", "change", "largest change", "shortest", "longest", "deviation",
    "two shortest", "below 0.8", "below 0.9", "above 1.2", "10 %", "90 %",
    "earliest", "after it", "its QRS", "its P", "its T", "its slope", "its size",
    "early narrow", "early wide", "early with pause", "least QRS", "second QRS", "median QRS", "median P", "least P",
    "median T", "unlike QRS", "longest after", "size", "P height", "rest", "rest of size", "strip",
)  # fmt: skip
"""Names of the numbers in ``Beats.rhythm``: intervals as shares of the median one, likeness as correlation with the usual
beat."""

ABSENT: Final = -99.0
"""Value in ``Beats.form`` for a number that the leads do not show."""
PIECE: Final = 4
"""Samples over which one mean is taken: 40 ms."""
P_PIECES: Final = range(4, 28, PIECE)
"""First samples of the pieces of PIECE samples around the P wave."""
T_PIECES: Final = range(46, 86, PIECE)
"""First samples of the pieces of PIECE samples from the end of the QRS complex to the end of the T wave."""
STEEP: Final = (0.15, 0.25)
"""Steepness above which a sample counts to the width of a QRS complex, as shares of the greatest steepness."""
FORM: Final = (
    *(f"{lead} {10 * (k - BEFORE)} ms" for lead in LEADS for k in range(WIDE_QRS.start, WIDE_QRS.stop, 2)),
    *(f"{lead} {10 * (k - BEFORE)} ms, mean of 40" for lead in LEADS for k in (*P_PIECES, *T_PIECES)),
    *(f"{lead} {what}" for lead in LEADS for what in ("R", "S", "size")),
    *(f"QRS width at {share:.0%}" for share in STEEP),
    "Sokolow-Lyon", "R in aVL", "Lewis", "Cornell", "all sizes", "chest sizes", "QRS axis", "T axis",
)  # fmt: skip
"""Names of the numbers in ``Beats.form``: mV above ``LEVEL``, widths in samples, axes in radians; Sokolow-Lyon, R in aVL,
Lewis and Cornell are voltages of hypertrophy."""
SEQUENCE: Final = (*RHYTHM, *PATTERN)
"""Names of the numbers in ``Beats.sequence``."""

Array = NDArray[np.floating[Any]]
"""Quantities in any floating precision."""


@dataclass(frozen=True)
class Beats:
    """Measurements of the beats of one window."""

    at: NDArray[np.intp]
    """(beats,) sample of each QRS complex."""
    usual: NDArray[np.float32]
    """(12, 88) mV, median over the beats that a lead shows, less the lead's median; NaN where there is none."""
    rhythm: NDArray[np.float32]
    """(38,) numbers in the order ``RHYTHM``; 0 where there are too few beats."""
    form: NDArray[np.float32]
    """(len(FORM),) numbers of the usual beat in the order ``FORM``."""
    pattern: NDArray[np.float32]
    """(len(PATTERN),) numbers of the beats' pattern in the order ``ecgpage.diagnosis.beat_pattern.PATTERN``."""

    @property
    def sequence(self) -> NDArray[np.float32]:
        """(86,) numbers that tell how beats follow each other, in the order ``SEQUENCE``: rhythm and pattern."""
        return np.concatenate([self.rhythm, self.pattern])

    @property
    def numbers(self) -> NDArray[np.float32]:
        """Input of the trees: rhythm, form, pattern; further numbers come last, so that grown trees keep theirs."""
        return np.concatenate([self.rhythm, self.form, self.pattern])


def read_all_beats(
    windows: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Usual beats (n, 12, 88) mV with NaN, sequences (n, 86) and all numbers (n, 492) of windows (n, 12, t) mV at 100 Hz.

    The sequences are an input of the network on beats, the numbers that of the trees (``Beats.numbers``).
    """
    found = [read_beats(window) for window in windows]
    usual, sequence, numbers = (
        np.stack([getattr(beat, name) for beat in found]) for name in ("usual", "sequence", "numbers")
    )
    return usual, sequence, numbers


def read_beats(window: Array) -> Beats:
    """Beats of one window (12, t) mV at 100 Hz, NaN where not known."""
    x = np.asarray(window, np.float64)
    known = np.isfinite(x)
    shown = known.sum(1) >= LEAST_KNOWN
    level = np.zeros(len(x))
    level[shown] = np.nanmedian(x[shown], axis=1)
    x = x - level[:, None]
    slope = _slope(np.where(known, x, 0.0), known & shown[:, None])
    at = _peaks(slope)
    cut = np.full((len(at), len(x), LENGTH), np.nan)  # (beats, 12, 88)
    padded = np.pad(x, ((0, 0), (BEFORE, LENGTH)), constant_values=np.nan)
    for beat, middle in zip(cut, at, strict=True):
        beat[:] = padded[:, middle : middle + LENGTH]
    usual = _median(cut)
    return Beats(
        at,
        usual,
        _rhythm(at, slope, cut, known),
        form_of(usual),
        pattern_of(at, cut, usual.astype(np.float64)),
    )


def _slope(x: Array, known: NDArray[np.bool_]) -> Array:
    """Steepness (t,): mean over the leads known at a sample, each relative to its own rms; smoothed over a QRS complex.

    Slow slopes, those of T waves, are left out.
    """
    quick, slow = (gaussian_filter1d(x, width, axis=1, order=1) for width in (QUICK, SLOW))
    steep = np.abs(quick - slow) * known
    inside = known & (
        np.roll(known, 2, 1) & np.roll(known, -2, 1)
    )  # at the ends of a segment there are steps, not slopes
    steep *= inside
    count = np.maximum(inside.sum(1), 1)
    rms = np.sqrt((steep**2).sum(1) / count)
    trust = np.minimum(rms / LEAST_SLOPE_MV, 1.0)[:, None] * inside
    total = (steep / (rms[:, None] + 1e-6) * trust).sum(0) / np.maximum(trust.sum(0), 0.2)
    return gaussian_filter1d(total, 3.0)


def _peaks(slope: Array) -> NDArray[np.intp]:
    peaks = find_peaks(slope, distance=REFRACTORY)[0]
    if len(peaks) == 0:
        return np.zeros(0, np.intp)
    height = slope[peaks]
    highest = np.median(np.sort(height)[-8:])
    found: list[int] = []
    for peak in peaks[height > LEAST_SHARE * highest].tolist():
        if not found or peak - found[-1] >= T_REACH or slope[peak] >= T_SHARE * slope[found[-1]]:
            found.append(peak)
    return np.array(found, np.intp)


def _median(cut: Array) -> NDArray[np.float32]:
    """Median (12, 88) over beats (beats, 12, 88); NaN where no beat is known."""
    usual = np.full(cut.shape[1:], np.nan, np.float32)
    some = np.isfinite(cut).any(0)
    usual[some] = np.nanmedian(cut[:, some], axis=0)
    return usual


def _rhythm(at: NDArray[np.intp], slope: Array, cut: Array, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    found = np.zeros(len(RHYTHM), np.float32)
    found[0] = len(at)
    if len(at) < 4:
        return found
    rr = np.diff(at) / FS
    median = float(np.median(rr))
    share, change = rr / median, np.abs(np.diff(rr)) / median
    found[1:15] = [
        60 / median, 60 / rr.mean(), share.std(), change.mean(), change.max(), share.min(), share.max(),
        np.median(np.abs(share - 1)), np.sort(share)[:2].mean(), (share < 0.8).sum(), (share < 0.9).sum(),
        (share > 1.2).sum(), np.percentile(share, 10), np.percentile(share, 90),
    ]  # fmt: skip
    strip = int(
        (known.sum(1) + (np.arange(len(LEADS)) == LEADS.index("II"))).argmax()
    )  # lead with most samples, II before others
    whole = np.isfinite(cut[:, strip]).all(1)
    found[-1] = known[strip].mean()
    if whole.sum() < 3:
        return found
    before, after = np.r_[1.0, share][whole], np.r_[share, 1.0][whole]
    beat = cut[whole, strip] - np.median(cut[whole, strip], axis=1, keepdims=True)  # (k, 88)
    usual = np.median(beat, axis=0)
    qrs, p, t = (_likeness(beat, usual, part) for part in (QRS, P_WAVE, T_WAVE))
    steep = slope[at[whole]] / np.median(slope[at[whole]])
    size, first = np.ptp(usual) + 1e-3, int(before.argmin())
    early, narrow = before < EARLY, qrs > 0.85
    rest = float(np.std((beat - usual)[:, : BEFORE - 8]))
    found[15:-1] = [
        before[first], after[first], qrs[first], p[first], t[first], steep[first], np.ptp(beat[first]) / size,
        (early & narrow).sum(), (early & ~narrow).sum(), (early & narrow & (after > 1)).sum(),
        qrs.min(), np.sort(qrs)[1], np.median(qrs), np.median(p), p.min(), np.median(t), (qrs < 0.7).sum(),
        after.max(), size, usual[P_WAVE].max() - usual[BEFORE - 10 : BEFORE - 6].mean(), rest, rest / size,
    ]  # fmt: skip
    return found


def form_of(usual: Array) -> NDArray[np.float32]:
    """Numbers (..., len(FORM)), in the order ``FORM``, of usual beats (..., 12, 88) mV, NaN where not known."""
    x = np.asarray(usual, np.float64)
    level = _mean(x[..., LEVEL])
    x = x - np.where(np.isfinite(level), level, 0.0)[..., None]
    qrs = x[..., WIDE_QRS]
    waves = np.stack([_mean(x[..., k : k + PIECE]) for k in (*P_PIECES, *T_PIECES)], axis=-1)
    high, low = _highest(qrs), -_highest(-qrs)
    size = high - low
    rise = np.abs(np.diff(x[..., WIDE_QRS.start - 4 : WIDE_QRS.stop + 6], axis=-1))
    steep = _mean(np.swapaxes(rise / (_highest(rise)[..., None] + 1e-3), -1, -2))  # mean over the leads
    width = [(steep > share).sum(-1) for share in STEEP]
    r, s, total, end = (
        {n: v[..., k] for k, n in enumerate(LEADS)}
        for v in (high, -low, _sum(qrs), _sum(waves[..., len(P_PIECES) :]))
    )
    sums = [
        s["V1"] + np.fmax(r["V5"], r["V6"]),
        r["aVL"],
        r["I"] - s["I"] + s["III"] - r["III"],
        r["aVL"] + s["V3"],
        _sum(size),
        _sum(size[..., LEADS.index("V1") :]),
        *(np.arctan2(v["aVF"], v["I"]) for v in (total, end)),
    ]  # fmt: skip
    lists = [qrs[..., ::2], waves, np.stack([high, low, size], -1)]
    flat = [v.reshape(*v.shape[:-2], -1) for v in lists]
    found = np.concatenate([*flat, np.stack([*width, *sums], -1)], axis=-1)
    return np.where(np.isfinite(found), np.clip(found, ABSENT, -ABSENT), ABSENT).astype(np.float32)


def _mean(x: Array) -> Array:
    """Mean of the known values along the last axis; NaN where none is."""
    known = np.isfinite(x)
    count = known.sum(-1)
    total = np.where(known, x, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _sum(x: Array) -> Array:
    """Sum of the known values along the last axis."""
    return np.asarray(np.where(np.isfinite(x), x, 0.0).sum(-1), np.float64)


def _highest(x: Array) -> Array:
    """Largest of the known values along the last axis; NaN where none is."""
    top = np.where(np.isfinite(x), x, -np.inf).max(-1)
    return np.where(np.isfinite(top), top, np.nan)


def _likeness(beats: Array, usual: Array, part: slice) -> Array:
    """Largest correlation (k,) of ``part`` of beats (k, 88) with that of the usual beat (88,), within a lag of 20 ms."""
    wanted = usual[part] - usual[part].mean()
    best = np.full(len(beats), -1.0)
    for shift in range(-2, 3):
        x = beats[:, part.start + shift : part.stop + shift]
        x = x - x.mean(1, keepdims=True)
        best = np.maximum(best, x @ wanted / (np.linalg.norm(x, axis=1) * np.linalg.norm(wanted) + 1e-9))
    return best
