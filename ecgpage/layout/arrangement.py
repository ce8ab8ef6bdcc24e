"""Name the boxes of a page by the grammar of printed layouts: which lead stands in which row and column.

Single boxes are not trusted. A page consists of rows and columns of equal width, with rhythm strips over the full width.
Every reading of the boxes as such a page (``GRAMMAR``, or names in any order) is scored by the evidence of its cells: the
best box in a cell adds to the score by the probability of the expected name, a cell without a box lowers it, and so does a
sure box outside all cells. The best reading names all cells, including those whose box was missed or misnamed. The
detector tells leads by their looks and places; a name printed beside a box is better evidence (``add_printed_names``).

Conventions:
    boxes   x0, y0, x1, y1 in page mm (``ecgpage.grid.flat_page``); a lead's box covers its drawn time and the range of its
            trace, at least 5 mm above and below its 0-mV line (``ecgpage.synth.truth``)
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.layout.boxes import ROW_APART_MM, PageBoxes, merge_boxes, refuse_two_pages
from ecgpage.layout.columns import Columns, fit_columns, shared_span
from ecgpage.layout.known_layouts import COUNTS, GRAMMAR, Order, order_of
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.printed_names import add_named_boxes, add_printed_names
from ecgpage.layout.row_assignment import (
    add_spare_rows,
    assign_rows,
    find_regular_places,
    measure_row_distance,
)

NO_STRIP: Final = -1e6
"""Log odds of a rhythm strip on a page of one column, where all rows have one length: none is read."""

STRIP_NAMES: Final[dict[str, float]] = {"II": 1.0, "V1": 0.5, "V5": 0.5}
"""Log odds that a rhythm strip shows this lead, over that of a lead not listed."""


WHOLE_ROW_MM: Final = (14.0, 6.0)
"""Distance, mm, of the left and right end of a strip's ink from the columns' outer ends, at most, where no box shows the
strip; more at the left, where a pulse may stand before it.
"""
NEXT_ROW: Final = (0.6, 1.6)
"""Distance of such a strip below the last row over the rows' usual distance: bounds."""


@dataclass(frozen=True)
class Cell:
    """One lead in its row and column."""

    lead: str
    row: int
    column: int | None
    """Column from 0; None for a strip over the full width."""
    is_strip: bool = False
    is_inverted: bool = False
    seen_mm: tuple[float, float] | None = None
    """Page x, mm, of the ends of its box; None where the box was missed."""
    is_named: bool = False
    """Whether a name was read beside it that is the lead's."""


@dataclass(frozen=True)
class Arrangement:
    """One reading of all boxes of a page."""

    levels_mm: tuple[float, ...]
    """Page y, mm, of the rows, from the top."""
    columns: Columns
    cells: tuple[Cell, ...]
    score: float
    """Log odds, comparable among readings of one page."""
    confidence: float
    """Mean over the cells of box score times probability of the name, 0 to 1."""
    missed: int
    """Number of cells whose box was missed."""
    misnamed: int
    """Number of cells whose box carried another name."""
    known_order: bool
    margin: float = float("inf")
    """Log odds over the best reading with other leads in their places; infinite without one."""
    read_share: float = 1.0
    """Share of the cells, 0 to 1, beside which a name was read that is the lead's."""
    pattern_share: float = 0.0
    """Share of the leads, 0 to 1, whose names stand in the printed pattern; 0 without one."""
    is_pattern: bool = True
    """Whether the leads are those of the printed pattern; true without one."""

    @property
    def places(self) -> frozenset[tuple[str, int | None, int]]:
        """Leads in their columns and rows, without strips."""
        return frozenset((c.lead, c.column, c.row) for c in self.cells if not c.is_strip)


