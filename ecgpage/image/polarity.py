"""Tell pictures that are dark with light traces, as screens show them, and turn them into paper."""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image
from ecgpage.image.decode import brightest_channel

DARK: Final = 90
"""Median brightness, 0 to 255, below which a picture's ground is dark."""
MUCH_LIGHTER: Final = 60
"""Brightness above the ground's from which something is drawn light."""
MOST_LIGHT: Final = 0.3
"""Share of a dark picture that is lighter, above which it shows a page on something dark."""


def is_negative(image: Image) -> bool:
    """Whether a uint8 (H, W, 3) RGB picture shows light traces on a dark ground."""
    # all pixels: a part in steps may fall on the lines of a grid only
    counts = cv2.calcHist([brightest_channel(image)], [0], None, [256], [0, 256]).ravel()
    darker = np.cumsum(counts, dtype=np.float64) / counts.sum(dtype=np.float64)
    ground = int(np.searchsorted(darker, 0.5))
    return ground < DARK and bool(1.0 - darker[ground + MUCH_LIGHTER] < MOST_LIGHT)


def as_positive(image: Image) -> Image:
    """The picture with a light ground: its negative where it is one, itself otherwise."""
    return np.asarray(255 - image, np.uint8) if is_negative(image) else image
