"""Tell pictures on which nothing runs on as a trace does: pages of words, tables of numbers, blank paper.

A trace, a grid or a frame is one piece of ink many times longer than a word, however worn the page. Where all ink lies in
pieces of the size of letters there is nothing to read, and no grid need be looked for.
"""

from typing import Final

import cv2
import numpy as np

from ecgpage.core.types import Image

SIDE_PX: Final = 1400
"""Longer side, px, of the picture that is looked at."""
PAPER_PX: Final = (9, 41)
"""Sides, px, of the windows whose lightest pixel, and whose mean of these, is the paper's brightness."""
CLEAR: Final = 0.12
"""Darkness of ink over that of the darkest half per cent of the picture."""
LEAST_DARK: Final = 12.0
"""Difference, grey levels, of ink from the paper, at least."""
RULE_SHARE: Final = 0.004
"""Thickness of a piece over the picture's longer side, up to which it is a straight rule."""
WORD_SHARE: Final = 0.13
"""Length of the longest piece over the picture's longer side, up to which it may be words that touch: on scans, photos and
screens of ECGs it is 0.23 or more, on pages of words 0.13 or less.
"""
LETTERS: Final = 0.8
"""Share of the ink in such pieces, from which words are all there is."""


def shows_only_words(image: Image) -> bool:
    """Whether a uint8 (H, W, 3) RGB picture on a light ground holds no line longer than words."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE_PX / max(grey.shape))
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    around, wide = PAPER_PX
    paper = cv2.blur(cv2.dilate(grey, np.ones((around, around), np.uint8)), (wide, wide))
    dark = np.clip(paper.astype(np.float32) - grey, 0, None)
    ink = (dark > max(CLEAR * float(np.quantile(dark, 0.995)), LEAST_DARK)).astype(np.uint8)
    pieces = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]
    if not len(pieces):
        return True
    sides, area = pieces[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]], pieces[:, cv2.CC_STAT_AREA]
    share = sides.max(axis=1) / max(grey.shape)
    is_rule = sides.min(axis=1) / max(grey.shape) <= RULE_SHARE
    longest = float(share[~is_rule].max(initial=0.0))
    letters = float(area[share < WORD_SHARE].sum() / area.sum())
    return longest < WORD_SHARE and letters > LETTERS