def arrange(
    boxes: PageBoxes,
    levels_mm: Array,
    spare_mm: Array | None = None,
    options: LayoutOptions = LayoutOptions(),
) -> Arrangement:
    """Best reading of a page's boxes.

    ``levels_mm`` (n,): page y, mm, of the usual line of each box's lead; ``spare_mm`` (m, 3): page y of all rows of ink,
    with or without boxes, and page x where they begin and end, mm. Raises ``EcgPageError`` when no lead was found, the
    boxes are those of several pages, or they fit no layout.
    """
    boxes, levels_mm = merge_boxes(boxes, levels_mm, options)
    if not len(boxes.leads):
        raise EcgPageError("no lead was found on the page")
    refuse_two_pages(boxes)
    spare_mm = np.zeros((0, 3)) if spare_mm is None else spare_mm
    apart_mm = measure_row_distance(boxes.leads, levels_mm, options)
    row_of, rows_mm = assign_rows(boxes, levels_mm, spare_mm[:, 0], apart_mm, options)
    boxes, levels_mm = add_named_boxes(boxes, rows_mm[row_of], spare_mm[:, 0], options)
    row_of, rows_mm = assign_rows(boxes, levels_mm, spare_mm[:, 0], apart_mm, options)
    boxes = add_printed_names(boxes, rows_mm[row_of], spare_mm[:, 0], options)
    row_of, rows_mm = add_spare_rows(row_of, rows_mm, spare_mm[:, 0], apart_mm)
    readings: list[Arrangement] = []
    for count in COUNTS:
        for columns in fit_columns(boxes.leads, boxes.scores, count, options):
            readings += _read_columns(boxes, row_of, rows_mm, spare_mm, columns, options)
    if not readings:
        raise EcgPageError(f"{len(boxes.leads)} leads seen, which fit no layout")
    best = max(readings, key=lambda reading: reading.score)
    others = [r.score for r in readings if r.places != best.places]
    return replace(best, margin=best.score - max(others, default=-np.inf))


@dataclass(frozen=True)
class _CellEvidence:
    """Evidence of the boxes for each lead in each cell of rows x columns, and for a strip in each row.

    Where a last axis has columns + 1 entries, the last one is the strip over the full width.
    """

    cell: Array
    """(rows, columns, 12) log odds of the best box that this lead is drawn there; -``missed_lead`` without a box."""
    strip: Array
    """(rows, 12) log odds of the best box that a strip of this lead is drawn there; -inf without a box."""
    box: NDArray[np.intp]
    """(rows, columns + 1, 12) index of the best box; -1 without one."""
    clear: Array
    """(rows, columns + 1, 12) score times probability of the name of the best box, 0 to 1."""
    has_box: NDArray[np.bool_]
    """(rows, columns + 1) whether a box stands there."""
    is_read: NDArray[np.bool_]
    """(rows, columns + 1) whether a name is printed beside a box there."""
    stands: NDArray[np.bool_]
    """(n, rows, columns + 1) whether each box stands there."""


def _weigh_cells(
    boxes: PageBoxes, row_of: NDArray[np.intp], n_rows: int, columns: Columns, options: LayoutOptions
) -> _CellEvidence:
    count = columns.count
    best = np.full((n_rows, count + 1, len(LEADS)), -np.inf)
    clear = np.zeros((n_rows, count + 1, len(LEADS)))
    which = np.full(best.shape, -1)
    is_read = np.zeros(best.shape[:2], np.bool_)
    stands = np.zeros((len(boxes.leads), *best.shape[:2]), np.bool_)
    for k, box in enumerate(boxes.leads):
        for column in range(count + 1):
            span = columns.span(column if column < count else None)
            if shared_span((float(box[0]), float(box[2])), span) <= options.min_cell_overlap:
                continue
            away = np.array([box[0] - span[0], box[2] - span[1]]) / options.box_edge_error_mm
            fits = np.exp(-0.5 * np.minimum(away**2, 6.0).sum() / 2)
            chance = boxes.names[k] / max(1e-6, boxes.names[k].sum())
            wrong = options.misnamed if boxes.wrong is None else boxes.wrong[k]
            odds = options.box_in_place + np.log(wrong + (1 - wrong) * chance) + np.log(fits)
            stands[k, row_of[k], column] = True
            is_read[row_of[k], column] |= wrong < options.misnamed / 2
            value = boxes.scores[k] * odds
            better = value > best[row_of[k], column]
            best[row_of[k], column] = np.where(better, value, best[row_of[k], column])
            which[row_of[k], column][better] = k
            sure = boxes.scores[k] * chance * fits
            clear[row_of[k], column] = np.where(better, sure, clear[row_of[k], column])
    has_box = np.isfinite(best).any(axis=2)
    cell = np.where(np.isfinite(best[:, :count]), best[:, :count], -options.missed_lead)
    return _CellEvidence(cell, best[:, count], which, clear, has_box, is_read, stands)


