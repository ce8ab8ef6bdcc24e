"""Measure where the columns of a page begin and end: by the ends of the ink, pulses, separators and the record's length."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.layout.arrangement import Arrangement
from ecgpage.layout.columns import Columns, place_in_panels
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.separators import find_tick_centres, mark_ticks
from ecgpage.layout.types import Pulse, Row

INSIDE_MM: Final = (3.0, 6.0)
"""Distances, mm, inwards from the boxes' end between which the trace's own ink is picked."""
NUMBER_ERROR_MM: Final = 1.0
"""Error, mm, of the place of an axis by the middles of its numbers, at most."""
STROKE_MM: Final = 0.3
"""Width, mm, by which the strokes at both sides of a gap, half of each, narrow its blank."""


def start_on_line(first_mm: float, line_ahead_mm: float, options: LayoutOptions = LayoutOptions()) -> float:
    """Page x, mm, of a row's start: moved to ``line_ahead_mm`` left of a 5-mm line if within ``on_line_mm`` of it.

    Pages plotted together with their grid begin their rows on a line, and the lattice, smoothed over all lines, is known
    better than single ticks, which are drawn on whole pixels.
    """
    on_line = SQUARE_MM * round(first_mm / SQUARE_MM) - line_ahead_mm
    return on_line if abs(first_mm - on_line) < options.on_line_mm else first_mm


def measure_columns(
    page: FlatPage,
    arrangement: Arrangement,
    rows: list[Row],
    pulses: list[Pulse],
    pulse_boxes: Array,
    gap: float,
    whole_mm: float,
    options: LayoutOptions,
) -> tuple[Columns, list[float]]:
    """Columns measured by separators, the ends of the rows and grid lines, and page x, mm, of the separators seen.

    ``gap``: blank, mm, between columns; ``whole_mm``: length, mm, of the whole record on the page.
    """
    boxes = arrangement.columns
    panels = place_in_panels(boxes, page.grid.panels_mm, options)
    if panels is not None:
        return _end_panels(page, rows, _start_panels(page, rows, panels, options), boxes, options), []
    first, last = _find_outer_ends(page, rows, boxes, pulses, pulse_boxes, options)
    grid_rows = rows_without_strips(arrangement, rows)
    columns, is_whole = _place_columns(boxes, first, last, gap, whole_mm, options)
    if not is_whole:  # boxes may be too wide, or end long before their ink
        ends = [(row.start_mm, row.end_mm) for row in rows]
        for edges in (
            (boxes.first_mm + options.further_mm, boxes.end_mm - options.further_mm),
            (float(np.median([start for start, _ in ends])), float(np.median([end for _, end in ends]))),
        ):
            own_first, own_last = (
                _find_common_end(page, rows, edge, direction, options) if end is None else end
                for end, edge, direction in ((first, edges[0], 1), (last, edges[1], -1))
            )
            tried, is_whole = _place_columns(boxes, own_first, own_last, gap, whole_mm, options)
            if boxes.count > 1 and abs(tried.pitch_mm - boxes.pitch_mm) > options.reach_mm:
                is_whole = False  # the picture ends within the outer leads, or something stands beside them
                continue
            if is_whole or (len(rows) <= options.few_rows and (own_first, own_last) != (first, last)):
                first, last, columns = own_first, own_last, tried
                break
    known = (first is not None) + (last is not None) if is_whole else 0
    reach_mm = options.tick_reach_mm / (1 + known)
    seen = _find_ticks(page, grid_rows, columns, reach_mm, options) if columns.count > 1 else []
    if seen:
        through = _fit_ticks(columns, seen, is_whole, options)
        # ends that agree with the record's length are surer than a few strokes near them, which may be beats
        is_near = known < 2 or abs(through.first_mm - columns.first_mm) < reach_mm
        is_common = len(seen) >= options.common_ticks * len(grid_rows) * (columns.count - 1)
        columns, seen = (through, seen) if is_near or is_common else (columns, [])
    on_line = columns.first_mm
    if options.line_ahead_mm is not None and page.grid.is_printed:
        on_line = start_on_line(columns.first_mm, options.line_ahead_mm, options)
    moved = on_line - columns.first_mm
    if is_whole or not moved:
        columns = replace(columns, first_mm=on_line)
    else:  # the other end stays
        width = columns.width_mm - moved / columns.count
        columns = Columns(columns.count, on_line, width + columns.gap_mm, width)
    ticks_mm = [columns.span(k)[0] - columns.gap_mm / 2 for k in range(1, columns.count)] if seen else []
    return columns, ticks_mm


def _start_panels(page: FlatPage, rows: list[Row], panels: Columns, options: LayoutOptions) -> Columns:
    """Columns that begin where their ink does, where that is within the error of their axes' numbers."""
    start = _find_common_end(page, rows, panels.first_mm, 1, options)
    if start is None or abs(start - panels.first_mm) >= NUMBER_ERROR_MM:
        return panels
    return replace(panels, first_mm=start)


