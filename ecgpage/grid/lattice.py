"""The lattice of grid lines through tracked tiles: a thin-plate spline evaluated where whole lines cross."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator, make_interp_spline

from ecgpage.core.types import Array
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.tracking import Tile

MAX_SPLINE_TILES: Final = 1200
"""Number of tiles, drawn at random, that a thin-plate spline is fitted to at most."""
MAX_SPLINE_LINES: Final = 64
"""Number of places in each direction at which the thin-plate spline is evaluated at most."""
SPLINE_SMOOTHING: Final = 0.05
"""Smoothing of the thin-plate spline (``RBFInterpolator``), lines and image pixels."""


def fit_lattice(tiles: Sequence[Tile], options: GridOptions = GridOptions()) -> GridMap:
    """Map of the whole lines that tiles (image pixels) enclose, one more around, by a thin-plate spline through their phases.

    Its nodes are taken for 5-mm lines until ``find_spacing`` knows better, its expected error is NaN.
    """
    phase = np.array([t.phase for t in tiles])
    position = np.array([(t.x, t.y) for t in tiles])
    period = 1 / np.sqrt(np.abs(np.linalg.det(np.array([t.gradient for t in tiles]))))
    low, high = np.floor(phase.min(axis=0)).astype(int) - 1, np.ceil(phase.max(axis=0)).astype(int) + 1
    fitted = np.random.default_rng(0).permutation(len(tiles))[:MAX_SPLINE_TILES]
    keep = np.ones(len(tiles), bool)
    for _ in range(2):
        used = fitted[keep[fitted]]
        spline = RBFInterpolator(phase[used], position[used], smoothing=SPLINE_SMOOTHING, degree=1)
        error = np.linalg.norm(spline(phase) - position, axis=1)
        keep = error < options.max_tile_error * period
    lines_x, lines_y = np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
    shape = (len(lines_y), len(lines_x))
    quality = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.rint(phase[keep] - low).astype(np.int32))  # a sheet is convex
    cv2.fillConvexPoly(quality, hull, 1)
    return GridMap(
        _evaluate_on_lines(spline, lines_x, lines_y),
        (0.0, 0.0),
        quality.astype(float),
        float("nan"),
        "5 mm lines",
    )


def _evaluate_on_lines(
    spline: RBFInterpolator, lines_x: NDArray[np.intp], lines_y: NDArray[np.intp]
) -> Array:
    """(ny, nx, 2) image x, y where the lines cross; of many lines the spline gives some and a bicubic one the rest."""
    coarse = [
        np.linspace(lines[0], lines[-1], min(len(lines), MAX_SPLINE_LINES)) for lines in (lines_x, lines_y)
    ]
    at = np.stack(np.meshgrid(*coarse), axis=-1)
    nodes = spline(at.reshape(-1, 2)).reshape(at.shape)
    if at.shape[:2] == (len(lines_y), len(lines_x)):
        return np.asarray(nodes, np.float64)
    across, down = (make_interp_spline(a, np.eye(len(a)), k=3) for a in coarse)
    return np.einsum("yj,jic,xi->yxc", down(lines_y), nodes, across(lines_x), optimize=True)
