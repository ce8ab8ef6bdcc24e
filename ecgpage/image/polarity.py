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
SIDE_PX: Final = 1200
"""Longer side, px, of the picture in which strokes are looked for."""
STROKE_PX: Final = 9
"""Width, px, of a stroke in it, at most."""
STROKES: Final = 0.98
"""Quantile of the contrast of strokes that tells how clear they are; the traces of a page are rarely less of it."""
LEAST_STROKE: Final = 12
"""Contrast, grey levels, of a stroke that shows where something is drawn."""
NEAR_PX: Final = 41
"""Side, px, of the window around a stroke that counts as drawn on."""
NOISE: Final = 2.0
"""Contrast, grey levels, of noise and of the file's compression."""
CLEAR_SIGN: Final = 0.1
"""Natural log of the contrast of light strokes over that of dark ones, either way, from which it tells the ground: scans,
photos and screens of ECGs have 0.16 or more.
"""


def is_negative(image: Image) -> bool:
    """Whether a uint8 (H, W, 3) RGB picture shows light traces on a dark ground.

    Strokes tell: those of a page are darker than what is beside them, on whatever it lies. The brightness of the whole
    picture decides where there are few.
    """
    sign = _compare_strokes(image)
    if abs(sign) > CLEAR_SIGN:
        return sign > 0
    # all pixels: a part in steps may fall on the lines of a grid only
    counts = cv2.calcHist([brightest_channel(image)], [0], None, [256], [0, 256]).ravel()
    darker = np.cumsum(counts, dtype=np.float64) / counts.sum(dtype=np.float64)
    ground = int(np.searchsorted(darker, 0.5))
    return ground < DARK and bool(1.0 - darker[ground + MUCH_LIGHTER] < MOST_LIGHT)


def _compare_strokes(image: Image) -> float:
    """Natural log of the contrast of light strokes over that of dark ones."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE_PX / max(grey.shape))
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (3, 3), 0)
    around = np.ones((STROKE_PX, STROKE_PX), np.uint8)
    hats = [cv2.morphologyEx(grey, kind, around) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    is_stroke = (cv2.max(*hats) > LEAST_STROKE).astype(np.uint8)
    # of the part of the picture where something is drawn: a page may lie in its corner
    drawn = float(cv2.dilate(is_stroke, np.ones((NEAR_PX, NEAR_PX), np.uint8)).mean())
    light, dark = (float(np.quantile(hat, 1 - (1 - STROKES) * drawn)) + NOISE for hat in hats)
    return float(np.log(light / dark))


def as_positive(image: Image) -> Image:
    """The picture with a light ground: its negative where it is one, itself otherwise."""
    return np.asarray(255 - image, np.uint8) if is_negative(image) else image
