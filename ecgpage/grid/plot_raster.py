"""Find the raster of a plotting program in the places of grid lines.

Programs that plot ECGs move every line onto whole pixels of their own raster. The sequence of these moves gives the raster
away, and with it where each line was meant to stand: with the traces, which are not moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array

RASTERS_DPI: Final = (72, 96, 100, 120, 144, 150, 180, 200, 240, 300)
"""Resolutions at which pages are plotted and printed; 254 dpi has no lines between pixels."""
MIN_RASTER: Final = 0.4
"""Share of the lines' variance that a raster explains when it is there."""
MAX_LEFT: Final = 0.25
"""Share of what the second best raster leaves unexplained that the best one may leave."""
MIN_RASTER_LINES: Final = 20
NEAR_TIE: Final = 0.05
"""Pixels from the middle between two to which the phase may be wrong."""
SURE_TIE: Final = 6.0
"""Difference of two squared errors, in variances of the lines, from which the smaller one is believed: odds of twenty."""
MAX_RASTER_MM: Final = 0.18
"""Lines further off tell of paper and scanner; half a pixel at 72 dpi."""
TREND_LINES: Final = 2.0
MAX_SNAP_MM: Final = 0.08
"""Lines that a program drew on whole pixels stand off by up to 0.064 mm at 200 dpi, by 0.08 at 160."""


@dataclass(frozen=True)
class Raster:
    """Pixels of a plotting program along one direction of the page."""

    pixel_mm: float
    phase: float
    """Place of the first line, pixels."""

    def moves(self, lines_mm: Array) -> Array:
        """mm by which lines meant for ``lines_mm`` beyond the first one were moved onto the next whole pixel."""
        meant = lines_mm / self.pixel_mm + self.phase
        return np.asarray((np.rint(meant) - meant) * self.pixel_mm, np.float64)


@dataclass(frozen=True)
class LinePlaces:
    """What is seen of the moves of the lines of one direction."""

    seen_mm: Array
    """(n_lines,) how far each stands off, without what is smooth in it as ``detail`` takes it away."""
    use: NDArray[np.bool_]
    """(n_lines,) which of them count."""
    detail: Array
    """(n_lines, n_lines), see ``without_trend``."""
    step_mm: float
    """From line to line."""


def find_rasters(directions: Sequence[LinePlaces]) -> list[Raster | None]:
    """The raster that moved the lines off their places, one for each direction, None where none shows.

    For a pitch and a phase the whole sequence of moves is known; it is looked for over the usual resolutions and all phases.
    All directions have one resolution. Chance explains less than MIN_RASTER of so many lines, and nothing but the true pitch
    repeats it.
    """
    found: list[list[tuple[float, Raster]]] = []  # by resolution, by direction
    for dpi in RASTERS_DPI:
        rasters = [Raster(25.4 / dpi, float(phase)) for phase in np.arange(0, 1, 0.02)]
        found.append([_best_raster(lines, rasters) for lines in directions])
    explained = np.array([[share for share, _ in by_direction] for by_direction in found])
    order = np.argsort(-explained.sum(axis=1))
    first, second = (float(explained[k].sum()) for k in order[:2])
    # a neighbouring pitch follows the true one for a while: what it leaves tells them apart where the true one leaves little
    clear = len(directions) - first < MAX_LEFT * (len(directions) - second)
    if second > 0.4 * first and not clear:
        return [None] * len(directions)
    return [raster if share > MIN_RASTER else None for share, raster in found[order[0]]]


def moved_lines(raster: Raster, lines: LinePlaces) -> Array:
    """(n_lines,) mm by which a raster that was found in ``lines`` moved each of them.

    The phase is known to some hundredths of a pixel: which way a line went that was meant between two pixels is seen,
    not calculated.
    """
    meant_mm = lines.step_mm * np.arange(len(lines.seen_mm), dtype=np.float64)
    moves = raster.moves(meant_mm)
    left = lines.seen_mm - lines.detail @ moves
    spread = 1.48 * float(np.median(np.abs(left[lines.use])))
    half_way = lines.use & (np.abs(moves) > (0.5 - NEAR_TIE) * raster.pixel_mm)
    for k in np.flatnonzero(half_way):
        other = moves.copy()
        other[k] -= np.sign(moves[k]) * raster.pixel_mm
        otherwise = lines.seen_mm[k] - lines.detail[k] @ other
        if left[k] ** 2 - otherwise**2 > SURE_TIE * spread**2:
            moves = other
    return moves


def _best_raster(lines: LinePlaces, rasters: Sequence[Raster]) -> tuple[float, Raster]:
    """The raster that explains most of the lines' variance, and the share, 0 when there are too few lines."""
    use = lines.use & (np.abs(lines.seen_mm) < MAX_RASTER_MM)
    if use.sum() < MIN_RASTER_LINES:
        return 0.0, rasters[0]
    meant_mm = lines.step_mm * np.arange(len(lines.seen_mm), dtype=np.float64)
    left = lines.seen_mm - np.stack([r.moves(meant_mm) for r in rasters]) @ lines.detail.T
    explained = 1 - _trimmed(left[:, use] ** 2) / (_trimmed(lines.seen_mm[use] ** 2) + 1e-12)
    best = int(explained.argmax())
    return max(0.0, float(explained[best])), rasters[best]


def without_trend(use: NDArray[np.bool_]) -> Array:
    """(n, n) matrix that takes from values on n lines what a straight line through the lines around tells of them."""
    n = len(use)
    apart = np.arange(n)[None, :] - np.arange(n)[:, None]  # to line j from line i
    near = use * np.exp(-0.5 * (apart / TREND_LINES) ** 2)
    sum0, sum1, sum2 = near.sum(axis=1), (near * apart).sum(axis=1), (near * apart**2).sum(axis=1)
    straight = near * (sum2[:, None] - sum1[:, None] * apart) / (sum0 * sum2 - sum1**2 + 1e-9)[:, None]
    return np.asarray(np.eye(n) - straight, np.float64)


def _trimmed(values: Array) -> Array:
    """Sum along the last axis without the largest fifth."""
    kept = values.shape[-1] - values.shape[-1] // 5
    return np.asarray(np.partition(values, kept - 1, axis=-1)[..., :kept].sum(axis=-1), np.float64)
