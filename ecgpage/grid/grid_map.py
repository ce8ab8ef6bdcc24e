"""The map of the printed grid, page millimetres -> image pixels, and the one resampling through it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from scipy.interpolate import make_interp_spline

from ecgpage.core.threads import one_thread
from ecgpage.core.types import Array, Grey, Light

SQUARE_MM: Final = 5.0
"""Side, mm, of the squares between the strong lines of ECG paper."""
BAND_PX: Final = 256
"""Rows and columns of the page that are mapped at a time, pixels: their numbers stay in the processor's cache."""
AXES: Final = "numbers of the axes"
"""Source of a map that rests on numbers, not on lines."""
FAR_NODES: Final = 14
"""Number of nodes from which on a node counts for less than 1e-7 of a cubic spline."""


@dataclass(frozen=True)
class Axis:
    """What the numbers along one direction of an upright picture say."""

    px_per_unit: float
    """Pixels of a second or of a millivolt."""
    log_odds: float
    """Natural log of the likelihood of the numbers with this scale over that of numbers by chance."""
    error: float
    """Standard deviation of the natural log of ``px_per_unit`` as far as the numbers tell it."""
    panels_px: tuple[tuple[float, float], ...]
    """Image positions of the first and of the last number of each panel, px along the axis; panels beside each other are
    one."""
    first: tuple[float, ...]
    """First number of each panel."""


@dataclass(frozen=True)
class Axes:
    """Scale of an upright picture by the numbers of its axes; None along a direction without any."""

    seconds: Axis | None
    millivolts: Axis | None


