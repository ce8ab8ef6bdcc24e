"""Tell whether tracked lines stand 1 or 5 mm apart."""

import logging
import warnings
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array, Grey, Image
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.line_profiles import CELL_PX, profile_lines

log = logging.getLogger(__name__)
MIN_FIFTH: Final = 8.0
ABSENT: Final = 0.2
MANY_BOXES: Final = 70
"""A4 along its longer side has 59 boxes."""
MIN_FINE: Final = 1.0
MAX_BOXES: Final = 100
"""A lattice with more lines than this is one of 1-mm lines when nothing else tells."""
MIN_CELL_PX: Final = 12
"""Enough for six lines between two."""
LEAST_PICTURE_MM: Final = 110.0
"""Pictures of ECG pages show more than this along their longer side."""


def find_spacing(dark: Image, lines: GridMap) -> tuple[GridMap, tuple[float, ...]]:
    """Decide whether the tracked lines are 1 or 5 mm apart and keep every fifth in the first case.

    Every fifth line stands out from the others -> 1 mm, unless the picture would be too small for a page; finer lines
    between them -> 5 mm; else by their number.
    Returns the 5-mm lattice and the search half widths in mm for the refinement.
    """
    # no more pixels a line than the picture has, nor than a page of 5-mm lines
    most_px = min(0.75 * SQUARE_MM * lines.px_per_mm, CELL_PX / 2 * MANY_BOXES / max(lines.quality.shape))
    cell_px = int(np.clip(2 * round(most_px), MIN_CELL_PX, CELL_PX))
    across_x, across_y = profile_lines(dark, lines, cell_px, quick=True)
    seen = lines.quality > 0
    strength = [_measure_line_strength(p, seen) for p in (across_x, across_y.swapaxes(0, 1))]
    strength_x, strength_y = strength[0], strength[1]
    n_lines = max(np.any(seen, axis=0).sum(), np.any(seen, axis=1).sum())
    halves = [_find_absent_half(s) for s in strength]
    # tracked at half the period, so that every second line is none
    if n_lines > MANY_BOXES and halves[0] is not None and halves[1] is not None:
        rows, columns = slice(halves[1], None, 2), slice(halves[0], None, 2)
        return find_spacing(
            dark, replace(lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns])
        )
    fifth_x, stands_x = _find_every_fifth(strength_x)
    fifth_y, stands_y = _find_every_fifth(strength_y)
    fine = min(_measure_finer_lines(across_x[seen]), _measure_finer_lines(across_y[seen]))
    log.debug("every fifth %.1f %.1f, finer lines %.1f, %d lines", stands_x, stands_y, fine, n_lines)
    # every fifth 5-mm line may stand out, too: a picture of so few millimetres shows no page
    is_small = max(dark.shape) < LEAST_PICTURE_MM * SQUARE_MM * lines.px_per_mm
    if fine > MIN_FINE or is_small or not (min(stands_x, stands_y) > MIN_FIFTH or n_lines > MAX_BOXES):
        return lines, (1.5, 1.0, 0.7)
    rows, columns = slice(fifth_y, None, 5), slice(fifth_x, None, 5)
    kept = replace(
        lines, nodes=lines.nodes[rows, columns], quality=lines.quality[rows, columns], source="1 mm lines"
    )
    return kept, (0.45, 0.45)


def _measure_line_strength(profiles: Grey, seen: NDArray[np.bool_]) -> Array:
    """(n_lines,) mean height of each line (second axis of profiles) over where the grid was seen, NaN where too short."""
    middle, half = profiles.shape[-1] // 2, max(1, profiles.shape[-1] // 20)
    height = profiles[..., middle - half : middle + half].mean(axis=-1)
    mask = seen if seen.shape == height.shape else seen.T
    count = mask.sum(axis=0)
    return np.where(count > 5, (height * mask).sum(axis=0) / np.maximum(count, 1), np.nan)


def _find_absent_half(strength: Array) -> int | None:
    """Phase 0 or 1 of the lines that are there when every second one is not; None when all are."""
    middle = [
        float(np.nanmedian(strength[k::2])) if np.isfinite(strength[k::2]).any() else 0.0 for k in (0, 1)
    ]
    strong = int(middle[1] > middle[0])
    return strong if middle[1 - strong] < ABSENT * middle[strong] else None


def _find_every_fifth(strength: Array) -> tuple[int, float]:
    """Phase 0..4 of the lines that stand out and by how many standard errors of the others."""
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
    padded = np.pad(values, width // 2, constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN windows stay NaN
        return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def _measure_finer_lines(profiles: Grey) -> float:
    """How far the fifth harmonic of the mean profile stands above the fourth and sixth, natural log."""
    power = np.abs(np.fft.rfft(profiles.mean(axis=0)))
    return float(np.log((power[5] + 1e-3) / (0.5 * (power[4] + power[6]) + 1e-3)))