def _read_columns(
    boxes: PageBoxes,
    row_of: NDArray[np.intp],
    rows_mm: Array,
    spare_mm: Array,
    columns: Columns,
    options: LayoutOptions,
) -> list[Arrangement]:
    """Readings of the boxes with these columns: one for each known order, and those in any order."""
    evidence = _weigh_cells(boxes, row_of, len(rows_mm), columns, options)
    strip_odds = np.array([STRIP_NAMES.get(name, 0.0) for name in LEADS]) - options.strip_cost
    strip_gain = (evidence.strip + strip_odds).max(axis=1)
    if columns.count == 1:  # all rows have the length of a strip
        strip_gain = np.full(len(rows_mm), NO_STRIP)
    has_box = np.isin(np.arange(len(rows_mm)), row_of)
    regular = find_regular_places(rows_mm[has_box])
    for row in np.flatnonzero(~has_box):
        level = rows_mm[row]
        if any(abs(level - y) < ROW_APART_MM[0] for y in regular):
            evidence.cell[row] += options.regular_row / columns.count
        ends = np.array([columns.first_mm, columns.end_mm])
        whole = (np.abs(spare_mm[:, 0] - level) < ROW_APART_MM[0]) & (
            np.abs(spare_mm[:, 1:] - ends) < WHOLE_ROW_MM
        ).all(axis=1)
        if columns.count > 1 and whole.any() and _is_next_below(level, rows_mm[has_box]):
            strip_gain[row] = options.ink_only_strip
    found = []
    for order in GRAMMAR if options.hints.layout is None else (order_of(options.hints.layout),):
        if order.columns == columns.count and len(order.cells) <= len(rows_mm):
            rows, strips, score = _align_order(order, evidence, strip_gain, options)
            cells = [
                Cell(name.removeprefix("-"), row, column, is_inverted=name.startswith("-"))
                for row, names in zip(rows, order.cells, strict=True)
                for column, name in enumerate(names)
            ]
            found.append((score + order.log_odds, cells, strips, True))
    if options.hints.layout is None:
        found += _read_any_order(evidence, columns.count, strip_gain, options)
    readings = []
    for score, cells, strips, known in found:
        strip_cells = _name_strip_cells(evidence, strips, strip_odds, options)
        readings.append(
            _make_arrangement(boxes, rows_mm, columns, evidence, (*cells, *strip_cells), score, known)
        )
    return readings


def _is_next_below(level_mm: float, rows_mm: Array) -> bool:
    """Whether a row stands below the others (page y, mm) at about their distance."""
    usual = float(np.median(np.diff(rows_mm))) if len(rows_mm) > 1 else 0.0
    return bool(NEXT_ROW[0] * usual < level_mm - rows_mm[-1] < NEXT_ROW[1] * usual)


def _align_order(
    order: Order, evidence: _CellEvidence, strip_gain: Array, options: LayoutOptions
) -> tuple[list[int], list[int], float]:
    """Best monotonic alignment of an order: rows that hold its rows, rows that are strips, and the score."""
    index = [[LEADS.index(name.removeprefix("-")) for name in names] for names in order.cells]
    n_rows, need = len(strip_gain), len(order.cells)
    gain = np.array(
        [[evidence.cell[r, range(order.columns), names].sum() for names in index] for r in range(n_rows)]
    )
    worst = -1e9
    # best[i, s]: score with i rows of the order placed and s strips
    best = np.full((need + 1, options.most_strips + 1), worst)
    best[0, 0] = 0.0
    choices: list[NDArray[np.intp]] = []
    for r in range(n_rows):
        ways = np.full((3, *best.shape), worst)
        ways[0] = best  # left out
        ways[1, 1:] = best[:-1] + gain[r][:, None]
        ways[2, :, 1:] = best[:, :-1] + strip_gain[r]
        choices.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
    placed, strips_left = need, int(best[need].argmax())
    score = float(best[placed, strips_left])
    rows: list[int] = []
    strips: list[int] = []
    for r in range(n_rows - 1, -1, -1):
        choice = choices[r][placed, strips_left]
        if choice == 1:
            rows.append(r)
            placed -= 1
        elif choice == 2:
            strips.append(r)
            strips_left -= 1
    return rows[::-1], strips[::-1], score


