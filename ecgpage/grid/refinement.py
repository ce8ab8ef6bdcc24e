"""Refine a map of the grid: its lines are centred between the nodes and the offsets smoothed by a penalised fit, whose
stiffness is chosen on held-out lines.
"""

import logging
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import find_line_offsets, profile_lines
from ecgpage.grid.plot_quantisation import (
    MAX_SNAP_MM,
    LineShifts,
    build_detrending,
    find_line_shifts,
    find_plot_pixels,
)
from ecgpage.grid.smoothing import SurfaceFit, choose_stiffness, estimate_surface_error, smooth_lines

log = logging.getLogger(__name__)

STIFFNESS: Final = (0.03, 0.3, 3.0, 30.0, 300.0, 3e3, 3e4, 3e5)
LINE_BIAS_PX: Final = 0.1
"""Pixels by which a whole line may be misplaced where it runs along the picture's pixels."""
MIN_ON_LINE: Final = 4
"""Places on a line that tell where it stands."""


@dataclass(frozen=True)
class LineOffsets:
    """Where lines are seen around the nodes of a lattice: their displacement from a plane, so that a flat page stays flat."""

    plane: Array
    """(3, 3) homography from page mm to image px."""
    page: Array
    """(ny, nx, 2) page mm of the nodes."""
    away: list[Array]
    """mm, of the near-vertical and of the other lines: one row a place along the lines, one column a line, both times."""
    weights: list[Array]
    """0 to 1."""

    def follow(self, grid: GridMap, stiffness: float) -> GridMap:
        """The map with its nodes on smooth surfaces through the lines; each line may stand off by its own constant, because
        printers and plotting programs snap lines to pixels.
        """
        fits = [
            smooth_lines(a, w, stiffness, MAX_SNAP_MM) for a, w in zip(self.away, self.weights, strict=True)
        ]
        return replace(grid, nodes=self.place_nodes(fits))

    def place_nodes(self, fits: "list[SurfaceFit]") -> Array:
        """(ny, nx, 2) nodes in the image on fitted surfaces."""
        return project(self.plane, self.page + np.stack([fits[0].surface, fits[1].surface.T], axis=-1))


def measure_lines(dark: Image, grid: GridMap, half_width_mm: float, *, quick: bool = False) -> LineOffsets:
    """The lines on the page that the present map flattens, looked for ``half_width_mm`` around their nodes."""
    offsets = [find_line_offsets(p, half_width_mm) for p in profile_lines(dark, grid, quick=quick)]
    return measure_displacements(grid, offsets)


def measure_displacements(grid: GridMap, offsets: list[tuple[Array, Array]]) -> LineOffsets:
    """Offsets of the lines from the nodes of a map, in mm, and weights, as displacements from one plane."""
    x0, y0, _, _ = grid.extent_mm
    ny, nx = grid.quality.shape
    page = np.stack(np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny)), axis=-1)
    plane = fit_plane(page, grid)
    image_to_page = np.asarray(np.linalg.inv(plane), np.float64)
    (offset_x, weight_x), (offset_y, weight_y) = offsets
    seen = grid.quality > 0
    seen_x = np.stack(grid.to_image(page[..., 0] + offset_x, page[..., 1]), axis=-1)
    seen_y = np.stack(grid.to_image(page[..., 0], page[..., 1] + offset_y), axis=-1)
    away = [
        (project(image_to_page, seen_x) - page)[..., 0],
        (project(image_to_page, seen_y) - page)[..., 1].T,
    ]
    return LineOffsets(plane, page, away, [weight_x * seen, (weight_y * seen).T])


def refine_map(grid: GridMap, seen: LineOffsets) -> GridMap:
    """Fit the nodes to the lines for the last time, and tell the error to be expected.

    A plotting program's pixels are looked for in the constants by which whole lines stand off; where they show, the lines are
    followed as they were before they were moved onto them.
    """
    away, weights = seen.away, seen.weights
    stiffness = choose_stiffness(away, weights, STIFFNESS[1:])
    fits = [smooth_lines(a, w, stiffness, MAX_SNAP_MM) for a, w in zip(away, weights, strict=True)]
    places = [_measure_line_shifts(a, w, fit.surface) for a, w, fit in zip(away, weights, fits, strict=True)]
    found = find_plot_pixels(places)
    if any(pixels is not None for pixels in found):
        away = [
            a if pixels is None else a - find_line_shifts(pixels, lines)
            for a, pixels, lines in zip(away, found, places, strict=True)
        ]
        stiffness = choose_stiffness(away, weights, [s for s in STIFFNESS if s <= stiffness])
        fits = [
            smooth_lines(a, w, stiffness, MAX_SNAP_MM if pixels is None else LINE_BIAS_PX / grid.px_per_mm)
            for a, w, pixels in zip(away, weights, found, strict=True)
        ]
    errors = [estimate_surface_error(a, w, stiffness) for a, w in zip(away, weights, strict=True)]
    residual = float(np.hypot(errors[0], errors[1]) / np.sqrt(2) * grid.px_per_mm)
    log.debug("stiffness %g, lines off by %.3f and %.3f mm", stiffness, fits[0].rms, fits[1].rms)
    return replace(grid, nodes=seen.place_nodes(fits), residual_px=residual)


def _measure_line_shifts(away: Array, weights: Array, surface: Array) -> LineShifts:
    """Mean distances of the lines from the surface, in which a plot's pixels are looked for."""
    clear = weights > 0.2
    enough = clear.sum(axis=0) > MIN_ON_LINE
    detail = build_detrending(enough)
    rows = np.where(clear, away - surface, 0.0) @ detail.T
    seen = np.zeros(away.shape[1])
    if enough.any():
        seen[enough] = np.nanmedian(np.where(clear, rows, np.nan)[:, enough], axis=0)
    return LineShifts(seen, enough, detail, SQUARE_MM)


def fit_plane(page: Array, grid: GridMap) -> Array:
    """(3, 3) plane that carries page mm to image px best over the part that was seen."""
    seen = grid.quality > 0
    plane, _ = cv2.findHomography(page[seen], grid.nodes[seen], cv2.LMEDS)
    return np.asarray(plane, float)


def project(plane: Array, points: Array) -> Array:
    """(..., 2) points under a (3, 3) homography, column vectors."""
    moved = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ plane.T
    return moved[..., :2] / moved[..., 2:]
