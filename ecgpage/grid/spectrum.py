"""Find the printed grid in any picture: its period, its direction and where it shows best.

No sheet, border or corner is needed: a grid is the only thing in a picture that repeats along two perpendicular
directions with one period (a wooden table has no second direction). Small tiles of the picture are Fourier-transformed,
and each period and angle is scored by the harmonics along both directions; the smaller of the two scores counts.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ecgpage.core.types import Array, Grey, Image, Light
from ecgpage.grid.options import GridOptions
from ecgpage.image.decode import darkest_channel

WORK_SIDE_PX: Final = 1800
"""Longer side, pixels, to which a picture is reduced for its spectrum."""
BLUR_PX: Final = 12.0
"""Standard deviation, working pixels, of the surroundings that contrast is measured against."""
CONTRAST_LIMIT: Final = 3.0
"""Standard deviations at which contrast is clipped."""
TILE_PX: Final = 256
"""Side, working pixels, of the tiles that are Fourier-transformed."""
TILE_STEP_PX: Final = 160
"""Working pixels from one tile to the next, about."""
PERIODS_PX: Final = np.geomspace(4, 100, 100)
"""Periods, working pixels, that are scored, 3.3 % apart."""
ANGLES_RAD: Final = np.deg2rad(np.arange(-45, 45, 1.5))
"""Directions, radians, that are scored."""
HARMONIC_WEIGHTS: Final = (0.5, 0.25, 0.25)
"""Weights of the first three harmonics of a period."""
FINE_LINES: Final = 5
"""Number of 1-mm lines to a square: on ECG paper each fifth is stronger."""
SAME_RATIO: Final = 0.05
"""Natural log of the ratio of two periods up to which they are one; PERIODS_PX are 0.033 apart."""
SAME_TURN_RAD: Final = float(np.deg2rad(4.0))
"""Radians between two directions up to which they are one; ANGLES_RAD are 1.5 degrees apart."""


@dataclass(frozen=True)
class GridFrequency:
    """One periodic grid that may be printed on the page."""

    period_px: float
    """Distance of neighbouring lines, image pixels."""
    angle_rad: float
    """Direction across the lines that are nearest to vertical, from the image's x axis towards y, in [-pi/4, pi/4)."""
    score: float
    """Mean log power of the harmonics over the best third of the tiles, above the tiles' median power."""
    seeds: Array
    """(n, 2) image x, y where it shows, best first."""

    def resembles(self, period_px: float, angle_rad: float) -> bool:
        """Whether a period, image pixels, and a direction, radians, are those of this frequency."""
        apart = abs((angle_rad - self.angle_rad + np.pi / 4) % (np.pi / 2) - np.pi / 4)
        return abs(np.log(period_px / self.period_px)) < SAME_RATIO and apart < SAME_TURN_RAD


def measure_darkness(light: Light, scale: float) -> Grey:
    """(h, w) darkness, 0 to 255, of a uint8 (H, W) picture resized by ``scale``."""
    grey = light
    while scale <= 0.5:  # halves are exact and quick
        grey = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        scale *= 2
    if scale != 1.0:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=how), np.uint8)
    return np.asarray(255 - grey, np.float32)


def normalise_contrast(dark: Grey, sigma_px: float, limit: float) -> Grey:
    """(h, w) darkness over its surroundings in local standard deviations, clipped to +-``limit``: no light and shadow."""
    detail = dark - _blur(dark, sigma_px)
    spread = _blur(detail * detail, 2 * sigma_px)
    spread += 4.0
    detail /= np.sqrt(spread, out=spread)
    return np.clip(detail, -limit, limit, out=detail)


