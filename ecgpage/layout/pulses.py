"""Calibration pulses in the ink of a flat page."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage, Grey
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.types import PULSE_WIDTH_MM, Pulse, Row

PULSE_HEIGHTS_MM: Final = (10.0, 5.0, 20.0)
"""Heights, mm, of a 1-mV pulse at the usual gains of 10, 5 and 20 mm/mV."""
MIN_PULSE: Final = 0.4
"""Score of a pulse, above which it is found: darkness, 0 to 1, of its strokes and roof, less that beyond the roof."""

PULSE_WIDTHS_MM: Final = (5.0, 10.0, 2.5)
"""Widths, mm, of a 0.2-s pulse at 25, 50 and 12.5 mm/s."""
HIGHEST_MM: Final = 22.0
"""Height, mm, of pulses that are sought, at most."""
SHORTEST_MM: Final = 2.2
"""Height, mm, of their strokes, at least."""
LETTER_MM: Final = 4.2
"""Height, mm, up to which a single pulse may be a letter."""
WIDTHS_MM: Final = (0.9, 14.0)
"""Widths, mm, between which pulses are sought."""
STROKE_INK: Final = 0.4
"""Ink, 0 to 1, from which a pixel belongs to a stroke."""
STROKE_PX: Final = 5
"""Columns within which runs of ink are one stroke."""
BROKEN_MM: Final = 0.6
"""Gap, mm, over which a stroke goes on: lines of the grid were taken away there."""
LEVEL_MM: Final = 0.6
"""Difference, mm, of the heights at which the sides of a pulse begin and end, at most."""
LINE_MM: Final = 0.3
"""Width, mm, of a usual stroke, by which its ink is longer than the pulse is high."""
MIN_ROOF: Final = 0.85
"""Inked share of a pulse's roof, at least."""
MAX_FLOOR: Final = 0.35
"""Inked share between its feet, at most."""
SAME_SIZE: Final = 0.12
"""Natural log of the ratio of widths, and of heights, below which pulses are of one size."""


def find_pulse(
    page: FlatPage,
    x_mm: Array,
    feet_mm: Array,
    heights_mm: Sequence[float] = PULSE_HEIGHTS_MM,
    widths_mm: Sequence[float] = (PULSE_WIDTH_MM,),
    least: float = MIN_PULSE,
) -> Pulse | None:
    """Best pulse whose left stroke stands at one of ``x_mm`` (n,), page mm; None when it scores ``least`` or less.

    Its foot is searched at ``feet_mm`` (m,), page y, then finely around the best of them.
    """
    coarse = [
        pulse
        for height in heights_mm
        for foot in feet_mm
        for pulse in score_pulses(page, x_mm, foot, height, widths_mm, roof_px=3)
    ]
    likely = max(coarse, key=lambda p: p.score)
    fine = [
        pulse
        for offset in np.arange(-5, 6) / Y_PX_PER_MM
        for pulse in score_pulses(
            page, x_mm, likely.foot_mm + offset, likely.height_mm, [likely.width_mm], roof_px=1
        )
    ]
    best = max(fine, key=lambda p: p.score)
    return best if best.score > least else None


def score_pulses(
    page: FlatPage, x_mm: Array, foot: float, height: float, widths_mm: Sequence[float], *, roof_px: int
) -> list[Pulse]:
    """Best pulse along ``x_mm`` for each width, of one foot (page y) and height, mm: two strokes joined by a roof.

    ``x_mm`` (n,), page mm, is evenly spaced by one column of ``FlatPage.ink``; ``roof_px``: rows the roof may be off.
    """
    n, steps = len(x_mm), [round(width * X_PX_PER_MM) for width in widths_mm]
    along = x_mm[0] + np.arange(n + max(steps)) / X_PX_PER_MM
    stroke = _score_stroke(page, along, foot - height + 0.4, foot - 0.6)
    # strokes that run on above the roof belong to a taller pulse
    beyond = np.maximum(
        _score_stroke(page, along, foot - height - 2.2, foot - height - 0.8),
        _score_stroke(page, along, foot + 1.0, foot + 2.4),
    )
    found = []
    for width, step in zip(widths_mm, steps, strict=True):
        roof = _score_roof(page, x_mm, foot - height, width, roof_px)
        score = np.minimum(np.minimum(stroke[:n], stroke[step : step + n]), roof)
        score -= np.maximum(beyond[:n], beyond[step : step + n])
        peak = int(score.argmax())
        found.append(Pulse(float(x_mm[peak]), foot, height, float(score[peak]), width))
    return found


