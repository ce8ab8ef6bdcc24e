"""Tell which way up a flat page lies."""

import logging
from typing import Final

import numpy as np

from ecgpage.grid.flat_page import AROUND_MM, FlatPage
from ecgpage.layout.arrangement import SURE
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import SURE_UPRIGHT, detect_boxes, weigh_boxes
from ecgpage.layout.types import PagePlan, Segment

log = logging.getLogger(__name__)

USUALLY_UPRIGHT: Final = 2.0
"""Evidence that a page lies upright before it is looked at."""
PULSE_UPRIGHT: Final = 1.0
"""Evidence of each calibration pulse: upside down they are seldom taken for any."""
MOST_PULSES: Final = 4


def upright_score(page: FlatPage, plan: PagePlan) -> float:
    """How much speaks for the page being upright rather than upside down, about -2 to 3.

    Pulses stand before the traces, names near the beginning of a lead, strips below the twelve leads.
    """
    score = 1.0 if plan.pulses else 0.0
    first, last = (
        [_ink_beside(page, plan, s, at_end) for s in plan.segments if not s.is_strip]
        for at_end in (False, True)
    )
    score += float(
        np.clip(4 * (np.mean(first) - np.mean(last)) / (np.mean(first) + np.mean(last) + 1e-6), -1, 1)
    )
    strips = [s.row for s in plan.segments if s.is_strip]
    if strips:
        score += 1.0 if min(strips) > max(s.row for s in plan.segments if not s.is_strip) else -1.0
    return score


def _ink_beside(page: FlatPage, plan: PagePlan, segment: Segment, at_end: bool) -> float:
    """Share of ink above and below the trace in the 8 mm at the segment's beginning or end, where a name may stand."""
    x0 = segment.x1_mm - 8.5 if at_end else segment.x0_mm + 0.7
    columns = slice(max(0, round(page.column(x0))), max(0, round(page.column(x0 + 7.8))))
    level = segment.baseline(plan.rows)
    bands = []
    for low, high in ((3.0, 9.0), (-9.0, -3.0)):
        rows = slice(max(0, round(page.row(level + low))), max(0, round(page.row(level + high))))
        bands.append((page.ink[rows, columns] > 0.5).mean() if page.ink[rows, columns].size else 0.0)
    return float(np.sum(bands))


def upright_turn(page: FlatPage, detector: LeadDetector) -> int | None:
    """By how many quarter turns counter-clockwise the page becomes upright; None when no turn gives a clear layout."""
    best: tuple[float, int] | None = None
    for beyond in (0.0, AROUND_MM):
        view, (_, scale) = page.overview(detector.size, beyond_mm=beyond)
        for turn in (0, 2, 1, 3):
            if turn == 1 and best is not None:
                break  # rows along x were seen
            turned = np.ascontiguousarray(np.rot90(view, turn))
            frame = np.array([np.zeros(2), scale[::-1] if turn % 2 else scale])
            boxes = detect_boxes(turned, frame, detector)
            evidence, confidence = weigh_boxes(boxes)
            evidence += PULSE_UPRIGHT * min(len(boxes.pulses), MOST_PULSES)
            log.debug("turned %d deg: evidence %.1f, confidence %.2f", 90 * turn, evidence, confidence)
            if confidence > SURE_UPRIGHT:
                return turn
            # upside down some leads are taken for others by their place; most pages lie upright
            evidence += USUALLY_UPRIGHT if turn == 0 else 0.0
            if confidence >= SURE and (best is None or evidence > best[0]):
                best = evidence, turn
    return None if best is None else best[1]
