"""Tell which way up a flat page lies."""

import logging

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array, Light
from ecgpage.grid.flat_page import AROUND_MM, AROUND_PX_PER_MM, FlatPage
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import add_text, detect_boxes, weigh_boxes
from ecgpage.layout.name_pattern import NamePattern, find_name_pattern
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.text_reader import RecognisedText, TextReader

log = logging.getLogger(__name__)


def find_upright_turn(
    page: FlatPage,
    detector: LeadDetector,
    options: LayoutOptions = LayoutOptions(),
    reader: TextReader | None = None,
) -> int | None:
    """Quarter turns counter-clockwise, 0 to 3, that put the page upright; None when no turn gives a clear layout.

    Where the leads alone do not tell, ``reader`` reads their names each way up.
    """
    best: tuple[float, int] | None = None
    for beyond in (0.0, AROUND_MM):
        view, frame = page.overview(detector.size, beyond_mm=beyond)
        for turn in (0, 2, 1, 3):
            if turn == 1 and best is not None and reader is None:
                break  # rows along x were seen: the page does not lie on its side
            turned = np.ascontiguousarray(np.rot90(view, turn))
            scale = frame[1]
            boxes = detect_boxes(
                turned, np.array([np.zeros(2), scale[::-1] if turn % 2 else scale]), detector, options
            )
            evidence, confidence = weigh_boxes(boxes, options)
            evidence += options.pulse_upright * min(len(boxes.pulses), options.most_pulses)
            log.debug("turned %d deg: evidence %.1f, confidence %.2f", 90 * turn, evidence, confidence)
            if confidence > options.sure_upright:
                return turn
            if reader is not None:
                boxes, pattern = _read_names(page, view, frame, turn, boxes, reader, options)
                if pattern is not None:
                    more, clear = weigh_boxes(boxes, options)
                    evidence = max(evidence, more) + pattern.score
                    confidence = max(confidence, clear)
                    log.debug("names: %.0f %%, evidence %.1f", 100 * pattern.share, evidence)
                    if pattern.share >= options.sure_pattern and pattern.words.size == len(LEADS):
                        return turn
            # upside down, some leads are taken for others by their place; most pages lie upright
            evidence += options.usually_upright if turn == 0 else 0.0
            if confidence >= options.sure_layout and (best is None or evidence > best[0]):
                best = evidence, turn
    return None if best is None else best[1]


def _read_names(
    page: FlatPage,
    view: Light,
    frame: Array,
    turn: int,
    boxes: PageBoxes,
    reader: TextReader,
    options: LayoutOptions,
) -> tuple[PageBoxes, NamePattern | None]:
    """Boxes of a turned view with the names read on it, and the pattern in which these stand."""
    first = np.rint((frame[0] - page.around.edge_mm) * AROUND_PX_PER_MM).astype(int)
    columns, rows = np.rint(np.array(view.shape[::-1]) * frame[1] * AROUND_PX_PER_MM).astype(int)
    light = page.around.light[first[1] : first[1] + rows, first[0] : first[0] + columns]
    found = reader.find(np.ascontiguousarray(np.rot90(light, turn)))
    words = RecognisedText(found.places / AROUND_PX_PER_MM, found.scores, found.chances)
    boxes = add_text(boxes, words)
    return boxes, find_name_pattern(boxes.printed, options)
