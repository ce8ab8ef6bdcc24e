"""A map for pictures in which no printed grid shows: the scale from what else is known of an ECG page.

Such pages are flat pictures: thresholded scans, copies, screenshots. The lines of print give their slant, the detector finds
the leads and the calibration pulses, and the scale follows, in this order, from the height of the pulses and the length of
the rows together (ten seconds are 250 mm at 25 mm/s), from the pulses alone, from the length of the rows alone. Separators
between the columns, 62.5 mm apart in four columns, make it exact where they are printed.
"""

import logging
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.detect import CLASSES, PULSE, LeadDetector
from ecgpage.ecg import EcgPageError
from ecgpage.flat import flatten_page
from ecgpage.grid import BOX_MM, GridMap
from ecgpage.images import Image, brightest_channel
from ecgpage.leads import find_rows, separator_pitch

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

VIEW_PX: Final = 1280
MAX_SLANT_DEG: Final = 4.0
MIN_SCORE: Final = 0.35
MIN_LEADS: Final = 6
ROW_MM: Final = 250.0
"""Ten seconds at 25 mm/s."""
PULSE_MM: Final = 10.0
SAME: Final = 0.2
"""Largest difference between the two scales, natural log, with which they speak of the same page."""


def map_without_grid(image: Image, detector: LeadDetector) -> GridMap:
    """Map of a flat uint8 (H, W, 3) RGB picture without a grid, upright; EcgPageError when no ECG is recognised."""
    ink = np.asarray(255 - brightest_channel(image), np.uint8)
    slant = _slant(ink)
    best: tuple[float, int, Array, Array] | None = None
    for turn in (0, 2, 1, 3):
        to_view, shape = _view(ink.shape, slant, turn)
        view = cv2.warpAffine(255 - ink, to_view, shape, flags=cv2.INTER_AREA, borderValue=255)
        found = detector.detect(np.asarray(view, np.uint8), score=MIN_SCORE)
        pulse = found.classes == CLASSES.index(PULSE)
        score = float(found.scores[~pulse].sum())
        if best is None or score > best[0]:
            best = score, turn, found.boxes[~pulse].astype(np.float64), found.boxes[pulse].astype(np.float64)
        if score > 2 * MIN_LEADS:
            break
    if best is None or len(best[2]) < MIN_LEADS:
        raise EcgPageError(
            "no ECG grid found, and no ECG without one; photograph the whole page, sharp and well lit"
        )
    _, turn, leads, pulses = best
    to_view, shape = _view(ink.shape, slant, turn)
    px_per_mm, source = _scale(leads, pulses)
    grid = _regular(to_view, shape, px_per_mm, source)
    page = flatten_page(image, grid)
    pitch = separator_pitch(page, find_rows(page), ROW_MM)
    if pitch is not None:
        grid = _regular(to_view, shape, px_per_mm * pitch, f"{source}, separators")
    log.info("no grid: %.2f px/mm from the %s, slant %.2f degrees", grid.px_per_mm, grid.source, slant)
    return grid


def _slant(ink: NDArray[np.uint8]) -> float:
    """Degrees, clockwise, by which lines of print and traces lie aslant: where their profile across is sharpest."""
    scale = min(1.0, VIEW_PX / max(ink.shape))
    small = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    dark = (small > 0.5 * np.quantile(small, 0.995)).astype(np.float32)

    def sharpness(degrees: float) -> float:
        turn = cv2.getRotationMatrix2D((dark.shape[1] / 2, dark.shape[0] / 2), degrees, 1.0)
        turned = cv2.warpAffine(dark, turn, (dark.shape[1], dark.shape[0]), flags=cv2.INTER_LINEAR)
        # both directions: pages may lie on their side
        return max(float((np.diff(turned.sum(axis=axis)) ** 2).sum()) for axis in (0, 1))

    found = 0.0
    for width, step in ((MAX_SLANT_DEG, 0.5), (0.5, 0.1), (0.1, 0.02)):
        tried = found + np.arange(-width, width + step / 2, step)
        found = float(tried[np.argmax([sharpness(float(d)) for d in tried])])
    return found


def _view(shape: tuple[int, ...], slant: float, turn: int) -> tuple[Array, tuple[int, int]]:
    """Affine map (2, 3) from the picture to an upright view whose longer side is VIEW_PX, and the view's (width, height)."""
    height, width = shape[:2]
    scale = VIEW_PX / max(height, width)
    size = np.array([width, height] if turn % 2 == 0 else [height, width]) * scale
    angle = np.deg2rad(-slant) - turn * np.pi / 2
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = (size - 1) / 2 - rotation @ middle
    whole = tuple(int(v) for v in np.rint(size))
    return np.column_stack([rotation, shift]), (whole[0], whole[1])


def _scale(leads: Array, pulses: Array) -> tuple[float, str]:
    """View pixels per millimetre, and what it rests on, from boxes (n, 4) of leads and pulses."""
    middle = leads[:, [1, 3]].mean(axis=1)
    height = float(np.median(leads[:, 3] - leads[:, 1]))
    lengths = []
    for y in middle:
        row = leads[np.abs(middle - y) < 0.4 * height]
        lengths.append(row[:, 2].max() - row[:, 0].min())
    by_rows = float(np.quantile(lengths, 0.75)) / ROW_MM
    if len(pulses) == 0:
        return by_rows, "length of the rows"
    by_pulses = float(np.median(pulses[:, 3] - pulses[:, 1])) / PULSE_MM
    if abs(np.log(by_rows / by_pulses)) < SAME:
        return by_rows, "calibration pulses and length of the rows"
    return by_pulses, "calibration pulses"


def _regular(to_view: Array, shape: tuple[int, int], px_per_mm: float, source: str) -> GridMap:
    """The map of square boxes over the whole view."""
    back = np.asarray(cv2.invertAffineTransform(to_view), np.float64)
    nx, ny = (int(side / px_per_mm / BOX_MM) + 1 for side in shape)
    at = np.stack(np.meshgrid(BOX_MM * np.arange(nx), BOX_MM * np.arange(ny)), axis=-1) * px_per_mm - 0.5
    nodes = at @ back[:, :2].T + back[:, 2]
    return GridMap(nodes, (0.0, 0.0), np.ones((ny, nx)), float("nan"), source)
