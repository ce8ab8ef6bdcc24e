"""Read the leads of a page by their printed names where these tell more than the boxes of the detector.

The names of a known layout (``name_pattern``) give rows and columns; rows of ink, boxes and pulses tell how far the names
stand from their leads, and where the leads begin and end. The leads found so compete with those that the boxes show.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.layout.arrangement import Arrangement, arrange
from ecgpage.layout.boxes import NO_NAMES, ROW_APART_MM, PageBoxes, PrintedNames, SeveralPagesError
from ecgpage.layout.columns import Columns
from ecgpage.layout.name_pattern import MOST_ASIDE_MM, NamePattern, fill_rows, find_name_pattern
from ecgpage.layout.options import LayoutOptions

LEVEL_ERROR_MM: Final = 1.5
"""Deviation, mm, of a row from the one distance between names and rows."""
ABOVE_MM: Final = 16.0
"""Distance, mm, of a name below its lead's level, at most; above it, it may be almost a row's distance."""
INK_ROW: Final = 0.5
"""How sure a row of ink is that of a lead."""
BOXED_ROW: Final = 0.7
"""The same of a row with a box."""
START_ERROR_MM: Final = 3.0
"""Deviation, mm, of where rows begin and end from columns of the names' distance."""
SAME_ROW_MM: Final = 4.0
"""Distance, mm, of the levels of two readings of a row, at most."""
LABELS: Final = 4
"""Number of words in one line from which they are the labels of an axis, not the names of strips."""
STRIP_STEPS: Final = (0.4, 1.9)
"""Distance of a rhythm strip from the row above over the usual one: bounds."""
AT_END: Final = 0.6
"""Distance of names from their leads' beginnings over the columns' width, from which they stand at the ends."""
STEP_ERROR: Final = 0.25
"""Deviation of the distance of a strip from the row above, over the usual one, where only ink shows it."""
STEP_SPREAD: Final = 0.35
"""Standard deviation of the natural log of that distance over the usual one, whatever shows the strip."""
STRIP_NAME_MM: Final = 45.0
"""Distance, mm, of a strip's name from its beginning, at most: words stand before it."""
NAME_MM: Final = 20.0
"""Width, mm, of a name and the blank behind it, at most."""
HALF_ROW: Final = 0.45
"""Half the height of the box of a lead over the distance of the rows."""


def arrange_with_names(
    boxes: PageBoxes,
    levels_mm: Array,
    spare_mm: Array | None = None,
    options: LayoutOptions = LayoutOptions(),
) -> tuple[Arrangement, PageBoxes]:
    """Best reading of a page's boxes or of its printed names, and the boxes that it rests on.

    Arguments and errors are those of ``arrange``.
    """
    failure: EcgPageError | None = None
    seen: Arrangement | None = None
    try:
        seen = arrange(boxes, levels_mm, spare_mm, options)
    except SeveralPagesError:
        raise
    except EcgPageError as error:
        failure = error
    pattern = None if options.hints.layout else find_name_pattern(boxes.printed, options)
    named = None if pattern is None else find_named_boxes(pattern, boxes, levels_mm, spare_mm, options)
    if pattern is not None and named is not None:
        # no strip but those found with the names
        told = replace(arrange(*named, None, options), pattern_share=pattern.share)
        is_told = _stands_for(told, pattern)
        if not is_told and seen is not None and _stands_for(seen, pattern):
            # where the rows end does not show how wide its columns are: a picture may cut them
            seen = replace(seen, pattern_share=pattern.share)
        elif seen is None or not _is_same(told, seen):
            # twelve names in their places outweigh all that traces look like
            is_sure = is_told and pattern.share >= options.sure_pattern and pattern.words.size == len(LEADS)
            if seen is None or is_sure or told.score > seen.score:
                return _against(told, seen), named[0]
            seen = replace(_against(seen, told), pattern_share=pattern.share, is_pattern=False)
        else:
            seen = replace(seen, pattern_share=pattern.share)
            # a name of each column may stand aside; but boxes of leads that the picture cuts are narrow
            aside_mm = max(options.reach_mm, MOST_ASIDE_MM / max(1, told.columns.count - 1))
            is_told_apart = told.columns.count > 1  # names of one column tell no distance
            if is_told_apart and abs(told.columns.pitch_mm - seen.columns.pitch_mm) > aside_mm:
                seen = replace(seen, columns=told.columns)
            if pattern.share >= options.sure_pattern:
                told_surely = replace(seen, confidence=max(seen.confidence, told.confidence))
                return _exchange_strips(told_surely, told), boxes
    if seen is None:
        assert failure is not None
        raise failure
    return seen, boxes


