"""Shape of the paper: one height field gives both the displacement of the print and its shading.

Heights are in mm over the sheet's plane, on a lattice of ``STEP`` mm that reaches ``PAD`` mm beyond the
page on all sides.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator

from ecgpage.synth.scene.page_map import Displacement, spline_displacement

STEP: Final = 1.5
"""Distance, mm, of the lattice's points."""
PAD: Final = 30.0
"""Reach, mm, of the lattice beyond the page."""
EDGE: Final = 0.8
"""Standard deviation, mm, of the smoothing of edges between facets."""
MAX_SLOPE: Final = 0.7
"""Slope, rise over run, of the paper, at most."""

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """Crease along a straight line: normal direction, distance from the page's centre, change of slope."""

    angle: float
    distance: float
    bend: float


@dataclass(frozen=True)
class ReliefSpec:
    """Strengths of the paper's bending; slopes are rise over run."""

    curl: float = 0.0
    """Sag, mm, of the paper over its length: a cylinder."""
    curl_angle: float = 0.0
    """Direction, radians, along which the paper is bent."""
    book: float = 0.0
    """Rise, mm, towards one edge, as in a bound book."""
    folds: tuple[Fold, ...] = ()
    crumples: int = 0
    """Number of local creases."""
    crumple_slope: float = 0.0
    facets: int = 0
    """Number of corners of the flat facets of crushed paper, which meet at sharp edges."""
    facet_slope: float = 0.0
    """Mean slope of the facets."""
    wave: float = 0.0
    """Standard deviation, mm, of a smooth random relief."""
    feed: float = 0.0
    """Standard deviation, mm, of the displacement by a scanner's uneven transport, which bends no paper."""
    feed_down: bool = False
    """Whether the paper ran along y, not along x."""


@dataclass(frozen=True)
class Relief:
    """Height field over a page."""

    height: Field
    """(rows, columns) heights, mm."""
    transport: Field | None = None
    """(rows or 1, 1 or columns) lead, mm, of a scanner's feed, see ``ReliefSpec.feed``."""
    transport_down: bool = False

    def normals(self) -> tuple[Field, Field]:
        """Slopes along x and y at the lattice points."""
        along_y, along_x = (np.asarray(g, np.float64) for g in np.gradient(self.height, STEP))
        return along_x, along_y

    def displacement(self, camera: tuple[float, float], distance: float) -> Displacement:
        """Page minus sheet position for a camera above the sheet position ``camera`` at ``distance`` mm.

        It has two parts: rising paper covers less of the sheet than its length (arc length minus its
        projection), and higher points are seen farther from the camera's foot.
        """
        slope_x, slope_y = self.normals()
        rows, columns = self.height.shape
        arc = [
            _excess_length(slope_x, axis=1),
            _excess_length(slope_y, axis=0),
        ]
        x = np.arange(columns, dtype=np.float64) * STEP - PAD - camera[0]
        y = np.arange(rows, dtype=np.float64)[:, None] * STEP - PAD - camera[1]
        if self.transport is not None:
            arc[self.transport_down] = arc[self.transport_down] + self.transport
        parallax = self.height / distance
        return spline_displacement(np.stack([arc[0] - parallax * x, arc[1] - parallax * y]), -PAD, STEP)

    def shading(self, light: tuple[float, float], elevation: float) -> Field:
        """Lambert shading relative to flat paper for light from the direction ``light``, ``elevation``
        radians high.
        """
        slope_x, slope_y = self.normals()
        toward = np.array(light) / max(float(np.hypot(*light)), 1e-9) / np.tan(elevation)
        facing = 1 - slope_x * toward[0] - slope_y * toward[1]
        return np.clip(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0.2, 1.8)


