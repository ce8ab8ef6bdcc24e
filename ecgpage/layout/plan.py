"""The plan of a page: boxes choose the layout, ink measures it.

Boxes of a detector say which lead stands where to a millimetre or so (``plan``). Rows, separator ticks, calibration pulses,
the ends of the ink and the 5-mm lines say it to a tenth (``leads``). Where the boxes are not clear enough, or there is no
detector, the ink alone is read (``leads.read_layout``); the plan's notes say so.
"""

import itertools
import logging
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import GAIN_MM_PER_MV, LEADS, SPEED_MM_PER_S, EcgPageError
from ecgpage.grid.flat_page import AROUND_MM, X_PX_PER_MM, Y_PX_PER_MM, FlatPage
from ecgpage.layout.arrangement import (
    HALF_BOX_MM,
    SURE,
    Arrangement,
    Cell,
    Columns,
    PageBoxes,
    PrintedNames,
    SeveralPagesError,
    arrange,
    merged,
)
from ecgpage.layout.detector import CLASSES, PULSE, LeadDetector
from ecgpage.layout.ink_only import (
    MAX_ZERO_MM,
    MIN_TICK,
    PULSE_HEIGHTS_MM,
    ROW_STEP_MM,
    PagePlan,
    Pulse,
    Row,
    Segment,
    cheapest_path,
    find_pulse,
    find_rows,
    read_layout,
    start_on_line,
    tick_centres,
    tick_signals,
)
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, SPEEDS, WordReader, Words

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

MIN_SCORE: Final = 0.1
"""Boxes below are not looked at; those above still have to agree with a layout."""
MOST_NAMES: Final = 4
"""Among so many names a lead's may be undecided."""
SURE_UPRIGHT: Final = 0.88
"""Confidence from which other turns are not tried."""
USUALLY_UPRIGHT: Final = 2.0
"""Evidence that a page lies upright before it is looked at."""
PULSE_UPRIGHT: Final = 1.0
"""Evidence of each calibration pulse: upside down they are seldom taken for any."""
MOST_PULSES: Final = 4
SCALES_MM: Final = 300.0
"""Speed and gain are printed so far from the leads at most: the longer side of A4."""
UNSURE: Final = 0.5
"""A box of less score, in less of whose columns there is ink, is none."""
CLEAR_INK: Final = 0.4
MIN_SAME: Final = 0.6
"""A lead of the plan is that of a box when they share so much of what they cover along x."""
MIN_EXPLAINED: Final = 0.6
"""Share of boxes that a layout read from the ink has to have leads for."""
LEVEL_SLACK_MM: Final = 2.0
"""The usual line of ink stands so far at most from where a box allows its 0-mV line."""
OFF_FOOT: Final = 0.3
"""Weight of ink elsewhere in a box that reaches over the foot of a pulse."""
SAME_ROW_MM: Final = 1.5
PATH_MM: Final = 6.0
"""A row that only boxes show is searched this far above and below its level."""
WHOLE_MM: Final = 0.8
"""Columns this close to the record's whole length together show all of it."""
LOOSE_WHOLE_MM: Final = 2.0
"""The same where an end is known from long boxes only, or the columns are too short."""
TOUCHING_MM: Final = 0.6
"""Narrower gaps between columns are errors of boxes."""
REACH_MM: Final = 2.5
"""Boxes of leads end less than this outside what they enclose; separators change the length of rows by less."""
OUTSIDE_MM: Final = 6.0
"""The ends of rows are measured this far beyond where the boxes put them."""
TICK_REACH_MM: Final = 1.5
"""The same for separators, less where ends are known; heart beats that stand above each other look alike."""
END_REACH_MM: Final = 15.0
"""A trace's ink is followed this far above and below its row."""
INSIDE_MM: Final = (3.0, 6.0)
"""There, inwards from the end as the boxes put it, the trace's ink is looked for."""
FURTHER_MM: Final = 3.0
"""Where no row ends there, ends are looked for so much further inside."""
FEW_ROWS: Final = 3
"""Boxes of so few rows are less sure than ends of the ink there; more rows are."""
ON_ROW_MM: Final = 1.0
MAX_SPREAD_MM: Final = 0.4
"""Ends of rows count when they agree this well."""
GAP_REACH_MM: Final = 4.0
"""Gaps are measured this far around where the boxes put them."""
GAP_MM: Final = 0.8
"""Error of a gap between columns."""
MIN_BLANK_PX: Final = 2
"""Shorter blanks are holes in strokes."""
AT_EDGE_PX: Final = 3
"""A blank so near the end of what is looked at goes on beyond."""
MANY_ROWS: Final = 5
"""Of so many rows one that is less blank than the others by this factor is crossed by something else."""
CROSSED: Final = 0.4
SEPARATOR_MM: Final = 2.5
"""Separators are narrower."""
MIN_INKED: Final = 0.7
"""Where less of the rows is inked beside a gap, the traces are too faint to tell."""
PULSE_EDGE_MM: Final = 1.4
"""Error of the edge of a pulse's box."""
LONGEST_FLAT_MM: Final = 4.0
"""Flat lines at the foot of pulses are shorter."""
MIN_FLAT_MM: Final = 0.5
"""Shorter ones are the stroke's own width."""
STROKE_MM: Final = 0.3
"""Half the width of strokes at both sides of a gap."""
MIN_PULSE_SCORE: Final = 0.4
BOXED_PULSE: Final = 0.15
"""Score of a pulse in the ink that a detector has seen, too. Strokes on lines of the grid go with them: where pulses stand
above each other on the 5-mm lines, as on most pages, little of them is left.
"""
COMMON_TICKS: Final = 0.5
"""Separators that stand where so many rows and columns meet are sure."""
TICK_AWAY: Final = 0.1
"""What a separator loses for each millimetre away from there."""
PULSE_NEAR_MM: Final = 6.0
"""A pulse's box ends so near the row that it stands before."""
END_BAND_MM: Final = 2.5
"""Ink this far above and below a row is its trace's where it begins and ends."""
LONG_SHARE: Final = 1.03
"""Rows longer than the record at 25 mm/s by this factor are drawn at 50 mm/s."""
FAST_MM_PER_S: Final = 50.0
FAST_PULSE_MM: Final = 8.5
"""Pulses of 0.2 s are 5 mm wide at 25 mm/s and 10 mm at 50 mm/s."""
PULSE_WIDTHS_MM: Final = (5.0, 10.0, 2.5)
CHEST: Final = LEADS[6:]


