"""Match printed names with the boxes that they stand beside."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array
from ecgpage.layout.boxes import HALF_BOX_MM, MISNAMED, ROW_APART_MM, PageBoxes
from ecgpage.layout.columns import MIN_WIDTH_MM, POSITION_MM

NAME_REACH_MM: Final = 14.0
"""Printed names stand so far above or below their lead's level at most."""
NAME_APART_MM: Final = 1.8
"""Names of one page stand at the same height above or below their leads but for this error."""
NAME_FAR: Final = 0.004
"""Of two heights that fit alike the nearer one, by so much a millimetre, is theirs."""
NAME_ALONG_MM: Final = 2.5
"""The same along x; they begin at one distance from their leads' beginning, and are of different length."""
BESIDE_MM: Final = (-4.0, -2.0, 9.0, 15.0)
"""A name's middle stands between the inner two beyond its lead's beginning, rarely between the outer two."""
MARGIN_MM: Final = 38.0
"""In the margin, before the first lead of a row, names stand so far away at most."""
MIN_BESIDE: Final = 0.2
"""Names that fit their place worse are no names of a lead."""
SURE_MINUS: Final = 0.8
"""Chance from which a name has a minus: far fewer pages print one than those from which it was learned."""
SURE_NAME: Final = 0.8
"""Chance from which a name tells of a lead that no box shows."""
NAMED_ONLY: Final = 0.6
"""Score of the box of such a lead."""
MIN_NAMED: Final = 0.34
"""Different names for each lead; fewer are something else, as heart beats are that look like an I."""
READ_WRONG: Final = 0.004
"""Chance that a name that was read clearly is wrong."""
PLACE_WEIGHT: Final = 0.4
"""How much a detector's opinion counts beside a printed name, as an exponent."""


@dataclass(frozen=True)
class _Beside:
    """How names are printed beside the boxes of a page."""

    fits: Array
    """(n, m) 0 to 1: how well each word fits for the name of each box."""
    down_mm: float
    """Usual distance of a name below its lead's level; less than 0 above."""
    along_mm: float
    """The same along x from its lead's beginning; NaN where names stand in the margin only."""


