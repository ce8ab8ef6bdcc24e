"""Refine a map of the grid: its lines are centred between the nodes, and their offsets smoothed by a penalised fit.

The stiffness of the fit is chosen on held-out lines.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Light
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import find_line_offsets, profile_lines
from ecgpage.grid.options import GridOptions
from ecgpage.grid.plot_quantisation import (
    LineShifts,
    PlotPixels,
    build_detrending,
    find_line_shifts,
    find_plot_pixels,
)
from ecgpage.grid.smoothing import SurfaceFit, choose_stiffness, estimate_surface_error, smooth_lines

log = logging.getLogger(__name__)

STIFFNESS: Final = (0.03, 0.3, 3.0, 30.0, 300.0, 3e3, 3e4, 3e5)
"""Weights of the bending energy, in weights of a clear place on a line, that are tried; the first only where a plot's pixels
are known, which are no bending."""


@dataclass(frozen=True)
class LineDisplacements:
    """Displacements of lines from a plane, measured around the nodes of a lattice; a flat page has none."""

    plane: Array
    """(3, 3) homography from page mm to image px."""
    page: Array
    """(ny, nx, 2) page mm of the nodes."""
    displacement_mm: list[Array]
    """(ny, nx) of the near-vertical and (nx, ny) of the other lines, mm: a column a line, a row a place along the lines."""
    weights: list[Array]
    """Weights of the displacements, 0 to 1."""

    def follow(self, grid: GridMap, stiffness: float, options: GridOptions) -> GridMap:
        """The map with its nodes on smooth surfaces through the lines.

        Each line may stand off by a constant of its own: printers and plotting programs snap lines to pixels.
        """
        measured = zip(self.displacement_mm, self.weights, strict=True)
        fits = [smooth_lines(d, w, stiffness, options.max_snap_mm) for d, w in measured]
        return replace(grid, nodes=self.place_nodes(fits))

    def place_nodes(self, fits: Sequence[SurfaceFit]) -> Array:
        """(ny, nx, 2) image px of the nodes on surfaces fitted to the two directions."""
        return project(self.plane, self.page + np.stack([fits[0].surface, fits[1].surface.T], axis=-1))


def measure_lines(
    dark: Light, grid: GridMap, half_width_mm: float, *, quick: bool = False
) -> LineDisplacements:
    """Lines of a uint8 (H, W) picture, looked for ``half_width_mm`` around the nodes of a map."""
    offsets = [find_line_offsets(p, half_width_mm) for p in profile_lines(dark, grid, quick=quick)]
    return measure_displacements(grid, offsets)


def measure_displacements(grid: GridMap, offsets: list[tuple[Array, Array]]) -> LineDisplacements:
    """Displacements from one plane of lines with (ny, nx) offsets, mm, from the nodes of a map, and weights, by direction."""
    x0, y0, _, _ = grid.extent_mm
    ny, nx = grid.quality.shape
    page = np.stack(np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny)), axis=-1)
    plane = fit_plane(page, grid)
    image_to_page = np.asarray(np.linalg.inv(plane), np.float64)
    (offset_x, weight_x), (offset_y, weight_y) = offsets
    seen = grid.quality > 0
    seen_x = np.stack(grid.to_image(page[..., 0] + offset_x, page[..., 1]), axis=-1)
    seen_y = np.stack(grid.to_image(page[..., 0], page[..., 1] + offset_y), axis=-1)
    displacement_mm = [
        (project(image_to_page, seen_x) - page)[..., 0],
        (project(image_to_page, seen_y) - page)[..., 1].T,
    ]
    return LineDisplacements(plane, page, displacement_mm, [weight_x * seen, (weight_y * seen).T])


def refine_map(
    grid: GridMap,
    lines: LineDisplacements,
    options: GridOptions = GridOptions(),
    choice: Sequence[float] = STIFFNESS[1:],
) -> GridMap:
    """The map with its nodes fitted to lines for the last time, by a stiffness of ``choice``, and with its expected error.

    A plotting program's pixels are looked for in the constants by which whole lines stand off; where they show, the lines are
    followed as they were before they were moved onto them.
    """
    first = _fit_surfaces(grid, lines, options, choice)
    return (_follow_plot(grid, first, options) if first.is_plotted else first).place(grid)


def refine_plotted(
    grid: GridMap, lines: LineDisplacements, options: GridOptions = GridOptions()
) -> GridMap | None:
    """As ``refine_map`` where a plotting program's pixels show; None where they do not."""
    first = _fit_surfaces(grid, lines, options, STIFFNESS[1:])
    return _follow_plot(grid, first, options).place(grid) if first.is_plotted else None