def _blur(values: Grey, sigma_px: float) -> Grey:
    """(h, w) Gaussian blur, a wide one of the reduced picture: it has no detail to lose."""
    reduce = max(1, int(sigma_px / 4))
    if reduce == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)
    height, width = values.shape
    small = cv2.resize(values, (-(-width // reduce), -(-height // reduce)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / reduce)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


@dataclass(frozen=True)
class WorkingPicture:
    """A picture reduced to the size at which its spectrum is looked at."""

    scale: float
    """Working pixels per image pixel, at most 1."""
    dark: Grey
    """(h, w) darkness, 0 to 255."""
    contrast: Grey
    """(h, w) darkness over its surroundings, standard deviations, clipped at ``CONTRAST_LIMIT``."""


def measure_working_picture(image: Image) -> WorkingPicture:
    """Working picture of a uint8 (H, W, 3) RGB image, by its darkest colour channel."""
    scale = min(1.0, WORK_SIDE_PX / max(image.shape[:2]))
    dark = measure_darkness(darkest_channel(image), scale)
    return WorkingPicture(scale, dark, normalise_contrast(dark, BLUR_PX, CONTRAST_LIMIT))


def find_grid_frequencies(
    image: Image, *, limit: int = 4, options: GridOptions = GridOptions()
) -> list[GridFrequency]:
    """Periodic grids in a uint8 (H, W, 3) RGB image, the likeliest first; empty when there is none.

    At most ``limit`` of them fill a good part of the image, and as many more a small part.
    """
    return find_frequencies(measure_working_picture(image), limit=limit, options=options)


def find_frequencies(
    picture: WorkingPicture, *, limit: int = 4, options: GridOptions = GridOptions()
) -> list[GridFrequency]:
    """Periodic grids of ``find_grid_frequencies`` in a picture that was reduced already."""
    scale = picture.scale
    tiles, centres = _cut_tiles(picture.contrast)
    scores = _score_harmonics(tiles)
    smooth = np.stack([cv2.GaussianBlur(score, (3, 3), 0) for score in scores])
    best = scores.reshape(len(scores), -1).max(axis=1)
    top = np.argsort(-best)[: max(3, len(best) // 3)]
    # the best tiles of a small page among other things are those with its own period and angle
    few = min(len(scores), max(3, len(scores) // options.small_page_part))
    usual, closest = smooth[top].mean(axis=0), np.partition(smooth, -few, axis=0)[-few:].mean(axis=0)
    frequencies: list[GridFrequency] = []
    whole, small = _find_page_peaks(usual, options), _find_small_peaks(closest, options)
    for peak, angle in [*whole[:limit], *small[:limit]]:
        period_px, angle_rad = float(PERIODS_PX[peak] / scale), float(ANGLES_RAD[angle])
        if any(frequency.resembles(period_px, angle_rad) for frequency in frequencies):
            continue
        near = (
            scores[:, max(0, peak - 2) : peak + 3, max(0, angle - 2) : angle + 3]
            .reshape(len(scores), -1)
            .max(axis=1)
        )
        seeds = centres[np.argsort(-near)] / scale
        frequencies.append(GridFrequency(period_px, angle_rad, float(usual[peak, angle]), seeds))
    return frequencies


def _find_page_peaks(scores: Grey, options: GridOptions) -> list[tuple[int, int]]:
    """Indices of period and angle of the periods that stand out of (periods, angles) scores, best first."""
    by_period = scores.max(axis=1)
    inner = by_period[1:-1]
    is_peak = (inner >= by_period[:-2]) & (inner > by_period[2:]) & (inner > options.min_frequency_score)
    peaks = 1 + np.flatnonzero(is_peak)
    ordered = _promote_fivefold(peaks[np.argsort(-by_period[peaks])])
    return [(int(peak), int(scores[peak].argmax())) for peak in ordered]


def _find_small_peaks(scores: Grey, options: GridOptions) -> list[tuple[int, int]]:
    """Indices of period and angle of the short periods that stand out of those of like direction, best first: edges of all
    sorts lie in other directions.
    """
    highest = cv2.dilate(scores, np.ones((5, 5), np.uint8))
    is_short = np.less(PERIODS_PX, options.max_small_period_px)[:, None]
    stands_out = (scores >= highest) & (scores > options.min_frequency_score) & is_short
    stands_out[0] = False
    found = sorted(zip(*np.nonzero(stands_out), strict=True), key=lambda at: -float(scores[at]))
    return [(int(peak), int(angle)) for peak, angle in found]


def _promote_fivefold(peaks: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices of periods with a fifth or five times the first period moved up to the second place: other multiples of a
    period score well without being lines.
    """
    ratio = np.log(PERIODS_PX[peaks] / PERIODS_PX[peaks[:1]])
    is_fivefold = np.abs(np.abs(ratio) - np.log(FINE_LINES)) < SAME_RATIO
    return np.concatenate([peaks[:1], peaks[is_fivefold], peaks[1:][~is_fivefold[1:]]])


def _cut_tiles(contrast: Grey) -> tuple[Grey, Array]:
    """(n, TILE_PX, TILE_PX) windowed tiles that cover the picture, and (n, 2) x, y of their centres."""
    height, width = contrast.shape
    contrast = np.pad(contrast, ((0, max(0, TILE_PX - height)), (0, max(0, TILE_PX - width))))
    starts = [
        np.linspace(0, n - TILE_PX, max(1, round((n - TILE_PX) / TILE_STEP_PX) + 1)).astype(int)
        for n in contrast.shape
    ]
    window = np.outer(np.hanning(TILE_PX), np.hanning(TILE_PX)).astype(np.float32)
    corners = [(x, y) for y in starts[0] for x in starts[1]]
    tiles = np.stack([contrast[y : y + TILE_PX, x : x + TILE_PX] * window for x, y in corners])
    return tiles, np.array(corners, float) + TILE_PX / 2


def _score_harmonics(tiles: Grey) -> Grey:
    """(n, periods, angles) weighted log power of three harmonics, the weaker of two perpendicular directions."""
    spectrum = np.abs(scipy.fft.rfft2(tiles)).astype(np.float32)  # (n, TILE_PX, TILE_PX / 2 + 1)
    power = np.log(scipy.fft.fftshift(spectrum, axes=1) + np.float32(1e-3))
    power -= np.median(power, axis=(1, 2), keepdims=True)
    period, angle = np.meshgrid(PERIODS_PX, ANGLES_RAD, indexing="ij")
    turns = [(angle + axis * np.pi / 2, k + 1) for axis in (0, 1) for k in range(len(HARMONIC_WEIGHTS))]
    at_x = np.concatenate([k * np.cos(turn) / period for turn, k in turns]) * TILE_PX
    at_y = np.concatenate([k * np.sin(turn) / period for turn, k in turns]) * TILE_PX
    half = np.where(at_x < 0, -1, 1)  # the other half of a real picture's spectrum is its mirror image
    at_x, at_y = (half * at_x).astype(np.float32), (half * at_y + TILE_PX // 2).astype(np.float32)
    sampled = np.stack(
        [cv2.remap(p, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) for p in power]
    )
    harmonics = sampled.reshape(len(tiles), 2, len(HARMONIC_WEIGHTS), *period.shape)
    return np.einsum("nahpt,h->napt", harmonics, np.array(HARMONIC_WEIGHTS, np.float32)).min(axis=1)
