"""Measure the pattern of a window's beats: which come early, how unlike the usual beat they are, how regular the rest is.

Unlike ``ecgpage.diagnosis.beats``, whose numbers of the rhythm come from one lead, a beat is compared with the usual one in
all leads that show it, early is what precedes its neighbours' intervals, and times are found between samples.

Conventions, as in ``ecgpage.diagnosis.beats``:
    beat      (12, 88) mV, from 0.36 s before to 0.51 s after the QRS complex, NaN where not known
    interval  s, from one QRS complex to the next; ``before`` and ``after`` a beat as shares of its neighbours' median
    likeness  correlation with the usual beat, -1 to 1, pooled over the leads that show the beat
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS

FS: Final = 100
"""Sampling frequency of a window, Hz."""
BEFORE: Final = 36
"""Samples of a beat before the middle of its QRS complex."""
LAG: Final = 3
"""Samples by which a QRS complex may lie beside the usual one."""
QRS: Final = slice(BEFORE - 6, BEFORE + 9)
"""Samples that hold the QRS complex."""
WIDE_QRS: Final = slice(BEFORE - 8, BEFORE + 14)
"""Samples that hold also a wide QRS complex."""
CORE: Final = slice(BEFORE - 4, BEFORE + 5)
"""Samples that hold most of a narrow QRS complex."""
P_WAVE: Final = slice(BEFORE - 26, BEFORE - 8)
"""Samples that hold the P wave."""
T_WAVE: Final = slice(BEFORE + 16, BEFORE + 34)
"""Samples that hold the T wave: as many as ``P_WAVE`` has."""
NEIGHBOURS: Final = 3
"""Intervals on each side of a beat's own two with which these are compared."""
UNLIKE: Final = 0.8
"""Likeness of QRS complexes below which a beat counts as of another form."""
EARLY: Final = 0.9
"""Interval before a beat, as a share of its neighbours', below which it counts as early."""
LEAST_BEATS: Final = 4
"""Number of beats, at least, that have a pattern."""
ABSENT: Final = -9.0
"""Value of a number for which there are too few beats or no lead."""

PATTERN: Final = (
    "rate", "mean rate", "fastest of three", "slowest of three",
    "early 1", "early 2", "early 3", "after early 1", "after early 2", "P of early 1", "P of early 2", "QRS of early 1",
    "early unlike 1", "early unlike 2", "after early unlike 1",
    "early alike", "early alike with pause", "unlike", "early unlike", "longest run of unlike",
    "least likeness", "second likeness", "median likeness", "before unlike", "after unlike", "size of unlike",
    "width of unlike",
    "rest's change", "rest's share", "change above 5 %", "change above 10 %", "longest irregular", "alternation",
    "lag 1", "lag 2", "lag 3", "spread", "squared change", "entropy",
    "P likeness", "least P likeness", "share with P", "P height", "highest P", "P in II", "PR", "P residue",
    "residue before QRS over after",
)  # fmt: skip
"""Names of the numbers of ``pattern_of``."""

Array = NDArray[np.floating[Any]]
"""Quantities in any floating precision."""


@dataclass(frozen=True)
class _Compared:
    """Beats beside the usual one; all (beats,), over the leads that show a beat, NaN where none does."""

    likeness: Array
    """Likeness of the QRS complex at the best lag."""
    lag: Array
    """Lag of the QRS complex, samples, between samples too; 0 of beats that are unlike."""
    size: Array
    """Size (rms) of the QRS complex over that of the usual one."""
    width: Array
    """Share of the deflection beside the core of the QRS complex, less that of the usual one."""
    p: Array
    """Likeness of the P wave."""
    residue: Array
    """Difference to the usual beat where the P wave is, rms, mV."""
    residue_after: Array
    """Likewise in the T wave."""


def pattern_of(at: NDArray[np.intp], cut: Array, usual: Array) -> NDArray[np.float32]:
    """Numbers (len(PATTERN),), finite, of beats at samples ``at`` (b,), ``cut`` (b, 12, 88) mV, and their ``usual`` (12, 88).

    Both with NaN where not known. Shares are of the usual interval; heights in mV; rates a minute; PR in s.
    """
    found = dict.fromkeys(PATTERN, ABSENT)
    if len(at) >= LEAST_BEATS:
        compared = _compare(cut, usual)
        time = (at + compared.lag) / FS
        rr = np.maximum(np.diff(time), 0.05)
        before, after = _shares(rr)
        found |= _rates(rr) | _regularity(rr, before, compared) | _ectopy(before, after, compared)
        found |= _p_waves(usual, compared)
    numbers = np.array([found[name] for name in PATTERN])
    return np.where(np.isfinite(numbers), np.clip(numbers, ABSENT, 1e3), ABSENT).astype(np.float32)


