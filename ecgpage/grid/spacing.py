"""Tell whether tracked lines stand 1 or 5 mm apart."""

import logging
import warnings
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array, Grey, Light
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import CELL_PX, profile_lines
from ecgpage.grid.options import GridOptions

log = logging.getLogger(__name__)
MIN_CELL_PX: Final = 12
"""Flat pixels from line to line at least: enough for six lines between two."""
COARSE_HALF_WIDTHS_MM: Final = (1.5, 1.0, 0.7)
"""Millimetres around the nodes within which 5-mm lines are looked for, one refinement after the other."""
FINE_HALF_WIDTHS_MM: Final = (0.45, 0.45)
"""Millimetres around the nodes within which 1-mm lines are looked for: the next line is 1 mm away."""


def find_spacing(
    dark: Light, lines: GridMap, options: GridOptions = GridOptions()
) -> tuple[GridMap, tuple[float, ...]]:
    """The lattice of 5-mm lines among tracked lines that may be 1 or 5 mm apart, and half widths, mm, for its refinement.

    Lines of which every fifth stands out are 1 mm apart, unless the picture would be too small for a page; lines with finer
    ones between them are 5 mm apart; else their number decides. ``dark``: uint8 (H, W).
    """
    # a cell has no more pixels than in the picture, and all cells together no more than those of a page of 5-mm lines
    all_px = CELL_PX / 2 * options.many_squares
    most_px = min(0.75 * SQUARE_MM * lines.px_per_mm, all_px / max(lines.quality.shape))
    cell_px = int(np.clip(2 * round(most_px), MIN_CELL_PX, CELL_PX))
    across_x, across_y = profile_lines(dark, lines, cell_px, quick=True)
    seen = lines.quality > 0
    strength = [_measure_line_strength(p, seen) for p in (across_x, across_y.swapaxes(0, 1))]
    strength_x, strength_y = strength[0], strength[1]
    n_lines = max(np.any(seen, axis=0).sum(), np.any(seen, axis=1).sum())
    halves = [_find_present_half(s, options.max_absent) for s in strength]
    # tracked at half the period, so that every second line is none
    if n_lines > options.many_squares and halves[0] is not None and halves[1] is not None:
        rows, columns = slice(halves[1], None, 2), slice(halves[0], None, 2)
        kept = replace(lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns])
        return find_spacing(dark, kept, options)
    fifth_x, stands_x = _find_every_fifth(strength_x)
    fifth_y, stands_y = _find_every_fifth(strength_y)
    fine = min(_measure_finer_lines(across_x[seen]), _measure_finer_lines(across_y[seen]))
    log.debug("every fifth %.1f %.1f, finer lines %.1f, %d lines", stands_x, stands_y, fine, n_lines)
    # every fifth 5-mm line may stand out, too: a picture of so few millimetres shows no page
    is_small = max(dark.shape) < options.min_picture_mm * SQUARE_MM * lines.px_per_mm
    is_fine = min(stands_x, stands_y) > options.min_fifth or n_lines > options.max_squares
    if fine > options.min_finer or is_small or not is_fine:
        return lines, COARSE_HALF_WIDTHS_MM
    rows, columns = slice(fifth_y, None, 5), slice(fifth_x, None, 5)
    kept = replace(
        lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns], source="1 mm lines"
    )
    return kept, FINE_HALF_WIDTHS_MM


def _measure_line_strength(profiles: Grey, seen: NDArray[np.bool_]) -> Array:
    """(n_lines,) mean height of each line (second axis of profiles) over where the grid was seen, NaN where too short."""
    middle, half = profiles.shape[-1] // 2, max(1, profiles.shape[-1] // 20)
    height = profiles[..., middle - half : middle + half].mean(axis=-1)
    mask = seen if seen.shape == height.shape else seen.T
    count = mask.sum(axis=0)
    return np.where(count > 5, (height * mask).sum(axis=0) / np.maximum(count, 1), np.nan)


def _find_present_half(strength: Array, max_absent: float) -> int | None:
    """Phase 0 or 1 of the lines that are there when every second one is not; None when all are."""
    middle = [
        float(np.nanmedian(strength[k::2])) if np.isfinite(strength[k::2]).any() else 0.0 for k in (0, 1)
    ]
    strong = int(middle[1] > middle[0])
    return strong if middle[1 - strong] < max_absent * middle[strong] else None


def _find_every_fifth(strength: Array) -> tuple[int, float]:
    """Phase 0 to 4 of the lines that stand out, and by how many standard errors of the others."""
    detail = strength - _filter_median(strength)
    phases = [detail[k::5][np.isfinite(detail[k::5])] for k in range(5)]
    if min(len(p) for p in phases) < 4:
        return 0, 0.0
    middle = np.array([np.median(p) for p in phases])
    spread = np.median(
        [1.48 * np.median(np.abs(p - m)) / np.sqrt(len(p)) for p, m in zip(phases, middle, strict=True)]
    )
    best = int(middle.argmax())
    return best, float((middle[best] - np.delete(middle, best).max()) / (spread + 1e-3))


def _filter_median(values: Array, width: int = 11) -> Array:
    """(n,) running median over ``width`` values, NaN where all of them are."""
    padded = np.pad(values, width // 2, constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN windows stay NaN
        return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def _measure_finer_lines(profiles: Grey) -> float:
    """Natural log of the fifth harmonic of the mean profile over the mean of the fourth and the sixth."""
    power = np.abs(np.fft.rfft(profiles.mean(axis=0)))
    return float(np.log((power[5] + 1e-3) / (0.5 * (power[4] + power[6]) + 1e-3)))
