"""Whether curves of a page are seen on its picture: nothing covers them, and no layer hides them."""

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.vector.curves import Curve

SAMPLES: Final = 300
"""Places along a curve that are looked at."""
REACH_PX: Final = 2
"""Distance, pixels, within which its colour must be seen: lines are drawn a pixel wide or more."""
NEAR_COLOUR: Final = 110.0
"""Difference, grey levels of 255, from a curve's colour in the worst channel up to which it is seen: a thin line is mixed
with the paper."""
MIN_SEEN: Final = 0.6
"""Share of the places at which a curve is seen, at least; other curves may cross it."""


def are_seen(curves: Sequence[Curve], image: Image, to_pixels: Callable[[Array], Array]) -> list[bool]:
    """For each curve whether the picture, uint8 (H, W, 3) RGB, shows it; ``to_pixels`` maps (n, 2) points, pt."""
    colours = {curve.colour for curve in curves}
    kernel = np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)
    apart = {}
    for colour in colours:
        worst = np.abs(image.astype(np.int16) - np.array(colour, np.int16)).max(axis=2).astype(np.uint8)
        apart[colour] = cv2.erode(worst, kernel)
    seen = []
    for curve in curves:
        places = curve.points[
            np.linspace(0, len(curve.points) - 1, min(SAMPLES, len(curve.points))).astype(int)
        ]
        x, y = np.rint(to_pixels(places)).astype(int).T
        height, width = image.shape[:2]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        values = apart[curve.colour][y[inside], x[inside]]
        seen.append(bool((values < NEAR_COLOUR).sum() >= MIN_SEEN * len(places)))
    return seen
