"""A map grows into the parts of a folded sheet that were not tracked."""

from typing import Final

import cv2
import numpy as np
import pytest

from ecgpage.core.types import Array, Image
from ecgpage.grid.extension import extend_map
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.refinement import STIFFNESS
from ecgpage.image.decode import darkest_channel
from tests.grid.periodic import draw_periodic

pytestmark = pytest.mark.medium

PITCH_PX: Final = 40.0
SHAPE: Final = (1000, 1400)
FOLD_PX: Final = 700.0
"""Sheet x of the fold; what lies behind it is seen narrower, and rises."""
NARROWER: Final = 0.06
RISE: Final = 0.16


def see(sheet: Array) -> Array:
    """(..., 2) places of the folded sheet in its picture."""
    behind = np.maximum(sheet[..., 0] - FOLD_PX, 0.0)
    return sheet - behind[..., None] * np.array([NARROWER, RISE])


def draw_folded() -> Image:
    sheet = draw_periodic("lines", (PITCH_PX, PITCH_PX), shape=SHAPE, origin_px=(0.0, 0.0))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    behind = np.maximum(x - np.float32(FOLD_PX), 0) / np.float32(1 - NARROWER)
    seen = cv2.remap(
        sheet,
        x + np.float32(NARROWER) * behind,
        y + np.float32(RISE) * behind,
        cv2.INTER_LINEAR,
        borderValue=(90, 90, 90),
    )
    return np.asarray(seen, np.uint8)


def test_a_map_grows_over_a_fold_and_stays_on_the_lines_behind_it() -> None:
    x, y = np.meshgrid(np.arange(1, FOLD_PX // PITCH_PX), np.arange(6, 24))
    half = GridMap(
        see(np.stack([x, y], axis=-1) * PITCH_PX), (5.0, 30.0), np.ones(x.shape), 0.1, "5 mm lines"
    )
    grown = extend_map(np.asarray(255 - darkest_channel(draw_folded()), np.uint8), half, STIFFNESS[1])
    row, column = np.nonzero(grown.quality > 0)
    page_mm = np.array(grown.origin_mm) + 5.0 * np.stack([column, row], axis=-1)
    true = see(page_mm / 5.0 * PITCH_PX)
    behind = page_mm[:, 0] / 5.0 * PITCH_PX > FOLD_PX + PITCH_PX
    assert page_mm[behind, 0].max() / 5.0 * PITCH_PX > SHAPE[1] - 4 * PITCH_PX
    off_mm = np.linalg.norm(grown.nodes[row, column] - true, axis=-1) / (PITCH_PX / 5.0)
    assert np.median(off_mm[behind]) < 0.1
    assert off_mm.max() < 1.0
