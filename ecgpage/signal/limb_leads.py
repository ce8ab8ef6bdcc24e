"""Correct the limb leads by Einthoven's and Goldberger's constraints.

The six limb leads are combinations of two (Einthoven: II = I + III; Goldberger: aVR + aVL + aVF = 0), and a rhythm strip
repeats one of them. Wherever more than two readings are drawn at the same time, the two leads behind them are
overdetermined: first the readings' small time lags and levels are fitted to each other, then the weighted least-squares
solution replaces all of them. Nothing is added where nothing was drawn, and readings that contradict each other by more
than their expected errors stay as they are.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import null_space

from ecgpage.core.types import Array

log = logging.getLogger(__name__)


BY_I_AND_II: Final = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Weights of leads I and II in each limb lead."""
MIN_SPAN_S: Final = 0.6
"""Shortest time, s, during which readings correct each other; half of it must be known in all of them."""
LAG_S: Final = 0.0015
"""Time lag, s, expected between readings (one standard deviation): 0.04 mm at 25 mm/s."""
MAX_LAG_S: Final = 0.006
"""Largest time lag, s, that one fitting step gives a reading."""
LEVEL_MV: Final = 0.1
"""Level error, mV, expected of a reading (one standard deviation); levels are fitted but not changed."""
JITTER_S: Final = 0.0006
"""Time error, s, that remains after the lags are taken out."""
FLOOR_MV: Final = 0.004
"""Least error, mV, of any value."""
TURNED_RATIO: Final = 0.5
"""Residual power of the constraints with a lead turned over, as a share of the power without, below which it is turned."""
MAX_BROKEN: Final = 0.2
"""Residual power, as a share of the leads' power, below which the constraints hold with that lead turned over."""
MAX_CONTRADICTION: Final = 3.0
"""Disagreement over expected disagreement, root mean square, above which nothing is changed."""


@dataclass(frozen=True)
class Part:
    """One reading of one lead."""

    lead: str
    """Standard name of the lead."""
    first: int
    """Index of the first sample."""
    mv: Array
    """(n,) mV, NaN where it was not read."""
    sigma_mv: Array
    """(n,) expected error, one standard deviation, mV."""

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.first + len(self.mv)


@dataclass(frozen=True)
class _Span:
    """Readings of k > 2 limb leads over n samples drawn at one time: two leads, overdetermined."""

    parts: list[int]
    """(k) indices of the parts."""
    where: list[slice]
    """(k) samples of each part."""
    mixing: Array
    """(k, 2) weights of leads I and II in each part."""


@dataclass(frozen=True)
class _Fitted:
    """Readings of a span fitted to each other."""

    aligned: Array
    """(k, n) mV, without the lags; gaps are filled."""
    levels: Array
    """(k,) mV."""
    lags: Array
    """(k,) s."""
    apart: Array
    """(k - 2, k) combinations that are zero by the constraints."""
    all_known: NDArray[np.bool_]
    """(n,) whether all readings have a value."""


