"""Find the printed grid of a picture that was not bent: the exact distance of its lines by all harmonics together.

Over a whole scan, screenshot or rendered page a grid is strictly periodic, whatever its lines are made of: lines, dashes or
dots, at 1 mm, at 5 mm or both. In the picture's spectrum it is a comb of sharp peaks at the multiples of one frequency along
two perpendicular rays; traces and text are spread. A distance is weighed by all its harmonics, on both rays: each one's
height among everything on its ray is a surprise that follows an exponential law where there is no grid. A multiple of the
distance misses most of its harmonics and a fraction of it leaves strong ones unexplained, so neither wins. The page's size
says which of the remaining distances are 5 mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter

from ecgpage.core.types import Array, Grey, Image
from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import FINE_LINES, WorkingPicture, measure_working_picture

PITCHES_PX: Final = np.exp(np.arange(np.log(6.0), np.log(130.0), 0.001))
"""Distances of 5-mm lines, working pixels, that are weighed, 0.1 % apart."""
HARMONICS: Final = np.arange(1, 21)
"""Multiples of the frequency of 5-mm lines that are looked at: up to a fourth of a millimetre."""
TURNS_RAD: Final = np.deg2rad(np.arange(-1.5, 1.51, 0.1))
"""Directions, radians, that are tried around each given one."""
PATTERN_SHARES: Final = np.array([0.84, 0.16])
"""Shares of grids with 5-mm lines of their own and of those that are made of 1-mm lines alone, all alike."""
TILE_PX: Final = 448
"""Side, working pixels, of the tiles whose spectra are averaged: panels are not smaller."""
MAX_FREQUENCY: Final = 0.45
"""Cycles per working pixel up to which harmonics count."""
FLOOR_BINS: Final = 61
"""Width, bins, of the running median that is taken for the spectrum without grid."""
CONTRAST_LIMIT: Final = 1.5
"""Standard deviations at which contrast is clipped: a faint grid everywhere outweighs dark traces."""
STROKE_QUANTILE: Final = 0.995
"""Share of the pixels that are paler than strokes of traces and print."""
INK_SHARE: Final = 0.6
"""Darkness over that of strokes, from which a pixel is ink."""
LEAST_PIECE_PX: Final = 60
"""Working pixels of a connected piece of ink, from which it is no dot or dash of a grid."""
BESIDE_PX: Final = 9
"""Side, working pixels, of the square around a stroke that is left out with it."""
MOST_COVERED: Final = 0.3
"""Share of the picture beyond which dark pieces are lines of the grid."""
MAX_STRETCH: Final = 50
"""Steps of PITCHES_PX by which the distances along x and y may differ: 5 %, as printers and viewers stretch pages."""
STRETCH_STEP: Final = 5
"""Steps of PITCHES_PX of which the best one stands for all."""
STRETCH_SPREAD: Final = 0.015
"""Standard deviation of the natural log of the ratio of the two distances."""
SAME_PITCH: Final = 0.06
"""Natural log of the ratio of two distances up to which they are one."""
NEAR_PITCH: Final = 0.01
"""Natural log of the ratio of a grid's distance to the one that is weighed for it, at most."""
USUAL_SIDE_MM: Final = 290.0
"""Longer side, mm, of a usual picture of a page."""
SIDE_SPREAD: Final = 0.45
"""Standard deviation of the natural log of that side: strips, crops, pages on a table."""
USUAL_PX_PER_MM: Final = 6.5
"""Pixels per mm of a usual picture."""
PX_SPREAD: Final = 0.6
"""Standard deviation of their natural log."""
BLOCK_PX: Final = 16
"""Image pixels from edge to edge of the blocks that JPEG compresses by themselves, the larger ones, of colour."""
MOST_FOR_BLOCKS: Final = 0.5
"""Log likelihood ratio that a harmonic gives at most where the edges of blocks repeat, too."""
MAX_BLOCK_TURN: Final = float(np.deg2rad(0.15))
"""Direction, radians, up to which lines may be edges of blocks."""


EVERY: Final = slice(None)
"""All of PITCHES_PX."""