def _compare(cut: Array, usual: Array) -> _Compared:
    wide = slice(QRS.start - LAG, QRS.stop + LAG)
    shown = _shown(cut, usual, wide)
    some = shown.any(1)
    x, u = np.nan_to_num(cut), np.nan_to_num(usual)
    likeness, lag = _best_lag(x[:, :, wide] * shown[..., None], u[:, QRS], shown)
    unlike = likeness < UNLIKE
    level = slice(BEFORE - 10, BEFORE - 7)
    xw = np.abs(x[:, :, WIDE_QRS] - x[:, :, level].mean(2, keepdims=True)) * shown[..., None]
    uw = np.abs(u[:, WIDE_QRS] - u[:, level].mean(1, keepdims=True)) * shown[..., None]
    inner = slice(CORE.start - WIDE_QRS.start, CORE.stop - WIDE_QRS.start)
    share_x, share_u = (1 - v[:, :, inner].sum((1, 2)) / (v.sum((1, 2)) + 1e-6) for v in (xw, uw))
    size = np.sqrt((xw**2).sum((1, 2)) / ((uw**2).sum((1, 2)) + 1e-6))
    p, residue = _alike(cut, usual, P_WAVE)
    _, residue_after = _alike(cut, usual, T_WAVE)

    def known(values: Array) -> Array:
        return np.where(some, values, np.nan)

    return _Compared(
        likeness=known(likeness),
        lag=np.where(some & ~unlike, lag, 0.0),
        size=known(size),
        width=known(share_x - share_u),
        p=p,
        residue=residue,
        residue_after=residue_after,
    )


def _shown(cut: Array, usual: Array, part: slice) -> NDArray[np.bool_]:
    """Leads (b, 12) in which a ``part`` of each beat and of the usual one is known."""
    known = np.isfinite(usual[:, part]).all(1)
    return np.asarray(np.isfinite(cut[:, :, part]).all(2) & known, np.bool_)


