"""Find the leads of a page by its printed names: words that stand in the order of a known layout.

Twelve different words in their places are seldom chance, whatever the traces look like. The words of a column stand above
each other, those of a row beside each other, all at one height above or below their rows.

Conventions:
    places  page x, y, mm, of the middle of each word
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array
from ecgpage.layout.boxes import PrintedNames
from ecgpage.layout.known_layouts import GRAMMAR, Order
from ecgpage.layout.options import LayoutOptions

ASIDE_MM: Final = 2.5
"""Deviation, mm, of the middles of a column's words from one x: names differ in length, and stand left, right or centred."""
MOST_ASIDE_MM: Final = 6.0
"""Deviation, mm, beyond which a word belongs to another column."""
ROW_ERROR_MM: Final = 2.0
"""Deviation, mm, of the words of a row from one y."""
ALIKE: Final = (slice(0, 3), slice(3, 6), slice(6, 12))
"""Leads, by their numbers in ``LEADS``, whose names look alike."""
MOST_COLUMNS: Final = 4
"""Number of places tried for each column of an order."""
MOST_WORDS: Final = 90
"""Number of words that are looked at: more are texture."""


@dataclass(frozen=True)
class NamePattern:
    """Words that stand in the order of a known layout."""

    order: Order
    words: NDArray[np.intp]
    """(rows, columns) number of the word of each lead; -1 where it was not read."""
    x_mm: Array
    """(columns,) page x of the words of each column."""
    y_mm: Array
    """(rows,) page y of the words of each row; NaN where none was read."""
    score: float
    """Log odds that these words are the leads' names."""
    margin_mm: float = 0.0
    """Distance of the first column's names below those of the others, mm."""

    @property
    def share(self) -> float:
        """Share of the leads whose name was read."""
        return float((self.words >= 0).mean())


def find_name_pattern(printed: PrintedNames, options: LayoutOptions = LayoutOptions()) -> NamePattern | None:
    """Likeliest order of a known layout in which printed names stand; None where too few do, or they contradict it."""
    read = _blur_names(printed.chances, options)
    surest = np.argsort(-read.max(axis=1, initial=0.0), kind="stable")[:MOST_WORDS]
    surest = surest[read[surest].max(axis=1, initial=0.0) > options.min_pattern_name]
    if len(surest) < options.min_pattern_names:
        return None
    places, chances = printed.places[surest], read[surest]
    columns: dict[tuple[int, ...], list[_Column]] = {}
    best: NamePattern | None = None
    for order in GRAMMAR:
        found = []
        for names in _columns_of(order):
            if names not in columns:
                columns[names] = _find_columns(places, chances, names)
            found.append(columns[names])
        pattern = _join_columns(order, found, places, chances, options)
        if pattern is None:
            continue
        elsewhere = _count_elsewhere(pattern, printed.chances[surest], options)
        pattern = replace(pattern, score=pattern.score - options.name_in_place * elsewhere)
        if best is None or pattern.score > best.score:
            best = pattern
    if best is None or best.score < 0:
        return None
    words = np.where(best.words >= 0, surest[best.words], -1)
    best = replace(best, words=words)
    return None if _is_contradicted(best, printed, options) else best


def _count_elsewhere(pattern: NamePattern, chances: Array, options: LayoutOptions) -> int:
    """Number of leads whose name is read clearly elsewhere alone: texture beside a page looks like a column of names."""
    clear = chances > options.sure_name
    leads = np.array(_columns_of(pattern.order)).T
    found = leads[(pattern.words >= 0) & clear[pattern.words, leads]]
    return int(clear.any(axis=0).sum() - len(np.unique(found)))


