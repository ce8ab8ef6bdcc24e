"""The layout of a page: boxes choose the layout, ink measures it.

Boxes of the detector tell which lead stands where, to about a millimetre (``arrangement``). Rows, separators, calibration
pulses, the ends of the ink and the 5-mm lines measure it to a tenth of a millimetre (``column_edges``).
"""

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM, EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.arrangement import Arrangement, Cell
from ecgpage.layout.beats import measure_beats
from ecgpage.layout.boxes import HALF_BOX_MM, PageBoxes, merge_boxes
from ecgpage.layout.column_edges import (
    find_strip_end,
    measure_columns,
    pulses_on_one_side,
    rows_without_strips,
)
from ecgpage.layout.columns import Columns, place_in_panels
from ecgpage.layout.gaps import measure_gap
from ecgpage.layout.known_layouts import CHEST
from ecgpage.layout.named_boxes import arrange_with_names
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.printed_scales import weigh_print
from ecgpage.layout.pulses import measure_pulses, seek_pulses
from ecgpage.layout.rows import find_row_at, find_rows
from ecgpage.layout.scales import SPEED_ODDS, find_group, tell_scale
from ecgpage.layout.types import NO_PRINT, NameEvidence, PageLayout, Pulse, Row, ScaleEvidence, Segment

log = logging.getLogger(__name__)


def read_layout(
    page: FlatPage, boxes: PageBoxes, duration_s: float, options: LayoutOptions = LayoutOptions()
) -> PageLayout:
    """Layout of an upright page that shows at most ``duration_s`` seconds; ``boxes``: from ``find_boxes``.

    Raises ``EcgPageError`` when the boxes fit no layout or belong to several pages.
    """
    ink_rows = find_rows(page, options)
    boxes = _keep_inked_boxes(page, boxes, options)
    ink_mm = np.array([(row.level_mm, row.start_mm, row.end_mm) for row in ink_rows]).reshape(-1, 3)
    levels_mm = find_usual_levels(page, boxes.leads, ink_mm[:, 0], boxes.pulses[:, 3], options)
    arrangement, boxes = arrange_with_names(boxes, levels_mm, ink_mm, options)
    layout = measure_layout(page, arrangement, boxes, ink_rows, duration_s, options)
    explained = _explained_share(boxes, layout, options)
    if explained < options.min_explained:
        raise EcgPageError("the leads seen stand in no layout that is known")
    return replace(layout, name_evidence=_tell_names(arrangement, explained))


def _tell_names(arrangement: Arrangement, explained: float) -> NameEvidence:
    return NameEvidence(
        arrangement.margin,
        arrangement.missed,
        arrangement.misnamed,
        arrangement.known_order,
        arrangement.read_share,
        arrangement.pattern_share,
        arrangement.is_pattern,
        explained,
    )


def _keep_inked_boxes(page: FlatPage, boxes: PageBoxes, options: LayoutOptions) -> PageBoxes:
    """Boxes without unsure ones in which no ink runs from end to end."""
    kept = np.array(
        [
            score >= options.unsure_score or _inked_share(page, box, options) >= options.unsure_score
            for box, score in zip(boxes.leads, boxes.scores, strict=True)
        ],
        np.bool_,
    )
    return replace(boxes, leads=boxes.leads[kept], scores=boxes.scores[kept], names=boxes.names[kept])


def _inked_share(page: FlatPage, box: Array, options: LayoutOptions) -> float:
    """Share, 0 to 1, of a box's columns that have ink; 0 where the box lies outside the grid."""
    rows = np.clip(np.rint(page.row(box[[1, 3]])).astype(int), 0, page.ink.shape[0])
    columns = np.clip(np.rint(page.column(box[[0, 2]])).astype(int), 0, page.ink.shape[1])
    whole = (columns[1] - columns[0]) // X_PX_PER_MM
    if whole == 0 or rows[1] - rows[0] < 2 * HALF_BOX_MM:
        return 0.0
    window = page.ink[rows[0] : rows[1], columns[0] : columns[0] + whole * X_PX_PER_MM]
    return float((window.max(axis=0).reshape(whole, X_PX_PER_MM).max(axis=1) > options.clear_ink).mean())


