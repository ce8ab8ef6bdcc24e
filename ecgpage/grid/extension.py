"""Grow a refined map into what of the grid shows beyond the part that was followed."""

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import find_line_offsets, profile_lines
from ecgpage.grid.refinement import fit_plane, measure_displacements, project

MIN_STEP: Final = 1.05
"""Growth from which the next round of growing is tried."""
MAX_EXTENSIONS: Final = 12
EXTEND_BOXES: Final = 3
EXTEND_MM: Final = 1.2
"""How far a line may stand from where it is expected."""
MIN_CLEAR: Final = 0.5


def extend_map(dark: Image, grid: GridMap, stiffness: float) -> GridMap:
    """The map with what of the grid shows beyond the part that was followed, by growing it three boxes at a time.

    Beyond its edge the map goes on as the plane through it, bent as at the edge. What is taken in must show lines of both
    directions close to where they are expected, in most of the nodes around.
    """
    for _ in range(MAX_EXTENSIONS):
        padded = _pad_map(grid, EXTEND_BOXES)
        seen = padded.quality > 0
        inside = _find_inside(padded, (dark.shape[0], dark.shape[1]))
        offsets = [find_line_offsets(p, EXTEND_MM) for p in profile_lines(dark, padded, quick=True)]
        (offset_x, weight_x), (offset_y, weight_y) = offsets
        clear = (np.minimum(weight_x, weight_y) > 0.1) & (np.hypot(offset_x, offset_y) < EXTEND_MM)
        share = cv2.blur((clear & inside).astype(np.float32), (5, 5)) / np.maximum(
            cv2.blur(inside.astype(np.float32), (5, 5)), 1e-3
        )
        near = cv2.dilate(seen.astype(np.uint8), np.ones((2 * EXTEND_BOXES + 1,) * 2, np.uint8)) > 0
        grown = seen | ((share > MIN_CLEAR) & inside & near)
        if grown.sum() < MIN_STEP * seen.sum():
            break
        rows, columns = (np.flatnonzero(grown.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        origin = (
            padded.origin_mm[0] + SQUARE_MM * float(columns[0]),
            padded.origin_mm[1] + SQUARE_MM * float(rows[0]),
        )
        wider = replace(
            padded, nodes=padded.nodes[box], quality=grown[box].astype(np.float64), origin_mm=origin
        )
        grid = measure_displacements(wider, [(o[box], w[box]) for o, w in offsets]).follow(wider, stiffness)
    return grid


def _pad_map(grid: GridMap, boxes: int) -> GridMap:
    """The map with ``boxes`` more nodes on each side: the plane through it and the displacement from it at the edge."""
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    page = np.stack(np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny)), axis=-1)
    plane = fit_plane(page, grid)
    bent = np.pad(grid.nodes - project(plane, page), ((boxes, boxes), (boxes, boxes), (0, 0)), mode="edge")
    origin = (x0 - SQUARE_MM * boxes, y0 - SQUARE_MM * boxes)
    wide = np.stack(
        np.meshgrid(
            origin[0] + SQUARE_MM * np.arange(nx + 2 * boxes),
            origin[1] + SQUARE_MM * np.arange(ny + 2 * boxes),
        ),
        axis=-1,
    )
    return replace(
        grid, nodes=project(plane, wide) + bent, quality=np.pad(grid.quality, boxes), origin_mm=origin
    )


def _find_inside(grid: GridMap, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(ny, nx) nodes that lie in a picture of (rows, columns)."""
    x, y = grid.nodes[..., 0], grid.nodes[..., 1]
    return np.asarray((x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1), np.bool_)
