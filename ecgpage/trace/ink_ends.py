"""Where the ink of a lead begins and ends on the flat page: exact where blank paper lies beyond, silent where ink goes on."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import FlatPage
from ecgpage.trace.crops import Reading
from ecgpage.trace.options import TraceOptions

INSIDE_MM: Final = (0.5, 2.5)
"""Distances, mm, inwards from the network's end between which the trace's own ink is picked."""
ON_TRACE_MM: Final = 0.5
"""Distance, mm, of ink from the trace up to which it is its own."""
OUTWARDS_MM: Final = 9.0
"""Distance, mm, outwards from there up to which its ink is followed; what is still inked there goes on."""
UP_DOWN_MM: Final = 8.0
"""Distance, mm, above and below up to which it is followed."""
LEAST_INK: Final = 0.4
"""Darkness from which a pixel is ink."""
HALF_STROKE_MM: Final = 0.07
"""Distance, mm, by which ink reaches beyond the first and last sample: half a stroke, but for its pale rim."""


def find_ink_ends(
    page: FlatPage, readings: Sequence[Reading], options: TraceOptions = TraceOptions()
) -> Array:
    """(n, 2) page x, mm, of the first and the last sample of the lead of each reading, by the ends of its own ink.

    NaN where it was not read, where ink goes on further than is looked, and beyond the page.
    """
    found = np.full((len(readings), 2), np.nan)
    for reading, ends in zip(readings, found, strict=True):
        seen = np.flatnonzero(reading.visible >= options.min_visible)
        if len(seen) < 2:
            continue
        for side, direction in enumerate((1, -1)):
            ends[side] = _follow(page, reading, seen[::direction], direction)
    return found


def _follow(page: FlatPage, reading: Reading, seen: NDArray[np.intp], direction: int) -> float:
    """Page x, mm, of the outermost ink connected with a trace whose steps ``seen`` come from that end inwards."""
    end_mm = float(reading.x_mm[seen[0]])
    inwards = (reading.x_mm[seen] - end_mm) * direction
    own = seen[(inwards >= INSIDE_MM[0]) & (inwards <= INSIDE_MM[1])]
    if not len(own):
        return float("nan")
    x_mm, y_mm = reading.x_mm[own], reading.y_mm[own]
    far_mm = end_mm - direction * OUTWARDS_MM
    columns = np.rint(page.column(np.sort([far_mm, float(x_mm[-1])]))).astype(int)
    level = float(np.nanmedian(y_mm))
    rows = np.rint(page.row(np.array([level - UP_DOWN_MM, level + UP_DOWN_MM]))).astype(int)
    first, last = np.clip(columns, 0, page.ink.shape[1] - 1)
    top, bottom = np.clip(rows, 0, page.ink.shape[0])
    if last - first < 2 or bottom - top < 2:
        return float("nan")
    inked = (page.ink[top:bottom, first : last + 1] > LEAST_INK).astype(np.uint8)
    _, labels = cv2.connectedComponents(cv2.dilate(inked, np.ones((3, 3), np.uint8)))
    at = np.clip(np.rint(page.column(x_mm)).astype(int) - first, 0, inked.shape[1] - 1)
    reach = round(ON_TRACE_MM * Y_PX_PER_MM)
    lines = np.rint(page.row(y_mm)).astype(int)[:, None] - top + np.arange(-reach, reach + 1)
    lines = np.clip(lines, 0, inked.shape[0] - 1)
    picked = labels[lines, at[:, None]][inked[lines, at[:, None]] > 0]
    if not len(picked):
        return float("nan")
    label = np.bincount(picked).argmax()
    columns_inked = np.flatnonzero(((labels == label) & (inked > 0)).any(axis=0))
    outermost = int(columns_inked[0] if direction > 0 else columns_inked[-1])
    edge = outermost if direction > 0 else inked.shape[1] - 1 - outermost
    if edge < 1.0 * X_PX_PER_MM:
        return float("nan")  # it goes on, or the page ends
    return float(page.x_mm(first + outermost)) + direction * HALF_STROKE_MM
