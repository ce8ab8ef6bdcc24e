"""Find the outline of a sheet of paper that lies on something darker or more colourful.

Only where no printed grid shows is this needed: the outline then tells the perspective (``gridless``). Paper is brighter than
the table in one of several ways; what is bright is closed over the print, its hull reduced to four sides, and each side is
fitted to the step of brightness along it. A sheet of which a side is not seen as a step is not taken.

Conventions:
    image     uint8 (H, W, 3) RGB, pixel centres at integers
    corners   (4, 2) image x, y, clockwise as seen, the first is the one nearest to the picture's upper left
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Grey, Image
from ecgpage.image.decode import brightest_channel, darkest_channel

WORK_SIDE_PX: Final = 800
"""Longer side, pixels, to which a picture is reduced."""
PRINT_SHARE: Final = 0.02
"""Width of the widest stroke over the longer side of the picture."""
MIN_AREA: Final = 0.15
"""Area of a sheet over that of the picture, at least."""
MIN_FILLED: Final = 0.8
"""Share of the four-sided outline that is bright."""
SEARCH_SHARE: Final = 0.03
"""Distance from the hull's sides within which steps are looked for, over the longer side of the picture."""
SAMPLES: Final = 80
"""Number of places along a side at which a step is looked for."""
MIN_STEP: Final = 8.0
"""Grey levels between paper and table, at least."""
NEAR_LINE: Final = 0.012
"""Distance of a step from its side's line over the longer side of the picture, at most: paper bends."""
MIN_SUPPORT: Final = 0.6
"""Share of the places along each side at which a step is near its line, at least."""
FORMATS: Final = (279.4 / 215.9, 297.0 / 210.0)
"""Width over height of letter and A4."""
SAME_FORMAT: Final = 0.05
"""Natural log of two proportions' ratio up to which they are one: margins and bent paper change them."""
USUAL_FOCAL: Final = 0.72
"""Focal length over the longer side of a picture where its perspective does not tell it: phones' 26 mm on 36 mm of film."""
FOCALS: Final = (0.6, 2.0)
"""Least and largest focal length, over the longer side of a picture, that is believed."""
MIN_SLOPES: Final = 0.01
"""Product of the perspective's two slopes, at least, for it to tell the focal length."""


