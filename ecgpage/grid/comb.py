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
from typing import Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter

from ecgpage.core.types import Array, Grey, Image
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import WorkingPicture, measure_working_picture

PITCHES_PX: Final = np.exp(np.arange(np.log(6.0), np.log(130.0), 0.001))
"""Distances of 5-mm lines, working pixels, that are weighed, 0.1 % apart."""
HARMONICS: Final = np.arange(1, 21)
"""Multiples of the frequency of 5-mm lines that are looked at: up to a fourth of a millimetre."""
TURNS_RAD: Final = np.deg2rad(np.arange(-1.5, 1.51, 0.1))
"""Directions, radians, that are tried around each given one."""
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
SAME_PITCH: Final = 0.06
"""Natural log of the ratio of two distances up to which they are one."""
NEAR_PITCH: Final = 0.01
"""Natural log of the ratio of a grid's distance to the one that is weighed for it, at most."""
USUAL_SIDE_MM: Final = 290.0
"""Longer side, mm, of a usual picture of a page."""
SIDE_SPREAD: Final = 0.45
"""Standard deviation of the natural log of that side: strips, crops, pages on a table."""


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

    @property
    def log_odds(self) -> float:
        """Natural log of the likelihood ratio without what the page's size tells."""
        return sum(self.seen)


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


class CombSpectrum:
    """Log power of a picture without its strokes, sampled along rays."""

    def __init__(self, contrast: Grey, scale: float) -> None:
        """``contrast``: (h, w) of the picture resized by ``scale``."""
        self.scale, self.side_px = scale, max(contrast.shape)
        height, width = contrast.shape
        self.size = scipy.fft.next_fast_len(width, True), scipy.fft.next_fast_len(height, True)
        window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
        power = np.abs(scipy.fft.rfft2((contrast - contrast.mean()) * window, self.size[::-1])) ** 2
        self.log_power = np.log(scipy.fft.fftshift(power, axes=0) + 1e-6).astype(np.float32)

    @classmethod
    def measure(cls, picture: WorkingPicture) -> "CombSpectrum":
        """Spectrum of a picture."""
        contrast = np.clip(picture.contrast, -CONTRAST_LIMIT, CONTRAST_LIMIT)
        return cls(_blank_strokes(contrast, picture.dark), picture.scale)

    def find_combs(
        self, angles_rad: Sequence[float], *, limit: int = 3, options: GridOptions = GridOptions()
    ) -> list[GridComb]:
        """Strictly periodic grids around directions, the likeliest first; empty when none is likelier than nothing."""
        turns = np.unique(np.concatenate([[a + t for t in TURNS_RAD] for a in angles_rad]).round(5))
        scores = np.array(
            [[self.weigh(turn, axis, options) for axis in (0, 1)] for turn in turns]
        )  # (t, 2, n)
        side_mm = self.side_px / PITCHES_PX * 5.0
        prior = -0.5 * (np.log(side_mm / USUAL_SIDE_MM) / SIDE_SPREAD) ** 2
        both = scores[:, 0] + maximum_filter1d(scores[:, 1], 2 * MAX_STRETCH + 1, axis=1) + prior
        found: list[GridComb] = []
        for place in np.argsort(-both.max(axis=0), kind="stable"):
            turn = int(both[:, place].argmax())
            score = float(both[turn, place])
            if len(found) == limit or score <= 0:
                break
            first = max(0, place - MAX_STRETCH)
            other = first + int(scores[turn, 1, first : place + MAX_STRETCH + 1].argmax())
            pitch = (float(PITCHES_PX[place] / self.scale), float(PITCHES_PX[other] / self.scale))
            if all(abs(np.log(pitch[0] / f.pitch_px[0])) > SAME_PITCH for f in found):
                seen = (float(scores[turn, 0, place]), float(scores[turn, 1, other]))
                found.append(GridComb(pitch, float(turns[turn]), score, seen))
        return found

    def weigh_pitch(
        self, pitch_px: tuple[float, float], angle_rad: float, options: GridOptions = GridOptions()
    ) -> float:
        """Log likelihood ratio of lines about as far apart as given, image px, which may be seen at an angle."""
        total = 0.0
        for axis, pitch in enumerate(pitch_px):
            near = np.abs(np.log(PITCHES_PX / (pitch * self.scale))) < NEAR_PITCH
            if near.any():
                turns = angle_rad + TURNS_RAD
                total += max(float(self.weigh(turn, axis, options)[near].max()) for turn in turns)
        return total

    def weigh(self, turn: float, axis: int, options: GridOptions) -> Array:
        """(n,) log likelihood ratio of each of PITCHES_PX by its harmonics along one ray."""
        bins, surprise = self._surprises(turn, axis)
        at = np.rint(HARMONICS[:, None] / PITCHES_PX * bins).astype(int)
        inside = at < len(surprise)
        seen = weigh_surprises(surprise[np.minimum(at, len(surprise) - 1)], options.comb_power)
        return np.where(inside, seen, 0.0).sum(axis=0)

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
        rank: NDArray[np.intp] = (-power).argsort().argsort()
        surprise = -np.log((rank + 1.0) / len(power))
        return bins, np.concatenate([[0.0, 0.0], maximum_filter1d(surprise, 3)])


def weigh_surprises(surprise: Array, power: float) -> Array:
    """Log likelihood ratio of surprises (highest of three neighbours) at harmonics of a grid over those of anything else.

    Without a grid a surprise is exponential with mean 1; with one its mean is 1 / ``power``, for some harmonics of any
    pattern of lines vanish.
    """
    nothing = 3 * (1 - np.exp(-surprise)) ** 2 * np.exp(-surprise) + 1e-4
    grid = 3 * (1 - np.exp(-power * surprise)) ** 2 * power * np.exp(-power * surprise) + 1e-4
    return np.asarray(np.clip(np.log(0.15 + 0.85 * grid / nothing), -1.2, 3.0))
