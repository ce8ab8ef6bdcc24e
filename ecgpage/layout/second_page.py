"""Look for another ECG beside the one that was read: a picture of two is read as the larger, which must be said."""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image, Light
from ecgpage.grid.grid_map import GridMap
from ecgpage.image.decode import brightest_channel
from ecgpage.layout.detector import CLASSES, PULSE, LeadDetector
from ecgpage.layout.types import PageLayout

ANOTHER: Final = "another ECG stands in the picture and is not read: cut it into one picture for each"
"""What is said of a picture of two."""
SMALLEST: Final = 0.4
"""Width and height of a part of the picture over those of the ECG that was read, from which another one has room there."""
MIN_LEADS: Final = 6.0
"""Sum of the scores, 0 to 1, of the leads seen there, from which it is one."""
MIN_SCORE: Final = 0.4
"""Score of a lead that counts, at least."""


def shows_another(image: Image, grid: GridMap, layout: PageLayout, detector: LeadDetector) -> bool:
    """Whether a uint8 (H, W, 3) RGB picture shows another ECG, the same way up, above, below or beside the one read."""
    turn = _quarter_turns(grid)
    parts = list(_parts(image, grid, layout))
    if not parts:
        return False
    light = brightest_channel(image)
    return any(
        _count_leads(np.rot90(light[rows, columns], turn), detector) > MIN_LEADS for rows, columns in parts
    )


def _parts(image: Image, grid: GridMap, layout: PageLayout) -> Iterator[tuple[slice, slice]]:
    """Rows and columns, px, of the parts of a picture around the leads that have room for as many."""
    if not layout.segments:
        return
    levels = [s.baseline(layout.rows) for s in layout.segments]
    x_mm = np.array([(s.x0_mm, s.x1_mm) for s in layout.segments]).ravel()
    x, y = grid.to_image(x_mm, np.repeat(levels, 2))
    step = (y.max() - y.min()) / max(1, len(layout.rows) - 1) / 2
    height, width = image.shape[:2]
    left, right = (int(np.clip(v, 0, width)) for v in (x.min(), x.max()))
    top, bottom = (int(np.clip(v, 0, height)) for v in (y.min() - step, y.max() + step))
    least = SMALLEST * (right - left), SMALLEST * (bottom - top)
    for rows, columns in (
        (slice(0, top), slice(0, width)),
        (slice(bottom, height), slice(0, width)),
        (slice(0, height), slice(0, left)),
        (slice(0, height), slice(right, width)),
    ):
        if columns.stop - columns.start > least[0] and rows.stop - rows.start > least[1]:
            yield rows, columns


def _count_leads(light: Light, detector: LeadDetector) -> float:
    """Sum of the scores of the leads that the detector sees in a picture uint8 (h, w)."""
    scale = min(1.0, 2 * detector.size / max(light.shape))
    small = cv2.resize(np.ascontiguousarray(light), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = detector.detect(np.asarray(small, np.uint8), score=MIN_SCORE)
    return float(found.scores[found.classes != CLASSES.index(PULSE)].sum())


def _quarter_turns(grid: GridMap) -> int:
    """Quarter turns counter-clockwise that put the picture as upright as the page's map is."""
    across = grid.steps_px[0]
    return round(float(np.arctan2(across[1], across[0])) / (np.pi / 2)) % 4
