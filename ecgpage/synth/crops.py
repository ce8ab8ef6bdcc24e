"""Training crops of one lead, drawn straight from the page model.

A crop is the input of the trace network: one lead, resampled once from the picture, at 10 px/mm along time
and 8 px/mm along voltage, 20 mm above and below the lead's baseline. It is drawn in the order of its making:
a region of a page at a camera's resolution with ink, light, noise and compression, then one resampling with
the small errors that image, grid and layout stages leave.

Conventions:
    crop    uint8 (CROP_ROWS, width) grey; edge coordinates, the nominal baseline runs at row CROP_ROWS / 2
    column  half a pixel: 0.05 mm, 2 ms at 25 mm/s
    values  millivolts at 10 mm/mV, that is mm / 10, whatever the page's gain
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Rng
from ecgpage.synth.page.challenge import challenge_page
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.looks import A4, random_grid, random_plotter, random_style
from ecgpage.synth.page.model import Color, Page, Segment, segment_path
from ecgpage.synth.page.region import draw_region
from ecgpage.synth.scene import camera, light, marks
from ecgpage.synth.signal_artifacts import add_artifacts

PX_PER_MM_TIME: Final = 10.0
"""Resolution, px/mm, along time."""
PX_PER_MM_VOLTAGE: Final = 8.0
"""Resolution, px/mm, along voltage."""
HALF_HEIGHT: Final = 20.0
"""Height, mm, of a crop above and below the baseline."""
CROP_ROWS: Final = round(2 * HALF_HEIGHT * PX_PER_MM_VOLTAGE)
"""Height, px, of a crop."""
MM_PER_MV: Final = 10.0
"""Gain, mm/mV, by which heights count as voltage."""
STRIDE: Final = 16
"""Distance, px, of the points at which the errors of earlier stages are evaluated; linear between them."""
PAD: Final = 2.5
"""Width, mm, drawn beyond the crop, for the errors of the earlier stages."""

CROP_MARKS: Final = (
    ("fading", 0.1), ("thermal", 0.05), ("stains", 0.05), ("handwriting", 0.08), ("pen_marks", 0.05),
)  # fmt: skip
"""Marks with their chances in a crop."""

Values = NDArray[np.float32]
__all__ = [
    "CROP_ROWS",
    "HALF_HEIGHT",
    "PX_PER_MM_TIME",
    "PX_PER_MM_VOLTAGE",
    "Crop",
    "draw_crop",
    "per_column",
]


@dataclass(frozen=True)
class Crop:
    """One crop and what stands in it; arrays have one value a half pixel, (2 * width,)."""

    image: Image
    """(CROP_ROWS, width) picture, grey."""
    target: Values
    """Height of the trace in each column, mV; 0 where nothing is drawn. A coarse plotter's ink lies beside it.
    """
    visible: NDArray[np.bool_]
    """Whether the lead is drawn in each column, within the crop, and not hidden by a hole or something opaque."""
    true: Values
    """Signal, mV, of the lead at each column's nominal time: ``target`` without the errors of earlier stages.
    """
    lead: str


@dataclass(frozen=True)
class _Warp:
    """Map from crop to region edge coordinates: nominal scale plus small errors on a lattice."""

    scale: tuple[float, float]
    """Region pixels per crop pixel, x and y."""
    origin: tuple[float, float]
    """Region position of the crop's corner."""
    error: NDArray[np.float32]
    """(rows, columns, 2) further displacement, region pixels, on the lattice of ``_lattice``."""
    shape: tuple[int, int]
    """Rows and columns of the crop."""

    def remap_table(self) -> NDArray[np.float32]:
        """Region position of each crop pixel's centre, pixel centres at integers."""
        column, row = _lattice(self.shape)
        nodes = self.error.copy()
        nodes[..., 0] += column * self.scale[0] + self.origin[0] - 0.5
        nodes[..., 1] += (row * self.scale[1] + self.origin[1] - 0.5)[:, None]
        size = (nodes.shape[1] * STRIDE, nodes.shape[0] * STRIDE)
        table = np.asarray(cv2.resize(nodes, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return table[STRIDE : STRIDE + self.shape[0], STRIDE : STRIDE + self.shape[1]]

    def to_crop(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Crop position (edge coordinates) of region points."""
        column, row = (x - self.origin[0]) / self.scale[0], (y - self.origin[1]) / self.scale[1]
        goal = column.copy(), row.copy()
        second: Any = None
        for _ in range(3):
            at = (np.stack([column, row], axis=-1) / STRIDE + 0.5).astype(np.float32)[None]
            moved = cv2.remap(self.error, at, second, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            column, row = goal[0] - moved[:, 0] / self.scale[0], goal[1] - moved[:, 1] / self.scale[1]
        return column, row


def draw_crop(
    signal: NDArray[np.floating],
    fs: float,
    rng: Rng,
    *,
    width: int = 512,
    page: Page | None = None,
    difficulty: float = 1.0,
) -> Crop:
    """Draw one crop of a random lead of ``signal`` (n_samples, 12) mV at ``fs`` Hz.

    ``page`` fixes the page's layout and style, which are otherwise random; ``difficulty`` scales blur, noise,
    marks and the errors of the earlier stages.
    """
    signal = add_artifacts(signal, fs, rng, chance=0.12)
    if page is None:
        page = _any_page(len(signal), fs, rng)
    segment = _choose_segment(page, rng)
    mm_left = _choose_start(page, segment, width / PX_PER_MM_TIME, rng)
    low = 3.2 if rng.random() < 0.12 else 5.0
    # in steps, so that sizes of letters repeat
    scale = round(float(np.exp(rng.uniform(np.log(low), np.log(11.5)))), 1)
    box = (
        mm_left - PAD,
        segment.baseline - HALF_HEIGHT - PAD,
        mm_left + width / PX_PER_MM_TIME + PAD,
        segment.baseline + HALF_HEIGHT + PAD,
    )
    region, corner = draw_region(page, signal, box, scale)
    covered = _cover(region, scale, corner, rng) if rng.random() < 0.06 * difficulty else None
    grey = _expose(region, scale, difficulty, rng)
    offset = (mm_left - corner[0], segment.baseline - HALF_HEIGHT - corner[1])
    warp = _errors(width, scale, offset, difficulty, rng)
    second: Any = None
    image = cv2.remap(
        grey, warp.remap_table(), second, cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    x, y = segment_path(page, segment, signal)
    near = (x > box[0]) & (x < box[2])
    near[:2] = True
    x, y = x[near], y[near]
    column, row = warp.to_crop((x - corner[0]) * scale, (y - corner[1]) * scale)
    if covered is not None:
        row = np.where(covered.at(np.stack([x, y], axis=1)), np.nan, row)
    target, visible = per_column(column, row, width)
    nominal = (x - mm_left) * PX_PER_MM_TIME, (y - segment.baseline + HALF_HEIGHT) * PX_PER_MM_VOLTAGE
    true, _ = per_column(*nominal, width)
    return Crop(np.asarray(image, np.uint8), target, visible, true, segment.lead)


def _any_page(n_samples: int, fs: float, rng: Rng) -> Page:
    """Random page: half are the Challenge's, with grids and inks of all kinds."""
    if rng.random() < 0.5:
        return _worn(build_page(_varied(random_style(rng), rng), n_samples, fs), rng)
    page = replace(_challenge(n_samples, fs, bool(rng.random() < 0.85)), ink=_grey(float(rng.uniform(0, 90))))
    if rng.random() < 0.6:
        page = replace(page, grid=random_grid(rng))
    return _worn(replace(page, trace_width=page.trace_width * float(rng.uniform(0.7, 1.6))), rng)


@lru_cache(maxsize=8)
def _challenge(n_samples: int, fs: float, pulse: bool) -> Page:
    """Challenge's page, its header far from all leads."""
    return challenge_page(n_samples, fs, pulse=pulse)


def _varied(style: PageStyle, rng: Rng) -> PageStyle:
    """Style with close rows and other speeds and gains, more often than in practice."""
    kind = rng.random()
    if kind < 0.12:
        pitch, bottom = float(rng.uniform(12, 16)), float(rng.uniform(3, 10))
        width, height = A4
        paper = replace(style.paper, width=width, height=height)
        top = height - bottom - 12 * pitch
        style = replace(style, layout="12x1", paper=paper, top=top, bottom=bottom, snap_to_grid=False)
    elif kind < 0.2:
        style = replace(style, layout="6x2")
    if rng.random() < 0.05:
        style = replace(style, speed=50.0)
    if rng.random() < 0.1:
        style = replace(style, gain=float(rng.choice([5.0, 20.0])))
    if rng.random() < 0.04:
        style = replace(style, chest_gain=style.gain / 2)
    return style


def _worn(page: Page, rng: Rng) -> Page:
    """Page with, now and then, uneven ink or a coarse plotter."""
    wear = float(rng.uniform(0.2, 0.9)) if rng.random() < 0.15 else 0.0
    return replace(page, wear=wear, plotter=random_plotter(rng) if rng.random() < 0.12 else None)


def _grey(level: float) -> Color:
    return level, level, level


def _choose_segment(page: Page, rng: Rng) -> Segment:
    """Random segment of the page, longer ones more often."""
    length = np.array([s.stop - s.start for s in page.segments], np.float64) ** 0.7
    return page.segments[int(rng.choice(len(page.segments), p=length / length.sum()))]


def _choose_start(page: Page, segment: Segment, width: float, rng: Rng) -> float:
    """Left edge, mm, of a random crop, often at a lead's beginning, where names and separators stand."""
    end = segment.x0 + (segment.stop - segment.start) * page.speed / page.fs
    if rng.random() < 0.45:
        return segment.x0 - float(rng.uniform(0, 8))
    return float(rng.uniform(segment.x0 - 8, max(end - width + 8, segment.x0 - 7)))


def _cover(region: Image, scale: float, corner: tuple[float, float], rng: Rng) -> marks.Covered | None:
    """Put a hole, opaque tape or thick pen on the region, in place; returns what it hides."""
    kind = rng.random()
    if kind < 0.3:
        at = rng.uniform(0.1, 0.9, 2) * region.shape[1::-1]
        shade = float(rng.uniform(10, 150) if rng.random() < 0.8 else rng.uniform(200, 255))
        over = [marks.punch(region, (at[0], at[1]), float(rng.uniform(2.2, 3.6)) * scale, shade)]
    else:
        over = marks.lay_on("tape" if kind < 0.45 else "marker", region, scale, rng)
    origin = (-corner[0] * scale, -corner[1] * scale)
    return marks.covered(over, (region.shape[0], region.shape[1]), scale, origin)


def _expose(region: Image, scale: float, difficulty: float, rng: Rng) -> Image:
    """Grey picture (h, w) of the RGB region with marks, light, camera and file."""
    for name, chance in CROP_MARKS:
        if rng.random() < chance * difficulty:
            marks.MARKS[name](region, scale, rng)
    if rng.random() < 0.08 * difficulty:
        marks.toner_loss(region, scale, rng, 2)
    grey = np.asarray(cv2.cvtColor(region, cv2.COLOR_RGB2GRAY), np.uint8)
    if rng.random() < 0.75:
        grey = _lit(grey, rng)
    if rng.random() < 0.05 * difficulty:
        grey = _from_screen(grey, rng)
    return _filed(_taken(grey, scale, difficulty, rng), scale, difficulty, rng)


def _taken(grey: Image, scale: float, difficulty: float, rng: Rng) -> Image:
    """Picture after lens, sensor and the camera's processing."""
    blur = float(rng.uniform(0.3, 0.9 + 0.6 * difficulty)) * min(scale / 8, 1.3)
    grey = camera.blur(grey, blur if rng.random() < 0.85 else 0.0)
    if rng.random() < 0.1 * difficulty:
        grey = camera.motion_blur(grey, float(rng.uniform(1.5, 4)), float(rng.uniform(0, np.pi)))
    if rng.random() < 0.8:
        grey = _noisy(grey, float(rng.exponential(4.0)) * difficulty, rng)
    if rng.random() < 0.06 * difficulty:
        strength, flatten = float(rng.uniform(0.3, 1.5)), float(rng.uniform(0, 0.7))
        grey = camera.hdr(grey, strength, flatten, float(rng.uniform(0.6, 6)) * scale)
    if rng.random() < 0.4:
        grey = camera.sharpen(grey, float(rng.uniform(0, 1.5)), float(rng.uniform(0.7, 2)))
    return grey


def _filed(grey: Image, scale: float, difficulty: float, rng: Rng) -> Image:
    """Picture after contrast, one bit a pixel and compression."""
    if rng.random() < 0.5:
        table = 255 * np.linspace(0, 1, 256) ** rng.uniform(0.7, 1.5)
        low, high = rng.uniform(0, 40), rng.uniform(200, 275)
        grey = np.asarray(
            cv2.LUT(grey, np.clip(low + table * (high - low) / 255, 0, 255).astype(np.uint8)), np.uint8
        )
    if rng.random() < 0.025 * difficulty:
        grey = camera.fax(grey, scale, rng)
    elif rng.random() < (0.1 if scale > 6 else 0.04) * difficulty:
        grey = camera.one_bit(grey, rng)
    if rng.random() < 0.6:
        _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        grey = np.asarray(cv2.imdecode(np.asarray(data), cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey


def _from_screen(grey: Image, rng: Rng) -> Image:
    """Picture of a screen: waves of its pixels, their moiré, and bands of its refresh."""
    shape = (grey.shape[0], grey.shape[1])
    level = np.ones(shape, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        pitch, angle = float(np.exp(rng.uniform(np.log(1.05), np.log(25)))), float(rng.uniform(0, np.pi))
        level *= camera.screen_pattern(shape, pitch, angle, float(rng.uniform(0.04, 0.25)), rng.random())
    if rng.random() < 0.4:
        y = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
        level *= light.refresh_band(y, float(rng.uniform(0.02, 0.2)), rng)
    return np.asarray(cv2.multiply(grey, level, dtype=cv2.CV_8U), np.uint8)


def _lit(grey: Image, rng: Rng) -> Image:
    """Picture with uneven light, facets of folded paper and shadow edges."""
    rows, columns = grey.shape
    small = (max(rows // 8, 4), max(columns // 8, 4))
    unit = np.float32(1 / max(small))
    x = np.broadcast_to(np.arange(small[1], dtype=np.float32) * unit, small)
    y = np.broadcast_to(np.arange(small[0], dtype=np.float32)[:, None] * unit, small)
    level = light.gradient(x, y, float(rng.uniform(0, 0.4)), rng) * np.float32(rng.uniform(0.55, 1.02))
    if rng.random() < 0.35:
        level = level * light.shadow(x, y, float(rng.uniform(0.05, 0.5)), rng)
    if rng.random() < 0.3:  # facets on the two sides of a crease, and the crease itself
        angle, at = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4)
        across = (x - x.mean()) * np.cos(angle) + (y - y.mean()) * np.sin(angle) - at
        step = np.tanh(across / rng.uniform(0.004, 0.03))
        level = level * (1 + rng.normal(0, 0.12) * step + rng.normal(0, 0.1) * (1 - step**2))
    if rng.random() < 0.15:
        level = level * (0.85 + 0.3 * marks.blotch(small, int(rng.integers(3, 10)), rng))
    full = cv2.resize(np.asarray(level, np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(grey, full, dtype=cv2.CV_8U), np.uint8)


def _noisy(grey: Image, sigma: float, rng: Rng) -> Image:
    """Picture with grey sensor noise, now and then coarse-grained."""
    bank = camera.noise_bank(1.6 if rng.random() < 0.4 else 1.0)
    repeats = [-(-m // n) for n, m in zip(bank.shape, grey.shape, strict=True)]
    bank = np.tile(bank, repeats) if max(repeats) > 1 else bank
    row, column = (int(rng.integers(n - m + 1)) for n, m in zip(bank.shape, grey.shape, strict=True))
    pattern = bank[row : row + grey.shape[0], column : column + grey.shape[1]]
    if rng.random() < 0.5:
        pattern = pattern[::-1, ::-1]
    return np.asarray(cv2.add(grey, pattern * np.float32(min(sigma, 40.0)), dtype=cv2.CV_8U), np.uint8)


def _errors(width: int, scale: float, offset: tuple[float, float], difficulty: float, rng: Rng) -> _Warp:
    """Errors of earlier stages: offsets, scale, shear, slow waves, kinks at folds.

    ``offset`` is the crop's corner in the region, mm; ``scale`` the region's px/mm.
    """
    column, row = _lattice((CROP_ROWS, width))
    u = (column[None, :] - np.float32(width / 2)) / np.float32(PX_PER_MM_TIME)
    v = (row[:, None] - np.float32(CROP_ROWS / 2)) / np.float32(PX_PER_MM_VOLTAGE)
    wide = 4.0 if rng.random() < 0.05 else 1.0
    dx = rng.normal(0, 0.06) + rng.normal(0, 0.0015) * u + rng.normal(0, 0.004) * v
    dy = rng.normal(0, 0.15 * wide) + rng.normal(0, 0.004) * v + rng.normal(0, 0.004) * u
    dx += float(np.exp(rng.normal(np.log(0.04), 0.6))) * _wave(u.size, v.size, rng)
    dy += float(np.exp(rng.normal(np.log(0.06), 0.7))) * _wave(u.size, v.size, rng)
    for _ in range(int(rng.choice(3, p=[0.8, 0.14, 0.06]))):  # folds the map was too stiff for
        angle = rng.normal(0, 0.1) if rng.random() < 0.7 else rng.uniform(0, np.pi)
        across = u * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle))
        kink = np.abs(across - rng.uniform(across.min(), across.max()))
        dx += rng.normal(0, 0.008) * kink
        dy += rng.normal(0, 0.015) * kink
    error = np.stack([dx, dy], axis=-1).astype(np.float32) * np.float32(scale * difficulty)
    return _Warp(
        (scale / PX_PER_MM_TIME, scale / PX_PER_MM_VOLTAGE),
        (offset[0] * scale, offset[1] * scale),
        error,
        (CROP_ROWS, width),
    )


def _lattice(shape: tuple[int, int]) -> tuple[Values, Values]:
    """Crop edge coordinates of lattice columns and rows, ``STRIDE`` px apart and one beyond each side."""
    row, column = (
        (np.arange(-(-length // STRIDE) + 2, dtype=np.float32) - np.float32(0.5)) * np.float32(STRIDE)
        for length in shape
    )
    return column, row


def _wave(columns: int, rows: int, rng: Rng) -> NDArray[np.float32]:
    """Smooth unit noise (rows, columns)."""
    coarse = rng.standard_normal((3, 5)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32)


def per_column(
    column: NDArray[np.float64], row: NDArray[np.float64], width: int
) -> tuple[Values, NDArray[np.bool_]]:
    """Voltage, mV, and visibility at each half pixel's centre of a path (column, row), crop edge coordinates."""
    known = np.isfinite(row)
    at = (np.arange(2 * width) + 0.5) / 2
    if known.sum() < 2:
        return np.zeros(2 * width, np.float32), np.zeros(2 * width, np.bool_)
    here = np.interp(at, column[known], row[known])
    gap = np.interp(at, column, (~known).astype(np.float64)) > 0
    visible = (at >= column[known][0]) & (at <= column[known][-1]) & ~gap & (here >= 0) & (here <= CROP_ROWS)
    mv = (CROP_ROWS / 2 - here) / (PX_PER_MM_VOLTAGE * MM_PER_MV)
    return np.where(visible, mv, 0).astype(np.float32), np.asarray(visible, np.bool_)
