"""Cut out the view of the page branch: the ECG of a flat page, small, grey, upright, with equal px/mm along both axes.

Like the training pages (``ecgpage.synth.flat_pages``) it is cut to the ECG with a margin, the longer side 640 px. It is
sampled once, from the original pixels, through the grid map.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image, Light
from ecgpage.grid.grid_map import GridMap, flatten
from ecgpage.layout.types import Segment
from ecgpage.trace.reader import Trace

SIZE: Final = (320, 448)
"""Rows and columns to which the page branch's network stretches a view."""
LONG_SIDE: Final = 640
"""Longer side of the view, px."""
MARGIN_MM: Final = 7.5
"""Margin around the ECG, mm: the middle of the margins of training pages."""
REACH_MM: Final = 12.0
"""Height, mm, above the highest and below the lowest zero level where no trace was read."""
MOST_MM: Final = 25.0
"""Height, mm, above the highest and below the lowest zero level beyond which traces are ignored."""
PULSE_MM: Final = 8.0
"""Width, mm, before the first segment, where a calibration pulse may stand."""


def page_view(
    image: Image, grid: GridMap, segments: Sequence[Segment], traces: Sequence[Trace] = ()
) -> Light | None:
    """ECG area of a page, uint8 (h, w) grey, longer side 640 px; None without segments.

    Args:
        image: uint8 (H, W, 3) RGB, as decoded.
        grid: map of the upright page.
        segments: where leads are drawn, page mm.
        traces: traces of the segments that were read; they give the vertical extent of the ink.
    """
    window = ecg_window(segments, traces)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    step = max(x1 - x0, y1 - y0) / LONG_SIDE
    x_mm, y_mm = (np.arange(low + step / 2, high, step) for low, high in ((x0, x1), (y0, y1)))
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return flatten(grey, grid, x_mm, y_mm)


def ecg_window(
    segments: Sequence[Segment], traces: Sequence[Trace] = ()
) -> tuple[float, float, float, float] | None:
    """Rectangle x0, y0, x1, y1, page mm, of all segments with the margin around them; None without segments."""
    if not segments:
        return None
    zeros = np.array([s.zero_mm for s in segments])
    top, bottom = float(zeros.min()), float(zeros.max())
    drawn = [t.y_mm[np.isfinite(t.y_mm)] for t in traces]
    if any(len(y) for y in drawn):
        ink = np.clip(np.concatenate([*drawn, zeros]), top - MOST_MM, bottom + MOST_MM)
        top, bottom = float(ink.min()), float(ink.max())
    else:
        top, bottom = top - REACH_MM, bottom + REACH_MM
    x0 = min(s.x0_mm for s in segments) - PULSE_MM
    return (
        x0 - MARGIN_MM,
        top - MARGIN_MM,
        max(s.x1_mm for s in segments) + MARGIN_MM,
        bottom + MARGIN_MM,
    )
