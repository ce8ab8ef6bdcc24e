"""Find the pixels onto which a plotting program moved the grid lines.

Programs that plot ECGs move lines onto the next whole pixel of the plot. The sequence of these shifts tells its resolution
and phase, and with them where each line was meant to stand: in register with the traces, which are not moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.grid.options import GridOptions

PLOT_DPI: Final = (72, 96, 100, 120, 144, 150, 180, 200, 240, 300)
"""Resolutions, pixels per inch, at which pages are plotted and printed; 254 dpi has no lines between pixels."""
PHASE_STEP: Final = 0.02
"""Pixels from one tried phase to the next."""
TREND_LINES: Final = 2.0
"""Standard deviation, lines, of the Gaussian window in which a straight line is taken out."""


@dataclass(frozen=True)
class PlotPixels:
    """Pixels of a plot along one direction of the page."""

    pixel_mm: float
    """Millimetres from pixel to pixel."""
    phase: float
    """Place of the first line, pixels."""

    def shift(self, lines_mm: Array) -> Array:
        """Shifts, mm, of lines meant for ``lines_mm`` beyond the first one onto the next whole pixel."""
        meant = lines_mm / self.pixel_mm + self.phase
        return np.asarray((np.rint(meant) - meant) * self.pixel_mm, np.float64)


@dataclass(frozen=True)
class LineShifts:
    """What is seen of the shifts of the lines of one direction."""

    seen_mm: Array
    """(n_lines,) offset of each line, mm, with what is smooth in it taken out by ``detail``."""
    use: NDArray[np.bool_]
    """(n_lines,) which of them count."""
    detail: Array
    """(n_lines, n_lines) matrix of ``build_detrending``."""
    step_mm: float
    """Millimetres from line to line."""


def find_plot_pixels(
    directions: Sequence[LineShifts], options: GridOptions = GridOptions()
) -> list[PlotPixels | None]:
    """The plot's pixels in each direction; None where they do not show.

    A resolution and a phase foretell the whole sequence of shifts; the usual resolutions are tried at all phases. All
    directions have one resolution. Chance explains less than ``min_explained`` of so many lines, and no pitch but the true
    one goes on to fit.
    """
    found: list[list[tuple[float, PlotPixels]]] = []  # by resolution, by direction
    for dpi in PLOT_DPI:
        tried = [PlotPixels(25.4 / dpi, float(phase)) for phase in np.arange(0, 1, PHASE_STEP)]
        found.append([_fit_plot_pixels(lines, tried, options) for lines in directions])
    explained = np.array([[share for share, _ in by_direction] for by_direction in found])
    order = np.argsort(-explained.sum(axis=1))
    first, second = (float(explained[k].sum()) for k in order[:2])
    # a neighbouring pitch follows the true one for a while: what it leaves tells them apart where the true one leaves little
    clear = len(directions) - first < options.max_unexplained * (len(directions) - second)
    if second > options.max_second * first and not clear:
        return [None] * len(directions)
    return [pixels if share > options.min_explained else None for share, pixels in found[order[0]]]


def find_line_shifts(pixels: PlotPixels, lines: LineShifts, options: GridOptions = GridOptions()) -> Array:
    """(n_lines,) shift, mm, of each line onto ``pixels`` that were found in ``lines``.

    The phase is known to some hundredths of a pixel: which way a line went from between two pixels is seen, not calculated.
    """
    meant_mm = lines.step_mm * np.arange(len(lines.seen_mm), dtype=np.float64)
    shifts = pixels.shift(meant_mm)
    left = lines.seen_mm - lines.detail @ shifts
    spread = 1.48 * float(np.median(np.abs(left[lines.use])))
    half_way = lines.use & (np.abs(shifts) > (0.5 - options.near_tie) * pixels.pixel_mm)
    for k in np.flatnonzero(half_way):
        other = shifts.copy()
        other[k] -= np.sign(shifts[k]) * pixels.pixel_mm
        otherwise = lines.seen_mm[k] - lines.detail[k] @ other
        if left[k] ** 2 - otherwise**2 > options.sure_tie * spread**2:
            shifts = other
    return shifts


def _fit_plot_pixels(
    lines: LineShifts, tried: Sequence[PlotPixels], options: GridOptions
) -> tuple[float, PlotPixels]:
    """Share of the lines' variance that the best of the ``tried`` pixels explain, and these; 0 for too few lines."""
    use = lines.use & (np.abs(lines.seen_mm) < options.max_shift_mm)
    if use.sum() < options.min_quantised_lines:
        return 0.0, tried[0]
    meant_mm = lines.step_mm * np.arange(len(lines.seen_mm), dtype=np.float64)
    left = lines.seen_mm - np.stack([pixels.shift(meant_mm) for pixels in tried]) @ lines.detail.T
    variance = _sum_smaller(lines.seen_mm[use] ** 2) + 1e-12
    explained = 1 - _sum_smaller(left[:, use] ** 2) / variance
    best = int(explained.argmax())
    return max(0.0, float(explained[best])), tried[best]


def build_detrending(use: NDArray[np.bool_]) -> Array:
    """(n, n) matrix that takes from values on n lines what a straight line through the lines around foretells of them."""
    n = len(use)
    apart = np.arange(n)[None, :] - np.arange(n)[:, None]  # to line j from line i
    near = use * np.exp(-0.5 * (apart / TREND_LINES) ** 2)
    sum0, sum1, sum2 = near.sum(axis=1), (near * apart).sum(axis=1), (near * apart**2).sum(axis=1)
    straight = near * (sum2[:, None] - sum1[:, None] * apart) / (sum0 * sum2 - sum1**2 + 1e-9)[:, None]
    return np.asarray(np.eye(n) - straight, np.float64)


def _sum_smaller(values: Array) -> Array:
    """Sum along the last axis without the largest fifth."""
    kept = values.shape[-1] - values.shape[-1] // 5
    return np.asarray(np.partition(values, kept - 1, axis=-1)[..., :kept].sum(axis=-1), np.float64)
