"""Find ink of a pure colour and turn it black.

Traces and letters are told from coloured grids by being dark in every colour (``brightest_channel``). Viewers and plotting
programs draw blue or red ones, too, and green ones on black, the negative of magenta: where they are as bright as paper in
one channel or two, nothing is left of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image
from ecgpage.image.decode import brightest_channel

SIDE_PX: Final = 1600
"""Longer side, px, of the picture in which strokes are compared."""
STROKE_PX: Final = 9
"""Width, px, of a stroke in it, at most."""
CONTRAST: Final = 30
"""Contrast, grey levels, of a stroke, at least."""
TRACES: Final = (0.003, 0.06)
"""Share of a picture that traces fill, at least and at most; the lines of a grid fill more."""
NOTHING: Final = 0.002
"""Share of a picture that is filled by strokes dark in every colour, below which it shows none worth a first look."""
CLEARER: Final = 2.5
"""Contrast of the darkest strokes of a view over that of the picture's own, from which the view comes first: what shows
there is a pale grid.
"""
MOST_VIEWS: Final = 2
"""Number of views, at most."""
KEPT: Final = ((0, 1), (0, 2), (1, 2), (0,), (1,), (2,))
"""Channels whose brightness counts: without one, or one alone; those that leave more of the colours come first."""


@dataclass(frozen=True)
class InkViews:
    """Views of one page in which other ink is black: the channels to keep for ``darken``."""

    first: list[Sequence[int]]
    """Those that come before the picture itself, which shows next to nothing; the likeliest first."""
    last: list[Sequence[int]]
    """Those that are worth a look where the picture itself cannot be read."""


def list_ink_views(image: Image) -> InkViews:
    """Views of a uint8 (H, W, 3) RGB picture with a light ground in which ink of a pure colour is black.

    What fills less of the page comes first, for a grid fills more than traces do.
    """
    scale = min(1.0, SIDE_PX / max(image.shape[:2]))
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    own = _measure_strokes(small)
    hats = [_measure_strokes(darken(small, kept)) for kept in KEPT]
    beside = cv2.dilate(own, np.ones((3, 3), np.uint8)) > CONTRAST
    shares = [float(((hat > CONTRAST) & ~beside).mean()) for hat in hats]
    shows_nothing = bool((own > CONTRAST).mean() < NOTHING)  # the traces may have the colour of the grid then
    most = 1.0 if shows_nothing else TRACES[1]
    found = [k for k in np.argsort(np.round(shares, 3), kind="stable") if TRACES[0] < shares[k] < most]
    views: list[Sequence[int]] = [KEPT[k] for k in found[:MOST_VIEWS]]
    darkest = 1 - TRACES[0]
    level = CLEARER * float(np.quantile(own, darkest))
    is_first = shows_nothing or any(float(np.quantile(hats[k], darkest)) > level for k in found[:1])
    return InkViews(views, []) if is_first else InkViews([], views)


def darken(image: Image, kept: Sequence[int]) -> Image:
    """The picture (H, W, 3) with the other channels nowhere brighter than the brightest of ``kept``, each 0 to 2."""
    parts = list(cv2.split(image))
    most = np.max([parts[k] for k in kept], axis=0)
    return np.asarray(
        cv2.merge([part if k in kept else cv2.min(part, most) for k, part in enumerate(parts)]), np.uint8
    )


def _measure_strokes(image: Image) -> NDArray[np.uint8]:
    """(h, w) by how much what is dark in every colour is darker than what is beside it."""
    around = np.ones((STROKE_PX, STROKE_PX), np.uint8)
    return np.asarray(cv2.morphologyEx(brightest_channel(image), cv2.MORPH_BLACKHAT, around), np.uint8)
