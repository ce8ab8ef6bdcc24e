"""Draw the traces and lead names that were read onto their page."""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image
from ecgpage.layout.types import Segment
from ecgpage.results import PageReading

TRACE_COLOUR: Final = (220, 30, 30)
"""Colour of traces, RGB: red."""
MARK_COLOUR: Final = (20, 90, 220)
"""Colour of starts and names, RGB: blue."""
SHIFT: Final = 4
"""Sub-pixel precision of drawing, bits."""


def draw_overlay(image: Image, page: PageReading, *, width_px: int = 1800) -> Image:
    """Overlay of a page: copy of a uint8 (H, W, 3) RGB image with the traces (red), starts and names (blue).

    It is at most ``width_px`` wide.
    """
    scale = min(1.0, width_px / image.shape[1])
    canvas = image.copy()
    if scale < 1:
        canvas = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    for segment, trace in zip([t.segment for t in page.traces], page.traces, strict=True):
        x, y = page.grid.to_image(trace.x_mm, np.nan_to_num(trace.y_mm))
        points = (np.stack([x, y], axis=-1) + 0.5) * scale - 0.5
        for run in _runs(np.isfinite(trace.y_mm)):
            line = np.rint(points[run] * 2**SHIFT).astype(np.int32)
            cv2.polylines(canvas, [line], False, TRACE_COLOUR, max(1, round(1.2 * scale)), cv2.LINE_AA, SHIFT)
        _mark(canvas, page, segment, scale)
    return canvas


def _mark(canvas: Image, page: PageReading, segment: Segment, scale: float) -> None:
    """Draw a stroke of 12 mm where the segment starts, with its lead's name beside it."""
    level = segment.baseline(page.layout.rows)
    x, y = page.grid.to_image(np.full(2, segment.x0_mm), np.array([level - 6.0, level + 6.0]))
    low, high = (tuple(round(v * scale) for v in point) for point in zip(x, y, strict=True))
    cv2.line(canvas, low, high, MARK_COLOUR, 1, cv2.LINE_AA)
    cv2.putText(
        canvas, segment.lead, (low[0] + 3, low[1]), cv2.FONT_HERSHEY_SIMPLEX, 0.5, MARK_COLOUR, 1, cv2.LINE_AA
    )


def _runs(mask: np.ndarray) -> list[slice]:
    """Slices of the runs of True in a mask (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
