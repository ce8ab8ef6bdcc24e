"""Marks that an overlay draws onto the view of a page: grid, traces, names, and hatching over what was not read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.export.canvas import (
    WHITE,
    Colour,
    Mask,
    draw_lines,
    fill,
    hatch,
    measure_text,
    paint,
    wrap,
    write,
)
from ecgpage.export.page_view import PageView
from ecgpage.export.samples import find_runs
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.layout.types import Segment

TRACE_COLOUR: Final[Colour] = (214, 24, 32)
"""Colour of traces, RGB: red."""
MARK_COLOUR: Final[Colour] = (18, 72, 190)
"""Colour of starts and names, RGB: blue."""
GRID_COLOUR: Final[Colour] = (0, 140, 150)
"""Colour of the map's 5-mm lines, RGB: teal."""
UNREAD_COLOUR: Final[Colour] = (190, 100, 0)
"""Colour of what could not be read, RGB: amber."""
TRACE_SIZE, MARK_SIZE, LINE_SIZE = 0.36, 0.32, 0.16
"""Width of traces, of marks and of the grid's lines, sheet units."""
NAME_SIZE, SMALL_SIZE = 4.6, 3.2
"""Size of the font of names, and of reasons, sheet units."""
UNITS_ACROSS: Final = 320.0
"""Most sheet units that a view is wide, so that text stays legible where the millimetres of a page are small."""
UNREAD_MM: Final = 6.0
"""Reach, mm, of hatching above and below a lead's level."""
START_MM: Final = 5.0
"""Reach, mm, above and below its level of the stroke where a lead starts."""
MIN_GAP_MM: Final = 0.5
"""Gaps in a trace below this length, mm, are hardly more than its thickness and not marked."""
NAME_PLACES_MM: Final = (-5.5, -7.5, -9.5, -11.5, 8.5, 10.5, 12.5, -3.5, 6.5)
"""Places, mm below a lead's level, where the baseline of its name may stand, the best first."""
NAME_PENALTY: Final = 5.0
"""Grey levels that the next place must be paler to be taken."""


@dataclass(frozen=True)
class DrawnLead:
    """One lead as it is drawn: its trace, or why it has none."""

    segment: Segment
    level_mm: float
    """Page y, mm, around which it is drawn."""
    x_mm: Array
    """(n,) page x of its trace, mm."""
    y_mm: Array
    """(n,) page y, mm, NaN where nothing was found; all NaN where the lead was not read."""
    reason: str = ""
    """Why the lead was not read; empty when it was."""