def read_plan(page: FlatPage, boxes: PageBoxes | None, duration_s: float) -> PagePlan:
    """Plan of an upright page that shows at most ``duration_s`` seconds; ``boxes`` as ``find_boxes`` gives them, if at all.

    Raises ``EcgPageError`` when neither boxes nor ink fit a layout, or the boxes are those of several pages.
    """
    if boxes is None:
        plan = read_layout(page, duration_s)
        return replace(plan, notes=(*plan.notes, "no lead detector: layout from rows and separators alone"))
    ink_rows = find_rows(page)
    boxes = _with_ink(page, boxes)
    doubt = ""
    try:
        ink_mm = np.array([(row.level_mm, row.start_mm, row.end_mm) for row in ink_rows]).reshape(-1, 3)
        arrangement = arrange(
            boxes, usual_levels(page, boxes.leads, ink_mm[:, 0], boxes.pulses[:, 3]), ink_mm
        )
    except SeveralPagesError:
        raise
    except EcgPageError as error:
        log.info("boxes: %s", error)
        arrangement, doubt = None, str(error)
    planned = None if arrangement is None else measured(page, arrangement, boxes, ink_rows, duration_s)
    if planned is not None:
        doubt = f"names are not clear ({planned.confidence:.2f})"
        if _explained(boxes, planned) < MIN_EXPLAINED:
            planned, doubt = None, "the leads seen stand in no layout that is known"
        elif planned.confidence >= SURE:
            return planned
    try:
        plan = read_layout(page, duration_s)
    except EcgPageError:
        if planned is None:
            raise
        return planned
    if _explained(boxes, plan) < MIN_EXPLAINED:
        raise EcgPageError(f"{doubt}, and rows and separators tell of another layout than the leads seen")
    if planned is not None and _agreeing(boxes, planned) > _agreeing(boxes, plan):
        return planned
    return replace(plan, notes=(*plan.notes, f"{doubt}: layout from rows and separators alone"))


def _with_ink(page: FlatPage, boxes: PageBoxes) -> PageBoxes:
    """The boxes without unsure ones in which nothing runs from end to end."""
    kept = np.array(
        [
            score >= UNSURE or _inked_share(page, box) >= UNSURE
            for box, score in zip(boxes.leads, boxes.scores, strict=True)
        ],
        np.bool_,
    )
    return replace(boxes, leads=boxes.leads[kept], scores=boxes.scores[kept], names=boxes.names[kept])


def _inked_share(page: FlatPage, box: Array) -> float:
    """Share of the columns of a box that have ink; 0 where it lies outside what the grid covers."""
    rows = np.clip(np.rint(page.row(box[[1, 3]])).astype(int), 0, page.ink.shape[0])
    columns = np.clip(np.rint(page.column(box[[0, 2]])).astype(int), 0, page.ink.shape[1])
    whole = (columns[1] - columns[0]) // X_PX_PER_MM
    if whole == 0 or rows[1] - rows[0] < 2 * HALF_BOX_MM:
        return 0.0
    window = page.ink[rows[0] : rows[1], columns[0] : columns[0] + whole * X_PX_PER_MM]
    return float((window.max(axis=0).reshape(whole, X_PX_PER_MM).max(axis=1) > CLEAR_INK).mean())


def _explained(boxes: PageBoxes, plan: PagePlan) -> float:
    """Share of the sure boxes that stand where the plan has a lead, of each place one; 1 without any."""
    boxes, _ = merged(boxes, boxes.leads[:, 1])
    at = _stands_at(boxes, plan)[boxes.scores > UNSURE]
    return float((at >= 0).mean()) if len(at) and plan.segments else 1.0


