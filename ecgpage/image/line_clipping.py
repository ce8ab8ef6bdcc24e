"""Cut lines off at outlines."""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array

NEAR: Final = 1e-3
"""Distance up to which coordinates of a rectangle are alike."""


class Outline:
    """A closed outline and what is asked of it again and again."""

    def __init__(self, points: Array) -> None:
        """``points`` (n, 2): corners, the first of which may be repeated at the end."""
        kept = np.concatenate([[True], (np.abs(np.diff(points, axis=0)) > NEAR).any(axis=1)])
        corners = points[kept]
        if len(corners) > 1 and (np.abs(corners[0] - corners[-1]) <= NEAR).all():
            corners = corners[:-1]
        self.corners: Array = corners
        """(n, 2) corners, none repeated."""
        self.low: Array = corners.min(axis=0)
        self.high: Array = corners.max(axis=0)
        self.is_box = _is_box(corners, self.low, self.high)
        """Whether it is an upright rectangle."""


def _is_box(corners: Array, low: Array, high: Array) -> bool:
    if len(corners) != 4:
        return False
    at_edge = (np.abs(corners - low) < NEAR) | (np.abs(corners - high) < NEAR)
    steps = np.abs(corners - np.roll(corners, 1, axis=0)) > NEAR
    return bool(at_edge.all() and not steps.all(axis=1).any())


def clip_line(line: Array, outline: Outline) -> list[Array]:
    """Parts (n, 2) of a line (m, 2) within an outline, by the even-odd rule."""
    start, end = line[:-1], line[1:]
    if outline.is_box:
        spans = _spans_in_box(start, end, outline.low, outline.high)
    else:
        spans = _spans_in_outline(start, end, outline.corners)
    parts: list[Array] = []
    current: list[NDArray[np.float64]] = []
    for k, found in enumerate(spans):
        for a, b in found:
            step = end[k] - start[k]
            first, last = start[k] + a * step, end[k] if b == 1 else start[k] + b * step
            if not (current and a == 0 and np.array_equal(current[-1], start[k])):
                _keep(current, parts)
                current = [first]
            current.append(last)
    _keep(current, parts)
    return parts


def _keep(points: list[NDArray[np.float64]], parts: list[Array]) -> None:
    if len(points) > 1:
        parts.append(np.array(points))


def _spans_in_box(start: Array, end: Array, low: Array, high: Array) -> list[list[tuple[float, float]]]:
    """For each of n segments the part, 0 to 1, within a rectangle (Liang and Barsky)."""
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (low - start) / step, (high - start) / step
    flat = step == 0
    out = flat & ((start < low) | (start > high))
    first = np.where(flat, 0.0, np.minimum(a, b)).max(axis=1).clip(0, None)
    last = np.where(flat, 1.0, np.maximum(a, b)).min(axis=1).clip(None, 1)
    seen = (first < last) & ~out.any(axis=1)
    return [[(float(f), float(t))] if s else [] for f, t, s in zip(first, last, seen, strict=True)]


def _spans_in_outline(start: Array, end: Array, outline: Array) -> list[list[tuple[float, float]]]:
    """For each of n segments its parts, 0 to 1, within corners (k, 2)."""
    corners = np.vstack([outline, outline[:1]])
    edge = np.diff(corners, axis=0)
    found: list[list[tuple[float, float]]] = []
    for a, b in zip(start, end, strict=True):
        step = b - a
        cross = step[0] * edge[:, 1] - step[1] * edge[:, 0]
        away = corners[:-1] - a
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (away[:, 0] * edge[:, 1] - away[:, 1] * edge[:, 0]) / cross
            u = (away[:, 0] * step[1] - away[:, 1] * step[0]) / cross
        hits = np.unique(t[(cross != 0) & (t > 0) & (t < 1) & (u >= 0) & (u <= 1)])
        ends = [0.0, *map(float, hits), 1.0]
        middles = np.array([(p + q) / 2 for p, q in pairwise(ends)])
        within = _is_within(a + middles[:, None] * step, outline)
        found.append([(p, q) for (p, q), w in zip(pairwise(ends), within, strict=True) if w])
    return found


def _is_within(points: Array, outline: Array) -> NDArray[np.bool_]:
    """(n,) whether points (n, 2) lie within an outline, even-odd."""
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = outline.T
    x1, y1 = np.roll(outline, -1, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return np.asarray((((y0 > y) != (y1 > y)) & (x < at)).sum(axis=1) % 2 == 1)