def _score_stroke(page: FlatPage, x_mm: Array, top_mm: float, bottom_mm: float) -> Array:
    """Lower quartile of the ink, 0 to 1, along vertical lines at ``x_mm``, best within +-0.1 mm."""
    rows = np.clip(
        np.rint(page.row(np.linspace(top_mm, bottom_mm, 16))).astype(int), 0, page.ink.shape[0] - 1
    )
    columns = np.rint(page.column(x_mm)).astype(int)
    values = [page.ink[rows[:, None], np.clip(columns + d, 0, page.ink.shape[1] - 1)] for d in (-1, 0, 1)]
    return _lower_quartile(np.clip(np.max(values, axis=0), 0, 1), 0)


def _score_roof(page: FlatPage, x_mm: Array, y_mm: float, width_mm: float, reach_px: int) -> Array:
    """Lower quartile of the ink, 0 to 1, along level lines of ``width_mm`` from ``x_mm``, best within +-``reach_px`` rows."""
    at = x_mm[:, None] + np.linspace(0.4, width_mm - 0.4, 12)
    columns = np.clip(np.rint(page.column(at)).astype(int), 0, page.ink.shape[1] - 1)
    row = int(np.clip(round(page.row(y_mm)), reach_px, page.ink.shape[0] - 1 - reach_px))
    near = page.ink[row - reach_px : row + reach_px + 1][:, columns].max(axis=0)
    return _lower_quartile(np.clip(near, 0, 1), 1)


def _lower_quartile(values: Grey, axis: int) -> Array:
    """Lower quartile as ``np.quantile`` interpolates it, several times faster for the few values of a line."""
    ordered = np.sort(values, axis=axis).astype(np.float64)
    place = 0.25 * (values.shape[axis] - 1)
    below = int(place)
    low, high = (np.take(ordered, k, axis=axis) for k in (below, below + 1))
    return np.asarray(low + (place - below) * (high - low), np.float64)


def measure_pulses(
    page: FlatPage, rows: list[Row], boxes: Array, options: LayoutOptions = LayoutOptions()
) -> list[tuple[int, Pulse]]:
    """Calibration pulses, each with the number of its row, measured in the ink; where the ink is unclear, the box with
    score 0.
    """
    found: list[tuple[int, Pulse]] = []
    levels = np.array([row.level_mm for row in rows])
    for x0, y0, x1, y1 in boxes:
        heights = [h for h in PULSE_HEIGHTS_MM if 0.6 < (y1 - y0) / h < 1.6]
        row = int(np.abs(levels - y1).argmin())
        if not heights or abs(levels[row] - y1) > options.max_zero_mm:
            continue
        x_mm = np.arange(x0 - 1.5, max(x0 + 1.5, x1 - 2.0), 1 / X_PX_PER_MM)
        feet = y1 + np.arange(-2.0, 2.1, 0.5)
        pulse = find_pulse(page, x_mm, feet, heights, PULSE_WIDTHS_MM, options.min_boxed_pulse)
        likely = min(heights, key=lambda h: abs(float(np.log((y1 - y0) / h))))
        found.append((row, pulse or Pulse(float(x0), float(y1), likely, 0.0, float(x1 - x0))))
    return found


def seek_pulses(
    page: FlatPage, rows: list[Row], span_mm: tuple[float, float], options: LayoutOptions = LayoutOptions()
) -> list[tuple[int, Pulse]]:
    """Calibration pulses of any size beside the columns ``span_mm`` (page x of their ends), each with the number of its row.

    A pulse is two upright strokes between the same heights, joined by a roof and not by a floor: frames have both, heart
    beats neither. Where pulses of several sizes are found, the size that most rows show counts.
    """
    found: list[tuple[int, Pulse]] = []
    first, last = span_mm
    beside = (first - options.pulse_reach_mm, first + 1.0), (last - 1.0, last + options.pulse_reach_mm)
    levels = np.array([row.level_mm for row in rows])
    if not len(rows):
        return found
    top = float(levels.min()) - HIGHEST_MM - options.max_zero_mm
    bottom = float(levels.max()) + options.max_zero_mm
    for x0, x1 in beside:
        strokes = _find_strokes(page, (x0, x1), (top, bottom))
        for pulse in _join_strokes(page, strokes):
            found.append((int(np.abs(levels - pulse.foot_mm).argmin()), pulse))
    if not found:
        return found
    widths, heights = np.log([(pulse.width_mm, pulse.height_mm) for _, pulse in found]).T
    away = np.abs(heights[:, None] - heights)
    # limb and chest leads may have different gains, one twice the other
    alike = (np.abs(widths[:, None] - widths) < SAME_SIZE) & (
        np.minimum(away, np.abs(away - np.log(2))) < SAME_SIZE
    )
    weight = (alike & (away < SAME_SIZE)) @ np.array([pulse.score for _, pulse in found])
    best = int(weight.argmax())
    chosen = [found[k] for k in np.flatnonzero(alike[best])]
    is_letter = found[best][1].height_mm < LETTER_MM and len({row for row, _ in chosen}) < 2
    return [] if is_letter else chosen