def _stands_for(reading: Arrangement, pattern: NamePattern) -> bool:
    """Whether a reading has the leads of a pattern in their columns, in the same order from the top."""
    rows = sorted({row for _, _, row in reading.places})
    cells = {(lead, column, rows.index(row)) for lead, column, row in reading.places}
    return cells == {
        (name.removeprefix("-"), column, row)
        for row, names in enumerate(pattern.order.cells)
        for column, name in enumerate(names)
    }


def _against(chosen: Arrangement, other: Arrangement | None) -> Arrangement:
    """A reading with its margin over another one; below 0 where it was chosen for more than its score."""
    if other is None or chosen.places == other.places:
        return chosen
    return replace(chosen, margin=min(chosen.margin, chosen.score - other.score))


def _is_same(told: Arrangement, seen: Arrangement) -> bool:
    """Whether two readings have the same leads at the same places, whatever strips they have."""
    if told.places != seen.places:
        return False
    rows = {cell.row for cell in told.cells if not cell.is_strip}
    away = [abs(told.levels_mm[row] - seen.levels_mm[row]) for row in rows]
    return max(away) < SAME_ROW_MM


def _exchange_strips(seen: Arrangement, told: Arrangement) -> Arrangement:
    """Reading ``seen`` with the strips of ``told``."""
    cells = [cell for cell in seen.cells if not cell.is_strip]
    rows = max(cell.row for cell in cells) + 1
    if {cell.row for cell in cells} != set(range(rows)):
        return seen
    levels = list(seen.levels_mm[:rows])
    for cell in told.cells:
        if cell.is_strip:
            cells.append(replace(cell, row=len(levels)))
            levels.append(told.levels_mm[cell.row])
    return replace(seen, levels_mm=tuple(levels), cells=tuple(cells))


def find_named_boxes(
    pattern: NamePattern, boxes: PageBoxes, levels_mm: Array, spare_mm: Array | None, options: LayoutOptions
) -> tuple[PageBoxes, Array] | None:
    """Boxes of the leads of a pattern, and their levels; None where neither ink nor boxes show where they end."""
    ink = np.zeros((0, 3)) if spare_mm is None else spare_mm
    rows_mm, down = _find_levels(pattern, boxes, levels_mm, ink, options)
    columns = _find_columns(pattern, boxes, ink, rows_mm)
    if columns is None or columns.width_mm < options.min_column_mm:
        return None
    step = float(np.median(np.diff(rows_mm))) if len(rows_mm) > 1 else 2 * ROW_APART_MM[1]
    half = max(HALF_ROW * step, 5.0)
    leads, scores, names, levels = [], [], [], []
    for row, level in enumerate(rows_mm):
        for column in range(columns.count):
            lead = LEADS.index(pattern.order.cells[row][column].removeprefix("-"))
            word = int(pattern.words[row, column])
            chance = np.full(len(LEADS), 0.01)
            chance[lead] = 0.5 if word < 0 else max(0.5, float(boxes.printed.chances[word, lead]))
            leads.append((columns.span(column)[0], level - half, columns.span(column)[1], level + half))
            scores.append(options.unread_score if word < 0 else options.named_score)
            names.append(chance)
            levels.append(float(level))
    for level, chance, score in _find_strips(pattern, boxes, levels_mm, ink, rows_mm, down, columns, options):
        leads.append((columns.first_mm, level - half, columns.end_mm, level + half))
        scores.append(score)
        names.append(chance)
        levels.append(level)
    wrong = np.where(np.max(names, axis=1) > options.min_legible, options.read_wrong, options.misnamed)
    found = replace(
        boxes,
        leads=np.array(leads),
        scores=np.array(scores),
        names=np.array(names),
        printed=NO_NAMES,
        wrong=wrong,
        minus=np.zeros(len(leads), np.bool_),
    )
    return found, np.array(levels)


