"""A picture without its strokes: beats that follow each other evenly hide the frequency of a faint grid."""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image
from ecgpage.image.decode import brightest_channel

SHADOW_PX: Final = 25.0
"""Standard deviation, px, of the surroundings over which ink is darker: shadows and tables fade out."""
STROKE_QUANTILE: Final = 0.99
"""Share of the pixels that are paler than a typical stroke."""
INK_SHARE: Final = 0.45
"""Darkness of ink over that of a typical stroke, at least, in the brightest channel: coloured lines fade there."""
BESIDE_PX: Final = 7
"""Width, px, of what is painted over around a pixel of ink."""
PAPER_PX: Final = 41
"""Width, px, of the surroundings whose colour it gets."""
MOST_COVERED: Final = 0.35
"""Share of the picture that strokes cover at most: what covers more is the grid itself."""


def remove_strokes(image: Image) -> Image | None:
    """A uint8 (H, W, 3) RGB picture in which traces and letters have the colour of the paper around; None where what is dark
    covers too much for strokes.
    """
    dark = 255 - brightest_channel(image).astype(np.float32)
    detail = dark - cv2.GaussianBlur(dark, (0, 0), SHADOW_PX)
    ink = detail > INK_SHARE * np.quantile(detail[::3, ::3], STROKE_QUANTILE)
    covered = cv2.dilate(ink.astype(np.uint8), np.ones((BESIDE_PX, BESIDE_PX), np.uint8)) > 0
    if covered.mean() > MOST_COVERED:
        return None
    paper = np.where(covered, np.float32(0), np.float32(1))
    total = cv2.blur(image.astype(np.float32) * paper[..., None], (PAPER_PX, PAPER_PX))
    weight = cv2.blur(paper, (PAPER_PX, PAPER_PX))
    around = total / np.maximum(weight, 1e-3)[..., None]
    return np.asarray(np.where(covered[..., None], around, image), np.uint8)