def _read_any_order(
    evidence: _CellEvidence, count: int, strip_gain: Array, options: LayoutOptions
) -> list[tuple[float, list[Cell], list[int], bool]]:
    """Reading by the boxes' names alone, each name once: score, cells, rows of strips, False for no known order."""
    filled = evidence.has_box[:, :count].sum(axis=1)
    rows = [r for r in range(len(filled)) if filled[r] >= max(1, count / 2)]
    if not rows:
        return []
    # no more rows than there are leads for: those seen best
    seen = evidence.clear[:, :count].sum(axis=(1, 2))
    rows = sorted(sorted(rows, key=lambda r: -seen[r])[: len(LEADS) // count])
    places = [(r, c) for r in rows for c in range(count)]
    gain = np.array([evidence.cell[r, c] for r, c in places])
    is_read = np.array([evidence.is_read[place] for place in places])
    if is_read.any():  # place says little about the name where the order is unusual
        best = gain.max(axis=1, keepdims=True)
        gain = np.where(is_read[:, None], gain, best - options.place_weight * (best - gain))
    chosen, names = linear_sum_assignment(gain, maximize=True)
    cost = options.any_order + (options.printed_order - options.any_order) * float(is_read.mean())
    score = float(gain[chosen, names].sum()) - (cost if len(places) > 3 else 2.0)
    missed = [k for k in chosen if not evidence.has_box[places[k]]]
    cells = [
        Cell(LEADS[name], *places[k])
        for k, name in zip(chosen, names, strict=True)
        if k not in missed or (len(missed) == 1 and len(places) == len(LEADS))
    ]
    strips = [] if count == 1 else [r for r in range(len(filled)) if r not in rows and strip_gain[r] > 0]
    strips = strips[: options.most_strips]
    return [(score + float(sum(strip_gain[r] for r in strips)), cells, strips, False)]


def _name_strip_cells(
    evidence: _CellEvidence, rows: list[int], strip_odds: Array, options: LayoutOptions
) -> list[Cell]:
    """Strips in ``rows`` under their likeliest names, each name once."""
    gain = np.maximum(evidence.strip[rows], -options.missed_lead) + strip_odds
    chosen, names = linear_sum_assignment(gain, maximize=True)
    return [Cell(LEADS[name], rows[k], None, is_strip=True) for k, name in zip(chosen, names, strict=True)]


def _make_arrangement(
    boxes: PageBoxes,
    rows_mm: Array,
    columns: Columns,
    evidence: _CellEvidence,
    cells: tuple[Cell, ...],
    score: float,
    known: bool,
) -> Arrangement:
    """Arrangement of the cells, with the used rows numbered from 0."""
    used = sorted({cell.row for cell in cells})
    missed = misnamed = read = 0
    clear: list[float] = []
    numbered: list[Cell] = []
    for cell in sorted(cells, key=lambda c: (c.is_strip, c.column or 0, c.row)):
        name = LEADS.index(cell.lead)
        place = (cell.row, columns.count if cell.is_strip else (cell.column or 0))
        chance = evidence.clear[place]
        clear.append(float(chance[name]))
        box = int(evidence.box[place][name])
        missed += box < 0
        is_other = box >= 0 and int(chance.argmax()) != name
        misnamed += is_other
        is_named = bool(evidence.is_read[place]) and box >= 0 and not is_other
        read += is_named
        seen = None if box < 0 else (float(boxes.leads[box, 0]), float(boxes.leads[box, 2]))
        turned = cell.is_inverted
        if not known and cell.lead == "aVR":
            turned = boxes.minus is not None and box >= 0 and bool(boxes.minus[box])
        row = used.index(cell.row)
        numbered.append(replace(cell, row=row, seen_mm=seen, is_inverted=turned, is_named=is_named))
    taken = np.zeros(evidence.stands.shape[1:], np.bool_)
    for cell in cells:
        taken[cell.row, columns.count if cell.is_strip else (cell.column or 0)] = True
    spare = boxes.scores[~(evidence.stands & taken).any(axis=(1, 2))]
    score -= float(np.log(spare / (1.01 - spare)).clip(0).sum())
    levels = tuple(float(rows_mm[row]) for row in used)
    confidence = float(np.mean(clear)) if clear else 0.0
    return Arrangement(
        levels,
        columns,
        tuple(numbered),
        score,
        confidence,
        missed,
        misnamed,
        known,
        read_share=read / max(1, len(cells)),
    )
