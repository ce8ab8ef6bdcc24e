"""Show a page upright: which part of its picture, turned and scaled how, and where a place of the page is on it then."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.grid_map import GridMap

MIN_WIDTH_PX: Final = 1400
"""Narrower pictures are enlarged to this width, so that names fit beside traces."""
STRAIGHT_DEG: Final = 1.0
"""Angle from a quarter turn, degrees, up to which a page is not turned further: its pixels stay sharp."""


@dataclass(frozen=True)
class PageView:
    """A cut of a picture, turned so that the page stands upright, and scaled."""

    matrix: Array
    """(2, 3) pixels of the view from pixels of the picture."""
    size_px: tuple[int, int]
    """Width and height."""

    @property
    def scale(self) -> float:
        """Pixels of the view to a pixel of the picture."""
        return math.hypot(self.matrix[0, 0], self.matrix[1, 0])

    def place(self, x_px: Array, y_px: Array) -> Array:
        """(n, 2) positions in the view of positions (n,) in the picture."""
        return np.stack([x_px, y_px, np.ones_like(x_px)], axis=-1) @ self.matrix.T

    def place_mm(self, grid: GridMap, x_mm: Array, y_mm: Array) -> Array:
        """(n, 2) positions in the view of places (n,) of the page."""
        return self.place(*grid.to_image(x_mm, y_mm))

    def show(self, image: Image) -> Image:
        """The view, uint8 (h, w, 3), of the uint8 (H, W, 3) picture; white beyond its edges."""
        matrix = self.matrix.copy()
        if self.scale < 1:  # averaged down first, so that thin lines stay
            width, height = (max(1, round(v * self.scale)) for v in image.shape[1::-1])
            step = np.array([image.shape[1] / width, image.shape[0] / height])
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            matrix[:, 2] += matrix[:, :2] @ (step / 2 - 0.5)
            matrix[:, :2] *= step
        white = (255, 255, 255)
        return np.asarray(
            cv2.warpAffine(image, matrix, self.size_px, flags=cv2.INTER_CUBIC, borderValue=white), np.uint8
        )


def view_page(image: Image, grid: GridMap | None, outline_mm: Array | None, width_px: int) -> PageView:
    """View of a uint8 (H, W, 3) picture, at most ``width_px`` wide.

    It shows the whole picture, or what lies within an outline (n, 2) on the page, mm; upright where the map is known.
    """
    angle = 0.0 if grid is None else tell_angle(grid)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = PageView(np.array([[cos, sin, 0.0], [-sin, cos, 0.0]]), (0, 0))
    wide, high = image.shape[1] - 0.5, image.shape[0] - 0.5
    edge = turned.place(np.array([-0.5, wide, wide, -0.5]), np.array([-0.5, -0.5, high, high]))
    low, high_corner = edge.min(0), edge.max(0)
    if grid is not None and outline_mm is not None:
        places = turned.place_mm(grid, *outline_mm.T)
        low, high_corner = np.maximum(low, places.min(0)), np.minimum(high_corner, places.max(0))
    size = np.maximum(high_corner - low, 1.0)
    scale = min(width_px / size[0], max(1.0, MIN_WIDTH_PX / size[0]))
    shift = -low * scale - 0.5  # the outer edge of the cut becomes that of the first pixel
    matrix = np.concatenate([turned.matrix[:, :2] * scale, shift[:, None]], axis=1)
    across, down = (max(1, round(v * scale)) for v in size)
    return PageView(matrix, (min(across, width_px), down))


def tell_angle(grid: GridMap) -> float:
    """Angle, radians, clockwise in the picture, of the page's rows; a quarter turn where it is nearly one."""
    along = grid.steps_px[0]
    angle = math.atan2(along[1], along[0])
    quarter = round(angle / (math.pi / 2)) * math.pi / 2
    return quarter if abs(angle - quarter) < math.radians(STRAIGHT_DEG) else angle