@dataclass(frozen=True)
class _FittedLines:
    """Surfaces through the lines of both directions."""

    lines: LineDisplacements
    offsets_mm: list[Array]
    """Displacements that the surfaces follow."""
    stiffness: float
    fits: list[SurfaceFit]
    shifts: list[LineShifts]
    pixels: list[PlotPixels | None]
    """A plotting program's pixels, by direction; None where they do not show."""

    @property
    def is_plotted(self) -> bool:
        """Whether such pixels show in any direction."""
        return any(pixels is not None for pixels in self.pixels)

    def place(self, grid: GridMap) -> GridMap:
        """The map with its nodes on the surfaces."""
        weights = self.lines.weights
        errors = [
            estimate_surface_error(d, w, self.stiffness)
            for d, w in zip(self.offsets_mm, weights, strict=True)
        ]
        residual = float(np.hypot(errors[0], errors[1]) / np.sqrt(2) * grid.px_per_mm)
        log.debug(
            "stiffness %g, lines off by %.3f and %.3f mm",
            self.stiffness, self.fits[0].rms, self.fits[1].rms,
        )  # fmt: skip
        return replace(grid, nodes=self.lines.place_nodes(self.fits), residual_px=residual)


def _fit_surfaces(
    grid: GridMap, lines: LineDisplacements, options: GridOptions, choice: Sequence[float]
) -> _FittedLines:
    """Surfaces through the lines as they are seen, and the plot's pixels that show in what they leave."""
    offsets, weights = lines.displacement_mm, lines.weights
    stiffness = choose_stiffness(offsets, weights, choice)
    fits = [smooth_lines(d, w, stiffness, options.max_snap_mm) for d, w in zip(offsets, weights, strict=True)]
    shifts = [
        _measure_line_shifts(d - fit.surface, w, options)
        for d, w, fit in zip(offsets, weights, fits, strict=True)
    ]
    return _FittedLines(lines, offsets, stiffness, fits, shifts, find_plot_pixels(shifts, options))


def _follow_plot(grid: GridMap, first: _FittedLines, options: GridOptions) -> _FittedLines:
    """Surfaces through the lines as they were before they were moved onto the plot's pixels."""
    weights = first.lines.weights
    offsets = [
        d if pixels is None else d - find_line_shifts(pixels, seen, options)
        for d, pixels, seen in zip(first.offsets_mm, first.pixels, first.shifts, strict=True)
    ]
    stiffness = choose_stiffness(offsets, weights, [s for s in STIFFNESS if s <= first.stiffness])
    unknown_mm, known_mm = options.max_snap_mm, options.line_bias_px / grid.px_per_mm
    fits = [
        smooth_lines(d, w, stiffness, unknown_mm if pixels is None else known_mm)
        for d, w, pixels in zip(offsets, weights, first.pixels, strict=True)
    ]
    return replace(first, offsets_mm=offsets, stiffness=stiffness, fits=fits)


def _measure_line_shifts(off_surface: Array, weights: Array, options: GridOptions) -> LineShifts:
    """Median distance of each line (column) from the surface, in which a plot's pixels are looked for."""
    clear = weights > options.min_place_weight
    enough = clear.sum(axis=0) > options.min_places
    detail = build_detrending(enough)
    rows = np.where(clear, off_surface, 0.0) @ detail.T
    seen = np.zeros(off_surface.shape[1])
    if enough.any():
        seen[enough] = np.nanmedian(np.where(clear, rows, np.nan)[:, enough], axis=0)
    return LineShifts(seen, enough, detail, SQUARE_MM)


def fit_plane(page: Array, grid: GridMap) -> Array:
    """(3, 3) homography that carries (ny, nx, 2) page mm to image px best over the part that was seen."""
    seen = grid.quality > 0
    plane, _ = cv2.findHomography(page[seen], grid.nodes[seen], cv2.LMEDS)
    return np.asarray(plane, float)


def project(plane: Array, points: Array) -> Array:
    """(..., 2) points under a (3, 3) homography, column vectors."""
    moved = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1) @ plane.T
    return moved[..., :2] / moved[..., 2:]