def _explained_share(boxes: PageBoxes, layout: PageLayout, options: LayoutOptions) -> float:
    """Share, 0 to 1, of the sure boxes that match a lead of the layout, one box a lead; 1 without sure boxes."""
    boxes, _ = merge_boxes(boxes, boxes.leads[:, 1], options)
    at = _match_boxes(boxes, layout, options)[boxes.scores > options.unsure_score]
    return float((at >= 0).mean()) if len(at) and layout.segments else 1.0


def _match_boxes(boxes: PageBoxes, layout: PageLayout, options: LayoutOptions) -> NDArray[np.intp]:
    """(n,) index of the layout's segment that each box matches; -1 for none."""
    if not layout.segments:
        return np.full(len(boxes.leads), -1)
    spans = np.array([(s.x0_mm, s.x1_mm, s.baseline(layout.rows)) for s in layout.segments])
    x0, y0, x1, y1 = boxes.leads.T[..., None]
    shared = (np.minimum(x1, spans[:, 1]) - np.maximum(x0, spans[:, 0])) / (
        np.maximum(x1, spans[:, 1]) - np.minimum(x0, spans[:, 0])
    )
    shared[(y0 >= spans[:, 2]) | (spans[:, 2] >= y1)] = 0.0  # (n, segments)
    return np.where(shared.max(axis=1) > options.min_same, shared.argmax(axis=1), -1)


def find_usual_levels(
    page: FlatPage, leads: Array, ink_rows_mm: Array, feet_mm: Array, options: LayoutOptions = LayoutOptions()
) -> Array:
    """(n,) page y, mm, of the usual line of each box ``leads`` (n, 4): where most of its ink lies.

    The line lies at least ``HALF_BOX_MM`` within the box, give or take ``level_slack_mm``, and preferably on a row of ink
    and at the height of a calibration pulse's foot.
    """
    levels = []
    for x0, y0, x1, y1 in leads:
        low, high = y0 + HALF_BOX_MM - options.level_slack_mm, y1 - HALF_BOX_MM + options.level_slack_mm
        if low > high:
            low = high = (y0 + y1) / 2
        at = np.arange(low, high + 0.01, 1 / Y_PX_PER_MM)
        rows = np.clip(np.rint(page.row(at)).astype(int), 0, page.ink.shape[0] - 1)
        columns = slice(max(0, round(page.column(x0))), max(1, round(page.column(x1))))
        profile = (
            np.clip(page.ink[rows, columns], 0, 1).mean(axis=1) if page.ink[rows, columns].size else at * 0
        )
        smooth = np.convolve(profile, np.ones(9) / 9, "same") if len(profile) > 9 else profile
        # a trace that deflects far to one side only has its usual line near the box's other side
        if profile.max(initial=0.0) < 0.05:  # outside the grid
            levels.append(float(at.mean()))
            continue
        prior = 1.0 - 0.3 * np.clip(np.minimum(at - low, high - at) / 6.0, 0, 1)
        on_row = (
            (np.abs(at[:, None] - ink_rows_mm) < options.level_slack_mm).any(axis=1)
            if len(ink_rows_mm)
            else at < 0
        )
        at_foot = np.abs(at[:, None] - feet_mm) < options.level_slack_mm
        weight = smooth * prior * np.where(on_row, 1.0, 0.5)
        weight *= np.where(at_foot.any(axis=1) | ~at_foot.any(), 1.0, options.off_foot)
        levels.append(float(at[weight.argmax()]))
    return np.array(levels)