def _end_panels(
    page: FlatPage, rows: list[Row], panels: Columns, boxes: Columns, options: LayoutOptions
) -> Columns:
    """Columns that end where their ink does: axes may have their last number before the end."""
    beyond = min(boxes.end_mm, panels.end_mm + panels.gap_mm) - panels.end_mm
    for further in np.arange(0.0, max(beyond, 0.0) + options.reach_mm, options.outside_mm):
        end = _find_common_end(page, rows, panels.end_mm + float(further), -1, options)
        if end is not None:
            width = panels.width_mm + max(0.0, end - panels.end_mm - 1.0 / X_PX_PER_MM)
            near = width - panels.width_mm < options.gap_error_mm
            return panels if near else replace(panels, width_mm=width)
    return panels


def rows_without_strips(arrangement: Arrangement, rows: list[Row]) -> list[Row]:
    """Rows without the rhythm strips."""
    return [rows[r] for r in sorted({c.row for c in arrangement.cells if c.column is not None})]


def _place_columns(
    boxes: Columns,
    first: float | None,
    last: float | None,
    gap: float,
    whole_mm: float,
    options: LayoutOptions,
) -> tuple[Columns, bool]:
    """Columns of equal width, ``gap`` mm apart, between the measured outer ends, and whether they show a whole record.

    An end of None is the boxes'; ``whole_mm``: length, mm, of the whole record.
    """
    count = boxes.count
    start = boxes.first_mm if first is None else first
    end = boxes.end_mm if last is None else last
    over = end - start - whole_mm
    # a faint end of a trace may be lost, but nothing is drawn beyond it
    is_measured = first is not None and last is not None
    slack = options.whole_mm if is_measured and over > 0 else options.loose_whole_mm
    if count == 1:  # boxes may be too wide, but no row shows more than the record
        is_whole, gap = abs(over) < slack or (over > 0 and not is_measured), 0.0
    else:
        needed = over / (count - 1)
        gaps = (gap,) if gap > options.gap_error_mm else (gap, boxes.gap_mm, 0.0)
        near = min(abs(needed - g) for g in gaps) < max(options.gap_error_mm, slack / (count - 1))
        is_whole = over > -slack and near
        if is_whole and needed > options.touching_mm:
            gap = needed
        elif is_whole and gap <= options.gap_error_mm:  # where a wider one was measured, the ends are faint
            gap = 0.0
    if not is_whole:
        width = (end - start - gap * (count - 1)) / count
        return Columns(count, start, width + gap, width), False
    width = whole_mm / count
    length = whole_mm + gap * (count - 1)
    if first is None and last is None:
        start = (start + end - length) / 2
    elif first is None:
        start = end - length
    elif last is not None:
        start = (start + end - length) / 2
    return Columns(count, start, width + gap, width), True


def _find_ticks(
    page: FlatPage, rows: list[Row], columns: Columns, reach_mm: float, options: LayoutOptions
) -> list[tuple[int, float]]:
    """Number, from 1, and page x, mm, of each separator within ``reach_mm`` of where the columns meet."""
    signals = mark_ticks(page, rows, options)
    near = cv2.dilate(signals.astype(np.float32), np.ones((1, int(1.2 * X_PX_PER_MM)), np.uint8))
    pitch = columns.pitch_mm * X_PX_PER_MM
    first = page.column(columns.first_mm - columns.gap_mm / 2)
    reach = round(reach_mm * X_PX_PER_MM)
    starts = round(first) + np.arange(-reach, reach + 1)
    at = np.rint(starts[:, None] + pitch * np.arange(1, columns.count)).astype(int)
    support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].mean(axis=2)  # (rows, starts)
    score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
    score -= options.tick_away * np.abs(np.arange(-reach, reach + 1)) / X_PX_PER_MM
    if score.max() < options.min_tick:
        return []
    middle = float(np.median(starts[score > score.max() - 1e-6]))
    return [
        (k, float(page.x_mm(column)))
        for k, column in find_tick_centres(page, rows, signals, middle, pitch, columns.count, options)
        if abs(column - middle - pitch * k) < options.tick_reach_mm / 2 * X_PX_PER_MM
    ]


