"""The flat page as a raster: what is printed, and the ink that is left when the grid is taken away.

The raster has 10 px/mm along time and 8 px/mm along voltage, sampled once from the original picture through the grid map.
Grid lines stand at known places on it, so their darkness is estimated from the squares around (a trace is the odd one out in
the median) and subtracted; coloured grids fade further because ink is dark in every colour channel.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.median import median_of
from ecgpage.core.types import Array, Grey, Image, Light
from ecgpage.grid.grid_map import SQUARE_MM, GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.image.decode import brightest_channel

SQUARE_X_PX: Final = int(SQUARE_MM * X_PX_PER_MM)
"""Columns of the raster to a square."""
SQUARE_Y_PX: Final = int(SQUARE_MM * Y_PX_PER_MM)
"""Rows of the raster to a square."""
AROUND_PX_PER_MM: Final = 4
"""Pixels per millimetre, both axes, of the picture of the surroundings."""
AROUND_MM: Final = 60.0
"""Millimetres beyond the mapped grid that the surroundings show, for traces that go on there."""
STROKE_QUANTILE: Final = 0.995
"""Share of the ink's pixels that are paler than a typical stroke: traces and print fill half a per cent of any page."""
Place = TypeVar("Place", float, NDArray[np.float64])
"""A page coordinate or an array of them."""


@dataclass(frozen=True)
class Surroundings:
    """The page as it was seen, grid and all, with what lies around the part that the grid covers."""

    light: Light
    """uint8 (h, w), AROUND_PX_PER_MM pixels a millimetre on both axes, brightest of the colour channels."""
    edge_mm: Array
    """(2,) page x and y of the picture's outer left and upper edge, mm."""

    @property
    def size_mm(self) -> Array:
        """(2,) width and height, mm."""
        return np.array(self.light.shape[::-1]) / AROUND_PX_PER_MM


@dataclass(frozen=True)
class FlatPage:
    """A page flattened onto its grid."""

    grid: GridMap
    """Map that the page was flattened through."""
    ink: Grey
    """(h, w) darkness of traces and print without grid and paper, 1.0 = a typical stroke; row 0 is the top."""
    x0_mm: float
    """Page x, mm, of the centre of column 0."""
    y0_mm: float
    """Page y, mm, of the centre of row 0."""
    around: Surroundings
    """The page with grid and paper, and what lies around it."""

    def column(self, x_mm: Place) -> Place:
        """Column (not whole) of the raster at page x, mm."""
        return (x_mm - self.x0_mm) * X_PX_PER_MM

    def row(self, y_mm: Place) -> Place:
        """Row (not whole) of the raster at page y, mm."""
        return (y_mm - self.y0_mm) * Y_PX_PER_MM

    def x_mm(self, column: Place) -> Place:
        """Page x, mm, of a column."""
        return column / X_PX_PER_MM + self.x0_mm

    def y_mm(self, row: Place) -> Place:
        """Page y, mm, of a row."""
        return row / Y_PX_PER_MM + self.y0_mm

    def overview(self, side_px: int, *, beyond_mm: float = 0.0) -> tuple[Light, Array]:
        """uint8 (h, w) picture of the page, its longer side ``side_px``, and a (2, 2) array of its place.

        The picture has one scale on both axes and shows up to ``beyond_mm`` more than the grid covers on each side, as far as
        the original goes. Rows of the array: page x, y of the outer left and upper edge, mm; mm per pixel along x, y.
        """
        own = np.array([self.x0_mm - 0.5 / X_PX_PER_MM, self.y0_mm - 0.5 / Y_PX_PER_MM])
        size = np.array(self.ink.shape[::-1]) / (X_PX_PER_MM, Y_PX_PER_MM)
        low, high = self.around.edge_mm, self.around.edge_mm + self.around.size_mm
        first, last = np.maximum(low, own - beyond_mm), np.minimum(high, own + size + beyond_mm)
        x0, y0 = np.rint((first - low) * AROUND_PX_PER_MM).astype(int)
        x1, y1 = np.rint((last - low) * AROUND_PX_PER_MM).astype(int)
        view = self.around.light[y0:y1, x0:x1]
        size_mm = np.array([x1 - x0, y1 - y0]) / AROUND_PX_PER_MM
        shape = np.maximum(1, np.rint(size_mm * side_px / size_mm.max())).astype(int)
        small = cv2.resize(view, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA)
        edge = low + np.array([x0, y0]) / AROUND_PX_PER_MM
        return np.asarray(small, np.uint8), np.array([edge, size_mm / shape])


def flatten_page(image: Image, grid: GridMap, *, options: GridOptions = GridOptions()) -> FlatPage:
    """The flat page of a uint8 (H, W, 3) RGB image: its grid area resampled once, paper and grid removed."""
    ny, nx = grid.quality.shape
    left, top, _, _ = grid.extent_mm
    x_mm = left - SQUARE_MM / 2 + (np.arange(nx * SQUARE_X_PX) + 0.5) / X_PX_PER_MM
    y_mm = top - SQUARE_MM / 2 + (np.arange(ny * SQUARE_Y_PX) + 0.5) / Y_PX_PER_MM
    light = brightest_channel(image)
    ink = _remove_grid(flatten(255 - light, grid, x_mm, y_mm), ny, nx, options)
    ink.reshape(ny, SQUARE_Y_PX, nx, SQUARE_X_PX)[...] *= (grid.quality > 0)[:, None, :, None]
    ink /= max(_measure_stroke_level(ink), 1.0)
    return FlatPage(grid, ink, float(x_mm[0]), float(y_mm[0]), _cut_surroundings(light, grid, options))


