"""Match printed names with the boxes that they stand beside."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array
from ecgpage.layout.boxes import HALF_BOX_MM, ROW_APART_MM, PageBoxes
from ecgpage.layout.options import LayoutOptions

BESIDE_MM: Final = (-4.0, -2.0, 9.0, 15.0)
"""Distance, mm, of a name's middle right of its lead's beginning: between the inner two, rarely between the outer two."""


@dataclass(frozen=True)
class _NamePlaces:
    """Places of the printed names relative to the boxes of a page."""

    fits: Array
    """(n, m) fit, 0 to 1, of each recognised word's place for the name of each box."""
    down_mm: float
    """Distance, mm, of names below their leads' levels; negative above."""
    along_mm: float
    """Distance, mm, of names right of their leads' beginnings; NaN where names stand in the margin only."""


def _match_names(
    boxes: PageBoxes, levels_mm: Array, ink_mm: Array, options: LayoutOptions
) -> _NamePlaces | None:
    """Places of names beside their leads, common to the whole page; None when too few names fit one.

    ``levels_mm`` (n,): page y of the boxes' rows; ``ink_mm`` (k,): page y of the rows of ink.
    """
    printed = boxes.printed
    if not len(printed.places) or not len(boxes.leads):
        return None
    clear = printed.chances.sum(axis=1)
    inside, margin = (
        fits * clear for fits in _fit_along(boxes.leads, levels_mm, printed.places, options)
    )  # (n, m)
    fits = np.maximum(inside, margin)
    down = printed.places[:, 1] - levels_mm[:, None]
    heights = np.arange(-options.name_reach_mm, options.name_reach_mm + 0.1, 0.5)
    near = np.exp(
        -0.5 * ((down - heights[:, None, None]) / options.name_height_error_mm) ** 2
    )  # (heights, n, m)
    # a name halfway between rows may belong to either: the names that the detector gave decide
    alike = 1 + boxes.names @ printed.chances.T  # (n, m)
    score = (near * fits * alike).max(axis=2).sum(axis=1)
    away = printed.places[:, 1] - heights[:, None] - np.append(levels_mm, ink_mm)[:, None, None]
    has_row = np.exp(-0.5 * (np.abs(away).min(axis=0) / options.name_height_error_mm) ** 2)  # (heights, m)
    score += (has_row * fits.max(axis=0)).sum(axis=1)
    chosen = int((score * (1 - options.name_far * np.abs(heights))).argmax())
    inside, margin = near[chosen] * inside, near[chosen] * margin
    first = margin.max(axis=1) > 0  # the first leads' names all stand in the margin, or none
    in_margin = margin[first].max(axis=1, initial=0).sum() > inside[first].max(axis=1, initial=0).sum()
    best = np.where(first[:, None] & in_margin, margin, inside)
    along = printed.places[:, 0] - boxes.leads[:, :1]
    is_inside = along > BESIDE_MM[0]
    likely = np.where(is_inside, best, 0.0)
    named = likely.max(axis=1) > options.min_name_fit
    usual = float("nan")
    if named.any():
        usual = float(np.median(along[named, likely[named].argmax(axis=1)]))
        best = best * np.where(
            is_inside, np.exp(-0.5 * ((along - usual) / options.name_along_error_mm) ** 2), 1.0
        )
    words = best.argmax(axis=1)[best.max(axis=1) > options.min_name_fit]
    if len(np.unique(printed.chances[words].argmax(axis=1))) < options.min_named * len(best):
        return None
    return _NamePlaces(best, float(heights[chosen]), usual)


def add_named_boxes(
    boxes: PageBoxes, levels_mm: Array, ink_mm: Array, options: LayoutOptions = LayoutOptions()
) -> tuple[PageBoxes, Array]:
    """Boxes and their levels, with one added for each surely read name that has no box.

    Such a name must stand in the usual place beside a row of ink (``ink_mm`` (k,), page y) where other leads begin.
    """
    beside = _match_names(boxes, levels_mm, ink_mm, options)
    if beside is None:
        return boxes, levels_mm
    in_margin = bool(np.isnan(beside.along_mm))
    first_mm = float(boxes.leads[:, 0].min())
    clear = boxes.printed.chances.sum(axis=1)
    leads, levels = list(boxes.leads), list(levels_mm)
    for word in np.flatnonzero(
        (clear > options.sure_name) & (beside.fits.max(axis=0) < options.min_name_fit)
    ):
        x0, level = boxes.printed.places[word] - (beside.along_mm, beside.down_mm)
        if in_margin:
            x0 = (
                first_mm
                if -options.name_margin_mm < boxes.printed.places[word, 0] - first_mm < 0
                else -np.inf
            )
        near = np.abs(ink_mm - level) < options.name_height_error_mm
        begins = np.abs(boxes.leads[:, 0] - x0) < options.box_edge_error_mm
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
        scores=np.append(boxes.scores, np.full(more, options.name_only_score)),
        names=np.concatenate([boxes.names, np.full((more, len(LEADS)), 1 / len(LEADS))]),
    ), np.array(levels)


def add_printed_names(
    boxes: PageBoxes, levels_mm: Array, ink_mm: Array, options: LayoutOptions = LayoutOptions()
) -> PageBoxes:
    """Boxes with their names updated by those printed beside them.

    ``levels_mm`` (n,): page y of the boxes' rows; ``ink_mm`` (k,): page y of the rows of ink. The names of a page stand at
    one height above or below their leads, at one distance from their beginning; those of the first leads of rows may stand
    in the margin.
    """
    beside = _match_names(boxes, levels_mm, ink_mm, options)
    if beside is None:
        return boxes
    printed, best = boxes.printed, beside.fits
    clear = printed.chances.sum(axis=1)
    names = boxes.names / np.maximum(1e-6, boxes.names.sum(axis=1, keepdims=True))
    wrong = np.full(len(names), options.misnamed)
    minus = np.zeros(len(names), np.bool_)
    for box, word in zip(*linear_sum_assignment(best, maximize=True), strict=True):
        if best[box, word] < options.min_name_fit:
            continue
        read = printed.chances[word] + (1 - clear[word]) / len(LEADS)
        legible = float(printed.chances[word].max())
        both = (names[box] + 0.01) ** (1 - (1 - options.place_weight) * legible) * (read + options.read_wrong)
        names[box] = both / both.sum()
        wrong[box] = options.read_wrong + (options.misnamed - options.read_wrong) * (1 - legible)
        minus[box] = printed.minus[word] > options.sure_minus
    return replace(boxes, names=names, wrong=wrong, minus=minus)


def _fit_along(leads: Array, levels_mm: Array, places: Array, options: LayoutOptions) -> tuple[Array, Array]:
    """(n, m) fit, 0 to 1, along x of the words at ``places`` (m, 2) for names of the boxes (n, 4): beside their beginning,
    and in the margin before the first lead of a row.
    """
    along = places[:, 0] - leads[:, :1]
    inside = np.interp(along, BESIDE_MM, (0.0, 1.0, 1.0, 0.0))
    same_row = np.abs(levels_mm[:, None] - levels_mm) < ROW_APART_MM[0]
    first = (same_row & (leads[:, 0] < leads[:, :1] - options.min_column_mm)).sum(axis=1) == 0
    margin = first[:, None] & (along <= 0) & (along > -options.name_margin_mm)
    return inside, margin.astype(np.float64)