def _is_contradicted(pattern: NamePattern, printed: PrintedNames, options: LayoutOptions) -> bool:
    """Whether the words in the places of a pattern are likelier another order of leads than its own, misread here and there.

    Each name is used once: a name misread as another one, which is read in its own place, too, is no other order.
    """
    own = np.array([LEADS.index(n.removeprefix("-")) for names in pattern.order.cells for n in names])
    words = pattern.words.copy()
    beside = np.zeros(pattern.order.columns)
    beside[0] = pattern.margin_mm
    y_mm = fill_rows(pattern.y_mm)
    for row, column in np.argwhere(words < 0):
        away = printed.places - (pattern.x_mm[column], y_mm[row] + beside[column])
        fit = np.exp(-0.5 * ((away / (ASIDE_MM, ROW_ERROR_MM)) ** 2).sum(axis=1))
        fit *= printed.chances.max(axis=1, initial=0.0)
        fit[words[words >= 0]] = 0.0
        if fit.max(initial=0.0) > options.min_pattern_name:
            words[row, column] = int(fit.argmax())
    flat = words.ravel()
    chances = np.where(flat[:, None] >= 0, printed.chances[flat], 1 / len(LEADS))
    odds = np.log(options.read_wrong + (1 - options.read_wrong) * chances)
    places, names = linear_sum_assignment(odds, maximize=True)
    return bool(odds[places, names].sum() - options.printed_order > odds[places, own].sum())


def _blur_names(chances: Array, options: LayoutOptions) -> Array:
    """(m, 12) probability of each name, a share of it spread over those that look alike.

    A poor print shows that a name is a V, not its number.
    """
    alike = np.concatenate(
        [
            np.repeat(chances[:, group].sum(axis=1, keepdims=True), len(LEADS[group]), axis=1)
            for group in ALIKE
        ],
        axis=1,
    )
    return np.asarray((1 - options.names_alike) * chances + options.names_alike * alike)


@cache
def _columns_of(order: Order) -> tuple[tuple[int, ...], ...]:
    """Numbers of the leads of each column of an order, from the top."""
    return tuple(
        tuple(LEADS.index(name.removeprefix("-")) for name in column)
        for column in zip(*order.cells, strict=True)
    )


@dataclass(frozen=True)
class _Column:
    """Words above each other."""

    x_mm: float
    words: NDArray[np.intp]
    """(rows,) number of the word of each lead; -1 where it was not read."""
    gains: Array
    """(rows,) probability of each name times the fit of its place."""


def _find_columns(places: Array, chances: Array, names: Sequence[int]) -> list[_Column]:
    """Best places of a column of these leads, the likeliest first."""
    own = chances[:, list(names)]  # (m, rows)
    found: list[_Column] = []
    tried: list[float] = []
    for k in np.flatnonzero(own.max(axis=1) > 0.3):
        x = float(places[k, 0])
        if any(abs(x - other) < 0.5 for other in tried):
            continue
        tried.append(x)
        near = np.flatnonzero(np.abs(places[:, 0] - x) < MOST_ASIDE_MM)
        near = near[np.argsort(places[near, 1], kind="stable")]
        fit = own[near] * np.exp(-0.5 * ((places[near, :1] - x) / ASIDE_MM) ** 2)
        if fit.max(axis=0).sum() < 0.3 * len(names):
            continue
        rows = _align(fit)
        words = np.where(rows >= 0, near[rows], -1)
        gains = np.where(rows >= 0, fit[rows, np.arange(len(names))], 0.0)
        found.append(_Column(x, words, gains))
    found.sort(key=lambda column: -column.gains.sum())
    apart: list[_Column] = []
    for column in found:
        if all(abs(column.x_mm - other.x_mm) > MOST_ASIDE_MM for other in apart):
            apart.append(column)
    return apart[:MOST_COLUMNS]


def _align(fit: Array) -> NDArray[np.intp]:
    """(rows,) number of the word of each lead, in ascending order, that fit best; -1 for none. ``fit``: (words, rows)."""
    m, n = fit.shape
    total = np.zeros((m + 1, n + 1))
    for k in range(m):
        taken = total[k, :-1] + fit[k]
        total[k + 1, 1:] = np.maximum.accumulate(np.maximum(taken, total[k, 1:]))
    chosen = np.full(n, -1)
    k, row = m, n
    while k and row:
        if total[k, row] == total[k, row - 1]:
            row -= 1
        elif total[k, row] == total[k - 1, row]:
            k -= 1
        else:
            k, row = k - 1, row - 1
            chosen[row] = k
    return np.where(fit[chosen, np.arange(n)] > 0.05, chosen, -1)


