"""Tell pictures that are dark with light traces, as screens show them, and turn them into paper."""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image, Light
from ecgpage.image.decode import brightest_channel

DARK: Final = 90
"""Median brightness, 0 to 255, below which a picture's ground is dark."""
MUCH_LIGHTER: Final = 60
"""Brightness above the ground's from which something is drawn light."""
MOST_LIGHT: Final = 0.3
"""Share of a dark picture that is lighter, above which it shows a page on something dark."""
SIDES_PX: Final = (1600, 1200, 600, 400)
"""Longer sides, px, of the pictures in which strokes are looked for: thin in one of them whatever their width is, while the
squares between dark lines are wider."""
WEIGHTS: Final = (3.1, 3.2, 3.8, 1.8)
"""Log odds of a negative for each of them, for a natural log of contrasts. Logistic regression on 660 drawn pages of the
Challenge's kinds (folds 1 to 7) and 120 of devices, each with its negative; of 780 others (fold 8) one is told wrong."""
STROKE_PX: Final = 5
"""Width, px, of a stroke in them, at most."""
STROKES: Final = 0.98
"""Quantile of the contrast of strokes that tells how clear they are; the traces of a page are rarely less of it."""
LEAST_STROKE: Final = 12
"""Contrast, grey levels, of a stroke that shows where something is drawn."""
NEAR: Final = 0.034
"""Side, longer sides of the picture, of the window around a stroke that counts as drawn on."""
NOISE: Final = 2.0
"""Contrast, grey levels, of noise and of the file's compression."""
NOTHING: Final = 0.1
"""Log odds, either way, below which strokes tell nothing, and the brightness decides."""
UNCLEAR: Final = 2.0
"""Log odds, either way, below which a picture and its negative are both worth reading: one drawn page in 200."""


def list_positives(image: Image) -> list[Image]:
    """A uint8 (H, W, 3) RGB picture with a light ground: itself or its negative; behind it the other one where strokes do not
    tell clearly.

    Strokes of a page are darker than what is beside them, on whatever it lies. The brightness of the whole picture decides
    where there are few.
    """
    odds = _weigh_strokes(image)
    is_negative = odds > 0 if abs(odds) > NOTHING else _is_dark(image)
    turned = (is_negative, not is_negative)[: 1 + (abs(odds) < UNCLEAR)]
    return [np.asarray(255 - image, np.uint8) if turn else image for turn in turned]


def as_positive(image: Image) -> Image:
    """The likelier picture of ``list_positives``."""
    return list_positives(image)[0]


def _is_dark(image: Image) -> bool:
    """Whether most of a picture is dark, and little of it much lighter."""
    # all pixels: a part in steps may fall on the lines of a grid only
    counts = cv2.calcHist([brightest_channel(image)], [0], None, [256], [0, 256]).ravel()
    darker = np.cumsum(counts, dtype=np.float64) / counts.sum(dtype=np.float64)
    ground = int(np.searchsorted(darker, 0.5))
    return ground < DARK and bool(1.0 - darker[ground + MUCH_LIGHTER] < MOST_LIGHT)


def _weigh_strokes(image: Image) -> float:
    """Natural log of the odds that a picture is a negative, by whether its strokes are light or dark."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    told = 0.0
    for side, weight in zip(SIDES_PX, WEIGHTS, strict=True):
        scale = min(1.0, side / max(grey.shape))
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        told += weight * _compare_strokes(np.asarray(grey, np.uint8))
    return told


def _compare_strokes(grey: Light) -> float:
    """Natural log of the contrast of light strokes over that of dark ones."""
    soft = cv2.GaussianBlur(grey, (3, 3), 0)
    around = np.ones((STROKE_PX, STROKE_PX), np.uint8)
    hats = [cv2.morphologyEx(soft, kind, around) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    is_stroke = (cv2.max(*hats) > LEAST_STROKE).astype(np.uint8)
    # of the part of the picture where something is drawn: a page may lie in its corner
    near = round(NEAR * max(grey.shape)) | 1
    drawn = float(cv2.dilate(is_stroke, np.ones((near, near), np.uint8)).mean())
    light, dark = (float(np.quantile(hat, 1 - (1 - STROKES) * drawn)) + NOISE for hat in hats)
    return float(np.log(light / dark))