def find_sheet(image: Image) -> Array | None:
    """Corners of the largest sheet that is seen as a whole; None when there is none."""
    height, width = image.shape[:2]
    scale = min(1.0, WORK_SIDE_PX / max(height, width))
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    best: tuple[float, Array] | None = None
    for paper in _isolate_paper(small):
        _, mask = cv2.threshold(paper, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        for outline in _find_outlines(np.asarray(mask, np.uint8)):
            fitted = _fit_sides(paper.astype(np.float32), outline)
            if fitted is None:
                continue
            corners, support = fitted
            value = support * cv2.contourArea(corners.astype(np.float32))
            if best is None or value > best[0]:
                best = value, corners
    return None if best is None else (best[1] + 0.5) / scale - 0.5


def measure_proportions(corners: Array, shape: tuple[int, ...]) -> float:
    """Width over height of the rectangle seen at ``corners`` in a picture of ``shape``; of a usual format when near one.

    Source: Zhang and He, Whiteboard scanning and image enhancement, Digital Signal Processing 17 (2007) 414-432, eqs. 14-21,
    with the middle of the picture as principal point.
    """
    side = max(shape[:2])
    middle = (np.array(shape[1::-1]) - 1) / 2
    upper_left, upper_right, lower_right, lower_left = (np.append((c - middle) / side, 1.0) for c in corners)
    diagonal = np.cross(upper_left, lower_right)
    k_width = (diagonal @ lower_left) / (np.cross(upper_right, lower_right) @ lower_left)
    k_height = (diagonal @ upper_right) / (np.cross(lower_left, lower_right) @ upper_right)
    across, down = k_width * upper_right - upper_left, k_height * lower_left - upper_left
    slopes = across[2] * down[2]
    focal = USUAL_FOCAL
    if abs(slopes) > MIN_SLOPES:
        focal = float(np.sqrt(max(0.0, -(across[:2] @ down[:2]) / slopes)))
    lens = np.array([1.0, 1.0, np.clip(focal, *FOCALS)])
    ratio = float(np.linalg.norm(across * lens) / np.linalg.norm(down * lens))
    usual = np.array([r for f in FORMATS for r in (f, 1 / f)])
    apart = np.abs(np.log(usual / ratio))
    return float(usual[apart.argmin()]) if apart.min() < SAME_FORMAT else ratio


def _isolate_paper(small: Image) -> Iterator[Image]:
    """Pictures (h, w) in which paper is bright and print is gone: by darkest and brightest channel, and by paleness."""
    side = max(3, int(PRINT_SHARE * max(small.shape)) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    dark, light = darkest_channel(small), brightest_channel(small)
    pale = np.rint(255.0 * dark / np.maximum(light, 1)).astype(np.uint8)
    for picture in (dark, light, pale):
        closed = cv2.morphologyEx(cv2.GaussianBlur(picture, (0, 0), 1.0), cv2.MORPH_CLOSE, kernel)
        yield np.asarray(closed, np.uint8)


def _find_outlines(mask: Image) -> Iterator[Array]:
    """Four-sided outlines (4, 2) of the bright parts that are large and well filled."""
    whole = mask.shape[0] * mask.shape[1]
    kernel = np.ones((5, 5), np.uint8)
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        area = cv2.contourArea(contour)
        if area < MIN_AREA * whole:
            continue
        quad = _reduce_to_four_sides(cv2.convexHull(contour)[:, 0].astype(np.float64))
        if quad is not None and area > MIN_FILLED * cv2.contourArea(quad.astype(np.float32)):
            yield quad


def _reduce_to_four_sides(hull: Array) -> Array | None:
    """The hull with one side after the other left out, always the one without which the outline grows least."""
    points = list(hull)
    while len(points) > 4:
        best: tuple[float, int, Array] | None = None
        n = len(points)
        for k in range(n):  # side k to k + 1 goes, its neighbours meet
            before, start, end, after = (points[(k + d) % n] for d in (-1, 0, 1, 2))
            met = _intersect_lines(before, start, after, end)
            if met is None or (met - start) @ (start - before) < 0 or (met - end) @ (end - after) < 0:
                continue
            grown = 0.5 * abs(_cross(end - start, met - start))
            if best is None or grown < best[0]:
                best = grown, k, met
        if best is None:
            return None
        _, k, met = best
        points[k] = met
        del points[(k + 1) % n]
    if len(points) < 4:
        return None
    return _order_corners(np.array(points))


def _order_corners(corners: Array) -> Array:
    """Clockwise as seen, from the one nearest to the upper left."""
    away = corners - corners.mean(axis=0)
    turned = corners[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
    return np.asarray(np.roll(turned, -int(turned.sum(axis=1).argmin()), axis=0), np.float64)


def _intersect_lines(a: Array, b: Array, c: Array, d: Array) -> Array | None:
    """Where the lines a-b and c-d meet; None when they are parallel."""
    along, other = b - a, d - c
    area = _cross(along, other)
    if abs(area) < 1e-6 * np.linalg.norm(along) * np.linalg.norm(other):
        return None
    return np.asarray(a + along * _cross(c - a, other) / area, np.float64)


def _cross(a: Array, b: Array) -> float:
    """Of the parallelogram of two vectors (2,), positive when b is clockwise from a as seen."""
    return float(a[0] * b[1] - a[1] * b[0])


def _fit_sides(paper: Grey, outline: Array) -> tuple[Array, float] | None:
    """Corners where the lines through the steps along the sides of ``outline`` meet, and the least support of a side."""
    lines, supports = [], []
    for k in range(4):
        start, end = outline[k], outline[(k + 1) % 4]
        found = _fit_step_line(paper, start, end)
        if found is None:
            return None
        lines.append(found[0])
        supports.append(found[1])
    corners = []
    for k in range(4):
        met = _intersect_lines(*lines[k - 1], *lines[k])
        if met is None:
            return None
        corners.append(met)
    return np.array(corners), min(supports)


def _fit_step_line(paper: Grey, start: Array, end: Array) -> tuple[tuple[Array, Array], float] | None:
    """Two points on the line through the steps from table to paper near start-end (paper on its right, y down); also the
    share of places with such a step.
    """
    reach = SEARCH_SHARE * max(paper.shape)
    along = (end - start) / np.linalg.norm(end - start)
    outwards = np.array([along[1], -along[0]])
    share = np.linspace(0.04, 0.96, SAMPLES)
    offsets = np.arange(-reach, reach + 0.5, 0.5)
    at = (start + share[:, None] * (end - start))[:, None] + offsets[:, None] * outwards
    inside = ((at > 0.5) & (at < np.array(paper.shape[::-1]) - 1.5)).all(axis=-1)
    seen = cv2.remap(paper, at[..., 0].astype(np.float32), at[..., 1].astype(np.float32), cv2.INTER_LINEAR)
    width = 4  # 2 px
    step = seen[:, : -2 * width] - seen[:, 2 * width :]
    step = np.where(inside[:, : -2 * width] & inside[:, 2 * width :], step, 0.0)
    best = step.argmax(axis=1)
    found = step.max(axis=1) > MIN_STEP
    if found.mean() < MIN_SUPPORT:
        return None
    points = at[np.arange(SAMPLES), best + width][found]
    near = NEAR_LINE * max(paper.shape)
    for _ in range(3):
        fit = cv2.fitLine(points.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel().astype(np.float64)
        direction, origin = fit[:2], fit[2:]
        apart = np.abs((points - origin) @ np.array([-direction[1], direction[0]]))
        kept = apart < max(near, float(np.quantile(apart, 0.6)))
        last = points
        points = points[kept]
        if len(points) == len(last):
            break
    support = (
        float((np.abs((last - origin) @ np.array([-direction[1], direction[0]])) < near).sum()) / SAMPLES
    )
    if support < MIN_SUPPORT:
        return None
    return (origin, origin + direction), support
