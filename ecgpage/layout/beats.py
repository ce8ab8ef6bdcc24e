"""Heart beats in the ink of a flat page, before traces are read: their distance, width and size tell of speed and gain.

A QRS complex is the steepest part of a trace: over it each column of the raster holds much ink. Leads below each other show
their beats at the same places, so their profiles are added.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from ecgpage.core.conventions import LEADS, X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.arrangement import Arrangement
from ecgpage.layout.types import Row, SeenBeats

TRACE_INK: Final = 0.4
"""Ink, 0 to 1, from which a pixel belongs to a trace."""
REACH_MM: Final = 16.0
"""Distance, mm, above and below a row within which ink is its trace's, at most; half way to the next row otherwise."""
SMOOTH_MM: Final = 0.7
"""Width, mm, over which profiles are averaged."""
EDGE_MM: Final = 2.0
"""Length, mm, of columns at each end that is left out: separators stand there."""
BEATS_QUANTILE: Final = 0.985
"""Quantile of a profile that is as high as a usual beat: beats take a twentieth of a column, a single stroke less."""
PEAK_SHARE: Final = 0.5
"""Height of a profile's peak over a usual beat's from which it is one."""
LEAST_APART_MM: Final = 4.0
"""Distance, mm, of two beats, at least."""
HALF: Final = 0.35
"""Height of a profile over its peak's down to which a beat is wide."""
WHOLE_BAND: Final = 0.9
"""Share of the height looked at from which ink is no beat's."""
LEAST_BEATS: Final = 4
"""Number of distances of beats without which their median tells nothing."""


def measure_beats(page: FlatPage, arrangement: Arrangement, rows: Sequence[Row]) -> SeenBeats:
    """Beats of the leads of an arrangement on their rows."""
    levels = np.array([row.level_mm for row in rows])
    apart: list[float] = []
    widths: list[float] = []
    heights: dict[bool, list[float]] = {True: [], False: []}
    for column in {cell.column for cell in arrangement.cells}:
        cells = [cell for cell in arrangement.cells if cell.column == column]
        x0, x1 = arrangement.columns.span(column)
        x0, x1 = x0 + EDGE_MM, x1 - EDGE_MM
        bands = [_cut_band(page, rows[cell.row], levels, (x0, x1)) for cell in cells]
        profiles = np.array([_profile(band) for band in bands])
        if profiles.shape[1] < LEAST_APART_MM * X_PX_PER_MM:
            continue
        size = profiles.std(axis=1, keepdims=True) + 1e-6
        common = np.asarray((profiles / size).mean(axis=0), np.float64)
        common -= np.median(common)
        usual = float(np.quantile(common, BEATS_QUANTILE))
        if usual <= 0:
            continue
        peaks, _ = find_peaks(common, height=PEAK_SHARE * usual, distance=round(LEAST_APART_MM * X_PX_PER_MM))
        apart += list(np.diff(peaks) / X_PX_PER_MM)
        widths += [_width_at(common, int(peak)) for peak in peaks]
        for cell, band in zip(cells, bands, strict=True):
            seen = [h for h in (_height_at(band, int(peak)) for peak in peaks) if h > 0]
            if seen:
                heights[cell.lead in LEADS[6:]].append(float(np.median(seen)))
    nan = float("nan")
    return SeenBeats(
        float(np.median(apart)) if len(apart) >= LEAST_BEATS else nan,
        float(np.median(widths)) if len(widths) >= LEAST_BEATS else nan,
        *(float(np.median(heights[k])) if len(heights[k]) >= 3 else nan for k in (False, True)),
    )


def _cut_band(page: FlatPage, row: Row, levels: Array, span: tuple[float, float]) -> NDArray[np.bool_]:
    """Where (h, w) ink is along a row."""
    apart = np.abs(levels - row.level_mm)
    near = float(np.min(apart[apart > 1.0], initial=2 * REACH_MM))
    reach = min(REACH_MM, 0.5 * near)
    columns = np.clip(np.rint([page.column(x) for x in span]).astype(int), 0, page.ink.shape[1])
    lines = np.clip(
        np.rint([page.row(row.level_mm + d) for d in (-reach, reach)]).astype(int), 0, page.ink.shape[0]
    )
    return np.asarray(page.ink[lines[0] : lines[1], columns[0] : columns[1]] > TRACE_INK)


def _profile(band: NDArray[np.bool_]) -> Array:
    """(w,) ink of each column, mm, smoothed."""
    ink = band.sum(axis=0) / Y_PX_PER_MM
    return np.asarray(uniform_filter1d(ink, max(1, round(SMOOTH_MM * X_PX_PER_MM))), np.float64)


def _width_at(profile: Array, peak: int) -> float:
    low = np.flatnonzero(profile < HALF * profile[peak])
    before, after = low[low < peak], low[low > peak]
    first = before[-1] if len(before) else 0
    last = after[0] if len(after) else len(profile) - 1
    return float(last - first) / X_PX_PER_MM


def _height_at(band: NDArray[np.bool_], peak: int) -> float:
    """Height, mm, of the ink around a beat."""
    reach = round(1.5 * X_PX_PER_MM)
    seen = np.flatnonzero(band[:, max(0, peak - reach) : peak + reach + 1].any(axis=1))
    if not len(seen) or np.ptp(seen) > WHOLE_BAND * len(band):
        return float("nan")  # nothing, or ink from above to below that is not the beat's alone
    return float(np.ptp(seen)) / Y_PX_PER_MM