@dataclass(frozen=True)
class GridComb:
    """A strictly periodic grid that a picture may show."""

    pitch_px: tuple[float, float]
    """Image pixels from one 5-mm line to the next, across the near-vertical and across the other lines."""
    angle_rad: float
    """Direction across the near-vertical lines, from the image's x axis towards y."""
    score: float
    """Natural log of the likelihood of the spectrum with this grid over that without one, with the page's size."""
    seen: tuple[float, float]
    """The parts of ``score`` that the two rays give."""
    log_odds: float = 0.0
    """``score`` without what the page's size tells."""
    is_one: bool = True
    """Whether one pattern covers the page; panels begin anew."""


def find_combs(
    image: Image,
    angles_rad: Sequence[float] = (0.0,),
    *,
    limit: int = 3,
    options: GridOptions = GridOptions(),
) -> list[GridComb]:
    """Strictly periodic grids of a uint8 (H, W, 3) RGB image, the likeliest first; empty when none is likelier than nothing.

    ``angles_rad``: directions around which the lines are looked for.
    """
    return CombSpectrum.measure(measure_working_picture(image)).find_combs(
        angles_rad, limit=limit, options=options
    )


def _blank_strokes(contrast: Grey, dark: Grey) -> Grey:
    """Contrast without traces, frames and letters, which beat and stand in rows: large dark pieces and what is beside them.

    Where they cover much of the picture they are the grid's own lines, and stay.
    """
    is_ink = (dark > INK_SHARE * np.quantile(dark[::3, ::3], STROKE_QUANTILE)).astype(np.uint8)
    _, labels, pieces, _ = cv2.connectedComponentsWithStats(is_ink, connectivity=8)
    large = pieces[:, cv2.CC_STAT_AREA] >= LEAST_PIECE_PX
    large[0] = False
    covered = cv2.dilate(large[labels].astype(np.uint8), np.ones((BESIDE_PX, BESIDE_PX), np.uint8)) > 0
    if covered.mean() > MOST_COVERED:
        return contrast
    return np.where(covered, np.float32(0), contrast)


def _cut_tiles(contrast: Grey) -> list[Grey]:
    """Tiles of TILE_PX, or as high as the picture, that cover it and overlap by half."""
    sides = [min(TILE_PX, n) for n in contrast.shape]
    rows, columns = (
        np.linspace(0, n - side, 1 + int(np.ceil(2 * (n - side) / side))).astype(int)
        for n, side in zip(contrast.shape, sides, strict=True)
    )
    return [contrast[y : y + sides[0], x : x + sides[1]] for y in rows for x in columns]


def weigh_side(side_mm: Array | float) -> Array:
    """Log odds of the longer side, mm, of a picture."""
    return np.asarray(-0.5 * (np.log(side_mm / USUAL_SIDE_MM) / SIDE_SPREAD) ** 2)


def weigh_stretch(ratio: Array) -> Array:
    """Natural log of the chance of a ratio of the distances along x and y over that of equal ones."""
    return np.asarray(-0.5 * (np.log(ratio) / STRETCH_SPREAD) ** 2)


def _find_best_stretched(scores: Array) -> Array:
    """(..., n) the best of the scores (..., n) of distances about as large, weighed by how usual the ratio is."""
    near = maximum_filter1d(scores, STRETCH_STEP, axis=-1)
    best = near.copy()
    for shift in range(STRETCH_STEP, MAX_STRETCH + 1, STRETCH_STEP):
        odds = float(weigh_stretch(np.exp(np.array(shift * 0.001))))
        np.maximum(best[..., shift:], near[..., :-shift] + odds, out=best[..., shift:])
        np.maximum(best[..., :-shift], near[..., shift:] + odds, out=best[..., :-shift])
    return best


