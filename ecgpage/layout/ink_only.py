"""Read the layout of a flat page: which lead is drawn where, over which seconds.

Nothing about positions is assumed. Rows are the long connected lines of ink; the columns come from the separator ticks
that stand in several rows at one common pitch, or, where there are none, from the number of rows; calibration pulses give
the gain and the zero level. Names follow the grammar of printed layouts (3 x 4, 6 x 2, 12 x 1 with rhythm strips).
"""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV, LEADS, SPEED_MM_PER_S, X_PX_PER_MM, EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.column_edges import start_on_line
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.pulses import find_pulse
from ecgpage.layout.rows import find_rows
from ecgpage.layout.separators import MIN_TICK, tick_centres, tick_signals
from ecgpage.layout.types import PULSE_WIDTH_MM, PagePlan, Pulse, Row, Segment
from ecgpage.layout.zero_level import MAX_ZERO_MM

SAME_COMB: Final = 0.65
"""A comb with fewer teeth wins only where the finer one has less than this share of its support."""
COLUMNS_BY_ROWS: Final = {1: 1, 2: 1, 3: 4, 4: 4, 5: 4, 6: 2, 7: 2, 8: 2, 12: 1, 13: 1}
"""Columns of the usual layouts when no separators are printed."""
GRID_ROWS: Final = {4: 3, 2: 6, 1: 12}
"""Rows that hold the twelve leads in so many columns; more rows are rhythm strips."""


def read_layout(page: FlatPage, duration_s: float, options: LayoutOptions = LayoutOptions()) -> PagePlan:
    """Plan of an upright page that shows ``duration_s`` seconds of a 12-lead record.

    Raises ``EcgPageError`` when the rows do not fit any known layout.
    """
    rows = find_rows(page)
    if not rows:
        raise EcgPageError("no rows of traces on the grid; is this an ECG page?")
    width_mm = duration_s * SPEED_MM_PER_S
    ticks = tick_signals(page, rows)
    columns, first_mm, support = _find_columns(page, rows, ticks, width_mm)
    notes: list[str] = []
    has_ticks = columns > 1
    if not has_ticks:
        columns = COLUMNS_BY_ROWS.get(len(rows), 0)
        notes.append("no separators seen: columns follow from the number of rows")
    if columns == 0 or len(rows) < GRID_ROWS.get(columns, 99):
        raise EcgPageError(
            f"{len(rows)} rows of traces in {columns} columns fit no known layout; see README, layouts"
        )
    pulses = _find_pulses(page, rows)
    if not has_ticks:
        first_mm = _start_without_ticks(rows, pulses, width_mm)
    if options.line_ahead_mm is not None:
        first_mm = start_on_line(first_mm, options.line_ahead_mm)
    grid_rows = _choose_grid_rows(rows, support if has_ticks else np.zeros(len(rows)), columns)
    found = [p for p in pulses if p is not None]
    gain = float(np.median([p.height_mm for p in found])) if found else GAIN_MM_PER_MV
    if not found:
        notes.append("10 mm/mV assumed: no calibration pulse seen")
    notes.append("25 mm/s assumed")
    segments = _name_segments(rows, pulses, grid_rows, columns, first_mm, duration_s)
    segments = [replace(s, gain_mm_per_mv=gain) for s in segments]
    pitch = width_mm / columns
    ticks_mm = [first_mm + pitch * k for k in range(1, columns)] if has_ticks else []
    confidence = _confidence(rows, grid_rows, support, found, first_mm, width_mm)
    return PagePlan(rows, segments, found, ticks_mm, SPEED_MM_PER_S, gain, confidence, tuple(notes))


def _find_columns(page: FlatPage, rows: list[Row], ticks: Array, width_mm: float) -> tuple[int, float, Array]:
    """Number of columns, page x of the first sample and the support of each row; (1, nan, zeros) without separators."""
    near = cv2.dilate(ticks.astype(np.float32), np.ones((1, int(1.2 * X_PX_PER_MM)), np.uint8)).astype(float)
    found: list[tuple[int, float, float, Array]] = []
    starts = np.arange(0, max(1, page.ink.shape[1] - int(0.9 * width_mm * X_PX_PER_MM)))
    for columns in (6, 4, 3, 2):
        pitch = width_mm / columns * X_PX_PER_MM
        at = np.rint(starts[:, None] + pitch * np.arange(1, columns)).astype(int)
        support = near[:, np.clip(at, 0, page.ink.shape[1] - 1)].mean(axis=2)  # (rows, starts)
        score = np.sort(support, axis=0)[-min(3, len(rows)) :].mean(axis=0)
        middle = float(np.median(starts[score > score.max() - 1e-6]))
        found.append((columns, float(score.max()), middle, support[:, round(middle)]))
    strongest = max(score for _, score, _, _ in found)
    if strongest < MIN_TICK:
        return 1, float("nan"), np.zeros(len(rows))
    # a comb of four also fits two columns by its middle tooth alone, with a third of the score
    columns, _, start, support = next(f for f in found if f[1] > SAME_COMB * strongest)
    pitch = width_mm / columns * X_PX_PER_MM
    centres = tick_centres(page, rows, ticks, start, pitch, columns)
    edges = [at - pitch * k for k, at in centres]
    return columns, float(page.x_mm(float(np.median(edges)) if edges else start)), support