@dataclass(frozen=True)
class GridMap:
    """Smooth map page mm -> image pixels on a lattice of nodes 5 mm apart."""

    nodes: Array
    """(ny, nx, 2) image x, y of the nodes; node (j, i) lies at page mm (origin_mm + 5 * (i, j))."""
    origin_mm: tuple[float, float]
    """Page x, y of node (0, 0)."""
    quality: Array
    """(ny, nx) 1 inside the hull of the part of the page where the grid was followed, 0 where the map is extrapolated."""
    residual_px: float
    """Expected error of the map without its constant part, image pixels along one direction, root of the mean square."""
    source: str
    """What the scale rests on: "5 mm lines", "1 mm lines", or what else was taken where no lines show."""
    log_odds: float = 0.0
    """Natural log of the likelihood of what repeats in the picture with this grid over that without any, without what the
    page's size tells: two grids of one picture differ by it as far as their lines go; 0 where no lines were looked for.
    """
    axes: "Axes | None" = None
    """What the numbers along axes of the picture say; None where none stand, and where the page lies otherwise than they."""

    @property
    def is_printed(self) -> bool:
        """Whether the nodes lie on printed lines."""
        return self.source in ("5 mm lines", "1 mm lines", "periodic grid", "drawn")

    @property
    def source_note(self) -> str:
        """What a reader should know of where the scale comes from; "" where it rests on printed lines."""
        if self.is_printed:
            return ""
        if self.source == AXES:
            return "the grid's squares have no usual size: scale from the numbers of the axes"
        return f"no grid seen: scale from {self.source}"

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the lattice, page mm."""
        ny, nx = self.quality.shape
        x0, y0 = self.origin_mm
        return x0, y0, x0 + SQUARE_MM * (nx - 1), y0 + SQUARE_MM * (ny - 1)

    @property
    def px_per_mm(self) -> float:
        """Median image pixels per page millimetre."""
        return self._pitch_px(1) / SQUARE_MM

    @property
    def pitch_px(self) -> tuple[float, float]:
        """Median image pixels from one node to the next along the page's x and along its y."""
        return self._pitch_px(1), self._pitch_px(0)

    @property
    def axes_mm(self) -> tuple[float, float]:
        """Page mm of a second and of a millivolt by the numbers of axes; NaN where none stand."""
        nan = float("nan")
        if self.axes is None:
            return nan, nan
        told = [
            nan if axis is None else axis.px_per_unit for axis in (self.axes.seconds, self.axes.millivolts)
        ]
        across, down = (px / pitch * SQUARE_MM for px, pitch in zip(told, self.pitch_px, strict=True))
        return across, down

    @property
    def panels_mm(self) -> Array:
        """(n, 3) page x, mm, of the first and of the last number of each time axis, and the first number, s, from left to
        right; axes below each other are one.
        """
        axis = None if self.axes is None else self.axes.seconds
        if axis is None:
            return np.zeros((0, 3))
        left, across = self.nodes[..., 0].mean(axis=0)[0], self.pitch_px[0]
        ends = self.origin_mm[0] + (np.array(axis.panels_px) - left) / across * SQUARE_MM
        return np.column_stack([ends, axis.first])

    def _pitch_px(self, axis: int) -> float:
        return float(np.median(np.linalg.norm(np.diff(self.nodes, axis=axis), axis=2)))

    @property
    def steps_px(self) -> Array:
        """(2, 2) median way in the image, px, from one node to the next along the page's x, and along its y."""
        return np.stack([np.median(np.diff(self.nodes, axis=k), axis=(0, 1)) for k in (1, 0)])

    @property
    def lies_upright(self) -> bool:
        """Whether the page's x runs to the right in the image, and its y down."""
        across, down = self.steps_px
        return bool(across[0] > abs(across[1]) and down[1] > abs(down[0]))

    def to_image(self, x_mm: Array, y_mm: Array) -> tuple[Array, Array]:
        """Image x, y of page x, y (mm, matching arrays of any shape), cubic between the nodes, straight on beyond them."""
        across, down = self._weights(np.ravel(x_mm), np.ravel(y_mm))
        seen = np.empty((len(across), 2))
        for part in np.array_split(np.arange(len(across)), 1 + across.size // 1_000_000):
            seen[part] = np.einsum("ni,nic->nc", across[part], np.tensordot(down[part], self.nodes, 1))
        return seen[:, 0].reshape(np.shape(x_mm)), seen[:, 1].reshape(np.shape(x_mm))

    def map_row_bands(self, x_mm: Array, y_mm: Array) -> Iterator[tuple[slice, Grey, Grey]]:
        """Rows, and float32 (rows, len(x_mm)) image x and y of them, of the page raster x_mm x y_mm, band by band.

        ``x_mm`` and ``y_mm`` ascend.
        """
        across, down = self._weights(x_mm, y_mm)
        across = across.T.astype(np.float32)
        last = self.nodes.shape[1] - 1
        nearest = np.clip(np.rint((x_mm - self.origin_mm[0]) / SQUARE_MM).astype(int), 0, last)
        blocks = []
        for first in range(0, len(x_mm), BAND_PX):
            columns = slice(first, min(first + BAND_PX, len(x_mm)))
            nodes = slice(max(0, nearest[first] - FAR_NODES), nearest[columns.stop - 1] + FAR_NODES + 1)
            blocks.append((columns, nodes, np.ascontiguousarray(across[nodes, columns])))
        for first in range(0, len(y_mm), BAND_PX):
            rows = slice(first, min(first + BAND_PX, len(y_mm)))
            seen = np.empty((2, rows.stop - rows.start, len(x_mm)), np.float32)
            with one_thread():
                for k in (0, 1):
                    along = (down[rows] @ self.nodes[..., k]).astype(np.float32)
                    for columns, nodes, weights in blocks:
                        np.matmul(along[:, nodes], weights, out=seen[k, :, columns])
            yield rows, seen[0], seen[1]

    def _weights(self, x_mm: Array, y_mm: Array) -> tuple[Array, Array]:
        """(n, nx) and (m, ny) weights of the columns and rows of nodes at n places along x and m along y."""
        ny, nx = self.quality.shape
        x0, y0 = self.origin_mm
        return _cardinal_splines(x_mm, x0, nx), _cardinal_splines(y_mm, y0, ny)

    def rotate(self, quarter_turns: int) -> "GridMap":
        """The map of the page as seen after ``quarter_turns`` counter-clockwise turns by 90 degrees."""
        nodes, quality = np.rot90(self.nodes, quarter_turns), np.rot90(self.quality, quarter_turns)
        axes = self.axes if quarter_turns % 4 == 0 else None
        return replace(self, nodes=nodes, quality=quality, origin_mm=(0.0, 0.0), axes=axes)


def _cardinal_splines(at_mm: Array, first_mm: float, count: int) -> Array:
    """(n, count) values at n places of the cubic splines that are 1 at one of ``count`` nodes and 0 at the others."""
    nodes = first_mm + SQUARE_MM * np.arange(count)
    splines = make_interp_spline(nodes, np.eye(count), k=min(3, count - 1))
    inside = np.clip(at_mm, nodes[0], nodes[-1])
    values = np.asarray(splines(inside), np.float64)
    beyond = np.flatnonzero(inside != at_mm)
    values[beyond] += (at_mm - inside)[beyond, None] * splines(inside[beyond], 1)
    return values


def flatten(image: Light, grid: GridMap, x_mm: Array, y_mm: Array, *, quick: bool = False) -> Light:
    """uint8 (len(y_mm), len(x_mm)[, 3]) values of an image (H, W[, 3]) at the page raster x_mm x y_mm: the one resampling.

    An image finer than the raster is averaged down first, so that thin lines do not alias. Pixels are resampled by a Lanczos
    kernel, with ``quick`` linearly: an eighth of the time, for what is looked at on the way.
    """
    step_mm = (x_mm[-1] - x_mm[0]) / max(1, len(x_mm) - 1)
    shrink = max(1, int(grid.px_per_mm * step_mm / 1.5))
    if shrink > 1:
        image = np.asarray(
            cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
    how = cv2.INTER_LINEAR if quick else cv2.INTER_LANCZOS4
    flat = np.empty((len(y_mm), len(x_mm), *image.shape[2:]), np.uint8)
    for rows, *at in grid.map_row_bands(x_mm, y_mm):
        if shrink > 1:
            at[:] = [(a + np.float32(0.5)) / np.float32(shrink) - np.float32(0.5) for a in at]
        cv2.remap(image, at[0], at[1], how, dst=flat[rows], borderMode=cv2.BORDER_REPLICATE)
    return flat
