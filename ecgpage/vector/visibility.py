"""Whether curves of a page are seen on its picture: nothing covers them, and no layer hides them."""

from collections.abc import Callable, Sequence
from typing import Final

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
    height, width = image.shape[:2]
    around = np.arange(-REACH_PX, REACH_PX + 1)
    seen = []
    for curve in curves:
        some = np.linspace(0, len(curve.points) - 1, min(SAMPLES, len(curve.points))).astype(int)
        x, y = np.rint(to_pixels(curve.points[some])).astype(int).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        columns = np.clip(x[inside, None, None] + around, 0, width - 1)
        rows = np.clip(y[inside, None, None] + around[:, None], 0, height - 1)
        worst = np.abs(image[rows, columns].astype(np.int16) - np.array(curve.colour, np.int16)).max(axis=3)
        found = (worst.min(axis=(1, 2)) < NEAR_COLOUR).sum()
        seen.append(bool(found >= MIN_SEEN * len(some)))
    return seen
