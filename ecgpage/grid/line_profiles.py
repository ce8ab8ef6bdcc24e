"""Profiles of the picture across grid lines, and where the dark line stands in each."""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.median import median_of
from ecgpage.core.types import Array, Grey, Light
from ecgpage.grid.grid_map import SQUARE_MM, GridMap, flatten
from ecgpage.grid.spectrum import normalise_contrast

CELL_PX: Final = 40
"""Flat pixels from one 5-mm line to the next."""
QUICK_CELL_PX: Final = 24
"""Flat pixels from line to line for maps that are not the last, where no other lines are near."""
BLUR_MM: Final = 0.1875
"""Standard deviation, mm, by which profiles are smoothed before a line is looked for."""
CROSSING_MM: Final = 0.9
"""Half width, mm, of the crossing line, which is left out of a profile."""
PEAK_MM: Final = 0.4
"""Half width, mm, around the peak of a profile over which the line's centre of mass is taken."""


def profile_lines(
    dark: Light, grid: GridMap, cell_px: int | None = None, *, quick: bool = False
) -> tuple[Grey, Grey]:
    """(ny, nx, cell_px) contrast across the near-vertical and across the near-horizontal line of each node of a map.

    The line lies in the middle of its cell. A profile is the median along one line distance without the crossing line, so
    that traces and text do not count. ``dark``: uint8 (H, W); ``quick``: fewer pixels, linear resampling.
    """
    if cell_px is None:
        cell_px = QUICK_CELL_PX if quick and grid.source != "1 mm lines" else CELL_PX
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    px_per_mm = cell_px / SQUARE_MM
    x_mm = x0 - SQUARE_MM / 2 + (np.arange(nx * cell_px) + 0.5) / px_per_mm
    y_mm = y0 - SQUARE_MM / 2 + (np.arange(ny * cell_px) + 0.5) / px_per_mm
    flat = flatten(dark, grid, x_mm, y_mm, quick=quick).astype(np.float32)
    contrast = normalise_contrast(flat, 2.0 * px_per_mm, limit=3.0)
    cells = contrast.reshape(ny, cell_px, nx, cell_px)
    beside = np.abs(np.arange(cell_px) - (cell_px - 1) / 2) > CROSSING_MM * px_per_mm
    beside[::2] = False  # half of them tell enough
    places = np.flatnonzero(beside)
    across_x = median_of([cells[:, k] for k in places])
    across_y = median_of([cells[..., k] for k in places]).swapaxes(1, 2)
    return across_x, across_y


def find_line_offsets(profiles: Grey, half_width_mm: float) -> tuple[Array, Array]:
    """(ny, nx) offset, mm, of the dark line from the middle of its (ny, nx, cell) profile, and (ny, nx) weight, 0 to 1.

    Lines are looked for ``half_width_mm`` around the middle.
    """
    cell = profiles.shape[-1]
    px_per_mm = cell / SQUARE_MM
    at_mm = (np.arange(cell) - (cell - 1) / 2) / px_per_mm
    inside = np.abs(at_mm) <= half_width_mm
    smooth = cv2.GaussianBlur(profiles.reshape(-1, cell), (0, 0), sigmaX=BLUR_MM * px_per_mm, sigmaY=1e-3)
    smooth = smooth.reshape(profiles.shape)
    peak = np.where(inside, smooth, -np.inf).argmax(axis=-1)
    near = np.abs(np.arange(cell) - peak[..., None]) <= PEAK_MM * px_per_mm
    floor = np.median(smooth, axis=-1, keepdims=True)
    mass = np.clip(np.where(near, smooth - floor, 0), 0, None)
    total = mass.sum(axis=-1)
    offset = (mass * at_mm).sum(axis=-1) / (total + 1e-6)
    spread = np.median(np.abs(smooth - floor), axis=-1)
    height = np.take_along_axis(smooth, peak[..., None], -1)[..., 0] - floor[..., 0]
    weight = np.clip((height / (spread + 0.05) - 1.5) / 3.0, 0, 1)
    return offset, weight
