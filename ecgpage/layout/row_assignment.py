"""Assign the boxes of a page to rows."""

import itertools

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.layout.boxes import HALF_BOX_MM, ROW_APART_MM, PageBoxes
from ecgpage.layout.options import LayoutOptions


def measure_row_distance(leads: Array, levels_mm: Array, options: LayoutOptions = LayoutOptions()) -> float:
    """Distance, mm, of levels (n,) above which they belong to different rows, from the boxes ``leads`` (n, 4)."""
    steps = [
        min(
            (
                abs(levels_mm[a] - levels_mm[b])
                for b in range(len(leads))
                if b != a and _overlap_along_x(leads[a], leads[b])
            ),
            default=0.0,
        )
        for a in range(len(leads))
    ]
    known = [step for step in steps if step > 0]
    return float(np.clip(options.row_apart_share * np.median(known) if known else 0.0, *ROW_APART_MM))


def assign_rows(
    boxes: PageBoxes,
    levels_mm: Array,
    spare_mm: Array,
    apart_mm: float,
    options: LayoutOptions = LayoutOptions(),
) -> tuple[NDArray[np.intp], Array]:
    """Row of each box (n,) and the rows' page y, mm, from the top; boxes above each other never share a row."""
    levels = levels_mm.copy()
    for _ in range(len(levels)):
        order = np.argsort(levels, kind="stable")
        starts = np.concatenate([[True], np.diff(levels[order]) > apart_mm])
        row_of = np.empty(len(levels), np.intp)
        row_of[order] = np.cumsum(starts) - 1
        rows_mm = np.array([np.median(levels[row_of == r]) for r in range(row_of.max() + 1)])
        group = _merge_crowded_rows(boxes.leads, levels, row_of)
        if not len(group):
            break
        moved = _stack_rows(
            boxes.leads[group], levels[group], add_spare_rows(row_of, rows_mm, spare_mm, apart_mm)[1], options
        )
        if (moved == levels[group]).all():
            break
        levels[group] = moved
    return row_of, rows_mm


def _merge_crowded_rows(leads: Array, levels_mm: Array, row_of: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices, from the top, of boxes above each other of which two share a row or have swapped levels; empty without any."""
    # the ink may belong to a neighbour, so its level is averaged with the box's middle
    heights = (levels_mm + leads[:, [1, 3]].mean(axis=1)) / 2
    for a, b in itertools.combinations(range(len(leads)), 2):
        turned = (levels_mm[a] - levels_mm[b]) * (heights[a] - heights[b]) < 0
        if (row_of[a] == row_of[b] or turned) and _overlap_along_x(leads[a], leads[b]):
            group = np.array([k for k in range(len(leads)) if k == a or _overlap_along_x(leads[a], leads[k])])
            return group[np.argsort(heights[group], kind="stable")]
    return np.zeros(0, np.intp)


def _stack_rows(leads: Array, levels_mm: Array, rows_mm: Array, options: LayoutOptions) -> Array:
    """(n,) levels, page mm, of boxes (n, 4) above each other, each moved to a row of its own of ``rows_mm`` (m,).

    The assignment of least cost stays within the boxes, near the previous levels and at regular distances; a box without a
    row keeps its level.
    """
    n, m = len(leads), len(rows_mm)
    low, high = (
        leads[:, 1] + HALF_BOX_MM - options.row_slack_mm,
        leads[:, 3] - HALF_BOX_MM + options.row_slack_mm,
    )
    away = np.abs(rows_mm - levels_mm[:, None])  # (n, m)
    costs = np.minimum(away / ROW_APART_MM[0], 2.0)
    costs[(rows_mm < low[:, None]) | (rows_mm > high[:, None])] = np.inf
    pitch = float(np.median(np.diff(rows_mm))) if m > 1 else 1.0
    steps = (rows_mm - rows_mm[:, None]) / pitch  # (from, to)
    uneven = np.where(
        steps > 0, options.irregular_rows * (steps - np.maximum(1, np.rint(steps))) ** 2, np.inf
    )
    best = np.zeros(m + 1)  # cost by the last row taken; last entry: none yet
    best[:m] = np.inf
    came = np.zeros((n, m + 1), np.intp)
    for k in range(n):
        onward = best[:, None] + np.concatenate([uneven, np.zeros((1, m))])  # (m + 1, m)
        taken = onward.min(axis=0) + costs[k]
        left = best + options.no_row
        came[k] = np.append(np.where(taken < left[:m], onward.argmin(axis=0), -1), -1)
        best = np.append(np.minimum(taken, left[:m]), left[m])
    levels = levels_mm.copy()
    last = int(best.argmin())
    for k in range(n - 1, -1, -1):
        if came[k, last] >= 0:
            levels[k] = rows_mm[last]
            last = int(came[k, last])
    return levels


def _overlap_along_x(a: Array, b: Array) -> bool:
    both = min(a[2], b[2]) - max(a[0], b[0])
    return bool(both > 0.5 * min(a[2] - a[0], b[2] - b[0]))


def add_spare_rows(
    row_of: NDArray[np.intp], rows_mm: Array, spare_mm: Array, apart_mm: float
) -> tuple[NDArray[np.intp], Array]:
    """Row of each box and page y of the rows, with rows of ink without boxes and rows that gaps leave room for added."""
    new = [float(y) for y in spare_mm if np.abs(rows_mm - y).min() > apart_mm]
    new += [y for y in find_regular_places(rows_mm) if not any(abs(y - other) < apart_mm for other in new)]
    levels = np.concatenate([rows_mm, np.array(new)])
    order = np.argsort(levels, kind="stable")
    place = np.empty(len(levels), np.intp)
    place[order] = np.arange(len(levels))
    return place[row_of], levels[order]


def find_regular_places(rows_mm: Array) -> list[float]:
    """Page y, mm, of the rows missing in gaps that are two or three usual distances wide."""
    steps = np.diff(rows_mm)
    if len(steps) < 2:
        return []
    usual = float(np.median(steps))
    places = []
    for y, step in zip(rows_mm, steps, strict=False):
        count = round(step / usual)
        places += [float(y + step * k / count) for k in range(1, count)] if count in (2, 3) else []
    return places