def _candidates(boxes: PageBoxes, levels_mm: Array, ink: Array) -> tuple[Array, Array]:
    """Page y of rows of ink and of boxes, and how sure each is."""
    levels = np.concatenate([ink[:, 0], levels_mm])
    return levels, np.concatenate([np.ones(len(ink)), BOXED_ROW * boxes.scores])


def _find_levels(
    pattern: NamePattern, boxes: PageBoxes, levels_mm: Array, ink: Array, options: LayoutOptions
) -> tuple[Array, float]:
    """(rows,) page y of the pattern's rows, and their distance below the names."""
    y = fill_rows(pattern.y_mm)
    candidates, sure = _candidates(boxes, levels_mm, ink)
    step = float(np.median(np.diff(y))) if len(y) > 1 else 25.0
    best, down = -np.inf, 0.0
    for d in np.arange(-min(ABOVE_MM, 0.6 * step), 0.95 * step, 0.25):
        if not len(candidates):
            break
        # lines of text and rules are rows of ink, too; those of leads have boxes
        score = sum(
            float((of * np.exp(-0.5 * ((at - y[:, None] - d) / LEVEL_ERROR_MM) ** 2)).max(axis=1).sum())
            for of, at in ((INK_ROW * np.ones(len(ink)), ink[:, 0]), (BOXED_ROW * boxes.scores, levels_mm))
            if len(at)
        )
        score -= 0.02 * abs(d) * len(y) / 12
        # rows of ink above the first lead are not explained
        above = ink[:, 0] < y[0] + d - 0.5 * step
        near = ink[:, 0] > y[0] + d - 1.5 * step
        score -= options.row_unexplained * float((above & near).sum())
        if score > best:
            best, down = score, float(d)
    rows = []
    for level in y + down:
        away = np.abs(candidates - level)
        near = away < 2 * LEVEL_ERROR_MM
        weights = sure[near] * np.exp(-0.5 * (away[near] / LEVEL_ERROR_MM) ** 2)
        rows.append(float(candidates[near][weights.argmax()]) if near.any() else float(level))
    return np.array(rows), down


def _find_columns(pattern: NamePattern, boxes: PageBoxes, ink: Array, rows_mm: Array) -> Columns | None:
    """Columns of the names' distance between the ends of the rows' ink, or of boxes where no ink was found."""
    near = (np.abs(ink[:, 0] - rows_mm[:, None]) < 2 * LEVEL_ERROR_MM).any(axis=0)
    count = pattern.order.columns
    if near.any():
        start, end = float(np.median(ink[near, 1])), float(np.median(ink[near, 2]))
    elif len(boxes.leads):
        start, end = float(boxes.leads[:, 0].min()), float(boxes.leads[:, 2].max())
    else:
        return None
    for pulse in _common_pulses(boxes.pulses):
        is_next = abs(pulse[0] - start) < START_ERROR_MM + 3 or pulse[0] < start < pulse[2]
        # names may stand on the line before the pulses; then leads begin behind these
        is_behind = 0 < pulse[0] - start < NAME_MM and _begin_at(boxes, float(pulse[2]))
        if is_next or is_behind:
            start = float(pulse[2])
        elif abs(pulse[2] - end) < START_ERROR_MM + 3 or pulse[0] < end < pulse[2]:
            end = float(pulse[0])
    if count == 1:
        return Columns(1, start, end - start, end - start)
    pitch = _tell_pitch(pattern, boxes, start, end)
    width = end - start - (count - 1) * pitch
    if width > pitch + START_ERROR_MM:  # something stands before the first lead, or behind the last one
        start = end - count * pitch
        if pattern.x_mm[0] < start - 2 * START_ERROR_MM:
            start = end - count * pitch - (width - pitch)
        width = pitch
    whole = _fit_boxed(boxes, count, pitch, start)
    if whole is not None and width < whole.width_mm - 2 * START_ERROR_MM:  # the picture ends within a lead
        return whole
    if width < 0.5 * pitch:
        return None
    return Columns(count, start, pitch, min(width, pitch))


def _begin_at(boxes: PageBoxes, x_mm: float) -> bool:
    """Whether most of the leftmost boxes, those of the first column, begin at page x ``x_mm``."""
    if not len(boxes.leads):
        return False
    first = boxes.leads[:, 0] < boxes.leads[:, 0].min() + NAME_MM
    return bool(np.median(np.abs(boxes.leads[first, 0] - x_mm)) < START_ERROR_MM)