def _names_beside(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> _Beside | None:
    """Where names stand beside their leads, one place for all of a page; None when too few fit any. ``levels_mm`` (n,): the
    boxes' rows; ``ink_mm`` (k,): rows of ink.
    """
    printed = boxes.printed
    if not len(printed.places) or not len(boxes.leads):
        return None
    clear = printed.chances.sum(axis=1)
    inside, margin = (fits * clear for fits in _beside(boxes.leads, levels_mm, printed.places))  # (n, m)
    fits = np.maximum(inside, margin)
    down = printed.places[:, 1] - levels_mm[:, None]
    heights = np.arange(-NAME_REACH_MM, NAME_REACH_MM + 0.1, 0.5)
    near = np.exp(-0.5 * ((down - heights[:, None, None]) / NAME_APART_MM) ** 2)  # (heights, n, m)
    # halfway between rows names may belong to either; the looks of the leads tell
    alike = 1 + boxes.names @ printed.chances.T  # (n, m)
    score = (near * fits * alike).max(axis=2).sum(axis=1)
    away = printed.places[:, 1] - heights[:, None] - np.append(levels_mm, ink_mm)[:, None, None]
    has_row = np.exp(-0.5 * (np.abs(away).min(axis=0) / NAME_APART_MM) ** 2)  # (heights, m)
    score += (has_row * fits.max(axis=0)).sum(axis=1)
    chosen = int((score * (1 - NAME_FAR * np.abs(heights))).argmax())
    inside, margin = near[chosen] * inside, near[chosen] * margin
    first = margin.max(axis=1) > 0  # all first leads of rows have their names in the margin, or none
    in_margin = margin[first].max(axis=1, initial=0).sum() > inside[first].max(axis=1, initial=0).sum()
    best = np.where(first[:, None] & in_margin, margin, inside)
    along = printed.places[:, 0] - boxes.leads[:, :1]
    is_inside = along > BESIDE_MM[0]
    likely = np.where(is_inside, best, 0.0)
    named = likely.max(axis=1) > MIN_BESIDE
    usual = float("nan")
    if named.any():
        usual = float(np.median(along[named, likely[named].argmax(axis=1)]))
        best = best * np.where(is_inside, np.exp(-0.5 * ((along - usual) / NAME_ALONG_MM) ** 2), 1.0)
    words = best.argmax(axis=1)[best.max(axis=1) > MIN_BESIDE]
    if len(np.unique(printed.chances[words].argmax(axis=1))) < MIN_NAMED * len(best):
        return None
    return _Beside(best, float(heights[chosen]), usual)


def with_named_only(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> tuple[PageBoxes, Array]:
    """The boxes, and their levels, with those of leads that no box shows but a name that is read surely, in the usual place
    beside a row of ink (levels (m,) ``ink_mm``) where other leads begin.
    """
    beside = _names_beside(boxes, levels_mm, ink_mm)
    if beside is None:
        return boxes, levels_mm
    in_margin = bool(np.isnan(beside.along_mm))
    first_mm = float(boxes.leads[:, 0].min())
    clear = boxes.printed.chances.sum(axis=1)
    leads, levels = list(boxes.leads), list(levels_mm)
    for word in np.flatnonzero((clear > SURE_NAME) & (beside.fits.max(axis=0) < MIN_BESIDE)):
        x0, level = boxes.printed.places[word] - (beside.along_mm, beside.down_mm)
        if in_margin:
            x0 = first_mm if -MARGIN_MM < boxes.printed.places[word, 0] - first_mm < 0 else -np.inf
        near = np.abs(ink_mm - level) < NAME_APART_MM
        begins = np.abs(boxes.leads[:, 0] - x0) < POSITION_MM
        taken = begins & (np.abs(levels_mm - level) < ROW_APART_MM[0])
        if near.any() and begins.any() and not taken.any():
            level = float(ink_mm[near][np.abs(ink_mm[near] - level).argmin()])
            (start, end) = np.median(boxes.leads[begins][:, [0, 2]], axis=0)
            leads.append(np.array([start, level - HALF_BOX_MM, end, level + HALF_BOX_MM]))
            levels.append(level)
    more = len(leads) - len(boxes.leads)
    return replace(
        boxes,
        leads=np.array(leads),
        scores=np.append(boxes.scores, np.full(more, NAMED_ONLY)),
        names=np.concatenate([boxes.names, np.full((more, len(LEADS)), 1 / len(LEADS))]),
    ), np.array(levels)


def with_printed(boxes: PageBoxes, levels_mm: Array, ink_mm: Array) -> PageBoxes:
    """The boxes with the names that are printed beside them; ``levels_mm`` (n,): their rows' page y;
    ``ink_mm`` (k,): that of rows of ink.

    All names of a page stand at one height above or below their leads, at one distance from their beginning or, of the first
    lead of a row, in the margin.
    """
    beside = _names_beside(boxes, levels_mm, ink_mm)
    if beside is None:
        return boxes
    printed, best = boxes.printed, beside.fits
    clear = printed.chances.sum(axis=1)
    names = boxes.names / np.maximum(1e-6, boxes.names.sum(axis=1, keepdims=True))
    wrong = np.full(len(names), MISNAMED)
    minus = np.zeros(len(names), np.bool_)
    for box, word in zip(*linear_sum_assignment(best, maximize=True), strict=True):
        if best[box, word] < MIN_BESIDE:
            continue
        read = printed.chances[word] + (1 - clear[word]) / len(LEADS)
        legible = float(printed.chances[word].max())
        both = (names[box] + 0.01) ** (1 - (1 - PLACE_WEIGHT) * legible) * (read + READ_WRONG)
        names[box] = both / both.sum()
        wrong[box] = READ_WRONG + (MISNAMED - READ_WRONG) * (1 - legible)
        minus[box] = printed.minus[word] > SURE_MINUS
    return replace(boxes, names=names, wrong=wrong, minus=minus)


def _beside(leads: Array, levels_mm: Array, places: Array) -> tuple[Array, Array]:
    """(n, m) 0 to 1: how well the words at ``places`` (m, 2) stand along x for names of the boxes (n, 4), and the same in the
    margin before the first lead of a row.
    """
    along = places[:, 0] - leads[:, :1]
    inside = np.interp(along, BESIDE_MM, (0.0, 1.0, 1.0, 0.0))
    same_row = np.abs(levels_mm[:, None] - levels_mm) < ROW_APART_MM[0]
    first = (same_row & (leads[:, 0] < leads[:, :1] - MIN_WIDTH_MM)).sum(axis=1) == 0
    margin = first[:, None] & (along <= 0) & (along > -MARGIN_MM)
    return inside, margin.astype(np.float64)