class CombSpectrum:
    """Spectra of a picture without its strokes, in which combs are weighed.

    The picture's own spectrum has the sharpest peaks where one pattern covers all of it; the mean one of its tiles has them
    where panels begin anew or paper is bent.
    """

    def __init__(self, contrast: Grey, scale: float) -> None:
        """``contrast``: (h, w) of the picture resized by ``scale``."""
        self.scale, self.side_px, self.contrast = scale, max(contrast.shape), contrast
        self.rays = [_Rays.of_tiles([contrast], scale)]
        if self.side_px > 1.5 * TILE_PX:
            self.rays.append(_Rays.of_tiles(_cut_tiles(contrast), scale))

    @classmethod
    def measure(cls, picture: WorkingPicture) -> "CombSpectrum":
        """Spectra of a picture."""
        contrast = np.clip(picture.contrast, -CONTRAST_LIMIT, CONTRAST_LIMIT)
        return cls(_blank_strokes(contrast, picture.dark), picture.scale)

    def find_combs(
        self, angles_rad: Sequence[float], *, limit: int = 3, options: GridOptions = GridOptions()
    ) -> list[GridComb]:
        """Strictly periodic grids around directions, the likeliest first; empty when none is likelier than nothing."""
        turns = np.unique(np.concatenate([[a + t for t in TURNS_RAD] for a in angles_rad]).round(5))
        # (rays, turns, axes, patterns, n)
        seen = np.array(
            [[[rays.weigh(turn, axis, options) for axis in (0, 1)] for turn in turns] for rays in self.rays]
        )
        px_per_mm = PITCHES_PX / self.scale / SQUARE_MM
        side_mm = self.side_px / PITCHES_PX * SQUARE_MM
        prior = weigh_side(side_mm)
        prior -= 0.5 * (np.log(px_per_mm / USUAL_PX_PER_MM) / PX_SPREAD) ** 2
        other = _find_best_stretched(seen[:, :, 1])
        by_pattern = seen[:, :, 0] + other + np.log(PATTERN_SHARES)[:, None] - np.log(len(self.rays))
        both = np.logaddexp.reduce(by_pattern, axis=(0, 2)) + prior  # (turns, n)
        found: list[GridComb] = []
        for place in np.argsort(-both.max(axis=0), kind="stable"):
            turn = int(both[:, place].argmax())
            score = float(both[turn, place])
            if len(found) == limit or score <= 0:
                break
            ray, pattern = np.unravel_index(
                by_pattern[:, turn, :, place].argmax(), (by_pattern.shape[0], by_pattern.shape[2])
            )
            along, across = seen[ray, turn, 0, pattern], seen[ray, turn, 1, pattern]
            first = max(0, place - MAX_STRETCH)
            apart = PITCHES_PX[first : place + MAX_STRETCH + 1] / PITCHES_PX[place]
            beside = first + int((across[first : place + MAX_STRETCH + 1] + weigh_stretch(apart)).argmax())
            pitch = (float(PITCHES_PX[place] / self.scale), float(PITCHES_PX[beside] / self.scale))
            if all(abs(np.log(pitch[0] / f.pitch_px[0])) > SAME_PITCH for f in found):
                parts = (float(along[place]), float(across[beside]))
                odds = score - float(prior[place])
                found.append(GridComb(pitch, float(turns[turn]), score, parts, odds, bool(ray == 0)))
        return found

    def weigh_pitch(
        self, pitch_px: tuple[float, float], angle_rad: float, options: GridOptions = GridOptions()
    ) -> float:
        """Log likelihood ratio of lines about as far apart as given, image px, which may be seen at an angle."""
        total = np.zeros((len(self.rays), len(PATTERN_SHARES)))
        for axis, pitch in enumerate(pitch_px):
            near = np.flatnonzero(np.abs(np.log(PITCHES_PX / (pitch * self.scale))) < NEAR_PITCH)
            if len(near):
                turns, some = angle_rad + TURNS_RAD, slice(near[0], near[-1] + 1)
                for k, rays in enumerate(self.rays):
                    total[k] += np.max(
                        [rays.weigh(t, axis, options, some).max(axis=1) for t in turns], axis=0
                    )
        total += np.log(PATTERN_SHARES) - np.log(len(self.rays))
        return float(np.logaddexp.reduce(total, axis=None))