def reconcile_limb_leads(parts: list[Part], fs: float) -> list[Part]:
    """Readings with the limb leads corrected by each other wherever more than two were drawn at a time."""
    mv = [part.mv.copy() for part in parts]
    for span in _find_spans(parts, fs):
        seen = np.array([parts[k].mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        sigma = np.array([parts[k].sigma_mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        better = _correct_span(seen, sigma, span.mixing, fs)
        if better is not None:
            for k, s, values in zip(span.parts, span.where, better, strict=True):
                mv[k][s] = values
    return [replace(part, mv=values) for part, values in zip(parts, mv, strict=True)]


def estimate_errors(parts: list[Part], fs: float) -> tuple[float, float]:
    """Errors of a page's limb leads by their constraints, s; both NaN where no constraint applies.

    Time error: root mean square lag between limb leads drawn at a time. Disagreement: what is left without the lags, as the
    time error that would make as much of it: root of its mean square over that of the slopes.
    """
    squares, errors, slopes = [], [], []
    for span in _find_spans(parts, fs):
        seen = np.array([parts[k].mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        fitted = _fit_span(seen, span.mixing, fs)
        if fitted is not None:
            squares.append(float(np.mean(fitted.lags**2)))
            left = (fitted.apart @ (fitted.aligned - fitted.levels[:, None]))[:, fitted.all_known]
            errors.append(float(np.mean(left**2)))
            slopes.append(
                float(np.mean((np.gradient(fitted.aligned, axis=1)[:, fitted.all_known] * fs) ** 2))
            )
    if not squares:
        return float("nan"), float("nan")
    disagreement = np.sqrt(np.mean(errors) / max(float(np.mean(slopes)), 1e-9))
    return float(np.sqrt(np.mean(squares))), float(disagreement)


def is_upside_down(parts: list[Part], lead: str, fs: float) -> bool:
    """Whether the constraints hold clearly better when the readings of a limb lead change their sign."""
    broken, power = np.zeros(2), 0.0
    for span in _find_spans(parts, fs):
        own = np.array([parts[k].lead == lead for k in span.parts])
        seen = np.array([parts[k].mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        seen = seen[:, np.isfinite(seen).all(axis=0)]
        if not own.any() or seen.shape[1] < MIN_SPAN_S * fs / 2:
            continue
        seen = seen - seen.mean(axis=1, keepdims=True)
        power += float((seen**2).sum())
        for k, sign in enumerate((1.0, -1.0)):
            turned = span.mixing * np.where(own, sign, 1.0)[:, None]
            broken[k] += float(((null_space(turned.T).T @ seen) ** 2).sum())
    return bool(broken[1] < TURNED_RATIO * broken[0] and broken[1] < MAX_BROKEN * power)


def _find_spans(parts: list[Part], fs: float) -> Iterator[_Span]:
    """Spans of time, at least MIN_SPAN_S, in which more than two limb leads were drawn."""
    limb = [k for k, part in enumerate(parts) if part.lead in BY_I_AND_II]
    edges = sorted({edge for k in limb for edge in (parts[k].first, parts[k].end)})
    for begin, end in pairwise(edges):
        here = [k for k in limb if parts[k].first <= begin and parts[k].end >= end]
        if len(here) < 3 or end - begin < MIN_SPAN_S * fs:
            continue
        mixing = np.array([BY_I_AND_II[parts[k].lead] for k in here])
        if np.linalg.matrix_rank(mixing) == 2:
            yield _Span(here, [slice(begin - parts[k].first, end - parts[k].first) for k in here], mixing)


def _fit_span(seen: Array, mixing: Array, fs: float) -> _Fitted | None:
    """Readings (k, n) mV of one span, fitted to each other in time and level; None with too few samples known in all."""
    known = np.isfinite(seen)
    all_known = np.asarray(known.all(axis=0), np.bool_)
    if all_known.sum() < MIN_SPAN_S * fs / 2:
        return None
    filled = np.array(
        [np.interp(np.arange(len(y)), np.flatnonzero(ok), y[ok]) for y, ok in zip(seen, known, strict=True)]
    )
    apart = null_space(mixing.T).T
    aligned, levels = filled, np.zeros(len(seen))
    lags = np.zeros(len(seen))
    for _ in range(2):
        noise = _spread((apart @ (aligned - levels[:, None]))[:, all_known])
        step, levels = _fit_lags_and_levels(aligned, apart, all_known, fs, noise, lags)
        lags = lags + step
        aligned = np.array([_shift(y, lag * fs) for y, lag in zip(filled, lags, strict=True)])
    return _Fitted(aligned, levels, lags, apart, all_known)


def _correct_span(seen: Array, sigma: Array, mixing: Array, fs: float) -> Array | None:
    """Readings (k, n) mV of one span after correction; None when they contradict each other."""
    fitted = _fit_span(seen, mixing, fs)
    if fitted is None:
        return None
    known, all_known, apart = np.isfinite(seen), fitted.all_known, fitted.apart
    slope = np.gradient(fitted.aligned, axis=1) * fs
    variance = np.where(known, sigma**2 + (JITTER_S * slope) ** 2 + FLOOR_MV**2, np.inf)
    level = fitted.aligned - fitted.levels[:, None]
    left = (apart @ level)[:, all_known]
    expected = (apart**2 @ variance[:, all_known]).clip(1e-12)
    contradiction = float(np.sqrt(np.mean(np.minimum(left**2 / expected, 100.0))))
    log.debug("lags %s ms, contradiction %.2f", np.round(1000 * fitted.lags, 1), contradiction)
    if contradiction > MAX_CONTRADICTION:
        return None
    weight = 1 / variance  # (k, n), 0 where not read
    normal = np.einsum("ka,kn,kb->nab", mixing, weight, mixing)
    right = np.einsum("ka,kn->na", mixing, weight * level)
    determined = np.linalg.cond(normal) < 1e6
    normal[~determined] = np.eye(2)
    two = np.linalg.solve(normal, right[..., None])[..., 0]  # (n, 2)
    solved = mixing @ two.T + fitted.levels[:, None]
    return np.where(known & determined, solved, seen)


def _fit_lags_and_levels(
    readings: Array, apart: Array, use: NDArray[np.bool_], fs: float, noise: float, so_far: Array
) -> tuple[Array, Array]:
    """Lags (k,) s, in addition to ``so_far``, and levels (k,) mV by which readings (k, n) satisfy the constraints.

    Least squares; both are kept as small as the readings allow.
    """
    count = len(readings)
    slope = np.gradient(readings, axis=1)[:, use] * fs
    values = readings[:, use]
    # apart @ (values - level + lag * slope) = 0, one row for each sample and constraint
    rows = np.concatenate([(law[:, None] * slope).T for law in apart])
    ones = np.concatenate([np.tile(-law, (values.shape[1], 1)) for law in apart])
    design = np.concatenate([rows, ones], axis=1)
    goal = -(apart @ values).ravel()
    independent = 10.0  # errors of neighbouring samples are correlated: this many count as one
    prior = (
        np.concatenate([np.full(count, noise**2 / LAG_S**2), np.full(count, noise**2 / LEVEL_MV**2)])
        * independent
    )
    pull = np.concatenate([-so_far, np.zeros(count)])
    # a lag common to all readings breaks no constraint, so it cannot be estimated: hold it at zero
    shared = np.concatenate([np.ones(count), np.zeros(count)])
    stiff = 1e3 * prior[0] * np.outer(shared, shared)
    found = np.linalg.solve(design.T @ design + np.diag(prior) + stiff, design.T @ goal + prior * pull)
    lags = np.clip(found[:count], -MAX_LAG_S, MAX_LAG_S)
    return lags, found[count:]


def _spread(values: Array) -> float:
    """Robust standard deviation, mV."""
    return max(FLOOR_MV, 1.48 * float(np.median(np.abs(values - np.median(values)))))


def _shift(values: Array, samples: float) -> Array:
    """Values at t + ``samples`` by a cubic spline; beyond the ends, the end values."""
    at = np.arange(len(values), dtype=np.float64)
    return np.asarray(CubicSpline(at, values)(np.clip(at + samples, 0, len(values) - 1)), np.float64)
