"""A map for pictures without a visible grid: the scale by pulses, rows and separators.

The sheet's outline gives the perspective where the picture shows it; otherwise the picture is taken for flat (thresholded
scans, copies, screenshots), and the lines of print give its slant. The detector finds the leads and the calibration pulses.
The scale is the one that both the height of the pulses and the length of the rows make likeliest (ten seconds are 250 mm at
25 mm/s, with the gaps between columns or without them). Printed separators between the columns, 62.5 mm apart in
four columns, make it exact.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import NoGridError
from ecgpage.core.types import Array, Image
from ecgpage.grid.axes import read_axes
from ecgpage.grid.flat_page import flatten_page
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.decode import brightest_channel
from ecgpage.image.sheet_outline import find_sheet, measure_proportions
from ecgpage.layout.detector import CLASSES, PULSE, LeadDetector
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.rows import find_rows
from ecgpage.layout.separators import measure_separator_pitch

log = logging.getLogger(__name__)


VIEW_PX: Final = 1280
"""Longer side, px, of the picture in which leads are searched."""
MAX_SLANT_DEG: Final = 4.0
"""Slant, degrees, of a flat picture either way, at most."""
MIN_SCORE: Final = 0.35
"""Score, 0 to 1, of a box, at least."""
MIN_LEADS: Final = 6
"""Number of leads by which an ECG is recognised, at least."""
SURE_LEADS: Final = 9.0
"""Sum of the leads' scores above which a sheet's outline is trusted."""
ROW_MM: Final = 250.0
"""Length, mm, of a row: ten seconds at 25 mm/s."""
PULSE_MM: Final = 10.0
"""Height, mm, of a calibration pulse: 1 mV at 10 mm/mV."""
FOURTHS: Final = (0.18, 0.32)
"""Width of a lead's box over that of a row, between which a page has four columns."""
ROW_ERROR: Final = 0.015
"""Standard deviation of the natural log of a row's length by its boxes; this and the next ones are judgements."""
GAPS_ARE_TIME: Final = 0.5
"""Share of pages between whose columns the blanks are time."""
ROW_LENGTHS: Final = ((1.0, 0.78), (0.5, 0.12), (2.0, 0.1))
"""Lengths of rows over the usual one, of five seconds or at 50 mm/s, and their shares."""
OTHER_ROWS: Final = 0.2
"""Share of pages whose rows have any other length, as where they are cut."""
PULSE_ERROR: Final = 0.06
"""Standard deviation of the natural log of a pulse's height by its box; those of one page are off alike."""
PULSE_GAINS: Final = ((1.0, 0.85), (0.5, 0.08), (2.0, 0.07))
"""Gains over the usual one, and their shares."""
OTHER_PULSES: Final = 0.045
"""Share of pulses that are none, as of clear ones in ``LayoutOptions.wrong_pulses``."""
LN_RANGE: Final = 4.0
"""Natural log of the ratio of the largest to the smallest length that may be anything."""
SCALES_TRIED: Final = (-1.6, 1.6)
"""Natural log of the scales that are tried over that by the rows' whole length."""


@dataclass(frozen=True)
class _View:
    """Picture made upright and flat, its longer side ``VIEW_PX``, with the boxes found in it."""

    to_view: Array
    """(3, 3) homography from the picture to the view."""
    shape: tuple[int, int]
    """Width and height, px, of the view."""
    score: float
    """Sum of the leads' scores."""
    leads: Array
    """(n, 4) boxes of leads, view px."""
    pulses: Array
    """(m, 4) boxes of pulses, view px."""


def map_without_grid(
    image: Image, detector: LeadDetector, options: LayoutOptions = LayoutOptions()
) -> GridMap:
    """Map, upright, of a picture uint8 (H, W, 3) RGB without a grid; ``EcgPageError`` when no ECG is recognised."""
    light = brightest_channel(image)
    best: _View | None = None
    for upright, sides in _flat_views(image, light):
        for turn in (0, 2, 1, 3):
            seen = _look(light, upright, sides, turn, detector)
            if best is None or seen.score > best.score:
                best = seen
            if seen.score > 2 * MIN_LEADS:
                break
        if best is not None and best.score > SURE_LEADS:
            break
    if best is None or len(best.leads) < MIN_LEADS:
        raise NoGridError(
            "no ECG grid found, and no ECG without one; photograph the whole page, sharp and well lit"
        )
    px_per_mm, source = tell_scale(best.leads, best.pulses)
    grid = _make_map(best, px_per_mm, source)
    if _stand_in_four(best.leads):
        page = flatten_page(image, grid)
        pitch = measure_separator_pitch(page, find_rows(page, options), ROW_MM, options)
        if pitch is not None:
            grid = _make_map(best, px_per_mm * pitch, f"{source}, separators")
    log.info("no grid: %.2f px/mm from the %s", grid.px_per_mm, grid.source)
    return replace(grid, axes=read_axes(image)) if grid.lies_upright else grid


