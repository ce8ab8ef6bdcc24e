"""Smooth map between a picture and the flat page: lens, perspective and the relief of the paper in one.

Conventions:
    image   positions (n, 2) x, y in pixels, pixel centres at integers
    sheet   positions, mm, in the plane of flat paper, axes of the page
    page    positions, mm, on the paper itself; equal to sheet where the paper is flat

The map is defined from image to page, the direction in which pictures are drawn: lens polynomial, then
homography to the sheet, then a displacement (cubic spline through a lattice) that holds folds, wrinkles
and curvature. The inverse solves these equations by iteration.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Displacement:
    """Page minus sheet position, as cubic B-spline coefficients on a square lattice."""

    coefficients: NDArray[np.float64]
    """(2, rows, columns), for x and y, mm."""
    values: NDArray[np.float64]
    """(2, rows, columns) values of the spline at its lattice points, mm."""
    origin: float
    """Sheet coordinate, mm, of the first lattice point on both axes."""
    step: float

    def __call__(self, sheet: Points) -> Points:
        """Displacement (n, 2), mm, at ``sheet`` (n, 2); beyond the lattice, that of its edge."""
        return self._interpolate(sheet, self.coefficients, order=3)

    def roughly(self, sheet: Points) -> Points:
        """Displacement (n, 2), mm, by linear interpolation: five times faster, for first guesses."""
        return self._interpolate(sheet, self.values, order=1)

    def _interpolate(self, sheet: Points, lattices: NDArray[np.float64], order: Literal[1, 3]) -> Points:
        at = (sheet[:, ::-1].T - self.origin) / self.step
        taken = [
            ndimage.map_coordinates(v, at, order=order, mode="nearest", prefilter=False) for v in lattices
        ]
        return np.stack(taken, axis=1)


def spline_displacement(values: NDArray[np.float64], origin: float, step: float) -> Displacement:
    """Displacement that takes ``values`` (2, rows, columns) mm at its lattice points."""
    coefficients = np.stack([ndimage.spline_filter(v, order=3, mode="nearest") for v in values])
    return Displacement(coefficients, values, origin, step)


@dataclass(frozen=True)
class PageMap:
    """Map between image and page, exact in both directions."""

    to_sheet: NDArray[np.float64]
    """(3, 3) homography, undistorted image to sheet."""
    centre: tuple[float, float] = (0.0, 0.0)
    """Principal point of the lens, px."""
    lens: tuple[float, float] = (0.0, 0.0)
    """Radial terms of undistortion: p - c grows by 1 + lens[0] r^2 + lens[1] r^4, r in units of ``focal``."""
    focal: float = 1000.0
    displacement: Displacement | None = None
    iterations: int = field(default=30, repr=False)

    def page_from_image(self, image: Points) -> Points:
        """Page positions (n, 2), mm, seen at image positions (n, 2), px."""
        sheet = self.sheet_from_image(image)
        return sheet if self.displacement is None else sheet + self.displacement(sheet)

    def sheet_from_image(self, image: Points) -> Points:
        """Sheet positions (n, 2), mm, behind image positions (n, 2), px."""
        return apply_homography(self.to_sheet, self._undistort(image))

    def image_from_page(self, page: Points) -> Points:
        """Image positions (n, 2), px, of page positions (n, 2), mm; NaN stays NaN."""
        to_image = np.asarray(np.linalg.inv(self.to_sheet), np.float64)
        return self._distort(apply_homography(to_image, self._sheet_from_page(page)))

    def px_per_mm(self, page: tuple[float, float]) -> float:
        """Mean scale, px/mm, of the picture at a page position: square root of the area's magnification."""
        x, y = page
        around = np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]], np.float64)
        seen = self.image_from_page(around)
        across, down = seen[1] - seen[0], seen[3] - seen[2]
        return float(np.sqrt(abs(across[0] * down[1] - across[1] * down[0])))

    def _undistort(self, image: Points) -> Points:
        centre = np.array(self.centre, np.float64)
        ray = (image - centre) / self.focal
        r2 = (ray**2).sum(axis=1, keepdims=True)
        return centre + (image - centre) * (1 + self.lens[0] * r2 + self.lens[1] * r2**2)

    def _distort(self, straight: Points) -> Points:
        if self.lens == (0.0, 0.0):
            return straight
        centre = np.array(self.centre, np.float64)
        image = straight
        for _ in range(self.iterations):
            r2 = (((image - centre) / self.focal) ** 2).sum(axis=1, keepdims=True)
            better = centre + (straight - centre) / (1 + self.lens[0] * r2 + self.lens[1] * r2**2)
            change = np.nanmax(np.abs(better - image), initial=0.0)
            image = better
            if change < 1e-9:
                break
        return image

    def _sheet_from_page(self, page: Points) -> Points:
        if self.displacement is None:
            return page
        sheet = page.copy()
        known = np.isfinite(page).all(axis=1)
        target = page[known]
        guess = target.copy()
        for evaluate, tolerance in ((self.displacement.roughly, 1e-3), (self.displacement, 1e-8)):
            for _ in range(self.iterations):
                change = target - (guess + evaluate(guess))
                guess += change
                if np.abs(change).max(initial=0.0) < tolerance:
                    break
        sheet[known] = guess
        return sheet