def _start_without_ticks(rows: list[Row], pulses: list[Pulse | None], width_mm: float) -> float:
    """Page x of the first sample from the ends of the rows and the pulses before them."""
    right = [p.x_mm + PULSE_WIDTH_MM for p in pulses if p is not None]
    if right:
        return float(np.median(right))
    start, end = np.median([r.start_mm for r in rows]), np.median([r.end_mm for r in rows])
    return float((start + end - width_mm) / 2)


def _choose_grid_rows(rows: list[Row], support: Array, columns: int) -> list[int]:
    """The rows that hold the twelve leads: those with separators, else the upper ones."""
    need = GRID_ROWS.get(columns, 0)
    if need == 0:
        raise EcgPageError(f"pages with {columns} columns are not read yet; see README, layouts")
    by_support = (
        np.argsort(-support, kind="stable")[:need] if support.max(initial=0.0) > 0 else np.arange(need)
    )
    return sorted(int(k) for k in by_support)


def _find_pulses(page: FlatPage, rows: list[Row]) -> list[Pulse | None]:
    """The calibration pulse at the left end of each row, None where there is none."""
    starts = np.array([row.start_mm for row in rows])
    first = float(np.median(starts))
    return [_find_pulse(page, row, first) for row in rows]


def _find_pulse(page: FlatPage, row: Row, first_mm: float) -> Pulse | None:
    """Best pulse near the beginning of a row."""
    x_mm = np.arange(first_mm - 14.0, first_mm + 6.0, 1 / X_PX_PER_MM)
    level = float(np.median(row.y_at(np.linspace(first_mm, first_mm + 15, 20))))
    return find_pulse(page, x_mm, level + np.arange(-5.0, 5.1, 0.5))


def _name_segments(
    rows: list[Row],
    pulses: list[Pulse | None],
    grid_rows: list[int],
    columns: int,
    first_mm: float,
    duration_s: float,
) -> list[Segment]:
    """Leads in reading order down the columns, then the strips, which carry lead II until the signals say otherwise."""
    part_s = duration_s / columns
    segments = []
    for column in range(columns):
        for place, row in enumerate(grid_rows):
            lead = LEADS[column * len(grid_rows) + place]
            start_s = column * part_s
            x0 = first_mm + start_s * SPEED_MM_PER_S
            segments.append(Segment(lead, row, x0, x0 + part_s * SPEED_MM_PER_S, start_s, part_s, 0.0))
    for row in range(len(rows)):
        if row not in grid_rows:
            x1 = first_mm + duration_s * SPEED_MM_PER_S
            segments.append(Segment("II", row, first_mm, x1, 0.0, duration_s, 0.0, is_strip=True))
    return [replace(s, zero_mm=_zero_level(s, rows, pulses)) for s in segments]


def _zero_level(segment: Segment, rows: list[Row], pulses: list[Pulse | None]) -> float:
    """The pulse's foot, unless the segment runs so far from it that it cannot be its own."""
    pulse, baseline = pulses[segment.row], segment.baseline(rows)
    return pulse.foot_mm if pulse is not None and abs(pulse.foot_mm - baseline) < MAX_ZERO_MM else baseline


def _confidence(
    rows: list[Row],
    grid_rows: list[int],
    support: Array,
    pulses: list[Pulse],
    first_mm: float,
    width_mm: float,
) -> float:
    """Mean of: ink along the rows, separators where expected, the rows' ends where the time axis puts them."""
    ink = float(
        np.mean([row.ink[(row.x_mm > first_mm) & (row.x_mm < first_mm + width_mm)].mean() for row in rows])
    )
    ends = np.mean([abs(row.end_mm - first_mm - width_mm) < 4 for row in rows])
    evidence = [
        min(1.0, ink / 0.6),
        float(ends),
        min(1.0, float(np.mean(support[grid_rows])) / 0.6 if len(support) else 0),
    ]
    if pulses:
        evidence.append(1.0)
    return float(np.mean(evidence))