@dataclass(frozen=True)
class Sheet:
    """A picture of a page that is drawn onto, and where its millimetres are."""

    canvas: Image = field(repr=False)
    view: PageView
    grid: GridMap
    inside: Mask = field(repr=False)
    """(h, w) part of the canvas that is not blanked."""

    @property
    def mm_px(self) -> float:
        """Pixels of the canvas to a millimetre of the page."""
        return self.grid.px_per_mm * self.view.scale

    @property
    def unit_px(self) -> float:
        """Pixels to a unit in which text and lines are measured: a millimetre, or more where that is small."""
        return max(self.mm_px, self.canvas.shape[1] / UNITS_ACROSS)

    def place(self, x_mm: Array, y_mm: Array) -> Array:
        """(n, 2) positions on the canvas of places (n,) of the page."""
        return self.view.place_mm(self.grid, x_mm, y_mm)

    def draw_grid(self) -> None:
        """Draw the 5-mm lines of a map that rests on printed lines, as far as they were followed."""
        if not self.grid.is_printed:
            return
        known = self.grid.quality > 0
        ny, nx = known.shape
        x_mm = self.grid.origin_mm[0] + SQUARE_MM * np.arange(nx, dtype=np.float64)
        y_mm = self.grid.origin_mm[1] + SQUARE_MM * np.arange(ny, dtype=np.float64)
        lines = [
            self.place(x_mm[a:b], np.full(b - a, y_mm[j])) for j in range(ny) for a, b in find_runs(known[j])
        ] + [
            self.place(np.full(b - a, x_mm[i]), y_mm[a:b])
            for i in range(nx)
            for a, b in find_runs(known[:, i])
        ]
        width = max(0.8, LINE_SIZE * self.unit_px)
        draw_lines(self.canvas, lines, GRID_COLOUR, width, 0.4, within=self.inside)

    def draw_trace(self, lead: DrawnLead) -> None:
        """Draw the trace of a lead where it was found."""
        points = self.place(lead.x_mm, np.nan_to_num(lead.y_mm))
        lines = [points[a:b] for a, b in find_runs(np.isfinite(lead.y_mm))]
        draw_lines(self.canvas, lines, TRACE_COLOUR, max(1.2, TRACE_SIZE * self.unit_px), 0.85)

    def draw_unread(self, lead: DrawnLead) -> None:
        """Hatch each gap of a lead, and write its reason where there is room."""
        for a, b in find_runs(~np.isfinite(lead.y_mm)):
            left, right = float(lead.x_mm[a]), float(lead.x_mm[b - 1])
            if right - left < MIN_GAP_MM:
                continue
            along = np.linspace(left, right, 2 + int(right - left))
            above, below = (np.full_like(along, lead.level_mm + s * UNREAD_MM) for s in (-1, 1))
            outline = np.concatenate([self.place(along, above), self.place(along, below)[::-1]])
            mask = fill(self.canvas.shape[:2], outline)
            paint(self.canvas, mask, WHITE, 0.4)
            paint(self.canvas, hatch(mask, 1.6 * self.unit_px, 0.2 * self.unit_px), UNREAD_COLOUR, 0.7)
            self._write_reason(lead, left, right)

    def _write_reason(self, lead: DrawnLead, left_mm: float, right_mm: float) -> None:
        """Write why a part of a lead was not read into its middle."""
        size, room = SMALL_SIZE * self.unit_px, (right_mm - left_mm) * self.mm_px
        lines = wrap(lead.reason or "not read", size, 0.92 * room)
        if max(measure_text(line, size) for line in lines) > room:
            return
        x, y = self.place(np.array([(left_mm + right_mm) / 2]), np.array([lead.level_mm]))[0]
        for k, line in enumerate(lines):
            down = (k - (len(lines) - 1) / 2) * 1.2 * size
            write(self.canvas, line, (x, y + down), size, UNREAD_COLOUR, anchor="mm", halo=WHITE)

    def draw_names(self, leads: Sequence[DrawnLead]) -> None:
        """Mark where each lead starts, and write its name there, above or below, where it hides the least."""
        ink = 255 - self.canvas.min(axis=2)
        spread = cv2.blur(ink, (2 * round(0.3 * self.unit_px) + 1,) * 2)
        taken = np.asarray(cv2.integral(np.maximum(ink, spread)), np.float64)
        size = NAME_SIZE * self.unit_px
        places = np.array(NAME_PLACES_MM) * self.unit_px / self.mm_px
        for lead in leads:
            x, level, name = lead.segment.x0_mm, lead.level_mm, lead.segment.lead
            stroke = self.place(np.full(9, x), np.linspace(level - START_MM, level + START_MM, 9))
            draw_lines(self.canvas, [stroke], MARK_COLOUR, max(1.0, MARK_SIZE * self.unit_px), 0.9)
            wide, high = measure_text(name, size), 0.72 * size
            spots = self.place(np.full(len(places), x + 0.6), level + places)
            costs = np.array([_mean_inside(taken, x, y - high, wide, high) for x, y in spots])
            best = spots[int(np.argmin(costs + NAME_PENALTY * np.arange(len(costs))))]
            write(self.canvas, name, (best[0], best[1]), size, MARK_COLOUR, halo=WHITE)


def _mean_inside(sums: Array, left: float, top: float, wide: float, high: float) -> float:
    """Mean of a box of a picture, by its integral; 255 where the box reaches beyond it."""
    x0, y0, x1, y1 = round(left), round(top), round(left + wide), round(top + high)
    if x0 < 0 or y0 < 0 or x1 >= sums.shape[1] or y1 >= sums.shape[0]:
        return 255.0
    return float(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]) / max(1, (x1 - x0) * (y1 - y0))