def _agreeing(boxes: PageBoxes, plan: PagePlan) -> float:
    """Mean chance of the plan's names in the sure boxes that stand where it has a lead; 0 without any."""
    at = _stands_at(boxes, plan)
    leads = np.array([LEADS.index(s.lead) for s in plan.segments], np.intp)
    sure = np.flatnonzero((boxes.scores > UNSURE) & (at >= 0))
    return float(boxes.names[sure, leads[at[sure]]].mean()) if len(sure) else 0.0


def _stands_at(boxes: PageBoxes, plan: PagePlan) -> NDArray[np.intp]:
    """(n,) index of the plan's lead at which each box stands, -1 for none."""
    if not plan.segments:
        return np.full(len(boxes.leads), -1)
    spans = np.array([(s.x0_mm, s.x1_mm, s.baseline(plan.rows)) for s in plan.segments])
    x0, y0, x1, y1 = boxes.leads.T[..., None]
    shared = (np.minimum(x1, spans[:, 1]) - np.maximum(x0, spans[:, 0])) / (
        np.maximum(x1, spans[:, 1]) - np.minimum(x0, spans[:, 0])
    )
    shared[(y0 >= spans[:, 2]) | (spans[:, 2] >= y1)] = 0.0  # (n, segments)
    return np.where(shared.max(axis=1) > MIN_SAME, shared.argmax(axis=1), -1)


def find_boxes(page: FlatPage, detector: LeadDetector, reader: WordReader | None = None) -> PageBoxes:
    """Leads and pulses of an upright page, in page mm, with the names and scales that ``reader`` reads there; where what the
    grid covers shows no clear layout, also around it.
    """
    view, frame = page.overview(detector.size)
    boxes = _boxes_in(view, frame, detector)
    evidence, confidence = _evidence(boxes)
    if confidence < SURE_UPRIGHT:
        wider, wider_frame = page.overview(detector.size, beyond_mm=AROUND_MM)
        if not np.array_equal(wider_frame, frame):
            others = _boxes_in(wider, wider_frame, detector)
            boxes = others if _evidence(others)[0] > evidence else boxes
    if reader is None:
        return boxes
    found = with_words(boxes, reader.read(page, boxes.leads))
    if found.speed_mm_per_s is not None and found.gain_mm_per_mv is not None:
        return found
    # few leads may stand far from the foot of the page, where the scales are printed
    far = reader.read(page, boxes.leads, SCALES_MM)
    return replace(found, speed_mm_per_s=far.scale(SPEEDS), gain_mm_per_mv=far.scale(GAINS))


def with_words(boxes: PageBoxes, words: Words) -> PageBoxes:
    """The boxes with what is written around them."""
    chances = words.chances[:, : len(LEAD_WORDS)] * words.scores[:, None]
    minus = chances[:, len(LEADS) :].sum(axis=1)
    chances = chances[:, : len(LEADS)]
    chances[:, LEADS.index("aVR")] += minus
    return replace(
        boxes,
        printed=PrintedNames(words.places, chances, minus),
        speed_mm_per_s=words.scale(SPEEDS),
        gain_mm_per_mv=words.scale(GAINS),
    )


def upright_turn(page: FlatPage, detector: LeadDetector) -> int | None:
    """By how many quarter turns counter-clockwise the page becomes upright; None when no turn gives a clear layout."""
    best: tuple[float, int] | None = None
    for beyond in (0.0, AROUND_MM):
        view, (_, scale) = page.overview(detector.size, beyond_mm=beyond)
        for turn in (0, 2, 1, 3):
            if turn == 1 and best is not None:
                break  # rows along x were seen
            turned = np.ascontiguousarray(np.rot90(view, turn))
            frame = np.array([np.zeros(2), scale[::-1] if turn % 2 else scale])
            boxes = _boxes_in(turned, frame, detector)
            evidence, confidence = _evidence(boxes)
            evidence += PULSE_UPRIGHT * min(len(boxes.pulses), MOST_PULSES)
            log.debug("turned %d deg: evidence %.1f, confidence %.2f", 90 * turn, evidence, confidence)
            if confidence > SURE_UPRIGHT:
                return turn
            # upside down some leads are taken for others by their place; most pages lie upright
            evidence += USUALLY_UPRIGHT if turn == 0 else 0.0
            if confidence >= SURE and (best is None or evidence > best[0]):
                best = evidence, turn
    return None if best is None else best[1]


def _evidence(boxes: PageBoxes) -> tuple[float, float]:
    """How much speaks for the best reading of the boxes, and its confidence."""
    try:
        arrangement = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1))
    except SeveralPagesError:
        return 100.0, 1.0  # pages that can be read, though not as one
    except EcgPageError:
        return -100.0, 0.0
    return arrangement.score + 10 * arrangement.confidence, arrangement.confidence


def _boxes_in(view: NDArray[np.uint8], frame: Array, detector: LeadDetector) -> PageBoxes:
    """Boxes of a picture with its ``frame`` as ``FlatPage.overview`` gives it, in page mm."""
    edge, scale = frame
    found = detector.detect(view, score=MIN_SCORE / MOST_NAMES)
    boxes = found.boxes.astype(np.float64) * np.tile(scale, 2) + np.tile(edge, 2)
    is_pulse = found.classes == CLASSES.index(PULSE)
    sure_pulse = is_pulse & (found.scores >= MIN_PULSE_SCORE)
    # that there is a lead may be sure where its name is not
    is_lead = ~is_pulse & (found.objectness >= MIN_SCORE)
    names = found.probabilities[is_lead, : len(LEADS)].astype(np.float64)
    return PageBoxes(boxes[is_lead], found.objectness[is_lead].astype(np.float64), names, boxes[sure_pulse])