def _fit_ticks(
    columns: Columns, ticks: list[tuple[int, float]], is_whole: bool, options: LayoutOptions
) -> Columns:
    """Columns moved to the separators (number, page x); where the page shows the whole record their width stays, and their
    pitch too unless there are gaps between them, which separators in their middles measure best.
    """
    number, x_mm = np.array(ticks).T
    has_gaps = columns.gap_mm > options.touching_mm
    if (has_gaps or not is_whole) and len(set(number)) > 1:
        pitch, start = np.polyfit(number, x_mm, 1)
        gap = float(pitch) - columns.width_mm if is_whole else columns.gap_mm
        if abs(pitch - columns.pitch_mm) * columns.count < options.reach_mm and gap >= 0:
            return Columns(columns.count, float(start) + gap / 2, float(pitch), float(pitch) - gap)
    start = float(np.median(x_mm - number * columns.pitch_mm))
    return replace(columns, first_mm=start + columns.gap_mm / 2)


def _find_outer_ends(
    page: FlatPage,
    rows: list[Row],
    columns: Columns,
    pulses: list[Pulse],
    pulse_boxes: Array,
    options: LayoutOptions,
) -> tuple[float | None, float | None]:
    """Page x, mm, where the rows begin and end, by the pulses beside them or the ink; None where neither is clear."""
    clear = [p for p in pulses if p.score]
    ends: list[float | None] = []
    for edge_mm, side, direction in ((columns.first_mm, 2, 1), (columns.end_mm, 0, -1)):
        beside = pulse_boxes[np.abs(pulse_boxes[:, side] - edge_mm) < options.pulse_near_mm, side]
        if not len(beside):
            ends.append(_find_common_end(page, rows, edge_mm, direction, options))
            continue
        near = [
            p
            for p in clear
            if abs((p.x_mm + p.width_mm if direction > 0 else p.x_mm) - edge_mm) < options.pulse_near_mm
        ]
        ends.append(_end_beside_pulses(page, (float(np.median(beside)), edge_mm), near, direction, options))
    return ends[0], ends[1]


def _end_beside_pulses(
    page: FlatPage, edges_mm: tuple[float, float], pulses: list[Pulse], direction: int, options: LayoutOptions
) -> float:
    """Page x, mm, where the traces beside pulses begin (direction 1) or end (-1).

    That is the inner stroke, or the end of a flat line behind it as long as the one before the outer stroke. ``edges_mm``:
    edges of the pulses' and of the leads' boxes; the first one counts where the traces begin at neither.
    """
    if not pulses:
        return edges_mm[0]
    strokes = np.array([(p.x_mm, p.x_mm + p.width_mm)[::direction] for p in pulses])  # outer, inner
    inner = float(np.median(strokes[:, 1]))
    flats = [
        _measure_flat(page, p, x, -direction, options) for p, x in zip(pulses, strokes[:, 0], strict=True)
    ]
    error = options.pulse_edge_mm / np.sqrt(len(pulses))
    flat = inner + direction * float(np.median(flats))
    if flat != inner and min(abs(flat - edge) for edge in edges_mm) < error:
        return flat
    beyond = direction * (edges_mm[0] - inner)  # no trace begins within its pulse
    return edges_mm[0] if beyond > options.pulse_edge_mm / 2 else inner


def _measure_flat(
    page: FlatPage, pulse: Pulse, stroke_mm: float, direction: int, options: LayoutOptions
) -> float:
    """Length, mm, of the line at a pulse's foot that leads away from one of its strokes; 0 without one."""
    x_mm = stroke_mm + direction * np.arange(STROKE_MM, options.longest_flat_mm + 1, 1 / X_PX_PER_MM)
    y_mm = pulse.foot_mm + np.arange(-0.4, 0.41, 1 / Y_PX_PER_MM)
    rows = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    inked = page.ink[rows[:, None], columns].max(axis=0) > 0.4
    blank = np.flatnonzero(np.convolve(~inked, np.ones(4), "valid") == 4)
    length = STROKE_MM / 2 + (blank[0] / X_PX_PER_MM if len(blank) else len(inked) / X_PX_PER_MM)
    return float(length) if options.min_flat_mm < length < options.longest_flat_mm else 0.0


def _find_common_end(
    page: FlatPage, rows: list[Row], near_mm: float, direction: int, options: LayoutOptions
) -> float | None:
    """Page x, mm, where the ink of most rows begins (direction 1) or ends (-1); None where they disagree."""
    found = [_find_row_end(page, row, near_mm, direction, options) for row in rows]
    ends = np.array([end for end in found if end is not None])
    if len(ends) < max(1, len(rows) / 2):
        return None
    middle = float(np.median(ends))
    return middle if np.median(np.abs(ends - middle)) < options.max_spread_mm else None


