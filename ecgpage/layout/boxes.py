"""Boxes of leads and pulses as the detector and the text reader saw them on one page.

Conventions:
    boxes   x0, y0, x1, y1 in page mm; a lead's box covers its drawn time and the range of its trace, at least 5 mm above
            and below its 0-mV line (``ecgpage.synth.truth``)
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.layout.columns import shared_span
from ecgpage.layout.options import LayoutOptions

ROW_APART_MM: Final = (4.5, 10.0)
"""Levels of one row's boxes are closer than this to their neighbours; more where rows are far apart."""
HALF_BOX_MM: Final = 5.0
"""A box reaches at least so far beyond its lead's 0-mV line."""

SAME_INK: Final = (0.8, 1.4, 0.5)
"""Two boxes show the same ink when they share so much of the narrower one along x and of both together along y; one that is
wider by this factor and surer makes a guess at part of a lead of the other.
"""


class SeveralPagesError(EcgPageError):
    """The picture shows more than one ECG page."""


@dataclass(frozen=True)
class PrintedNames:
    """Names of leads that were read anywhere on a page."""

    places: Array
    """(m, 2) page mm, their middle."""
    chances: Array
    """(m, 12) of each name of ``ecg.LEADS``; what is missing to 1 is the chance of no name."""
    minus: Array
    """(m,) chance that it is "-aVR", of which ``chances`` has the name without sign."""


NO_NAMES: Final = PrintedNames(np.zeros((0, 2)), np.zeros((0, len(LEADS))), np.zeros(0))


@dataclass(frozen=True)
class PageBoxes:
    """What was seen on a page."""

    leads: Array
    """(n, 4) page mm."""
    scores: Array
    """(n,) 0 to 1."""
    names: Array
    """(n, 12) chance of each name of ``ecg.LEADS``, given that there is a lead."""
    pulses: Array
    """(m, 4) page mm, calibration pulses."""
    printed: PrintedNames = NO_NAMES
    """What is written."""
    speed_mm_per_s: float | None = None
    """As it is written; None when it is not."""
    gain_mm_per_mv: float | None = None
    wrong: Array | None = None
    """(n,) chance that a box's name is wrong; None for ``misnamed``."""
    minus: NDArray[np.bool_] | None = None
    """(n,) whether a minus is written before the name; None where nothing is."""


def merge_boxes(
    boxes: PageBoxes, levels_mm: Array, options: LayoutOptions = LayoutOptions()
) -> tuple[PageBoxes, Array]:
    """Boxes at one place as one, with the mean of their names, without those that show the ink of a surer one; the levels of
    those that stay.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    kept: list[int] = []
    names = boxes.names.copy()
    weight = boxes.scores.copy()
    for k in order:
        same = [j for j in kept if overlap(boxes.leads[j], boxes.leads[k]) > options.same_place]
        if not same:
            if not any(_show_same_ink(boxes.leads[j], boxes.leads[k]) for j in kept):
                kept.append(int(k))
            continue
        j = same[0]
        names[j] = (weight[j] * names[j] + boxes.scores[k] * names[k]) / (weight[j] + boxes.scores[k])
        weight[j] += boxes.scores[k]
    best = replace(boxes, leads=boxes.leads[kept], scores=boxes.scores[kept], names=names[kept])
    return best, levels_mm[kept]


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _show_same_ink(a: Array, b: Array) -> bool:
    """Whether two boxes of different width stand on the same ink, of which one lead at most is drawn."""
    along, wider, high = SAME_INK
    narrow, wide = sorted((float(a[2] - a[0]), float(b[2] - b[0])))
    both = min(a[2], b[2]) - max(a[0], b[0])
    return (
        bool(both > along * narrow and wide > wider * narrow)
        and shared_span((a[1], a[3]), (b[1], b[3])) > high
    )


def refuse_two_pages(boxes: PageBoxes) -> None:
    """``EcgPageError`` when half of the names stand at several places each; strips repeat three at most."""
    sure = boxes.scores > 0.5
    certain = boxes.names.max(axis=1) > 0.5
    counts = np.bincount(boxes.names[sure & certain].argmax(axis=1), minlength=len(LEADS))
    if (counts > 1).sum() > len(LEADS) // 2:
        raise SeveralPagesError("the picture shows several ECG pages; cut it into one picture for each page")