def _join_columns(
    order: Order, columns: list[list[_Column]], places: Array, chances: Array, options: LayoutOptions
) -> NamePattern | None:
    """Best choice of places for the columns of an order: from left to right at one distance, their rows side by side."""
    best: NamePattern | None = None
    for chosen in itertools.product(*columns):
        x = np.array([column.x_mm for column in chosen])
        steps = np.diff(x)
        if len(x) > 1 and (steps.min() < options.min_column_mm or steps.max() > 1.35 * steps.min() + 6):
            continue
        words = np.stack([column.words for column in chosen], axis=1)  # (rows, columns)
        gains = np.stack([column.gains for column in chosen], axis=1)
        y = np.where(words >= 0, places[words, 1], np.nan)
        beside = _margin_offset(y, gains)  # the first names may stand in the margin, at another height
        y[:, 0] -= beside
        middle = _middles(y, gains)
        away = np.abs(y - middle[:, None])
        gains = np.where(words >= 0, gains * np.exp(-0.5 * (away / ROW_ERROR_MM) ** 2), 0.0)
        words = np.where(gains > 0.1, words, -1)
        count = int((words >= 0).sum())
        if count < max(options.min_pattern_names, options.min_pattern_share * words.size):
            continue
        read = np.where((words >= 0).any(axis=1), middle, np.nan)
        known = read[np.isfinite(read)]
        if len(known) > 1 and np.diff(known).min() < 2.0:
            continue
        score = options.name_in_place * float(gains.sum()) - options.name_missed * (words.size - count)
        if best is None or score > best.score:
            best = NamePattern(order, words, x, read, score, beside)
    return best


def _margin_offset(y: Array, gains: Array) -> float:
    """Distance, mm, of the first column's words below those of the others in their rows; 0 where they stand beside them."""
    if y.shape[1] == 1:
        return 0.0
    away = y[:, 0] - _middles(y[:, 1:], gains[:, 1:])
    away = away[np.isfinite(away)]
    if len(away) < 2 or np.ptp(away) > 2 * ROW_ERROR_MM or abs(np.median(away)) < 2 * ROW_ERROR_MM:
        return 0.0
    return float(np.median(away))


def _middles(y: Array, weights: Array) -> Array:
    """(rows,) y that most words of each row of ``y`` (rows, columns) share; NaN without any."""
    close = np.abs(y[:, :, None] - y[:, None, :]) < 2 * ROW_ERROR_MM
    support = np.where(close, np.nan_to_num(weights)[:, None, :], 0.0).sum(axis=2)
    support = np.where(np.isfinite(y), support, -1.0)
    chosen = support.argmax(axis=1)
    rows = np.arange(len(y))
    near = close[rows, chosen]
    with np.errstate(invalid="ignore"):
        total = np.where(near, weights, 0.0).sum(axis=1)
        mean = np.where(near, np.nan_to_num(y) * weights, 0.0).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, np.nan)


def fill_rows(y: Array) -> Array:
    """Page y of rows with those unknown between or beyond the others."""
    known = np.flatnonzero(np.isfinite(y))
    if len(known) < 2:
        return np.where(np.isfinite(y), y, np.nanmean(y))
    filled = np.interp(np.arange(len(y)), known, y[known])
    step = float(np.median(np.diff(y[known]) / np.diff(known)))
    for k in range(len(y)):
        if k < known[0]:
            filled[k] = y[known[0]] - (known[0] - k) * step
        elif k > known[-1]:
            filled[k] = y[known[-1]] + (k - known[-1]) * step
    return filled