def usual_levels(page: FlatPage, leads: Array, ink_rows_mm: Array, feet_mm: Array) -> Array:
    """(n,) page y where most of the ink in each box (n, 4) page mm lies, within what the box allows for its 0-mV line; at a
    row of ink, or beside the foot of a calibration pulse, where there is one.
    """
    levels = []
    for x0, y0, x1, y1 in leads:
        low, high = y0 + HALF_BOX_MM - LEVEL_SLACK_MM, y1 - HALF_BOX_MM + LEVEL_SLACK_MM
        if low > high:
            low = high = (y0 + y1) / 2
        at = np.arange(low, high + 0.01, 1 / Y_PX_PER_MM)
        rows = np.clip(np.rint(page.row(at)).astype(int), 0, page.ink.shape[0] - 1)
        columns = slice(max(0, round(page.column(x0))), max(1, round(page.column(x1))))
        profile = (
            np.clip(page.ink[rows, columns], 0, 1).mean(axis=1) if page.ink[rows, columns].size else at * 0
        )
        smooth = np.convolve(profile, np.ones(9) / 9, "same") if len(profile) > 9 else profile
        # a trace that goes far to one side only has its usual line near the other end of what the box allows
        if profile.max(initial=0.0) < 0.05:  # outside what the grid covers
            levels.append(float(at.mean()))
            continue
        prior = 1.0 - 0.3 * np.clip(np.minimum(at - low, high - at) / 6.0, 0, 1)
        on_row = (
            (np.abs(at[:, None] - ink_rows_mm) < LEVEL_SLACK_MM).any(axis=1) if len(ink_rows_mm) else at < 0
        )
        at_foot = np.abs(at[:, None] - feet_mm) < LEVEL_SLACK_MM
        weight = smooth * prior * np.where(on_row, 1.0, 0.5)
        weight *= np.where(at_foot.any(axis=1) | ~at_foot.any(), 1.0, OFF_FOOT)
        levels.append(float(at[weight.argmax()]))
    return np.array(levels)


def measured(
    page: FlatPage, arrangement: Arrangement, boxes: PageBoxes, ink_rows: list[Row], duration_s: float
) -> PagePlan:
    """The plan of a page whose leads are arranged so, its edges measured in the ink."""
    rows = [_row_at(page, level, arrangement.columns, ink_rows) for level in arrangement.levels_mm]
    boxes = replace(boxes, pulses=_on_one_side(boxes.pulses, arrangement.columns))
    pulses = _pulses(page, rows, boxes.pulses)
    notes: list[str] = []
    boxed, found = arrangement.columns, [pulse for _, pulse in pulses]
    gap = _gap(page, _grid_rows(arrangement, rows), boxed) if boxed.count > 1 else 0.0
    length_mm = boxed.end_mm - boxed.first_mm - max(boxed.gap_mm, gap, 0.0) * (boxed.count - 1)
    speed = _speed(length_mm, found, boxes.speed_mm_per_s, duration_s, notes)
    columns, ticks_mm = _measured_columns(
        page, arrangement, rows, found, boxes.pulses, gap, duration_s * speed
    )
    gains = _gains(arrangement, pulses, columns, boxes.gain_mm_per_mv, notes)
    segments = [
        _segment(page, cell, columns, rows, speed, duration_s, gains, pulses) for cell in arrangement.cells
    ]
    if arrangement.missed:
        notes.append(f"{arrangement.missed} leads named by the layout alone")
    if not arrangement.known_order:
        notes.append("leads stand in no usual order: each name as it was read")
    usual = gains["limb"] if any(c.lead not in CHEST for c in arrangement.cells) else gains["chest"]
    return PagePlan(rows, segments, found, ticks_mm, speed, usual, arrangement.confidence, tuple(notes))


# ---------------------------------------------------------------------------------------------- rows


