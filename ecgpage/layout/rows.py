"""Rows of traces: the long connected lines of ink across a flat page."""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage, Grey
from ecgpage.layout.columns import Columns
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import Row

ROW_STEP_MM: Final = 0.5
"""Height, mm, of the cells in which rows are searched; they are 1 mm wide."""


RISEN_MM: Final = (1.5, 2.0, 2.5, 3.0)
"""Distances, mm, above and below a line at which a heart beat that rises from it has ink."""


def find_rows(page: FlatPage, options: LayoutOptions = LayoutOptions()) -> list[Row]:
    """Rows of traces, from top to bottom: minimum-cost paths from left to right through the ink, found one by one."""
    step_y = int(ROW_STEP_MM * Y_PX_PER_MM)
    height, width = (page.ink.shape[0] // step_y * step_y, page.ink.shape[1] // X_PX_PER_MM * X_PX_PER_MM)
    cells = page.ink[:height, :width].reshape(height // step_y, step_y, width // X_PX_PER_MM, X_PX_PER_MM)
    left = np.clip(cells.mean(axis=1).max(axis=2), 0, 1)
    x_mm = page.x0_mm + np.arange(left.shape[1]) + 0.5
    rows: list[Row] = []
    for _ in range(options.max_rows):
        path, ink = find_minimum_cost_path(left)
        level = np.asarray(page.y0_mm + (path + 0.5) * ROW_STEP_MM, np.float64)
        rows.append(Row(x_mm, level, ink))
        lengths = sorted(row.length_mm for row in rows)
        if len(rows) > 2 and lengths[0] < options.short_row * lengths[-2]:
            break  # later ones are fainter still
        for offset in range(-4, 5):
            left[np.clip(path + offset, 0, left.shape[0] - 1), np.arange(left.shape[1])] = 0
    usual = lengths[-2]
    good = [
        row
        for row in rows
        if row.length_mm >= options.min_row_share * usual
        and row.ink[row.ink > 0.3].mean() > options.min_row_ink
        and row.presence > options.min_presence
        and not _is_frame(page, row, options)
    ]
    return _keep_regular(sorted(good, key=lambda row: row.level_mm), options)


def _keep_regular(rows: list[Row], options: LayoutOptions) -> list[Row]:
    """Longest run of rows without a gap much wider than usual: printed headers and edges stand apart."""
    if len(rows) < 3:
        return rows
    gaps = np.diff([row.level_mm for row in rows])
    breaks = [0, *(np.flatnonzero(gaps > options.max_row_gap * np.median(gaps)) + 1), len(rows)]
    runs = [rows[a:b] for a, b in itertools.pairwise(breaks)]
    return max(runs, key=len)


def find_minimum_cost_path(cells: Grey, reach: int = 6, bend: float = 0.25) -> tuple[NDArray[np.intp], Array]:
    """Path, row (columns,), through ``cells`` (rows, columns), 0 to 1, that gathers most ink, and its ink (columns,).

    It moves at most ``reach`` cells a column, at a cost of ``bend`` a cell.
    """
    height, width = cells.shape
    cost = np.ascontiguousarray((1.0 - cells).T)  # (width, height)
    dear = np.full(height + 2 * reach, np.inf, cost.dtype)
    total = dear[reach : reach + height]
    total[:] = cost[0]
    moves = np.arange(-reach, reach + 1)
    from_there = np.lib.stride_tricks.sliding_window_view(dear, height)  # a view: it follows ``total``
    bends = (bend * np.abs(moves))[:, None].astype(cost.dtype)
    options = np.empty(from_there.shape, cost.dtype)
    chosen = np.zeros((width, height), np.intp)
    for x in range(1, width):
        np.add(from_there, bends, out=options)
        options.argmin(axis=0, out=chosen[x])
        np.add(options.min(axis=0), cost[x], out=total)
    came = np.arange(height) + moves[chosen]
    path = np.empty(width, np.intp)
    path[-1] = total.argmin()
    for x in range(width - 1, 0, -1):
        path[x - 1] = came[x, path[x]]
    return path, cells[path, np.arange(width)].astype(float)


def _is_frame(page: FlatPage, row: Row, options: LayoutOptions) -> bool:
    """Whether a row is a straight printed line from which nothing rises."""
    seen = row.ink > 0.3
    line = np.polyfit(row.x_mm[seen], row.y_mm[seen], 2)
    error = np.abs(row.y_mm[seen] - np.polyval(line, row.x_mm[seen]))
    if np.quantile(error, 0.85) > 2 * options.frame_rms_mm:
        return False
    within = np.arange(X_PX_PER_MM) - X_PX_PER_MM // 2  # strokes are narrower than the millimetres of a row
    columns = np.rint(page.column(row.x_mm[seen])).astype(int)[:, None] + within
    columns = np.clip(columns, 0, page.ink.shape[1] - 1)
    base = np.rint(page.row(row.y_mm[seen])).astype(int)[:, None]
    risen = np.zeros(len(columns), np.bool_)
    for sign in (-1, 1):
        heights = [int(sign * mm * Y_PX_PER_MM) for mm in RISEN_MM]
        inked = [page.ink[np.clip(base + h, 0, page.ink.shape[0] - 1), columns] > 0.5 for h in heights]
        risen |= (np.sum(inked, axis=0) >= options.min_risen_places).any(axis=1)
    return bool(risen.mean() < options.min_risen)


def find_row_at(
    page: FlatPage,
    level_mm: float,
    columns: Columns,
    ink_rows: list[Row],
    options: LayoutOptions = LayoutOptions(),
) -> Row:
    """Row of ink at a level, page mm, in all columns; where none was found, the minimum-cost path near it."""
    near = [
        row
        for row in ink_rows
        if abs(row.level_mm - level_mm) < options.same_row_mm
        and all(
            abs(_median_level(row, columns.span(k)) - level_mm) < options.path_mm
            for k in range(columns.count)
        )
    ]
    if near:
        return min(near, key=lambda row: abs(row.level_mm - level_mm))
    width = page.ink.shape[1] // X_PX_PER_MM
    y_mm = level_mm + np.arange(-options.path_mm, options.path_mm + 0.01, 1 / Y_PX_PER_MM)
    at = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    step = int(ROW_STEP_MM * Y_PX_PER_MM)
    at = at[: len(at) // step * step]
    band = np.clip(page.ink[at, : width * X_PX_PER_MM], 0, 1)
    cells = band.reshape(len(at) // step, step, width, X_PX_PER_MM).mean(axis=1).max(axis=2)
    path, ink = find_minimum_cost_path(cells.astype(np.float32), reach=3, bend=0.5)
    x_mm = page.x_mm((np.arange(width) + 0.5) * X_PX_PER_MM)
    y_path = np.asarray(level_mm - options.path_mm + (path + 0.5) * ROW_STEP_MM, np.float64)
    return Row(x_mm, y_path, ink)


def _median_level(row: Row, span_mm: tuple[float, float]) -> float:
    """Median page y, mm, of the inked part of a row between two page x; of the whole row where no ink lies between."""
    inside = (row.x_mm > span_mm[0]) & (row.x_mm < span_mm[1]) & (row.ink > 0.3)
    return float(np.median(row.y_mm[inside])) if inside.any() else row.level_mm
