"""Layouts of one picture on rival grids, compared by the lines of each, the picture's size, and all that the page shows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.types import Image
from ecgpage.grid.comb import weigh_side
from ecgpage.grid.flat_page import FlatPage
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.scales import weigh_page
from ecgpage.layout.types import PageLayout, PrintedScales

log = logging.getLogger(__name__)

SAME_SCALE: Final = 0.04
"""Natural log of the ratio of two grids' scales up to which they are one."""


@dataclass(frozen=True)
class SeenLayout:
    """Layout read on one grid."""

    flat: FlatPage
    layout: PageLayout
    boxes: PageBoxes
    log_odds: float
    """Log likelihood of the grid's lines, of the picture's size and of all that the page shows of its scale."""

    @classmethod
    def weigh(
        cls, image: Image, flat: FlatPage, layout: PageLayout, boxes: PageBoxes, options: LayoutOptions
    ) -> "SeenLayout":
        """The layout with its log likelihood."""
        shown = weigh_page(layout.scale_evidence, options)
        log_odds = shown + flat.grid.log_odds + weigh_size(image, flat.grid)
        return cls(flat, layout, boxes, float(log_odds))

    def with_print(self, printed: PrintedScales, options: LayoutOptions) -> "SeenLayout":
        """The layout, weighed by words that may have been read on another grid."""
        own = self.layout.scale_evidence
        gained = weigh_page(replace(own, printed=printed), options) - weigh_page(own, options)
        return replace(self, log_odds=self.log_odds + gained)


def is_same_scale(a: GridMap, b: GridMap) -> bool:
    """Whether two grids are one as far as their scale goes."""
    return abs(float(np.log(a.px_per_mm / b.px_per_mm))) < SAME_SCALE


def weigh_size(image: Image, grid: GridMap) -> float:
    """Log odds of the size of what a picture shows, by one of its grids."""
    return float(weigh_side(max(image.shape[:2]) / grid.px_per_mm))


def rank(seen: Sequence[SeenLayout], options: LayoutOptions) -> list[SeenLayout]:
    """Layouts on grids of different scale, the likeliest first, each with its margin and a note where that is small.

    What is printed on a page stands there whichever grid it is looked at by: small words are read at some sizes alone. So all
    layouts are weighed by the words of the one on which they were read most surely.
    """
    printed = max((one.layout.scale_evidence.printed for one in seen), key=_sureness)
    order = sorted((one.with_print(printed, options) for one in seen), key=lambda one: -one.log_odds)
    ranked = []
    for k, one in enumerate(order):
        margin = one.log_odds - order[k + 1].log_odds if k + 1 < len(order) else float("inf")
        layout = replace(one.layout, scale_margin=min(one.layout.scale_margin, margin))
        if margin < options.sure_margin:
            ratio = order[k + 1].flat.grid.px_per_mm / one.flat.grid.px_per_mm
            layout = replace(
                layout, notes=(*layout.notes, f"a grid of {ratio:.2g} times the distance is nearly as likely")
            )
        log.info(
            "%s, %.2f px/mm: log likelihood %.1f", one.flat.grid.source, one.flat.grid.px_per_mm, one.log_odds
        )
        ranked.append(replace(one, layout=layout))
    return ranked


def _sureness(printed: PrintedScales) -> float:
    """Log likelihood of what was read, with the likeliest scales printed, over that with none."""
    return max(printed.speeds.values(), default=0.0) + max(printed.gains.values(), default=0.0)
