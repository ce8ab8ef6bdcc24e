"""Tell which way up a flat page lies."""

import logging

import numpy as np

from ecgpage.grid.flat_page import AROUND_MM, FlatPage
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import detect_boxes, weigh_boxes
from ecgpage.layout.options import LayoutOptions

log = logging.getLogger(__name__)


def find_upright_turn(
    page: FlatPage, detector: LeadDetector, options: LayoutOptions = LayoutOptions()
) -> int | None:
    """Quarter turns counter-clockwise, 0 to 3, that put the page upright; None when no turn gives a clear layout."""
    best: tuple[float, int] | None = None
    for beyond in (0.0, AROUND_MM):
        view, (_, scale) = page.overview(detector.size, beyond_mm=beyond)
        for turn in (0, 2, 1, 3):
            if turn == 1 and best is not None:
                break  # rows along x were seen: the page does not lie on its side
            turned = np.ascontiguousarray(np.rot90(view, turn))
            frame = np.array([np.zeros(2), scale[::-1] if turn % 2 else scale])
            boxes = detect_boxes(turned, frame, detector, options)
            evidence, confidence = weigh_boxes(boxes, options)
            evidence += options.pulse_upright * min(len(boxes.pulses), options.most_pulses)
            log.debug("turned %d deg: evidence %.1f, confidence %.2f", 90 * turn, evidence, confidence)
            if confidence > options.sure_upright:
                return turn
            # upside down, some leads are taken for others by their place; most pages lie upright
            evidence += options.usually_upright if turn == 0 else 0.0
            if confidence >= options.sure_layout and (best is None or evidence > best[0]):
                best = evidence, turn
    return None if best is None else best[1]
