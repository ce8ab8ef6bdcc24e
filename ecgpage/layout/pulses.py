"""Calibration pulses in the ink of a flat page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array, Grey
from ecgpage.grid.flat_page import AROUND_PX_PER_MM, STROKE_QUANTILE, FlatPage
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.text_reader import darkness
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
STROKE_MM: Final = 0.5
"""Distance, mm, within which runs of ink are one stroke."""
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


@dataclass(frozen=True)
class _Raster:
    """Ink of a part of a page."""

    ink: Grey
    """(h, w) ink, 1.0 = a typical stroke."""
    first_mm: tuple[float, float]
    """Page x, y of the middle of the first pixel."""
    px_per_mm: tuple[float, float]

    def columns(self, x_mm: Array) -> NDArray[np.intp]:
        """Columns at page x, within the raster."""
        at = np.rint((x_mm - self.first_mm[0]) * self.px_per_mm[0]).astype(int)
        return np.asarray(np.clip(at, 0, self.ink.shape[1] - 1))

    def lines(self, y_mm: Array) -> NDArray[np.intp]:
        """Rows at page y, within the raster."""
        at = np.rint((y_mm - self.first_mm[1]) * self.px_per_mm[1]).astype(int)
        return np.asarray(np.clip(at, 0, self.ink.shape[0] - 1))

    def cut(self, x_mm: tuple[float, float], y_mm: tuple[float, float]) -> "_Raster":
        """The part between two page x and two page y."""
        (left, right), (top, bottom) = self.columns(np.array(x_mm)), self.lines(np.array(y_mm))
        first = self.first_mm[0] + left / self.px_per_mm[0], self.first_mm[1] + top / self.px_per_mm[1]
        return _Raster(self.ink[top : bottom + 1, left : right + 1], first, self.px_per_mm)


def seek_pulses(
    page: FlatPage, rows: list[Row], span_mm: tuple[float, float], options: LayoutOptions = LayoutOptions()
) -> list[tuple[int, Pulse]]:
    """Calibration pulses of any size beside the columns ``span_mm`` (page x of their ends), each with the number of its row.

    A pulse is two upright strokes between the same heights, joined by a roof and not by a floor: frames have both, heart
    beats neither. Where the ink within the mapped grid shows none, what lies around it is searched, grid and all. Of pulses
    of several sizes those count that most rows show.
    """
    if not rows:
        return []
    first, last = span_mm
    beside = (first - options.pulse_reach_mm, first + 1.0), (last - 1.0, last + options.pulse_reach_mm)
    levels = np.array([row.level_mm for row in rows])
    tall = float(levels.min()) - HIGHEST_MM - options.max_zero_mm, float(levels.max()) + options.max_zero_mm
    inside = _Raster(page.ink, (page.x0_mm, page.y0_mm), (X_PX_PER_MM, Y_PX_PER_MM))
    for whole in (inside, _around(page)):
        found = [
            (int(np.abs(levels - pulse.foot_mm).argmin()), pulse)
            for x_mm in beside
            for pulse in _join_strokes(whole.cut(x_mm, tall))
        ]
        chosen = _choose_size(found)
        if chosen:
            return chosen
    return []


def _around(page: FlatPage) -> _Raster:
    """Ink of the page and its surroundings, grid included."""
    dark = np.clip(darkness(page.around.light), 0, None)
    level = max(float(np.quantile(dark[::3, ::3], STROKE_QUANTILE)), 0.1)
    first = page.around.edge_mm + 0.5 / AROUND_PX_PER_MM
    return _Raster(dark / level, (float(first[0]), float(first[1])), (AROUND_PX_PER_MM, AROUND_PX_PER_MM))


def _choose_size(found: list[tuple[int, Pulse]]) -> list[tuple[int, Pulse]]:
    """The pulses of the size that most rows show; those of twice or half the height are the other leads'."""
    if not found:
        return []
    widths, heights = np.log([(pulse.width_mm, pulse.height_mm) for _, pulse in found]).T
    away = np.abs(heights[:, None] - heights)
    alike = (np.abs(widths[:, None] - widths) < SAME_SIZE) & (
        np.minimum(away, np.abs(away - np.log(2))) < SAME_SIZE
    )
    weight = (alike & (away < SAME_SIZE)) @ np.array([pulse.score for _, pulse in found])
    best = int(weight.argmax())
    chosen = [found[k] for k in np.flatnonzero(alike[best])]
    is_letter = found[best][1].height_mm < LETTER_MM and len({row for row, _ in chosen}) < 2
    return [] if is_letter else chosen


def _find_strokes(part: _Raster) -> Array:
    """(n, 3) page x, top and bottom, mm, of upright strokes; none closer together than a stroke."""
    if min(part.ink.shape) < 3:
        return np.zeros((0, 3))
    (left, top), (per_x, per_y) = part.first_mm, part.px_per_mm
    dark = (cv2.dilate(part.ink, np.ones((1, 3), np.uint8)) > STROKE_INK).astype(np.uint8)
    closed = cv2.morphologyEx(
        dark, cv2.MORPH_CLOSE, np.ones((2 * round(BROKEN_MM * per_y / 2) + 1, 1), np.uint8)
    )
    edges = np.diff(np.pad(closed.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    x, start = np.nonzero(edges.T > 0)
    _, end = np.nonzero(edges.T < 0)
    long = end - start >= SHORTEST_MM * per_y
    x, start, end = x[long], start[long], end[long]
    strokes: list[tuple[float, float, float]] = []
    taken = np.zeros(len(x), np.bool_)
    for k in np.argsort(start - end, kind="stable"):
        if taken[k]:
            continue
        same = (np.abs(x - x[k]) <= STROKE_MM * per_x) & (start < end[k]) & (end > start[k])
        taken |= same
        alike = same & (end - start > 0.9 * (end[k] - start[k]))
        strokes.append(
            (left + float(np.mean(x[alike])) / per_x, top + start[k] / per_y, top + (end[k] - 1) / per_y)
        )
    return np.array(strokes).reshape(-1, 3)


def _join_strokes(part: _Raster) -> list[Pulse]:
    """Pulses whose sides are two strokes of a part of the page."""
    strokes = _find_strokes(part)
    found = []
    for x0, top0, bottom0 in strokes:
        for x1, top1, bottom1 in strokes:
            width = x1 - x0
            if (
                not WIDTHS_MM[0] < width < WIDTHS_MM[1]
                or max(abs(top0 - top1), abs(bottom0 - bottom1)) > LEVEL_MM
            ):
                continue
            top, foot = (top0 + top1) / 2, (bottom0 + bottom1) / 2
            if not SHORTEST_MM <= foot - top <= HIGHEST_MM:
                continue
            roof, floor = (_inked_along(part, x0, x1, y) for y in (top, foot))
            if roof > MIN_ROOF and floor < MAX_FLOOR:
                height = float(foot - top - LINE_MM)
                found.append(Pulse(float(x0), float(foot), height, roof - floor, float(width)))
    return found


def _inked_along(part: _Raster, x0: float, x1: float, y: float) -> float:
    """Share of a level line between two strokes that is inked, within half a millimetre of its height."""
    columns = part.columns(np.arange(x0 + 0.4, x1 - 0.39, 0.1))
    lines = part.lines(y + np.arange(-0.5, 0.51, 0.125))
    return float((part.ink[lines[:, None], columns].max(axis=0) > STROKE_INK).mean()) if len(columns) else 0.0
