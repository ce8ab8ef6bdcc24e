"""Detections of leads and pulses on one page, and the names that were read beside them.

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
from ecgpage.layout.text_reader import RecognisedText

ROW_APART_MM: Final = (4.5, 10.0)
"""Distance, mm, of levels above which they belong to different rows: its lower and upper bound."""
HALF_BOX_MM: Final = 5.0
"""Reach, mm, of a box above and below its lead's 0-mV line, at least."""

SAME_INK: Final = (0.8, 1.4, 0.5)
"""Signs that two boxes show one lead's ink: shared part of the narrower one along x, ratio of their widths, and
intersection over union along y, each at least. The less sure box is then dropped.
"""


class SeveralPagesError(EcgPageError):
    """More than one ECG page is in the picture."""


@dataclass(frozen=True)
class PrintedNames:
    """Names of leads read anywhere on a page."""

    places: Array
    """(m, 2) page x, y, mm, of the middle of each name."""
    chances: Array
    """(m, 12) probability of each lead of ``LEADS``; the rest to 1 is the probability that it is no name."""
    minus: Array
    """(m,) probability that a name is "-aVR"; ``chances`` counts it as aVR."""


NO_NAMES: Final = PrintedNames(np.zeros((0, 2)), np.zeros((0, len(LEADS))), np.zeros(0))
"""Printed names of a page on which none was read."""


@dataclass(frozen=True)
class PageBoxes:
    """Detections of leads and pulses on a page, with the recognised text."""

    leads: Array
    """(n, 4) boxes of leads, page mm."""
    scores: Array
    """(n,) score of each lead's box, 0 to 1."""
    names: Array
    """(n, 12) probability of each lead of ``LEADS``, given that the box holds a lead."""
    pulses: Array
    """(m, 4) boxes of calibration pulses, page mm."""
    printed: PrintedNames = NO_NAMES
    """Names of leads read on the page."""
    speed_mm_per_s: float | None = None
    """Paper speed, mm/s, as printed; None where none was read."""
    gain_mm_per_mv: float | None = None
    """Gain, mm/mV, as printed; None where none was read."""
    words: RecognisedText | None = None
    """All words read on the page; None where it was not read."""
    wrong: Array | None = None
    """(n,) probability that a box's name is wrong; None: ``LayoutOptions.misnamed`` for all."""
    minus: NDArray[np.bool_] | None = None
    """(n,) whether a minus is printed before the box's name; None where no names were matched."""


def merge_boxes(
    boxes: PageBoxes, levels_mm: Array, options: LayoutOptions = LayoutOptions()
) -> tuple[PageBoxes, Array]:
    """Boxes with duplicates merged (mean of their names) and without those on the ink of a surer box, and their levels."""
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
    """Whether two boxes of different width stand on the ink of one lead."""
    along, wider, high = SAME_INK
    narrow, wide = sorted((float(a[2] - a[0]), float(b[2] - b[0])))
    both = min(a[2], b[2]) - max(a[0], b[0])
    return (
        bool(both > along * narrow and wide > wider * narrow)
        and shared_span((a[1], a[3]), (b[1], b[3])) > high
    )


def refuse_two_pages(boxes: PageBoxes) -> None:
    """Raise ``SeveralPagesError`` when more than half of the leads are named by several sure boxes each.

    Rhythm strips repeat three leads at most.
    """
    sure = boxes.scores > 0.5
    certain = boxes.names.max(axis=1) > 0.5
    counts = np.bincount(boxes.names[sure & certain].argmax(axis=1), minlength=len(LEADS))
    if (counts > 1).sum() > len(LEADS) // 2:
        raise SeveralPagesError("the picture shows several ECG pages; cut it into one picture for each page")
