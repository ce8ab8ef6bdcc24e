"""How large a millimetre of ECG paper is on a page: by the lines of its grid, its pulses, or its own size."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import SPEED_MM_PER_S
from ecgpage.core.types import Array
from ecgpage.vector.curves import PT_PER_MM, Box, Curve
from ecgpage.vector.drawn_grid import PITCHES_MM, DrawnGrid
from ecgpage.vector.leads import sample_step

log = logging.getLogger(__name__)

GAINS: Final = (10.0, 5.0, 20.0, 2.5)
"""Gains, mm/mV, the usual one first."""
PULSE_ERROR: Final = 0.03
"""Difference of a pulse's height from its gain up to which it agrees."""
OWN_SIZE: Final = 0.004
"""Difference of the picture's grid from a page's own size up to which the page is printed at its own size: a grid of a
picture is known that well."""
RATES_HZ: Final = (
    100.0,
    120.0,
    125.0,
    128.0,
    180.0,
    200.0,
    240.0,
    256.0,
    300.0,
    360.0,
    400.0,
    500.0,
    600.0,
    1000.0,
)
"""Rates at which devices record, for 25 mm/s; twice and half of them are tried too."""
RATE_ERROR: Final = 5e-4
"""Difference from such a rate up to which it is that rate: drivers round the scale of a page."""


@dataclass(frozen=True)
class PageScale:
    """Page millimetres and points of the page as seen."""

    first: tuple[float, float]
    """x and y, pt, of page mm (0, 0)."""
    pt_per_mm: tuple[float, float]
    source: str
    """What it rests on, as in ``GridMap.source``."""
    extent_mm: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the grid; empty where none is drawn."""
    notes: tuple[str, ...] = ()

    def to_mm(self, points: Array) -> Array:
        """(n, 2) page mm of points (n, 2), pt."""
        return (points - self.first) / self.pt_per_mm

    def to_pt(self, places: Array) -> Array:
        """(n, 2) pt of places (n, 2), page mm."""
        return places * self.pt_per_mm + self.first


def find_scale_of_page(
    grid: DrawnGrid | None,
    pulses: Sequence[Box],
    gain: float | None,
    picture_scale: Callable[[], tuple[float, float] | None],
) -> PageScale:
    """Scale of a page.

    Args:
        grid: the grid that is drawn with lines.
        pulses: calibration pulses.
        gain: gain that is written, mm/mV.
        picture_scale: points to a millimetre along x and y by the grid on the picture of the page; None where none is found.
    """
    heights = np.array([pulse.foot - pulse.top for pulse in pulses])
    if grid is not None:
        pitch_mm = grid.pitch_mm
        if not grid.has_squares and len(heights):
            pitch_mm = min(
                PITCHES_MM, key=lambda mm: _misfit(float(np.median(heights)) / grid.pitch[1] * mm, gain)
            )
        scale = PageScale(
            grid.first,
            (grid.pitch[0] / pitch_mm, grid.pitch[1] / pitch_mm),
            f"{pitch_mm:g} mm lines",
            (0, 0, 0, 0),
        )
        corners = scale.to_mm(np.reshape(grid.extent, (2, 2))).ravel()
        scale = replace(scale, extent_mm=(corners[0], corners[1], corners[2], corners[3]))
        if len(heights):
            height = float(np.median(heights)) / scale.pt_per_mm[1]
            if _misfit(height, gain) > np.log(1 + PULSE_ERROR):
                note = f"pulses are {height:.1f} mm high on the grid that is drawn: they fit no usual gain"
                scale = replace(scale, notes=(note,))
        return scale
    own = PageScale((0.0, 0.0), (PT_PER_MM, PT_PER_MM), "the size of the PDF's page", (1.0, 1.0, 0.0, 0.0))
    if len(heights) and _misfit(float(np.median(heights)) / PT_PER_MM, gain) < np.log(1 + PULSE_ERROR):
        return replace(own, source="the size of the PDF's page and its pulses")
    measured = picture_scale()
    if measured is None:
        return own
    off = [abs(value / PT_PER_MM - 1) for value in measured]
    if max(off) < OWN_SIZE:
        return replace(own, source="the size of the PDF's page and the grid on its picture")
    return replace(own, pt_per_mm=measured, source="the grid on the picture of the page")


def _misfit(height_mm: float, gain: float | None) -> float:
    """Logarithm of the ratio of a pulse's height to the gain that is written, or to the nearest usual one."""
    return min(abs(float(np.log(height_mm / g))) for g in (GAINS if gain is None else (gain,)))


def snap_rate(scale: PageScale, curves: Sequence[Curve]) -> PageScale:
    """The scale with the time axis corrected by up to RATE_ERROR, so that the points of the curves stand at a usual rate."""
    steps = [step for curve in curves if (step := sample_step(curve.points)) > 0]
    if not steps:
        return scale
    step_mm = float(np.median(steps)) / scale.pt_per_mm[0]
    rate = SPEED_MM_PER_S / step_mm
    near = min(
        (r * f for r in RATES_HZ for f in (0.5, 1.0, 2.0)), key=lambda usual: abs(np.log(rate / usual))
    )
    if not 1e-7 < abs(rate / near - 1) < RATE_ERROR:
        return scale
    log.debug("time axis corrected by %.2g: points at %g Hz", near / rate - 1, near)
    x0 = min(curve.x0 for curve in curves)
    # the beginning of the curves stays where it is
    per_mm = float(np.median(steps)) * near / (SPEED_MM_PER_S)
    first = x0 - (x0 - scale.first[0]) / scale.pt_per_mm[0] * per_mm
    return replace(scale, first=(first, scale.first[1]), pt_per_mm=(per_mm, scale.pt_per_mm[1]))
