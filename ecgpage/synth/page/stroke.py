"""Cover pixels with ink: traces, straight strokes, and blending, all anti-aliased.

Conventions:
    edge coordinates    pixel (r, c) covers [c, c + 1) x [r, r + 1); a pixel centre lies at (c + 0.5, r + 0.5)
    coverage            float32 in [0, 1], inked share of the pixel
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]

SUBCOLUMNS = 6
"""Number of vertical slices of a pixel column; each is covered exactly along y."""
ANGLES = 15
"""Number of directions in which the round pen's rim is sampled, from -90 to 90 degrees."""


@dataclass(frozen=True)
class Patch:
    """Coverage of a rectangle of the image whose top-left pixel is (``row``, ``col``)."""

    row: int
    col: int
    coverage: Coverage


def stroke_trace(
    x: NDArray[np.float64], y: NDArray[np.float64], width: float, shape: tuple[int, int]
) -> Patch | None:
    """Draw a curve that runs from left to right with a round pen.

    ``x`` (n,) increasing and ``y`` (n,) in edge pixels, ``width`` in pixels, ``shape`` = (rows, columns).
    What the pen covers on a vertical line at x is one interval, from min to max over the rim angle a of
    y(x + w sin a) -/+ w cos a, w = width / 2; so the coverage follows without any supersampled image.
    Returns None when nothing falls into the image.
    """
    if len(x) == 0:
        return None
    half = width / 2
    first = max(int(np.floor(x[0] - half)), 0)
    last = min(int(np.ceil(x[-1] + half)), shape[1])
    if first >= last:
        return None
    low, high = max(int(np.searchsorted(x, first - half)) - 1, 0), int(np.searchsorted(x, last + half)) + 1
    x, y = x[low:high], y[low:high]
    if y.max() < -half or y.min() > shape[0] + half:
        return None
    top, bottom = _pen_interval(x, y, half, first, last)
    row = int(np.clip(np.floor(top.min()), 0, shape[0]))
    height = int(np.clip(np.ceil(bottom.max()), 0, shape[0])) - row
    if height <= 0:
        return None
    return Patch(row, first, _fill_intervals(top - row, bottom - row, height))


def _pen_interval(
    x: NDArray[np.float64], y: NDArray[np.float64], half: float, first: int, last: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Top and bottom of the inked interval in each sub-column of the columns ``first`` to ``last``."""
    centre = first + (np.arange((last - first) * SUBCOLUMNS) + 0.5) / SUBCOLUMNS
    top = np.full(len(centre), np.inf)
    bottom = np.full(len(centre), -np.inf)
    for angle in np.linspace(-np.pi / 2, np.pi / 2, ANGLES):
        at = centre + half * np.sin(angle)
        path = np.interp(at, x, y, left=np.nan, right=np.nan)
        rise = half * np.cos(angle)
        np.fmin(top, path - rise, out=top)
        np.fmax(bottom, path + rise, out=bottom)
    # sharp tips lie between the sampled rims: put the pen down on each vertex as well
    seen = (x >= first) & (x < last)
    cell = ((x[seen] - first) * SUBCOLUMNS).astype(np.intp)
    np.minimum.at(top, cell, y[seen] - half)
    np.maximum.at(bottom, cell, y[seen] + half)
    empty = top > bottom
    top[empty] = bottom[empty] = y[0]
    return top, bottom


def _fill_intervals(top: NDArray[np.float64], bottom: NDArray[np.float64], height: int) -> Coverage:
    """Coverage (height, n / SUBCOLUMNS) of [top, bottom]: edges are splatted, then summed downwards."""
    columns = len(top) // SUBCOLUMNS
    column = np.repeat(np.arange(columns), SUBCOLUMNS)
    change = np.zeros((height + 2) * columns)
    for edge, sign in ((top, 1.0), (bottom, -1.0)):
        edge = np.clip(edge, 0, height)  # noqa: PLW2901
        row = edge.astype(np.intp)
        part = edge - row
        at = row * columns + column
        change += np.bincount(at, sign * (1 - part), len(change))
        change += np.bincount(at + columns, sign * part, len(change))
    change = change.reshape(height + 2, columns)[:height].astype(np.float32)
    coverage = np.cumsum(change, axis=0, dtype=np.float32)
    coverage *= np.float32(1 / SUBCOLUMNS)
    return np.clip(coverage, 0, 1, out=coverage)


def worn(patch: Patch, wear: float, width: float) -> Patch:
    """Stroke with ink missing in spots some pen widths long, like print of weak toner and worn thermal heads."""
    rng = np.random.default_rng((patch.row, patch.col, int(wear * 1e6)))
    columns = patch.coverage.shape[1]
    knots = max(int(columns / (3 * width)), 2)
    spots = np.interp(np.linspace(0, knots - 1, columns), np.arange(knots), rng.beta(0.7, 1.6, knots))
    keep = (1 - wear * spots).astype(np.float32)
    return Patch(patch.row, patch.col, patch.coverage * keep)


def span_coverage(low: float, high: float, length: int) -> tuple[int, NDArray[np.float32]]:
    """First pixel and coverage of the pixels that the interval [low, high] touches, cut to [0, length)."""
    low, high = max(low, 0.0), min(high, float(length))
    if high <= low:
        return 0, np.zeros(0, np.float32)
    first, last = int(np.floor(low)), int(np.ceil(high))
    edge = np.arange(first, last + 1, dtype=np.float64)
    return first, np.diff(np.clip(edge, low, high)).astype(np.float32)


def stroke_box(box: tuple[float, float, float, float], shape: tuple[int, int]) -> Patch:
    """Filled upright rectangle (x0, y0, x1, y1) in edge pixels."""
    col, across = span_coverage(box[0], box[2], shape[1])
    row, down = span_coverage(box[1], box[3], shape[0])
    return Patch(row, col, np.outer(down, across).astype(np.float32))


def blend(image: NDArray[np.uint8], patch: Patch, color: tuple[float, float, float]) -> None:
    """Lay ink of ``color`` (RGB, 0-255) over ``image`` (H, W, 3) in place; parts outside are dropped."""
    top, left = max(patch.row, 0), max(patch.col, 0)
    bottom = min(patch.row + patch.coverage.shape[0], image.shape[0])
    right = min(patch.col + patch.coverage.shape[1], image.shape[1])
    if bottom <= top or right <= left:
        return
    coverage = patch.coverage[top - patch.row : bottom - patch.row, left - patch.col : right - patch.col]
    row, column = np.divmod(np.flatnonzero(coverage > 1 / 512), right - left)
    if len(row) == 0:
        return
    alpha = coverage[row, column][:, None]
    row, column = row + top, column + left
    old = image[row, column].astype(np.float32)
    image[row, column] = (old + (np.array(color, np.float32) - old) * alpha + 0.5).astype(np.uint8)