def flat_map(dpi: float, corner: tuple[float, float] = (0.0, 0.0)) -> PageMap:
    """Map of a page drawn upright at ``dpi`` whose top-left corner lies at edge pixel ``corner``."""
    mm = 25.4 / dpi
    to_sheet = [[mm, 0, (0.5 - corner[0]) * mm], [0, mm, (0.5 - corner[1]) * mm], [0, 0, 1]]
    return PageMap(np.array(to_sheet, np.float64))


def apply_homography(matrix: NDArray[np.float64], points: Points) -> Points:
    """Projective map (3, 3) of points (n, 2)."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def camera_homography(
    page_size: tuple[float, float],
    image_size: tuple[int, int],
    *,
    rotation: float,
    tilt: float,
    tilt_towards: float,
    fill: float,
    offset: tuple[float, float] = (0.0, 0.0),
    distance: float = 400.0,
    px_per_mm: float | None = None,
) -> NDArray[np.float64]:
    """Sheet to undistorted image (3, 3) for a pinhole camera above the page.

    ``page_size`` (width, height) mm, ``image_size`` (width, height) px, angles in degrees: ``rotation``
    of the page in the picture (clockwise), ``tilt`` of the camera away from the perpendicular, in the
    direction ``tilt_towards``. The bounding box of the sheet fills the part ``fill`` of the picture along
    the tighter axis, moved by ``offset`` (fractions of the picture); ``px_per_mm`` sets the scale in the
    middle instead.
    """
    r, t, d = np.deg2rad([rotation, tilt, tilt_towards])
    turn = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    to_axis = np.array([[np.cos(d), np.sin(d), 0], [-np.sin(d), np.cos(d), 0], [0, 0, 1]])
    lean = np.array([[np.cos(t), 0, np.sin(t)], [0, 1, 0], [-np.sin(t), 0, np.cos(t)]])
    pose = to_axis.T @ lean @ to_axis @ turn
    middle = np.array([[1, 0, -page_size[0] / 2], [0, 1, -page_size[1] / 2], [0, 0, 1]])
    project = np.stack([pose[:, 0], pose[:, 1], [0, 0, distance]], axis=1) @ middle
    corners = apply_homography(project, rectangle_corners(page_size))
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.array(image_size, np.float64)
    scale = fill * float((size / (high - low)).min()) if px_per_mm is None else px_per_mm * distance
    shift = size * (0.5 + np.array(offset)) - 0.5 - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]) @ project


def rectangle_corners(size: tuple[float, float]) -> Points:
    """Corners (4, 2) of the rectangle from the origin, clockwise from the top-left."""
    width, height = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
