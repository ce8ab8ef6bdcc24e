"""Pictures of grids of which the place of each line is known exactly."""

from collections.abc import Callable

import numpy as np

from ecgpage.grid.grid_map import SQUARE_MM, GridMap

PX_PER_MM = 5.0
Warp = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Page x, y in mm of image x, y in pixels."""


def flat(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A flat scan of PX_PER_MM, its first lines 13 and 8.5 pixels from the edge."""
    return (x - 13.0) / PX_PER_MM, (y - 8.5) / PX_PER_MM


def tilted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A photograph from the side of a page that is turned by 4 degrees: scales differ by a third across the picture."""
    u, v = x + 0.07 * y - 13.0, y - 0.07 * x - 8.5
    depth = PX_PER_MM * (1.0 + 2.5e-4 * (x - 600.0) + 1e-4 * (y - 400.0))
    return u / depth, v / depth


def draw_lattice(
    shape: tuple[int, int],
    warp: Warp,
    *,
    step_mm: float = SQUARE_MM,
    heavy_every: int = 1,
    noise: float = 4.0,
) -> np.ndarray:
    """uint8 (h, w) paper with lines ``step_mm`` apart; all but each ``heavy_every``-th of them are faint."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    dark = np.zeros(shape)
    for place in warp(x, y):
        line = np.rint(place / step_mm)
        slope = np.hypot(*np.gradient(place))
        away_px = (place - line * step_mm) / slope
        depth = np.where(line % heavy_every == 0, 110.0, 45.0)
        dark = np.maximum(dark, depth * np.exp(-0.5 * (away_px / 0.8) ** 2))
    paper = 235.0 - dark + np.random.default_rng(3).normal(0, noise, shape)
    return np.clip(np.rint(paper), 0, 255).astype(np.uint8)


def map_lattice(lines_x: np.ndarray, lines_y: np.ndarray, step_mm: float = SQUARE_MM) -> GridMap:
    """Exact map of some lines (whole numbers) of the ``flat`` picture, taken for lines 5 mm apart."""
    x, y = np.meshgrid(13.0 + PX_PER_MM * step_mm * lines_x, 8.5 + PX_PER_MM * step_mm * lines_y)
    return GridMap(np.stack([x, y], axis=-1), (0.0, 0.0), np.ones(x.shape), float("nan"), "5 mm lines")
