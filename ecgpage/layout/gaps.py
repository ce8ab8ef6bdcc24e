"""Measure the blank between columns."""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.column_edges import STROKE_MM
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import Row

MIN_BLANK_PX: Final = 2
"""Width, columns of ``FlatPage.ink``, of a blank, at least: narrower ones are holes in strokes."""
AT_EDGE_PX: Final = 3
"""Distance, columns, of a blank from the end of the searched span, below which it runs on beyond."""


def measure_gap(
    page: FlatPage, rows: list[Row], columns: Columns, options: LayoutOptions = LayoutOptions()
) -> float:
    """Width, mm, of the blank between columns, with any separator in it; 0 where the traces touch.

    Where gaps differ, the commonest width counts, and the narrowest of equally common ones: faint ends widen a blank.
    """
    blanks = []
    for k in range(1, columns.count):
        middle = columns.span(k)[0] - columns.gap_mm / 2
        reach = max(0.0, columns.gap_mm) / 2 + options.gap_reach_mm
        x_mm = np.arange(middle - reach, middle + reach, 1 / X_PX_PER_MM)
        inked = np.array(
            [
                ink_near_row(page, row, x_mm, middle - reach - 1, options)
                | ink_near_row(page, row, x_mm, middle + reach + 1, options)
                for row in rows
            ]
        )
        # single traces are faint in places; a gap is blank in all rows but for strokes of the row above
        blank = (~inked).sum(axis=1)
        own = (
            blank >= options.crossed * np.median(blank)
            if len(rows) >= options.many_rows
            else np.ones(len(rows), np.bool_)
        )
        start, end = _find_blank(np.logical_or.reduce(inked[own]), options)
        beside = np.delete(inked, np.s_[start:end], axis=1)
        blanks.append(
            (end - start) / X_PX_PER_MM if beside.size and beside.mean() > options.min_inked else 0.0
        )
    values = np.sort(blanks)
    alike = np.abs(values[:, None] - values) < options.max_spread_mm
    chosen = int(alike.sum(axis=1).argmax())
    gap = float(np.median(values[alike[chosen]])) + STROKE_MM
    return gap if gap > options.touching_mm else 0.0


def _find_blank(inked: NDArray[np.bool_], options: LayoutOptions) -> tuple[int, int]:
    """First and one past the last column of the longest blank, across a separator; (0, 0) where it is open at an end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], inked, [True]]).astype(np.int8)))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= MIN_BLANK_PX]
    both_sides = [
        (a, d) for (a, b), (c, d) in itertools.pairwise(runs) if c - b < options.separator_mm * X_PX_PER_MM
    ]
    start, end = max(runs + both_sides, key=lambda run: run[1] - run[0], default=(0, 0))
    return (0, 0) if start < AT_EDGE_PX or end > len(inked) - AT_EDGE_PX else (start, end)


def ink_near_row(
    page: FlatPage, row: Row, x_mm: Array, level_at_mm: float, options: LayoutOptions = LayoutOptions()
) -> NDArray[np.bool_]:
    """(n,) whether ink lies within ``end_band_mm`` of a row's level at each page x (n,), mm.

    The level is the row's at page x ``level_at_mm``.
    """
    level = row.level_at(level_at_mm)
    at = np.arange(level - options.end_band_mm, level + options.end_band_mm, 1 / Y_PX_PER_MM)
    lines = np.clip(np.rint(page.row(at)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    return np.asarray(page.ink[lines[:, None], columns].max(axis=0) > 0.4, np.bool_)