def _flat_views(image: Image, light: Image) -> Iterator[tuple[Array, tuple[float, float]]]:
    """Homographies (3, 3) from the picture to flat ones, by the sheet's outline and by the slant, and their sizes, px."""
    corners = find_sheet(image)
    if corners is not None:
        ratio = measure_proportions(corners, image.shape)
        longer = float(np.linalg.norm(np.diff(corners, axis=0, append=corners[:1]), axis=1).max())
        width, height = (longer, longer / ratio) if ratio > 1 else (longer * ratio, longer)
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
        plane = cv2.getPerspectiveTransform(corners.astype(np.float32), flat.astype(np.float32))
        yield np.asarray(plane, np.float64), (width, height)
    height, width = light.shape
    slant = _find_slant(np.asarray(255 - light, np.uint8))
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), slant, 1.0)
    yield np.vstack([turn, [0.0, 0.0, 1.0]]), (width, height)


def _look(
    light: Image, upright: Array, sides: tuple[float, float], turn: int, detector: LeadDetector
) -> _View:
    """Boxes that the detector finds in the flat picture after ``turn`` quarter turns counter-clockwise."""
    width, height = sides
    scale = VIEW_PX / max(sides)
    shape = round(width * scale), round(height * scale)
    grown = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    quarters = {
        0: np.eye(3),
        1: np.array([[0, 1, 0], [-1, 0, shape[0] - 1], [0, 0, 1]]),
        2: np.array([[-1, 0, shape[0] - 1], [0, -1, shape[1] - 1], [0, 0, 1]]),
        3: np.array([[0, -1, shape[1] - 1], [1, 0, 0], [0, 0, 1]]),
    }[turn]
    to_view = quarters @ grown @ upright
    shape = shape if turn % 2 == 0 else shape[::-1]
    reduce = max(1, max(light.shape) // VIEW_PX)
    small = cv2.resize(light, None, fx=1 / reduce, fy=1 / reduce, interpolation=cv2.INTER_AREA)
    enlarged = np.array([[reduce, 0, (reduce - 1) / 2], [0, reduce, (reduce - 1) / 2], [0, 0, 1]])
    view = cv2.warpPerspective(small, to_view @ enlarged, shape, flags=cv2.INTER_LINEAR, borderValue=255)
    found = detector.detect(np.asarray(view, np.uint8), score=MIN_SCORE)
    pulse = found.classes == CLASSES.index(PULSE)
    boxes = found.boxes.astype(np.float64)
    return _View(to_view, shape, float(found.scores[~pulse].sum()), boxes[~pulse], boxes[pulse])


def _find_slant(ink: NDArray[np.uint8]) -> float:
    """Slant, degrees clockwise, of lines of print and traces: where their profile across is sharpest."""
    scale = min(1.0, VIEW_PX / max(ink.shape))
    small = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    dark = (small > 0.5 * np.quantile(small, 0.995)).astype(np.float32)

    def sharpness(degrees: float) -> float:
        turn = cv2.getRotationMatrix2D((dark.shape[1] / 2, dark.shape[0] / 2), degrees, 1.0)
        turned = cv2.warpAffine(dark, turn, (dark.shape[1], dark.shape[0]), flags=cv2.INTER_LINEAR)
        # along both axes: pages may lie on their side
        return max(float((np.diff(turned.sum(axis=axis)) ** 2).sum()) for axis in (0, 1))

    found = 0.0
    for width, step in ((MAX_SLANT_DEG, 0.5), (0.5, 0.1), (0.1, 0.02)):
        tried = found + np.arange(-width, width + step / 2, step)
        found = float(tried[np.argmax([sharpness(float(d)) for d in tried])])
    return found


def tell_scale(leads: Array, pulses: Array) -> tuple[float, str]:
    """Scale, view px per mm, by boxes (n, 4) of leads and (m, 4) of pulses, and the name of its source.

    Rows last ten seconds, with the gaps between columns or without them; pulses are as high as the usual gain makes them, or
    another one. Each scale is weighed by both, so that pulses decide what gaps are, and the rows' length gives the rest.
    """
    lengths, gap = _measure_rows(leads)
    whole = float(np.quantile(lengths, 0.75))
    drawn = whole - gap
    tried = np.exp(np.arange(*SCALES_TRIED, 0.002)) * whole / ROW_MM
    odds = _weigh_rows(tried, whole, drawn)
    if not len(pulses):
        return float(tried[odds.argmax()]), "length of the rows"
    height = float(np.median(pulses[:, 3] - pulses[:, 1]))
    by_pulses = _weigh_pulses(tried, height)
    scale = float(tried[(odds + by_pulses).argmax()])
    rows_off = min(
        abs(np.log(length / (ROW_MM * part * scale))) for length in (whole, drawn) for part, _ in ROW_LENGTHS
    )
    pulses_off = min(abs(np.log(height / (PULSE_MM * gain * scale))) for gain, _ in PULSE_GAINS)
    agree = [
        word
        for word, off, most in (
            ("calibration pulses", pulses_off, 3 * PULSE_ERROR),
            ("length of the rows", rows_off, 3 * ROW_ERROR),
        )
        if off < most
    ]
    return scale, " and ".join(agree) or "length of the rows"


def _measure_rows(leads: Array) -> tuple[list[float], float]:
    """Length, px, of the row of each lead (n, 4), and the median width of all gaps between the leads of one row."""
    middle = leads[:, [1, 3]].mean(axis=1)
    height = float(np.median(leads[:, 3] - leads[:, 1]))
    lengths, gaps = [], []
    for y in middle:
        row = leads[np.abs(middle - y) < 0.4 * height]
        row = row[np.argsort(row[:, 0])]
        lengths.append(float(row[:, 2].max() - row[:, 0].min()))
        if len(row) > 1:
            gaps.append(float(np.clip(row[1:, 0] - row[:-1, 2], 0, None).sum()))
    return lengths, float(np.median(gaps)) if gaps else 0.0


def _weigh_rows(px_per_mm: Array, whole: float, drawn: float) -> Array:
    """(n,) log likelihood of rows, px long with gaps and without, at each scale (n,)."""
    seen = sum(
        share * usual * _density(np.log(length / (ROW_MM * part * px_per_mm)), ROW_ERROR)
        for share, length in ((GAPS_ARE_TIME, whole), (1 - GAPS_ARE_TIME, drawn))
        for part, usual in ROW_LENGTHS
    )
    return np.asarray(np.log((1 - OTHER_ROWS) * seen + OTHER_ROWS / LN_RANGE))


def _weigh_pulses(px_per_mm: Array, height: float) -> Array:
    """(n,) log likelihood of pulses, px high, at each scale (n,)."""
    seen = sum(
        share * _density(np.log(height / (PULSE_MM * gain * px_per_mm)), PULSE_ERROR)
        for gain, share in PULSE_GAINS
    )
    return np.asarray(np.log((1 - OTHER_PULSES) * seen + OTHER_PULSES / LN_RANGE))


def _density(off: Array, error: float) -> Array:
    """Density (n,) of the normal distribution."""
    return np.asarray(np.exp(-0.5 * (off / error) ** 2) / (error * np.sqrt(2 * np.pi)))


def _stand_in_four(leads: Array) -> bool:
    """Whether most boxes (n, 4) of leads are about a quarter as wide as all of them: separators stand a quarter apart."""
    share = float(np.median(leads[:, 2] - leads[:, 0])) / float(leads[:, 2].max() - leads[:, 0].min())
    return FOURTHS[0] < share < FOURTHS[1]


def _make_map(view: _View, px_per_mm: float, source: str) -> GridMap:
    """Map of 5-mm squares over the whole view."""
    nx, ny = (int(side / px_per_mm / SQUARE_MM) + 1 for side in view.shape)
    at = (
        np.stack(np.meshgrid(SQUARE_MM * np.arange(nx), SQUARE_MM * np.arange(ny)), axis=-1) * px_per_mm - 0.5
    )
    back = np.concatenate([at, np.ones((ny, nx, 1))], axis=-1) @ np.linalg.inv(view.to_view).T
    return GridMap(back[..., :2] / back[..., 2:], (0.0, 0.0), np.ones((ny, nx)), float("nan"), source)
