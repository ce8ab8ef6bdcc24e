"""Calibration pulses in the ink of a flat page."""

from collections.abc import Sequence
from typing import Final

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