def _find_strokes(page: FlatPage, x_mm: tuple[float, float], y_mm: tuple[float, float]) -> Array:
    """(n, 3) page x, top and bottom, mm, of upright strokes in a part of the page; none closer together than a stroke."""
    columns = np.clip(np.rint([page.column(x) for x in x_mm]).astype(int), 0, page.ink.shape[1])
    lines = np.clip(np.rint([page.row(y) for y in y_mm]).astype(int), 0, page.ink.shape[0])
    part = page.ink[lines[0] : lines[1], columns[0] : columns[1]]
    if min(part.shape) < 3:
        return np.zeros((0, 3))
    dark = (cv2.dilate(part, np.ones((1, 3), np.uint8)) > STROKE_INK).astype(np.uint8)
    closed = cv2.morphologyEx(
        dark, cv2.MORPH_CLOSE, np.ones((2 * round(BROKEN_MM * Y_PX_PER_MM / 2) + 1, 1), np.uint8)
    )
    edges = np.diff(np.pad(closed.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    x, start = np.nonzero(edges.T > 0)
    _, end = np.nonzero(edges.T < 0)
    long = end - start >= SHORTEST_MM * Y_PX_PER_MM
    x, start, end = x[long], start[long], end[long]
    strokes: list[tuple[float, float, float]] = []
    taken = np.zeros(len(x), np.bool_)
    for k in np.argsort(start - end, kind="stable"):
        if taken[k]:
            continue
        same = (np.abs(x - x[k]) <= STROKE_PX) & (start < end[k]) & (end > start[k])
        taken |= same
        alike = same & (end - start > 0.9 * (end[k] - start[k]))
        middle = float(np.mean(x[alike]))
        strokes.append(
            (
                float(page.x_mm(columns[0] + middle)),
                float(page.y_mm(lines[0] + start[k])),
                float(page.y_mm(lines[0] + end[k] - 1.0)),
            )
        )
    return np.array(strokes).reshape(-1, 3)


def _join_strokes(page: FlatPage, strokes: Array) -> list[Pulse]:
    """Pulses whose sides are two of the strokes (n, 3)."""
    found = []
    for x0, top0, bottom0 in strokes:
        for x1, top1, bottom1 in strokes:
            width = x1 - x0
            if (
                not WIDTHS_MM[0] < width < WIDTHS_MM[1]
                or abs(top0 - top1) > LEVEL_MM
                or abs(bottom0 - bottom1) > LEVEL_MM
            ):
                continue
            top, foot = (top0 + top1) / 2, (bottom0 + bottom1) / 2
            if not SHORTEST_MM <= foot - top <= HIGHEST_MM:
                continue
            roof = _ink_along(page, x0, x1, top)
            floor = _ink_along(page, x0, x1, foot)
            if roof > MIN_ROOF and floor < MAX_FLOOR:
                found.append(
                    Pulse(
                        float(x0), float(foot), float(foot - top - LINE_MM), float(roof - floor), float(width)
                    )
                )
    return found


def _ink_along(page: FlatPage, x0: float, x1: float, y: float) -> float:
    """Share of a level line between two strokes that is inked, within half a millimetre of its height."""
    inner = np.arange(x0 + 0.4, x1 - 0.39, 0.1)
    columns = np.clip(np.rint(page.column(inner)).astype(int), 0, page.ink.shape[1] - 1)
    lines = np.clip(np.rint(page.row(y + np.arange(-0.5, 0.51, 0.125))).astype(int), 0, page.ink.shape[0] - 1)
    return float((page.ink[lines[:, None], columns].max(axis=0) > STROKE_INK).mean()) if len(inner) else 0.0