def _best_lag(x: Array, wanted: Array, shown: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Likeness (b,) and lag (b,) of ``x`` (b, 12, n + 2 LAG) beside ``wanted`` (12, n), in the leads ``shown`` (b, 12)."""
    pieces = sliding_window_view(x, wanted.shape[1], axis=2)  # (b, 12, 2 LAG + 1, n)
    pieces = pieces - pieces.mean(3, keepdims=True)
    wanted = wanted - wanted.mean(1, keepdims=True)
    power = (wanted**2).sum(1) @ shown.T + 1e-9  # (b,)
    r = np.einsum("blkn,ln->bk", pieces, wanted)
    r = r / np.sqrt(np.einsum("blkn,blkn->bk", pieces, pieces) * power[:, None] + 1e-9)
    best = r.argmax(1)
    rows = np.arange(len(r))
    left, middle, right = (r[rows, np.clip(best + k, 0, 2 * LAG)] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    inside = (best > 0) & (best < 2 * LAG) & (bend < -1e-9)
    part = np.where(inside, 0.5 * (left - right) / np.where(inside, bend, 1.0), 0.0)
    return middle, best - LAG + part


def _alike(cut: Array, usual: Array, part: slice) -> tuple[Array, Array]:
    """Likeness (b,) of a ``part`` of beats (b, 12, 88) with that of the usual one, and the rms difference (b,), mV."""
    shown = _shown(cut, usual, part)
    x = np.nan_to_num(cut[:, :, part]) * shown[..., None]
    u = np.nan_to_num(usual[:, part]) * shown[..., None]
    x, u = x - x.mean(2, keepdims=True), u - u.mean(2, keepdims=True)
    power = np.sqrt((x**2).sum((1, 2)) * (u**2).sum((1, 2)))
    count = shown.sum(1) * x.shape[2]
    difference = np.sqrt(((x - u) ** 2).sum((1, 2)) / np.maximum(count, 1))
    likeness = (x * u).sum((1, 2)) / (power + 1e-9)
    return np.where(count > 0, likeness, np.nan), np.where(count > 0, difference, np.nan)


def _shares(rr: Array) -> tuple[Array, Array]:
    """Intervals before and after each beat (b,) as shares of the median of the ``NEIGHBOURS`` around; 1 without any."""
    count = len(rr) + 1
    before, after = np.ones(count), np.ones(count)
    padded = np.pad(rr, NEIGHBOURS + 1, constant_values=np.nan)  # interval k stands at k + NEIGHBOURS + 1
    for k in range(count):
        around = padded[k : k + 2 * NEIGHBOURS + 2]
        others = np.r_[around[:NEIGHBOURS], around[NEIGHBOURS + 2 :]]
        others = others[np.isfinite(others)]
        usual = float(np.median(others if len(others) >= NEIGHBOURS else rr))
        if k > 0:
            before[k] = rr[k - 1] / usual
        if k < len(rr):
            after[k] = rr[k] / usual
    return before, after


def _rates(rr: Array) -> dict[str, float]:
    three = np.convolve(rr, np.ones(3) / 3, "valid")
    return {
        "rate": 60 / float(np.median(rr)),
        "mean rate": 60 / float(rr.mean()),
        "fastest of three": 60 / float(three.min()),
        "slowest of three": 60 / float(three.max()),
    }


def _ectopy(before: Array, after: Array, beats: _Compared) -> dict[str, float]:
    likeness = np.nan_to_num(beats.likeness, nan=1.0)
    alike = likeness >= UNLIKE
    early = before < EARLY
    first = np.argsort(np.where(alike, before, 9.0))
    other = np.argsort(np.where(alike, 9.0, before))
    odd = int(likeness.argmin())
    unlike = int((~alike).sum())
    return {
        **{f"early {k + 1}": before[first[k]] for k in range(3)},
        **{f"after early {k + 1}": after[first[k]] for k in range(2)},
        **{f"P of early {k + 1}": beats.p[first[k]] for k in range(2)},
        "QRS of early 1": likeness[first[0]],
        **{f"early unlike {k + 1}": before[other[k]] if unlike > k else ABSENT for k in range(2)},
        "after early unlike 1": after[other[0]] if unlike else ABSENT,
        "early alike": _soft(before, EARLY)[alike].sum(),
        "early alike with pause": (_soft(before, EARLY) * (after > 1))[alike].sum(),
        "unlike": unlike,
        "early unlike": (early & ~alike).sum(),
        "longest run of unlike": _longest(~alike),
        "least likeness": likeness[odd],
        "second likeness": np.sort(likeness)[1],
        "median likeness": np.median(likeness),
        "before unlike": before[odd],
        "after unlike": after[odd],
        "size of unlike": beats.size[odd],
        "width of unlike": beats.width[odd],
    }


def _regularity(rr: Array, before: Array, beats: _Compared) -> dict[str, float]:
    """Regularity of the intervals, of all and of those that neither end nor begin at an early or unlike beat."""
    median = float(np.median(rr))
    out = (before < EARLY) | (np.nan_to_num(beats.likeness, nan=1.0) < UNLIKE)
    rest = rr[~(out[:-1] | out[1:])]
    change = np.diff(rr) / median
    centred = rr - rr.mean()
    power = float(centred @ centred) + 1e-6
    lags = {
        f"lag {k}": float(centred[k:] @ centred[:-k]) / power if len(rr) > k else ABSENT for k in (1, 2, 3)
    }
    count = np.histogram(rr / median, bins=12, range=(0.4, 1.6))[0] / len(rr)
    used = count[count > 0]
    signs = np.sign(change)
    return {
        "rest's change": float(np.median(np.abs(np.diff(rest)))) / median if len(rest) > 2 else ABSENT,
        "rest's share": len(rest) / len(rr),
        "change above 5 %": float((np.abs(change) > 0.05).mean()),
        "change above 10 %": float((np.abs(change) > 0.10).mean()),
        "longest irregular": _longest(np.abs(change) > 0.05) / len(change),
        "alternation": float((signs[1:] * signs[:-1] < 0).mean()) if len(signs) > 1 else ABSENT,
        **lags,
        "spread": float(rr.std()) / median,
        "squared change": float(np.sqrt((change**2).mean())),
        "entropy": float(-(used * np.log(used)).sum()),
    }


def _p_waves(usual: Array, beats: _Compared) -> dict[str, float]:
    """P wave of the usual beat above the line between its ends, and how constantly the beats show it."""
    wave = usual[:, P_WAVE]
    wave = wave[np.isfinite(wave).all(1)]
    found = {}
    if len(wave):
        line = np.linspace(wave[:, :3].mean(1), wave[:, -3:].mean(1), wave.shape[1], axis=1)
        height = wave - line
        pooled = np.abs(height).mean(0)
        found = {
            "P height": float(pooled.max()),
            "highest P": float(np.abs(height).max()),
            "PR": (BEFORE - P_WAVE.start - int(pooled.argmax())) / FS,
        }
        second = usual[LEADS.index("II"), P_WAVE]
        if np.isfinite(second).all():
            line = np.linspace(second[:3].mean(), second[-3:].mean(), len(second))
            found["P in II"] = float((second - line).max())
    known = np.isfinite(beats.p)
    if known.any():
        p = beats.p[known]
        found |= {
            "P likeness": float(np.median(p)),
            "least P likeness": float(np.percentile(p, 20)),
            "share with P": float((p > 0.6).mean()),
            "P residue": float(np.median(beats.residue[known])),
        }
        later = np.isfinite(beats.residue_after) & known
        if later.any():
            ratio = beats.residue[later].mean() / (beats.residue_after[later].mean() + 1e-3)
            found["residue before QRS over after"] = float(ratio)
    return found


def _soft(before: Array, limit: float) -> Array:
    """How much each beat counts as early, 0 to 1: half at ``limit``, a tenth 5 % later."""
    return np.asarray(1 / (1 + np.exp(np.clip((before - limit) / 0.023, -50, 50))))


def _longest(held: NDArray[np.bool_]) -> int:
    """Length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, held, False].astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