def _find_row_end(
    page: FlatPage, row: Row, near_mm: float, direction: int, options: LayoutOptions
) -> float | None:
    """Page x, mm, of the outermost ink connected with a row's trace; None without any, or where it runs on."""
    x_mm = near_mm + direction * np.arange(-options.outside_mm, INSIDE_MM[1], 1 / X_PX_PER_MM)  # inwards
    level = row.level_at(near_mm + direction * INSIDE_MM[0])
    y_mm = np.arange(level - options.end_reach_mm, level + options.end_reach_mm, 1 / Y_PX_PER_MM)
    lines = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    inked = (page.ink[lines[:, None], columns] > 0.4).astype(np.uint8)
    _, labels = cv2.connectedComponents(cv2.dilate(inked, np.ones((3, 3), np.uint8)))
    inside = x_mm * direction > (near_mm + direction * INSIDE_MM[0]) * direction
    at_level = np.abs(y_mm[:, None] - row.y_at(x_mm)) < options.on_row_mm
    own = np.unique(labels[at_level & inside & (inked > 0)])
    seen = np.flatnonzero((np.isin(labels, own[own > 0]) & (inked > 0)).any(axis=0))
    # a trace that runs on outwards has no end here; a faint one breaks off before its end
    first, last = 1.0 * X_PX_PER_MM, (options.outside_mm + options.reach_mm) * X_PX_PER_MM
    return float(x_mm[seen[0]]) if len(seen) and first < seen[0] < last else None


def pulses_on_one_side(pulses: Array, columns: Columns) -> Array:
    """Boxes of pulses (m, 4) at the end of the rows where most of them stand; all where neither end has more."""
    is_right = pulses[:, [0, 2]].mean(axis=1) > (columns.first_mm + columns.end_mm) / 2
    many = is_right.sum() - (~is_right).sum()
    return pulses if many == 0 else pulses[is_right == (many > 0)]


def find_strip_end(
    page: FlatPage,
    rows: list[Row],
    number: int,
    columns: Columns,
    seen_mm: tuple[float, float] | None,
    options: LayoutOptions = LayoutOptions(),
) -> float:
    """Page x, mm, where the strip on one of the rows ends: at the columns' end, or earlier by the gaps, where it leaves them
    out.
    """
    row = rows[number]
    apart = [abs(other.level_mm - row.level_mm) for k, other in enumerate(rows) if k != number]
    reach_mm = min([options.end_reach_mm, *(a / 2 for a in apart)])
    last = _find_early_end(page, row, columns, reach_mm, options)
    if last is not None:
        return last
    choices = (columns.end_mm, columns.first_mm + columns.count * columns.width_mm)
    if choices[0] - choices[1] < options.touching_mm:
        return choices[0]
    end = _find_common_end(page, [row], (choices[0] + choices[1]) / 2, -1, options)
    if end is None:
        end = choices[0] if seen_mm is None else seen_mm[1]
    return min(choices, key=lambda x: abs(x - end))


def _find_early_end(
    page: FlatPage, row: Row, columns: Columns, reach_mm: float, options: LayoutOptions
) -> float | None:
    """Page x, mm, where a strip ends that is much shorter than the columns together; None where it is not.

    A trace that wanders off its line runs on: what lies behind an end is blank up to ``reach_mm`` above and below.
    """
    inside = (row.x_mm > columns.first_mm) & (row.x_mm < columns.end_mm)
    inked = row.ink[inside] > 0.3
    if inked.sum() < options.min_column_mm:
        return None
    # the end that parts ink from blank best
    score = np.cumsum(np.where(inked, 1.0, -1.0))
    end = int(score.argmax())
    before, after = inked[: end + 1], inked[end + 1 :]
    length = columns.end_mm - columns.first_mm
    is_early = len(after) > options.early_end * length and before.mean() > 0.8 and after.mean() < 0.25
    x_mm = row.x_mm[inside]
    if not is_early or _inked_around(page, row.level_mm, x_mm[end + 1 :], reach_mm) > 0.5:
        return None
    return float(x_mm[end]) + 0.5


def _inked_around(page: FlatPage, level_mm: float, x_mm: Array, reach_mm: float) -> float:
    """Share, 0 to 1, of the millimetres around page x (n,) in which ink lies within ``reach_mm`` of a level."""
    lines = np.rint(page.row(level_mm + np.array([-reach_mm, reach_mm]))).astype(int)
    first, last = np.clip(lines, 0, page.ink.shape[0])
    within = np.arange(X_PX_PER_MM) - X_PX_PER_MM // 2
    columns = np.rint(page.column(x_mm)).astype(int)[:, None] + within
    columns = np.clip(columns, 0, page.ink.shape[1] - 1)
    inked = np.asarray((page.ink[first:last] > 0.4).any(axis=0))
    return float(inked[columns].any(axis=1).mean())