def measure_layout(
    page: FlatPage,
    arrangement: Arrangement,
    boxes: PageBoxes,
    ink_rows: list[Row],
    duration_s: float,
    options: LayoutOptions,
) -> PageLayout:
    """Layout of a page with this arrangement of leads, its edges measured in the ink."""
    rows = [
        find_row_at(page, level, arrangement.columns, ink_rows, options) for level in arrangement.levels_mm
    ]
    boxes = replace(boxes, pulses=pulses_on_one_side(boxes.pulses, arrangement.columns))
    pulses = measure_pulses(page, rows, boxes.pulses, options)
    notes: list[str] = []
    boxed, found = arrangement.columns, [pulse for _, pulse in pulses]
    gap = (
        measure_gap(page, rows_without_strips(arrangement, rows), boxed, options) if boxed.count > 1 else 0.0
    )
    seen = _gather_evidence(page, arrangement, boxes, rows, pulses, gap, duration_s, options)
    told = tell_scale(seen, notes, options)
    speed, gains = told.speed_mm_per_s, told.gains
    columns, ticks_mm = measure_columns(
        page, arrangement, rows, found, boxes.pulses, gap, duration_s * speed, options
    )
    segments = [
        _make_segment(page, cell, columns, rows, speed, duration_s, gains, pulses, options)
        for cell in arrangement.cells
    ]
    if arrangement.missed:
        notes.append(f"{arrangement.missed} leads named by the layout alone")
    if not arrangement.known_order:
        notes.append("leads stand in no usual order: each name as it was read")
    panels = page.grid.panels_mm
    is_numbered = place_in_panels(arrangement.columns, panels, options) is not None
    numbered_s = tuple(panels[:, 2].tolist()) if is_numbered else ()
    usual = gains["limb"] if any(c.lead not in CHEST for c in arrangement.cells) else gains["chest"]
    return PageLayout(
        rows,
        segments,
        found,
        ticks_mm,
        speed,
        usual,
        arrangement.confidence,
        tuple(notes),
        speed_odds=told.speed_odds,
        scale_margin=told.margin,
        scale_evidence=seen,
        numbered_s=numbered_s,
    )


def _gather_evidence(
    page: FlatPage,
    arrangement: Arrangement,
    boxes: PageBoxes,
    rows: list[Row],
    pulses: list[tuple[int, Pulse]],
    gap_mm: float,
    duration_s: float,
    options: LayoutOptions,
) -> ScaleEvidence:
    """All that the page shows of its scale; ``pulses``: those in boxes, each with the number of its row."""
    columns = arrangement.columns
    sought = seek_pulses(page, rows, (columns.first_mm, columns.end_mm), options)
    length_mm = columns.end_mm - columns.first_mm - max(columns.gap_mm, gap_mm, 0.0) * (columns.count - 1)
    boxed = [(row, replace(pulse, score=min(pulse.score, options.boxed_pulse))) for row, pulse in pulses]
    printed = NO_PRINT if boxes.words is None else weigh_print(boxes.words, tuple(SPEED_ODDS), options)
    return ScaleEvidence(
        printed,
        tuple((find_group(arrangement, columns, row, pulse), pulse) for row, pulse in sought or boxed),
        length_mm,
        columns.count,
        duration_s,
        measure_beats(page, arrangement, rows),
        page.grid.axes_mm,
    )


def _make_segment(
    page: FlatPage,
    cell: Cell,
    columns: Columns,
    rows: list[Row],
    speed: float,
    duration_s: float,
    gains: dict[str, float],
    pulses: list[tuple[int, Pulse]],
    options: LayoutOptions,
) -> Segment:
    """One lead of the layout; each column is taken to follow the one before in time, which the signals may correct."""
    x0, x1 = columns.span(cell.column)
    if cell.is_strip:
        x1 = find_strip_end(page, rows, cell.row, columns, cell.seen_mm, options)
    start_s = (cell.column or 0) * columns.width_mm / speed
    seconds = (x1 - x0) / speed
    duration = min(seconds, duration_s - start_s)
    gain = gains["chest" if cell.lead in CHEST else "limb"] * (-1 if cell.is_inverted else 1)
    segment = Segment(cell.lead, cell.row, x0, x1, start_s, duration, 0.0, gain, cell.is_strip, cell.is_named)
    baseline = segment.baseline(rows)
    feet = [
        p.foot_mm for row, p in pulses if row == cell.row and abs(p.foot_mm - baseline) < options.max_zero_mm
    ]
    return replace(segment, zero_mm=feet[0] if feet else baseline)
