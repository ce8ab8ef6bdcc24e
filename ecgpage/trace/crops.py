"""Cut crops of leads from the picture, split them into tiles, and join what was read of the tiles."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array, Light
from ecgpage.grid.grid_map import GridMap, flatten
from ecgpage.trace.decoding import Decoded
from ecgpage.trace.geometry import ROWS, STEP_MM, STRIDE
from ecgpage.trace.options import TraceOptions

Window = tuple[float, float, float]
"""x0_mm, x1_mm, level_mm: page x of the left and right end, and page y around which the trace runs."""
MARGIN_MM: Final = 3.0
"""Context, mm, that is cropped before and after a window, so that the network sees beyond its ends."""
TILE_PX: Final = 704
"""Longest crop, px, that is read in one piece: 2.5 s with both margins."""
TILE_MARGIN_PX: Final = 32
"""Columns at a tile's inner ends whose values the neighbouring tile gives."""


@dataclass(frozen=True)
class Reading:
    """Trace of one window; arrays have one value a step, from MARGIN_MM before the window to as far behind it."""

    x_mm: Array
    """(n,) page x, mm, ``STEP_MM`` apart; one of them is the window's x0."""
    y_mm: Array
    """(n,) page y of the trace, mm, NaN where the lead is not drawn."""
    sigma_mm: Array
    """(n,) expected error (one standard deviation) of ``y_mm``, mm."""
    visible: Array
    """(n,) probability, 0 to 1, that the lead is drawn."""

    def cut(self, x0_mm: float, x1_mm: float) -> "Reading":
        """The part from ``x0_mm`` to ``x1_mm``, page x; the steps stay, so the first one lies up to a step behind x0."""
        inside = (self.x_mm >= x0_mm - 1e-6) & (self.x_mm <= x1_mm + 1e-6)
        return Reading(*(v[inside] for v in (self.x_mm, self.y_mm, self.sigma_mm, self.visible)))


# --- windows, crops, tiles ----------------------------------------------------------------------------------


def cut_crop(
    grey: Light, grid: GridMap, x0_mm: float, x1_mm: float, level_mm: float, *, shrink: int = 1
) -> Light:
    """Crop (ROWS, W) of a window with its margins, resampled once from the grey original.

    Step j of the crop lies at page x ``x0_mm - MARGIN_MM + j * STEP_MM``, so that a step falls on x0_mm. The crop shows
    ``shrink`` times the usual height, as if the page had been printed at 1 / ``shrink`` of its gain.
    """
    columns = int(np.ceil((x1_mm - x0_mm + 2 * MARGIN_MM) * X_PX_PER_MM))
    columns = -(-columns // STRIDE) * STRIDE
    left = x0_mm - MARGIN_MM - STEP_MM / 2
    x_mm = left + (np.arange(columns) + 0.5) / X_PX_PER_MM
    rows = ROWS * shrink
    y_mm = level_mm + (np.arange(rows) + 0.5 - rows / 2) / Y_PX_PER_MM
    crop = np.asarray(flatten(grey, grid, x_mm, y_mm), np.uint8)
    if shrink == 1:
        return crop
    return np.asarray(cv2.resize(crop, (columns, ROWS), interpolation=cv2.INTER_AREA), np.uint8)


def leaves_crop(decoded: Decoded, options: TraceOptions) -> bool:
    """Whether the trace comes close to the crop's upper or lower edge."""
    return bool(
        (
            (np.abs(decoded.height_mm) > ROWS / 2 / Y_PX_PER_MM - options.edge_mm)
            & (decoded.visible >= options.min_visible)
        ).any()
    )


def complete_crop(decoded: Decoded, tall: Decoded, options: TraceOptions) -> Decoded:
    """Decoded crop, replaced by the taller crop's ``tall`` where the trace runs near the crop's edges or beyond."""
    height, sigma = tall.height_mm * options.tall, tall.sigma_mm * options.tall
    beyond = (np.abs(height) > ROWS / 2 / Y_PX_PER_MM - options.edge_mm) & (
        tall.visible >= options.min_visible
    )
    return Decoded(
        np.where(beyond, height, decoded.height_mm),
        np.where(beyond, sigma, decoded.sigma_mm),
        np.where(beyond, tall.visible, decoded.visible),
    )


def tile_edges(width: int) -> list[tuple[int, int]]:
    """Ranges of at most TILE_PX that cover ``width`` columns, neighbours overlapping by two margins."""
    if width <= TILE_PX:
        return [(0, width)]
    most = TILE_PX - 2 * TILE_MARGIN_PX
    count = -(-(width - 2 * TILE_MARGIN_PX) // most)
    starts = np.linspace(0, (width - TILE_PX) // STRIDE, count).round().astype(int) * STRIDE
    return [(int(start), int(start) + TILE_PX) for start in starts[:-1]] + [(width - TILE_PX, width)]


@dataclass
class Tile:
    """Columns ``start`` to ``stop`` of one crop, and what was read there."""

    crop: int
    """Index of the crop."""
    start: int
    """First column."""
    stop: int
    """One past the last column."""
    found: Decoded | None = None
    """Outputs of its steps, two a column; None before it was read."""


def batches_of_one_width(tiles: list[Tile]) -> list[list[Tile]]:
    """Tiles grouped by width, in columns."""
    widths: dict[int, list[Tile]] = {}
    for tile in tiles:
        widths.setdefault(tile.stop - tile.start, []).append(tile)
    return list(widths.values())


def join_tiles(tiles: list[Tile]) -> Decoded:
    """Outputs of one crop: its tiles, from left to right, joined in the middle of their overlaps."""
    cuts = [0, *(a.stop + b.start for a, b in pairwise(tiles)), 2 * tiles[-1].stop]  # in steps, two a column
    pieces = [
        tile.found.steps(low - 2 * tile.start, high - 2 * tile.start)
        for tile, (low, high) in zip(tiles, pairwise(cuts), strict=True)
        if tile.found is not None
    ]
    return Decoded(
        np.concatenate([p.height_mm for p in pieces], 1),
        np.concatenate([p.sigma_mm for p in pieces], 1),
        np.concatenate([p.visible for p in pieces], 1),
    )


def reading_of_tiles(decoded: Decoded, window: Window, options: TraceOptions) -> Reading:
    """Reading of a window with its margins, in page mm."""
    x0_mm, x1_mm, level_mm = window
    count = int(np.floor((x1_mm - x0_mm + 2 * MARGIN_MM) / STEP_MM + 1e-6)) + 1
    height, sigma, visible = (
        np.asarray(v[0, :count], np.float64) for v in (decoded.height_mm, decoded.sigma_mm, decoded.visible)
    )
    x_mm = x0_mm - MARGIN_MM + STEP_MM * np.arange(len(height), dtype=np.float64)
    return Reading(x_mm, np.where(visible >= options.min_visible, level_mm - height, np.nan), sigma, visible)