def _tell_pitch(pattern: NamePattern, boxes: PageBoxes, start: float, end: float) -> float:
    """Distance, mm, of columns between page x ``start`` and ``end``, by their names.

    Where the first column's names stand in the margin, before the others stand beside their leads, the others tell it; of
    two columns the boxes tell whether the names do, or the columns touch.
    """
    count, x = pattern.order.columns, pattern.x_mm
    in_margin = bool(pattern.margin_mm) or x[0] < start - START_ERROR_MM
    named = float(np.polyfit(np.arange(count), x, 1)[0])
    if not in_margin:
        return named
    if count > 2:
        others = float(np.polyfit(np.arange(count - 1), x[1:], 1)[0])
        return others if abs(x[1] - x[0] - others) > MOST_ASIDE_MM else named
    touching = (end - start) / count
    return max(
        (named, touching),
        key=lambda pitch: _count_boxed(boxes, Columns(count, start, pitch, end - start - pitch)),
    )


def _count_boxed(boxes: PageBoxes, columns: Columns) -> float:
    """Sum of the scores of boxes that begin and end with one of the columns."""
    spans = np.array([columns.span(k) for k in range(columns.count)])
    away = np.abs(boxes.leads[:, None, ::2] - spans).max(axis=2).min(axis=1)
    return float(boxes.scores[away < 2 * START_ERROR_MM].sum())


def _fit_boxed(boxes: PageBoxes, count: int, pitch: float, start: float) -> Columns | None:
    """Columns of the names' distance as most boxes of single leads show them, the first one nearest to page x ``start``; None
    where they do not agree.
    """
    width = boxes.leads[:, 2] - boxes.leads[:, 0]
    single = np.abs(width - pitch) < 0.5 * pitch
    if single.sum() < count:
        return None
    weights = boxes.scores[single]
    left, right = (_find_phase(boxes.leads[single, k], weights, pitch) for k in (0, 2))
    if left is None or right is None:
        return None
    first = left + pitch * round((start - left) / pitch)
    gap = (left - right + pitch / 2) % pitch - pitch / 2
    return Columns(count, first, pitch, pitch - max(gap, 0.0))


def _find_phase(edges: Array, weights: Array, pitch: float) -> float | None:
    """Page x, mm, to a multiple of ``pitch``, that most edges share; None where less than half of their weight does."""
    away = (edges - edges[:, None] + pitch / 2) % pitch - pitch / 2
    near = np.abs(away) < 2 * START_ERROR_MM
    support = near @ weights
    best = int(support.argmax())
    if support[best] < 0.5 * weights.sum():
        return None
    return float(edges[best] + np.average(away[best], weights=weights * near[best]))


def _common_pulses(pulses: Array) -> list[Array]:
    """Median box of the pulses at each side."""
    if not len(pulses):
        return []
    order = np.argsort(pulses[:, 0], kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(pulses[order, 0]) > 5.0) + 1)
    return [np.median(pulses[group], axis=0) for group in groups]