@dataclass(frozen=True)
class _Rays:
    """Log power of a picture, sampled along rays."""

    size: tuple[int, int]
    """Width and height, px, of the transform."""
    log_power: Grey
    """(height, width / 2 + 1), frequency 0 in the middle row."""
    block_px: float
    """Distance, px, of the edges of JPEG's blocks."""

    @classmethod
    def of_tiles(cls, tiles: Sequence[Grey], scale: float) -> "_Rays":
        """Mean power of (h, w) tiles of one shape, of a picture resized by ``scale``."""
        height, width = tiles[0].shape
        size = scipy.fft.next_fast_len(width, True), scipy.fft.next_fast_len(height, True)
        window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
        power = np.zeros((size[1], size[0] // 2 + 1), np.float32)
        for tile in tiles:
            power += np.abs(scipy.fft.rfft2((tile - tile.mean()) * window, size[::-1])) ** 2
        power *= np.float32(1 / len(tiles))
        return cls(
            size, np.log(scipy.fft.fftshift(power, axes=0) + 1e-6).astype(np.float32), BLOCK_PX * scale
        )

    def weigh(self, turn: float, axis: int, options: GridOptions, pitches: slice = EVERY) -> Array:
        """(patterns, n) log likelihood ratio of each of PITCHES_PX, or of some, by its harmonics along one ray: all of them,
        and those of 1-mm lines alone.
        """
        bins, surprise = self._surprises(turn, axis)
        weight = weigh_surprises(surprise, options.comb_power)
        if abs(turn) < MAX_BLOCK_TURN:
            edges = np.rint(np.arange(1, self.block_px / 2 + 1) * bins / self.block_px).astype(int)
            near = np.concatenate([edges - 1, edges, edges + 1])
            near = near[near < len(weight)]
            weight[near] = np.minimum(weight[near], MOST_FOR_BLOCKS)
        at = _harmonic_bins(bins)[:, pitches]
        known = np.zeros(max(int(at.max()) + 1, len(weight)))
        known[: len(weight)] = weight
        seen = known[at]
        return np.stack([seen.sum(axis=0), seen[HARMONICS % FINE_LINES == 0].sum(axis=0)])

    def _surprises(self, turn: float, axis: int) -> tuple[int, Array]:
        """Bins of the ray per cycle and pixel, and (bins,) surprise of each: minus log of the share of higher ones, the
        highest of three neighbours.
        """
        width, height = self.size
        bins = (width, height)[axis]
        frequency = np.arange(2, int(MAX_FREQUENCY * bins)) / bins
        direction = turn + axis * np.pi / 2
        x, y = frequency * np.cos(direction) * width, frequency * np.sin(direction) * height
        half = np.where(x < 0, -1, 1)  # the other half of a real picture's spectrum is its mirror image
        rows = np.clip(np.rint(half * y).astype(int) + height // 2, 0, self.log_power.shape[0] - 1)
        columns = np.clip(np.rint(half * x).astype(int), 0, self.log_power.shape[1] - 1)
        power = self.log_power[rows, columns]
        power = power - median_filter(power, FLOOR_BINS, mode="nearest")
        surprise = np.empty(len(power))
        surprise[(-power).argsort()] = -np.log(np.arange(1.0, len(power) + 1) / len(power))
        return bins, np.concatenate([[0.0, 0.0], maximum_filter1d(surprise, 3)])


@lru_cache(maxsize=8)  # two rays and two axes a picture
def _harmonic_bins(bins: int) -> NDArray[np.int64]:
    """(harmonics, n) bins of the harmonics of each of PITCHES_PX, with so many to a cycle a pixel."""
    return np.rint(HARMONICS[:, None] / PITCHES_PX * bins).astype(np.int64)


def weigh_surprises(surprise: Array, power: float) -> Array:
    """Log likelihood ratio of surprises (highest of three neighbours) at harmonics of a grid over those of anything else.

    Without a grid a surprise is exponential with mean 1; with one its mean is 1 / ``power``, for some harmonics of any
    pattern of lines vanish.
    """
    nothing = 3 * (1 - np.exp(-surprise)) ** 2 * np.exp(-surprise) + 1e-4
    grid = 3 * (1 - np.exp(-power * surprise)) ** 2 * power * np.exp(-power * surprise) + 1e-4
    return np.asarray(np.clip(np.log(0.15 + 0.85 * grid / nothing), -1.2, 3.0))