def _cut_surroundings(light: Light, grid: GridMap, options: GridOptions) -> Surroundings:
    """The page with up to AROUND_MM more on each side on which the (H, W) picture goes on."""
    x0, y0, x1, y1 = np.array(grid.extent_mm) + SQUARE_MM / 2 * np.array([-1, -1, 1, 1])
    height, width = light.shape
    ends = [x0, y0, x1, y1]
    for side in range(4):
        outward = -1 if side < 2 else 1
        along = np.linspace(y0, y1, 40) if side % 2 == 0 else np.linspace(x0, x1, 40)
        for step in np.arange(SQUARE_MM, AROUND_MM + 0.1, SQUARE_MM):
            across = np.full(40, (x0, y0, x1, y1)[side] + outward * step)
            x, y = grid.to_image(*((across, along) if side % 2 == 0 else (along, across)))
            if ((x >= 0) & (x < width) & (y >= 0) & (y < height)).mean() < options.min_seen:
                break
            ends[side] = float(across[0])
    x_mm = np.arange(ends[0] + 0.5 / AROUND_PX_PER_MM, ends[2], 1 / AROUND_PX_PER_MM)
    y_mm = np.arange(ends[1] + 0.5 / AROUND_PX_PER_MM, ends[3], 1 / AROUND_PX_PER_MM)
    return Surroundings(flatten(light, grid, x_mm, y_mm), np.array([ends[0], ends[1]]))


def _remove_grid(dark: Light, ny: int, nx: int, options: GridOptions) -> Grey:
    """(h, w) darkness over that of paper and grid, of ny x nx squares centred on the crossings of the 5-mm lines."""
    ink = dark.astype(np.float32)
    squares = ink.reshape(ny, SQUARE_Y_PX, nx, SQUARE_X_PX)
    paper = _measure_square_medians(dark.reshape(ny, SQUARE_Y_PX, nx, SQUARE_X_PX)[:, ::2, :, ::2])
    beside_y, beside_x = (
        np.flatnonzero(np.abs(np.arange(n) - (n - 1) / 2) > options.crossing_mm * px_per_mm)
        for n, px_per_mm in ((SQUARE_Y_PX, Y_PX_PER_MM), (SQUARE_X_PX, X_PX_PER_MM))
    )
    # half of them tell enough
    upright = (
        median_of([squares[:, k] for k in beside_y if k % 2]) - paper[..., None]
    )  # (ny, nx, SQUARE_X_PX)
    level = (
        median_of([squares[..., k] for k in beside_x if k % 2]).swapaxes(1, 2) - paper[..., None]
    )  # (ny, nx, SQUARE_Y_PX)
    # a trace runs along x: compare with the squares above and below first, then along the line
    upright = median_filter(upright, (3, 5, 1))
    level = median_filter(median_filter(level, (7, 1, 1)), (1, 5, 1)).swapaxes(1, 2)[..., None]
    ink -= cv2.resize(paper, (nx * SQUARE_X_PX, ny * SQUARE_Y_PX), interpolation=cv2.INTER_LINEAR)
    squares -= np.maximum(np.maximum(level, 0), upright[:, None])
    if options.close_strokes:
        _close_strokes(squares, level, upright[:, None], options)
    return ink


def _measure_square_medians(squares: Light) -> Grey:
    """(ny, nx) medians of uint8 (ny, h, nx, w) squares."""
    ny, h, nx, w = squares.shape
    values = np.ascontiguousarray(squares.transpose(0, 2, 1, 3), np.uint16).reshape(ny, nx, h * w)
    middle = [(h * w - 1) // 2, h * w // 2]
    return np.asarray(np.partition(values, middle, axis=2)[..., middle].mean(axis=2), np.float32)


def _measure_stroke_level(ink: Grey) -> float:
    """Darkness of a typical stroke: the mean of the darkest pixels."""
    return float(ink[ink >= np.quantile(ink[::3, ::3], STROKE_QUANTILE)].mean())


def _close_strokes(squares: Grey, level: Grey, upright: Grey, options: GridOptions) -> None:
    """Close strokes where they cross a dark line, under which ink cannot be told from the line, in place.

    ``squares``: ink (ny, SQUARE_Y_PX, nx, SQUARE_X_PX); ``level``, ``upright``: darkness of the lines, to be broadcast.
    """
    ny, _, nx, _ = squares.shape
    ink = squares.reshape(ny * SQUARE_Y_PX, nx * SQUARE_X_PX)
    dark_line = options.min_dark_line * _measure_stroke_level(ink)
    along_y = np.ones((round(2 * options.stroke_gap_mm * Y_PX_PER_MM) | 1, 1), np.uint8)
    along_x = np.ones((1, round(2 * options.stroke_gap_mm * X_PX_PER_MM) | 1), np.uint8)
    for lines, across in ((level, along_y), (upright, along_x)):
        dark = lines > dark_line
        if dark.any():
            closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, across)
            np.copyto(squares, closed.reshape(squares.shape), where=dark)
