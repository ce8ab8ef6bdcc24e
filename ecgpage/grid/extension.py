"""Grow a refined map into what of the grid shows beyond the part that was tracked."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array, Light
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import find_line_offsets, profile_lines
from ecgpage.grid.options import GridOptions
from ecgpage.grid.refinement import fit_plane, measure_displacements, project

AROUND_NODES: Final = (5, 5)
"""Nodes over which the share of clear ones is taken."""


def extend_map(dark: Light, grid: GridMap, stiffness: float, options: GridOptions = GridOptions()) -> GridMap:
    """The map with what of the grid shows beyond it, grown by some squares on each side at a time.

    Beyond its edge the map goes on as the plane through it, and bends on as it does at the edge: behind a fold the first new
    lines tell how the others run. Nodes are taken in where lines of both directions stand close to where they are expected,
    in most of the nodes around. ``dark``: uint8 (H, W).
    """
    for _ in range(options.max_extensions):
        padded = _pad_map(grid, options.extension_squares)
        seen = padded.quality > 0
        profiles = profile_lines(dark, padded, quick=True)
        offsets = [find_line_offsets(p, options.extension_half_width_mm) for p in profiles]
        grown = seen | _find_clear_nodes(padded, offsets, dark.shape, options)
        if grown.sum() < options.min_step * seen.sum():
            break
        rows, columns = (np.flatnonzero(grown.any(axis=axis)) for axis in (1, 0))
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        origin = (
            padded.origin_mm[0] + SQUARE_MM * float(columns[0]),
            padded.origin_mm[1] + SQUARE_MM * float(rows[0]),
        )
        wider = replace(
            padded, nodes=padded.nodes[part], quality=grown[part].astype(np.float64), origin_mm=origin
        )
        lines = measure_displacements(wider, [(o[part], w[part]) for o, w in offsets])
        grid = lines.follow(wider, stiffness, options)
    return grid


def _find_clear_nodes(
    padded: GridMap, offsets: list[tuple[Array, Array]], shape: tuple[int, ...], options: GridOptions
) -> NDArray[np.bool_]:
    """(ny, nx) nodes near the seen ones around which lines stand close to where they are expected."""
    (offset_x, weight_x), (offset_y, weight_y) = offsets
    is_weighty = np.minimum(weight_x, weight_y) > options.min_clear_weight
    clear = is_weighty & (np.hypot(offset_x, offset_y) < options.extension_half_width_mm)
    inside = _find_inside(padded, shape)
    share = cv2.blur((clear & inside).astype(np.float32), AROUND_NODES) / np.maximum(
        cv2.blur(inside.astype(np.float32), AROUND_NODES), 1e-3
    )
    side = 2 * options.extension_squares + 1
    near = cv2.dilate((padded.quality > 0).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return np.asarray((share > options.min_clear) & inside & near, np.bool_)


def _pad_map(grid: GridMap, squares: int) -> GridMap:
    """The map with ``squares`` more nodes on each side: the plane through it, and the displacement from it, which goes on
    as it grows towards the edge.
    """
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    page = np.stack(np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny)), axis=-1)
    plane = fit_plane(page, grid)
    sides = ((squares, squares), (squares, squares), (0, 0))
    bent = np.pad(grid.nodes - project(plane, page), sides, mode="reflect", reflect_type="odd")
    origin = (x0 - SQUARE_MM * squares, y0 - SQUARE_MM * squares)
    wide = np.stack(
        np.meshgrid(
            origin[0] + SQUARE_MM * np.arange(nx + 2 * squares),
            origin[1] + SQUARE_MM * np.arange(ny + 2 * squares),
        ),
        axis=-1,
    )
    return replace(
        grid, nodes=project(plane, wide) + bent, quality=np.pad(grid.quality, squares), origin_mm=origin
    )


def _find_inside(grid: GridMap, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(ny, nx) nodes that lie in a picture of (rows, columns)."""
    x, y = grid.nodes[..., 0], grid.nodes[..., 1]
    return np.asarray((x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1), np.bool_)