def _row_at(page: FlatPage, level_mm: float, columns: Columns, ink_rows: list[Row]) -> Row:
    """The row of ink at a level, in all columns; where none was found, the cheapest path near it."""
    near = [
        row
        for row in ink_rows
        if abs(row.level_mm - level_mm) < SAME_ROW_MM
        and all(abs(_level_within(row, columns.span(k)) - level_mm) < PATH_MM for k in range(columns.count))
    ]
    if near:
        return min(near, key=lambda row: abs(row.level_mm - level_mm))
    width = page.ink.shape[1] // X_PX_PER_MM
    y_mm = level_mm + np.arange(-PATH_MM, PATH_MM + 0.01, 1 / Y_PX_PER_MM)
    at = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    step = int(ROW_STEP_MM * Y_PX_PER_MM)
    at = at[: len(at) // step * step]
    band = np.clip(page.ink[at, : width * X_PX_PER_MM], 0, 1)
    cells = band.reshape(len(at) // step, step, width, X_PX_PER_MM).mean(axis=1).max(axis=2)
    path, ink = cheapest_path(cells.astype(np.float32), reach=3, bend=0.5)
    x_mm = page.x_mm((np.arange(width) + 0.5) * X_PX_PER_MM)
    y_path = np.asarray(level_mm - PATH_MM + (path + 0.5) * ROW_STEP_MM, np.float64)
    return Row(x_mm, y_path, ink)


def _level_within(row: Row, span_mm: tuple[float, float]) -> float:
    """Median page y of a part of a row; of all of it where the part has no ink."""
    inside = (row.x_mm > span_mm[0]) & (row.x_mm < span_mm[1]) & (row.ink > 0.3)
    return float(np.median(row.y_mm[inside])) if inside.any() else row.level_mm


# ---------------------------------------------------------------------------------------------- columns


def _measured_columns(
    page: FlatPage,
    arrangement: Arrangement,
    rows: list[Row],
    pulses: list[Pulse],
    pulse_boxes: Array,
    gap: float,
    whole_mm: float,
) -> tuple[Columns, list[float]]:
    """Columns as separators, the ends of the rows and the lines of the grid put them, and page x of the separators seen.

    ``gap``: blank between columns; ``whole_mm``: length of the whole record on the page.
    """
    boxes = arrangement.columns
    first, last = _outer_ends(page, rows, boxes, pulses, pulse_boxes)
    grid_rows = _grid_rows(arrangement, rows)
    columns, is_whole = _between(boxes, first, last, gap, whole_mm)
    if not is_whole:  # boxes may be too wide, or end long before their ink
        ends = [(row.start_mm, row.end_mm) for row in rows]
        for edges in (
            (boxes.first_mm + FURTHER_MM, boxes.end_mm - FURTHER_MM),
            (float(np.median([start for start, _ in ends])), float(np.median([end for _, end in ends]))),
        ):
            own_first, own_last = (
                _common_end(page, rows, edge, direction) if end is None else end
                for end, edge, direction in ((first, edges[0], 1), (last, edges[1], -1))
            )
            tried, is_whole = _between(boxes, own_first, own_last, gap, whole_mm)
            if is_whole or (len(rows) <= FEW_ROWS and (own_first, own_last) != (first, last)):
                first, last, columns = own_first, own_last, tried
                break
    known = (first is not None) + (last is not None) if is_whole else 0
    reach_mm = TICK_REACH_MM / (1 + known)
    seen = _ticks(page, grid_rows, columns, reach_mm) if columns.count > 1 else []
    if seen:
        through = _through_ticks(columns, seen, is_whole)
        # ends that agree with the record's length are surer than a few strokes a little off them, as beats are
        is_near = known < 2 or abs(through.first_mm - columns.first_mm) < reach_mm
        is_common = len(seen) >= COMMON_TICKS * len(grid_rows) * (columns.count - 1)
        columns, seen = (through, seen) if is_near or is_common else (columns, [])
    on_line = start_on_line(columns.first_mm) if page.grid.is_printed else columns.first_mm
    moved = on_line - columns.first_mm
    if is_whole or not moved:
        columns = replace(columns, first_mm=on_line)
    else:  # the other end is as good as it was
        width = columns.width_mm - moved / columns.count
        columns = Columns(columns.count, on_line, width + columns.gap_mm, width)
    ticks_mm = [columns.span(k)[0] - columns.gap_mm / 2 for k in range(1, columns.count)] if seen else []
    return columns, ticks_mm


def _grid_rows(arrangement: Arrangement, rows: list[Row]) -> list[Row]:
    """The rows that are no strips."""
    return [rows[r] for r in sorted({c.row for c in arrangement.cells if c.column is not None})]


def _between(
    boxes: Columns, first: float | None, last: float | None, gap: float, whole_mm: float
) -> tuple[Columns, bool]:
    """Columns of equal width, ``gap`` apart, between the outer ends as measured (None: as the boxes put them), and whether
    they show all of a record ``whole_mm`` long.
    """
    count = boxes.count
    start = boxes.first_mm if first is None else first
    end = boxes.end_mm if last is None else last
    over = end - start - whole_mm
    # faint ends of traces are lost, nothing is drawn beyond them
    is_measured = first is not None and last is not None
    slack = WHOLE_MM if is_measured and over > 0 else LOOSE_WHOLE_MM
    if count == 1:  # boxes may be too wide, but no row shows more than the record
        is_whole, gap = abs(over) < slack or (over > 0 and not is_measured), 0.0
    else:
        needed = over / (count - 1)
        gaps = (gap,) if gap > GAP_MM else (gap, boxes.gap_mm, 0.0)
        near = min(abs(needed - g) for g in gaps) < max(GAP_MM, slack / (count - 1))
        is_whole = over > -slack and near
        if is_whole and needed > TOUCHING_MM:
            gap = needed
        elif is_whole and gap <= GAP_MM:  # where a wider one was measured, the ends are faint
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


def _ticks(page: FlatPage, rows: list[Row], columns: Columns, reach_mm: float) -> list[tuple[int, float]]:
    """Number from 1 and page x of each separator tick within ``reach_mm`` of where the columns meet."""
    signals = tick_signals(page, rows)
    near = cv2.dilate(signals.astype(np.float32), np.ones((1, int(1.2 * X_PX_PER_MM)), np.uint8))
    pitch = columns.pitch_mm * X_PX_PER_MM
    first = page.column(columns.first_mm - columns.gap_mm / 2)
    reach = round(reach_mm * X_PX_PER_MM)
    starts = round(first) + np.arange(-reach, reach + 1)
    at = np.rint(starts[:, None] + pitch * np.arange(1, columns.count)).astype(int)
    support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].mean(axis=2)  # (rows, starts)
    score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
    score -= TICK_AWAY * np.abs(np.arange(-reach, reach + 1)) / X_PX_PER_MM
    if score.max() < MIN_TICK:
        return []
    middle = float(np.median(starts[score > score.max() - 1e-6]))
    return [
        (k, float(page.x_mm(column)))
        for k, column in tick_centres(page, rows, signals, middle, pitch, columns.count)
        if abs(column - middle - pitch * k) < TICK_REACH_MM / 2 * X_PX_PER_MM
    ]


def _through_ticks(columns: Columns, ticks: list[tuple[int, float]], is_whole: bool) -> Columns:
    """Columns between separators (number, page x); their pitch stays when the page shows the whole record."""
    number, x_mm = np.array(ticks).T
    if not is_whole and len(set(number)) > 1:
        pitch, start = np.polyfit(number, x_mm, 1)
        if abs(pitch - columns.pitch_mm) * columns.count < REACH_MM:
            width = float(pitch) - columns.gap_mm
            return Columns(columns.count, float(start) + columns.gap_mm / 2, float(pitch), width)
    start = float(np.median(x_mm - number * columns.pitch_mm))
    return replace(columns, first_mm=start + columns.gap_mm / 2)


def _gap(page: FlatPage, rows: list[Row], columns: Columns) -> float:
    """Blank between columns in mm, whatever separates them in it; 0 where the traces touch.

    Where columns differ, most of them count, or the narrowest: ends of traces that are too faint widen a blank.
    """
    blanks = []
    for k in range(1, columns.count):
        middle = columns.span(k)[0] - columns.gap_mm / 2
        reach = max(0.0, columns.gap_mm) / 2 + GAP_REACH_MM
        x_mm = np.arange(middle - reach, middle + reach, 1 / X_PX_PER_MM)
        inked = np.array(
            [
                _inked(page, row, x_mm, middle - reach - 1) | _inked(page, row, x_mm, middle + reach + 1)
                for row in rows
            ]
        )
        # single traces are faint in places, in a gap nothing is drawn in any row but a stroke of the row above
        blank = (~inked).sum(axis=1)
        own = blank >= CROSSED * np.median(blank) if len(rows) >= MANY_ROWS else np.ones(len(rows), np.bool_)
        start, end = _blank(np.logical_or.reduce(inked[own]))
        beside = np.delete(inked, np.s_[start:end], axis=1)
        blanks.append((end - start) / X_PX_PER_MM if beside.size and beside.mean() > MIN_INKED else 0.0)
    values = np.sort(blanks)
    alike = np.abs(values[:, None] - values) < MAX_SPREAD_MM
    chosen = int(alike.sum(axis=1).argmax())
    gap = float(np.median(values[alike[chosen]])) + STROKE_MM
    return gap if gap > TOUCHING_MM else 0.0


def _blank(inked: NDArray[np.bool_]) -> tuple[int, int]:
    """First and one past the last column of the longest blank with a separator in it, if any; (0, 0) where it is open at an
    end.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[True], inked, [True]]).astype(np.int8)))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= MIN_BLANK_PX]
    both_sides = [(a, d) for (a, b), (c, d) in itertools.pairwise(runs) if c - b < SEPARATOR_MM * X_PX_PER_MM]
    start, end = max(runs + both_sides, key=lambda run: run[1] - run[0], default=(0, 0))
    return (0, 0) if start < AT_EDGE_PX or end > len(inked) - AT_EDGE_PX else (start, end)


def _inked(page: FlatPage, row: Row, x_mm: Array, level_at_mm: float) -> NDArray[np.bool_]:
    """(n,) whether there is ink near a row's level, which is taken at one place, above or below each page x."""
    level = row.level_at(level_at_mm)
    at = np.arange(level - END_BAND_MM, level + END_BAND_MM, 1 / Y_PX_PER_MM)
    lines = np.clip(np.rint(page.row(at)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    return np.asarray(page.ink[lines[:, None], columns].max(axis=0) > 0.4, np.bool_)


def _outer_ends(
    page: FlatPage, rows: list[Row], columns: Columns, pulses: list[Pulse], pulse_boxes: Array
) -> tuple[float | None, float | None]:
    """Page x where the rows begin and end, as the ink or the pulses beside them tell; None where they do not."""
    clear = [p for p in pulses if p.score]
    ends: list[float | None] = []
    for edge_mm, side, direction in ((columns.first_mm, 2, 1), (columns.end_mm, 0, -1)):
        beside = pulse_boxes[np.abs(pulse_boxes[:, side] - edge_mm) < PULSE_NEAR_MM, side]
        if not len(beside):
            ends.append(_common_end(page, rows, edge_mm, direction))
            continue
        near = [
            p
            for p in clear
            if abs((p.x_mm + p.width_mm if direction > 0 else p.x_mm) - edge_mm) < PULSE_NEAR_MM
        ]
        ends.append(_beside_pulses(page, (float(np.median(beside)), edge_mm), near, direction))
    return ends[0], ends[1]


def _beside_pulses(
    page: FlatPage, edges_mm: tuple[float, float], pulses: list[Pulse], direction: int
) -> float:
    """Page x where the traces begin beside pulses (where they end for direction -1): a flat line behind the inner stroke that
    is as long as the one before the outer stroke, or at the inner stroke. ``edges_mm``: where the pulses' and the leads'
    boxes put it, the better one first, which counts when neither is near.
    """
    if not pulses:
        return edges_mm[0]
    strokes = np.array([(p.x_mm, p.x_mm + p.width_mm)[::direction] for p in pulses])  # outer, inner
    inner = float(np.median(strokes[:, 1]))
    flats = [_flat_beside(page, p, x, -direction) for p, x in zip(pulses, strokes[:, 0], strict=True)]
    error = PULSE_EDGE_MM / np.sqrt(len(pulses))
    flat = inner + direction * float(np.median(flats))
    if flat != inner and min(abs(flat - edge) for edge in edges_mm) < error:
        return flat
    beyond = direction * (edges_mm[0] - inner)  # no trace begins within its pulse
    return edges_mm[0] if beyond > PULSE_EDGE_MM / 2 else inner


def _flat_beside(page: FlatPage, pulse: Pulse, stroke_mm: float, direction: int) -> float:
    """Length of the line at a pulse's foot that leads away from one of its strokes."""
    x_mm = stroke_mm + direction * np.arange(STROKE_MM, LONGEST_FLAT_MM + 1, 1 / X_PX_PER_MM)
    y_mm = pulse.foot_mm + np.arange(-0.4, 0.41, 1 / Y_PX_PER_MM)
    rows = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    inked = page.ink[rows[:, None], columns].max(axis=0) > 0.4
    blank = np.flatnonzero(np.convolve(~inked, np.ones(4), "valid") == 4)
    length = STROKE_MM / 2 + (blank[0] / X_PX_PER_MM if len(blank) else len(inked) / X_PX_PER_MM)
    return float(length) if MIN_FLAT_MM < length < LONGEST_FLAT_MM else 0.0


def _common_end(page: FlatPage, rows: list[Row], near_mm: float, direction: int) -> float | None:
    """Page x where the ink of most rows begins (direction 1) or ends (-1), None where they do not say."""
    found = [_row_end(page, row, near_mm, direction) for row in rows]
    ends = np.array([end for end in found if end is not None])
    if len(ends) < max(1, len(rows) / 2):
        return None
    middle = float(np.median(ends))
    return middle if np.median(np.abs(ends - middle)) < MAX_SPREAD_MM else None


def _row_end(page: FlatPage, row: Row, near_mm: float, direction: int) -> float | None:
    """Page x of the outermost ink that hangs together with a row's trace; None without any, or where it goes on."""
    x_mm = near_mm + direction * np.arange(-OUTSIDE_MM, INSIDE_MM[1], 1 / X_PX_PER_MM)  # inwards
    level = row.level_at(near_mm + direction * INSIDE_MM[0])
    y_mm = np.arange(level - END_REACH_MM, level + END_REACH_MM, 1 / Y_PX_PER_MM)
    lines = np.clip(np.rint(page.row(y_mm)).astype(int), 0, page.ink.shape[0] - 1)
    columns = np.clip(np.rint(page.column(x_mm)).astype(int), 0, page.ink.shape[1] - 1)
    inked = (page.ink[lines[:, None], columns] > 0.4).astype(np.uint8)
    _, labels = cv2.connectedComponents(cv2.dilate(inked, np.ones((3, 3), np.uint8)))
    inside = x_mm * direction > (near_mm + direction * INSIDE_MM[0]) * direction
    at_level = np.abs(y_mm[:, None] - row.y_at(x_mm)) < ON_ROW_MM
    own = np.unique(labels[at_level & inside & (inked > 0)])
    seen = np.flatnonzero((np.isin(labels, own[own > 0]) & (inked > 0)).any(axis=0))
    # a trace that goes on outwards has no end here, one that is too faint near its end breaks off
    first, last = 1.0 * X_PX_PER_MM, (OUTSIDE_MM + REACH_MM) * X_PX_PER_MM
    return float(x_mm[seen[0]]) if len(seen) and first < seen[0] < last else None


# ---------------------------------------------------------------------------------------------- pulses, scales


def _on_one_side(pulses: Array, columns: Columns) -> Array:
    """The boxes of pulses (m, 4) at that end of the rows where most of them stand; all where neither end has more."""
    is_right = pulses[:, [0, 2]].mean(axis=1) > (columns.first_mm + columns.end_mm) / 2
    many = is_right.sum() - (~is_right).sum()
    return pulses if many == 0 else pulses[is_right == (many > 0)]


def _pulses(page: FlatPage, rows: list[Row], boxes: Array) -> list[tuple[int, Pulse]]:
    """Calibration pulses with the number of their row, measured in the ink; with score 0 as the box shows them where the
    ink is not clear.
    """
    found: list[tuple[int, Pulse]] = []
    levels = np.array([row.level_mm for row in rows])
    for x0, y0, x1, y1 in boxes:
        heights = [h for h in PULSE_HEIGHTS_MM if 0.6 < (y1 - y0) / h < 1.6]
        row = int(np.abs(levels - y1).argmin())
        if not heights or abs(levels[row] - y1) > MAX_ZERO_MM:
            continue
        x_mm = np.arange(x0 - 1.5, max(x0 + 1.5, x1 - 2.0), 1 / X_PX_PER_MM)
        feet = y1 + np.arange(-2.0, 2.1, 0.5)
        pulse = find_pulse(page, x_mm, feet, heights, PULSE_WIDTHS_MM, BOXED_PULSE)
        likely = min(heights, key=lambda h: abs(float(np.log((y1 - y0) / h))))
        found.append((row, pulse or Pulse(float(x0), float(y1), likely, 0.0, float(x1 - x0))))
    return found


def _speed(
    length_mm: float, pulses: list[Pulse], written: float | None, duration_s: float, notes: list[str]
) -> float:
    """Paper speed in mm/s: as written, unless rows are too long for it, else by the pulses' width and the rows' length."""
    if written is not None and length_mm < LONG_SHARE * duration_s * written:
        if written != SPEED_MM_PER_S:
            notes.append(f"{written:g} mm/s: it is written on the page")
        return written
    widths = [p.width_mm for p in pulses if p.score]
    if widths and np.median(widths) > FAST_PULSE_MM:
        notes.append("50 mm/s: pulses are 10 mm wide")
        return FAST_MM_PER_S
    if length_mm > LONG_SHARE * duration_s * SPEED_MM_PER_S:
        notes.append(f"50 mm/s: rows of {length_mm:.0f} mm are longer than the record at 25 mm/s")
        return FAST_MM_PER_S
    if not pulses:
        notes.append("25 mm/s assumed: no calibration pulse seen, no speed read")
    return SPEED_MM_PER_S


def _gains(
    arrangement: Arrangement,
    pulses: list[tuple[int, Pulse]],
    columns: Columns,
    written: float | None,
    notes: list[str],
) -> dict[str, float]:
    """mm/mV of limb and chest leads: of the pulses beside them, the other group's where they have none, what is written where
    there are none at all; it also counts more than pulses that only boxes show.
    """
    heights: dict[str, list[float]] = {"limb": [], "chest": []}
    for row, pulse in pulses:
        if written is not None and not pulse.score:
            continue
        here = [c for c in arrangement.cells if c.row == row]
        is_right = pulse.x_mm > (columns.first_mm + columns.end_mm) / 2
        column = columns.count - 1 if is_right else 0
        beside = [c for c in here if c.is_strip or c.column == column]
        if beside:
            heights["chest" if beside[0].lead in CHEST else "limb"].append(pulse.height_mm)
    if not any(heights.values()):
        if written is None:
            notes.append("10 mm/mV assumed: no calibration pulse seen, no gain read")
        return dict.fromkeys(heights, written or GAIN_MM_PER_MV)
    gains = {group: float(np.median(values)) for group, values in heights.items() if values}
    return {group: gains.get(group, next(iter(gains.values()))) for group in heights}


def _strip_end(page: FlatPage, row: Row, columns: Columns, seen_mm: tuple[float, float] | None) -> float:
    """Page x where a strip ends: under gaps between columns strips run on to their end, or leave them out."""
    choices = (columns.end_mm, columns.first_mm + columns.count * columns.width_mm)
    if choices[0] - choices[1] < TOUCHING_MM:
        return choices[0]
    end = _common_end(page, [row], (choices[0] + choices[1]) / 2, -1)
    if end is None:
        end = choices[0] if seen_mm is None else seen_mm[1]
    return min(choices, key=lambda x: abs(x - end))


def _segment(
    page: FlatPage,
    cell: Cell,
    columns: Columns,
    rows: list[Row],
    speed: float,
    duration_s: float,
    gains: dict[str, float],
    pulses: list[tuple[int, Pulse]],
) -> Segment:
    """One lead of the plan; columns run on in time, which the signals may tell otherwise."""
    x0, x1 = columns.span(cell.column)
    if cell.is_strip:
        x1 = _strip_end(page, rows[cell.row], columns, cell.seen_mm)
    start_s = (cell.column or 0) * columns.width_mm / speed
    seconds = (x1 - x0) / speed
    duration = min(seconds, duration_s - start_s)
    gain = gains["chest" if cell.lead in CHEST else "limb"] * (-1 if cell.is_inverted else 1)
    segment = Segment(cell.lead, cell.row, x0, x1, start_s, duration, 0.0, gain, cell.is_strip)
    baseline = segment.baseline(rows)
    feet = [p.foot_mm for row, p in pulses if row == cell.row and abs(p.foot_mm - baseline) < MAX_ZERO_MM]
    return replace(segment, zero_mm=feet[0] if feet else baseline)
