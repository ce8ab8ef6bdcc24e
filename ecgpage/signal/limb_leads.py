"""Let readings of the limb leads correct each other.

The six limb leads are combinations of two (Einthoven: II = I + III; Goldberger: aVR + aVL + aVF = 0), and a rhythm strip
shows one of them a second time. Wherever more than two readings are drawn at the same time, the two leads behind them are
overdetermined: first the readings' small time lags and levels are fitted to each other, then all are replaced by what the
weighted least-squares solution says of them. Nothing is added where nothing was drawn, and readings that contradict each
other by more than their expected errors stay as they are.
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
MIN_SPAN_S: Final = 0.6
LAG_S: Final = 0.0015
"""How far readings of the same moment are expected to stand apart: 0.04 mm at 25 mm/s."""
MAX_LAG_S: Final = 0.006
LEVEL_MV: Final = 0.1
"""How far their levels are expected to be off; levels are fitted but not changed."""
JITTER_S: Final = 0.0006
"""What is left of the lags."""
FLOOR_MV: Final = 0.004
TURNED_RATIO: Final = 0.5
"""A lead is upside down when the laws are broken by so much less of its power that way."""
MAX_BROKEN: Final = 0.2
"""Share of the leads' power that may break them then."""
MAX_CONTRADICTION: Final = 3.0
"""Disagreement over expected disagreement, root mean square, from which nothing is changed."""


@dataclass(frozen=True)
class Part:
    """One reading of one lead."""

    lead: str
    first: int
    """Sample at which it begins."""
    mv: Array
    """(n,) mV, NaN where it was not read."""
    sigma_mv: Array
    """(n,) expected error, one standard deviation, mV."""

    @property
    def end(self) -> int:
        """One past the last sample."""
        return self.first + len(self.mv)


@dataclass(frozen=True)
class _Span:
    """Readings of limb leads that were drawn at the same time, k of them, n samples, overdetermined."""

    parts: list[int]
    """Which."""
    where: list[slice]
    """Samples of each."""
    mixing: Array
    """(k, 2) what the leads are made of."""


@dataclass(frozen=True)
class _Fitted:
    """Readings of a span fitted to each other."""

    aligned: Array
    """(k, n) mV, after the lags; gaps are filled."""
    levels: Array
    """(k,) mV."""
    lags: Array
    """(k,) s."""
    apart: Array
    """(k - 2, k) combinations that the laws make zero."""
    all_known: NDArray[np.bool_]
    """(n,) samples that were read in all of them."""


def reconcile_limb_leads(parts: list[Part], fs: float) -> list[Part]:
    """The same readings, those of limb leads corrected by each other wherever more than two were drawn at a time."""
    mv = [part.mv.copy() for part in parts]
    for span in _find_spans(parts, fs):
        seen = np.array([parts[k].mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        sigma = np.array([parts[k].sigma_mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        better = _correct_span(seen, sigma, span.mixing, fs)
        if better is not None:
            for k, s, values in zip(span.parts, span.where, better, strict=True):
                mv[k][s] = values
    return [replace(part, mv=values) for part, values in zip(parts, mv, strict=True)]


def estimate_time_error(parts: list[Part], fs: float) -> float:
    """How far readings of the same moment stand apart, s, root of the mean square; NaN where no law tells."""
    squares = []
    for span in _find_spans(parts, fs):
        seen = np.array([parts[k].mv[s] for k, s in zip(span.parts, span.where, strict=True)])
        fitted = _fit_span(seen, span.mixing, fs)
        if fitted is not None:
            squares.append(float(np.mean(fitted.lags**2)))
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")


def is_upside_down(parts: list[Part], lead: str, fs: float) -> bool:
    """Whether the laws clearly say that a limb lead was drawn with the other sign than its readings have."""
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
    """Stretches of time in which more than two limb leads were drawn."""
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
    """Readings (k, n) mV of one span in time and level; None when too little was read in all of them."""
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
    """Lags (k,) s and levels (k,) mV that make the readings lawful, both as small as the readings allow."""
    count = len(readings)
    slope = np.gradient(readings, axis=1)[:, use] * fs
    values = readings[:, use]
    # apart @ (values - level + lag * slope) = 0, one row a moment and law
    rows = np.concatenate([(law[:, None] * slope).T for law in apart])
    ones = np.concatenate([np.tile(-law, (values.shape[1], 1)) for law in apart])
    design = np.concatenate([rows, ones], axis=1)
    goal = -(apart @ values).ravel()
    independent = 10.0  # neighbouring errors are alike over some samples
    prior = (
        np.concatenate([np.full(count, noise**2 / LAG_S**2), np.full(count, noise**2 / LEVEL_MV**2)])
        * independent
    )
    pull = np.concatenate([-so_far, np.zeros(count)])
    # the laws hold at any time: what all readings share cannot be told from them
    shared = np.concatenate([np.ones(count), np.zeros(count)])
    stiff = 1e3 * prior[0] * np.outer(shared, shared)
    found = np.linalg.solve(design.T @ design + np.diag(prior) + stiff, design.T @ goal + prior * pull)
    lags = np.clip(found[:count], -MAX_LAG_S, MAX_LAG_S)
    return lags, found[count:]


def _spread(values: Array) -> float:
    """Robust standard deviation, mV."""
    return max(FLOOR_MV, 1.48 * float(np.median(np.abs(values - np.median(values)))))


def _shift(values: Array, samples: float) -> Array:
    """values(t + samples), the ends kept."""
    at = np.arange(len(values), dtype=np.float64)
    return np.asarray(CubicSpline(at, values)(np.clip(at + samples, 0, len(values) - 1)), np.float64)