def _find_strips(
    pattern: NamePattern,
    boxes: PageBoxes,
    levels_mm: Array,
    ink: Array,
    rows_mm: Array,
    down: float,
    columns: Columns,
    options: LayoutOptions,
) -> list[tuple[float, Array, float]]:
    """Level, probability of each lead, and score of each rhythm strip below the other rows.

    A name in the place of names, a box and a row of ink are evidence of a strip.
    """
    if columns.count == 1:
        return []
    step = float(np.median(np.diff(rows_mm))) if len(rows_mm) > 1 else 25.0
    near_mm = min(2 * LEVEL_ERROR_MM, 0.3 * step)
    long = 0.6 * (columns.end_mm - columns.first_mm)
    words = _strip_words(pattern, boxes.printed, columns, options)
    named_mm = boxes.printed.places[words, 1] + down - _in_margin(pattern, boxes.printed.places[words, 0])
    clear = boxes.printed.chances[words].max(axis=1, initial=0.0)
    is_row = ink[:, 2] - ink[:, 1] > long
    among = (ink[:, 0] > rows_mm[0] - 0.3 * step) & (ink[:, 0] < rows_mm[-1] + 0.3 * step)
    own = (np.abs(ink[:, 0] - rows_mm[:, None]) < near_mm).any(axis=0) if len(ink) else among
    # frames and axes are rows of ink, too
    inked = options.strip_inked * float((among & own).sum() / max(1, among.sum())) ** 2
    is_box = boxes.leads[:, 2] - boxes.leads[:, 0] > long if len(boxes.leads) else np.zeros(0, np.bool_)
    found: list[tuple[float, Array, float]] = []
    last = float(rows_mm[-1])
    while len(found) < options.most_strips:
        best: tuple[float, float] | None = None
        for level in (*named_mm, *ink[is_row, 0], *levels_mm[is_box]):
            if not STRIP_STEPS[0] * step < level - last < STRIP_STEPS[1] * step:
                continue
            odds = options.strip_named * _nearest(level, named_mm, clear, near_mm)
            odds += options.strip_boxed * _nearest(level, levels_mm[is_box], boxes.scores[is_box], near_mm)
            even = float(np.exp(-0.5 * (((level - last) / step - 1) / STEP_ERROR) ** 2))
            odds += inked * even * _nearest(level, ink[is_row, 0], np.ones(is_row.sum()), near_mm)
            odds -= 0.5 * (np.log((level - last) / step) / STEP_SPREAD) ** 2
            odds -= options.strip_shown + options.strip_unnamed * (pattern.share == 1.0)
            if odds > 0 and (best is None or odds > best[0] + 1e-9):
                best = odds, float(level)
        if best is None:
            break
        level = best[1]
        chance = np.full(len(LEADS), 0.02)
        score = 1 / (1 + float(np.exp(-best[0])))
        at = np.flatnonzero(is_box & (np.abs(levels_mm - level) < near_mm))
        if len(at):
            chance = boxes.names[at[boxes.scores[at].argmax()]] / 1.0
        beside = np.flatnonzero(np.abs(named_mm - level) < near_mm)
        if len(beside):
            read = boxes.printed.chances[words[beside[clear[beside].argmax()]]]
            unread = 1 - float(read.max())
            chance = (chance / chance.sum() + 0.02) ** options.place_weight * (
                read + unread / len(LEADS) + 0.01
            )
        found.append((level, chance / chance.sum(), min(score, options.named_score)))
        last = level
    return found


def _strip_words(
    pattern: NamePattern, printed: PrintedNames, columns: Columns, options: LayoutOptions
) -> NDArray[np.intp]:
    """Numbers of the words that stand where the name of a strip may: beside its beginning, or centred."""
    x = printed.places[:, 0]
    clear = printed.chances.max(axis=1, initial=0.0)
    usual = np.abs(x - pattern.x_mm[0]) < MOST_ASIDE_MM
    if pattern.x_mm[0] - columns.first_mm > AT_END * columns.width_mm:
        usual |= np.abs(x - pattern.x_mm[-1]) < MOST_ASIDE_MM
    # a beat looks like an I
    along = (x > columns.first_mm - options.name_margin_mm) & (x < columns.first_mm + STRIP_NAME_MM)
    along |= np.abs(x - (columns.first_mm + columns.end_mm) / 2) < STRIP_NAME_MM / 2
    along &= printed.chances.argmax(axis=1) != LEADS.index("I")
    y = printed.places[:, 1]
    in_line = (x > columns.first_mm) & (x < columns.end_mm) & (clear > options.min_pattern_name)
    in_line &= printed.chances.argmax(axis=1) != LEADS.index("I")
    many = (np.abs(y[:, None] - y[in_line]) < LEVEL_ERROR_MM).sum(axis=1) >= LABELS
    along &= clear > options.min_strip_name
    taken = np.isin(np.arange(len(x)), pattern.words)
    return np.flatnonzero((usual | along) & ~many & (clear > options.min_pattern_name) & ~taken)


def _in_margin(pattern: NamePattern, x_mm: Array) -> Array:
    """How far words at page x (n,) stand below the height of names within the columns."""
    return np.where(x_mm < pattern.x_mm[0] + MOST_ASIDE_MM, pattern.margin_mm, 0.0)


def _nearest(level: float, levels: Array, sure: Array, near_mm: float) -> float:
    """How sure the surest of ``levels`` near a level is; 0 without one."""
    fit = sure * np.exp(-0.5 * ((levels - level) / (near_mm / 2)) ** 2)
    return float(fit.max(initial=0.0))