def _excess_length(slope: Field, axis: int) -> Field:
    """Arc length minus projected length, mm, along ``axis`` from the middle, without the overall scale."""
    excess = np.sqrt(1 + slope**2) - 1
    excess -= excess.mean()
    length = np.cumsum(excess, axis=axis) * STEP
    length -= np.take(length, [length.shape[axis] // 2], axis=axis)
    # paper does not stretch: neighbouring lines keep their distance, so the excess is shared across the axis
    return np.asarray(ndimage.gaussian_filter1d(length, 12 / STEP, axis=1 - axis), np.float64)


def make_relief(spec: ReliefSpec, page_size: tuple[float, float], rng: np.random.Generator) -> Relief:
    """Relief of a page of ``page_size`` (width, height) mm."""
    width, height = page_size
    x = np.arange(-PAD, width + PAD + STEP, STEP)[None, :] - width / 2
    y = np.arange(-PAD, height + PAD + STEP, STEP)[:, None] - height / 2
    field = np.zeros((y.size, x.size))
    if spec.curl:
        along = x * np.cos(spec.curl_angle) + y * np.sin(spec.curl_angle)
        field += spec.curl * (1 - (2 * along / width) ** 2)
    if spec.book:
        along = x * np.cos(spec.curl_angle) + y * np.sin(spec.curl_angle)
        field += spec.book * np.exp((along - width / 2) / 40)
    for fold in spec.folds:
        across = x * np.cos(fold.angle) + y * np.sin(fold.angle) - fold.distance
        field += fold.bend / 2 * (np.sqrt(across**2 + 1.5**2) - abs(fold.distance))
    field += _crumples(spec, x, y, rng)
    if spec.facets:
        field += _facets(spec, x, y, rng)
    if spec.wave:
        noise = ndimage.gaussian_filter(rng.standard_normal(field.shape), 22 / STEP)
        field += noise * (spec.wave / max(noise.std(), 1e-12))
    transport = _transport(spec, y if spec.feed_down else x, rng) if spec.feed else None
    return replace(_tamed(Relief(_levelled(field, x, y))), transport=transport, transport_down=spec.feed_down)


def _tamed(relief: Relief) -> Relief:
    """Relief flattened to ``MAX_SLOPE``: a steeper one would hide parts of itself."""
    steepest = float(np.hypot(*relief.normals()).max())
    return relief if steepest <= MAX_SLOPE else Relief(relief.height * (MAX_SLOPE / steepest))


def _transport(spec: ReliefSpec, along: Field, rng: np.random.Generator) -> Field:
    """Lead of an uneven feed: stretches of slightly different speed, and a few stutters."""
    knots = np.sort(rng.uniform(along.min(), along.max(), 4))
    speed = rng.normal(0, 1, 5)[np.searchsorted(knots, along)]
    drift = np.cumsum(speed.ravel()).reshape(along.shape)
    at, width = rng.uniform(along.min(), along.max()), float(rng.uniform(5, 25))
    stutter = rng.standard_normal(along.shape) * np.exp(-(((along - at) / width) ** 2) / 2)
    parts = [ndimage.gaussian_filter(v, 3 / STEP, mode="nearest") for v in (drift - drift.mean(), stutter)]
    drift, stutter = (v / max(float(v.std()), 1e-9) for v in parts)
    course = drift + float(rng.uniform(0, 0.5)) * stutter
    return np.asarray(course * (spec.feed / max(float(course.std()), 1e-9)), np.float64)


def _crumples(spec: ReliefSpec, x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Many short creases of crushed paper, each within its own neighbourhood."""
    field = np.zeros((y.size, x.size))
    for _ in range(spec.crumples):
        reach = float(np.exp(rng.uniform(np.log(8), np.log(60))))
        px, py = rng.uniform(x.min(), x.max()), rng.uniform(y.min(), y.max())
        angle = rng.uniform(0, np.pi)
        columns = np.abs(x[0] - px) < 3 * reach
        rows = np.abs(y[:, 0] - py) < 3 * reach
        dx, dy = x[:, columns] - px, y[rows] - py
        across = dx * np.cos(angle) + dy * np.sin(angle)
        ridge = np.sqrt(across**2 + 1.2**2) * np.exp(-(dx**2 + dy**2) / (2 * reach**2))
        field[np.ix_(rows, columns)] += rng.normal(0, spec.crumple_slope) * ridge
    return field


def _facets(spec: ReliefSpec, x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Crushed paper: flat triangles between points of random height, and smaller ones within them."""
    field = np.zeros((y.size, x.size))
    grid = np.stack(np.meshgrid(x[0], y[:, 0]), axis=-1).reshape(-1, 2)
    for count, share in ((spec.facets // 6, 0.6), (spec.facets, 1.0)):
        # a shaken lattice that reaches beyond the sheet: thin triangles would be steep
        step = float(np.sqrt(np.ptp(x) * np.ptp(y) / max(count, 4)))
        places = [np.arange(v.min() - 1.5 * step, v.max() + 2 * step, step) for v in (x, y)]
        points = np.stack(np.meshgrid(*places), axis=-1).reshape(-1, 2)
        points += rng.uniform(-0.4, 0.4, points.shape) * step
        heights = rng.normal(0, 1, len(points))
        patch = LinearNDInterpolator(points, heights)(grid).reshape(field.shape)
        patch = ndimage.gaussian_filter(np.nan_to_num(patch), EDGE / STEP)
        field += patch * (share / max(float(np.hypot(*np.gradient(patch, STEP)).std()), 1e-9))
    return np.asarray(field * (spec.facet_slope / np.hypot(*np.gradient(field, STEP)).mean()), np.float64)


def _levelled(field: Field, x: Field, y: Field) -> Field:
    """Field without its best-fitting plane: tilts are the camera's."""
    field = field - field.mean()
    field = field - x * float((field * x).mean() / (x**2).mean())
    return field - y * float((field * y).mean() / (y**2).mean())


def random_folds(
    count: int, bend: float, page_size: tuple[float, float], rng: np.random.Generator
) -> tuple[Fold, ...]:
    """Creases of folded letters: halves, thirds, or a corner."""
    width, height = page_size
    folds = []
    for _ in range(count):
        kind = rng.random()
        slope = float(rng.normal(0, bend))
        jitter = float(rng.normal(0, 3))
        if kind < 0.3:
            folds.append(
                Fold(
                    np.pi / 2 + float(rng.normal(0, 0.02)),
                    rng.choice([-1, 0, 1]) * height / 6 + jitter,
                    slope,
                )
            )
        elif kind < 0.65:
            folds.append(Fold(float(rng.normal(0, 0.02)), rng.choice([-1, 0, 1]) * width / 6 + jitter, slope))
        else:
            folds.append(Fold(float(rng.uniform(0, np.pi)), float(rng.uniform(-0.35, 0.35)) * width, slope))
    return tuple(folds)
