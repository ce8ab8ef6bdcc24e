"""Tell which way up a flat page lies."""

import logging
from dataclasses import dataclass

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array, Light
from ecgpage.grid.flat_page import AROUND_MM, AROUND_PX_PER_MM, FlatPage
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import add_text, detect_boxes, weigh_boxes
from ecgpage.layout.name_pattern import find_name_pattern
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

    Numbers along both axes tell, else the leads; where they do not, ``reader`` reads their names each way up.
    """
    if np.isfinite(page.grid.axes_mm).all():
        return 0  # numbers stand along both axes: an upright page has them, and a turned one has not
    best: tuple[float, int] | None = None
    names = None if reader is None else _TurnedNames(page, reader)
    seen: Array | None = None
    for beyond in (0.0, AROUND_MM):
        view, frame = page.overview(detector.size, beyond_mm=beyond)
        if seen is not None and np.array_equal(frame, seen):
            break  # the picture ends with the grid
        seen = frame
        looks = _Looks(view, frame[1], detector, options)
        on_side = looks.find_side()
        if on_side is not None:
            return on_side
        for turn in (0, 2, 1, 3):
            if turn == 1 and best is not None and names is None:
                break  # rows along x were seen: the page does not lie on its side
            look = looks.look(turn)
            boxes, evidence, confidence = look.boxes, look.evidence, look.confidence
            if confidence > options.sure_upright:
                return turn
            if names is not None:
                size_mm = np.array(view.shape[::-1]) * frame[1]
                boxes = add_text(boxes, names.find(turn, frame[0], size_mm))
                pattern = find_name_pattern(boxes.printed, options)
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


@dataclass(frozen=True)
class _Look:
    """What the detector tells of one way up."""

    boxes: PageBoxes
    """Leads and pulses, mm from the turned view's corner."""
    evidence: float
    """Log odds of the layout that they make, and of pulses."""
    confidence: float
    """Confidence, 0 to 1, of that layout."""


class _Looks:
    """A view of a page, uint8 (h, w), turned by quarters and looked at by the detector, each turn once."""

    def __init__(self, view: Light, mm_per_px: Array, detector: LeadDetector, options: LayoutOptions) -> None:
        """``mm_per_px``: (2,) along x and y."""
        self._view, self._mm_per_px, self._detector, self._options = view, mm_per_px, detector, options
        self._found: dict[int, _Look] = {}

    def look(self, turn: int) -> _Look:
        """The view after ``turn`` quarter turns counter-clockwise."""
        if turn not in self._found:
            turned = np.ascontiguousarray(np.rot90(self._view, turn))
            scale = self._mm_per_px[::-1] if turn % 2 else self._mm_per_px
            boxes = detect_boxes(turned, np.array([np.zeros(2), scale]), self._detector, self._options)
            evidence, confidence = weigh_boxes(boxes, self._options)
            evidence += self._options.pulse_upright * min(len(boxes.pulses), self._options.most_pulses)
            log.debug("turned %d deg: evidence %.1f, confidence %.2f", 90 * turn, evidence, confidence)
            self._found[turn] = _Look(boxes, evidence, confidence)
        return self._found[turn]

    def find_side(self) -> int | None:
        """The turn that puts a page upright that lies on its side, where leads are clear that way and none are along x; None
        otherwise. No names need to be read then.
        """
        if any(self.look(turn).confidence >= self._options.sure_layout for turn in (0, 2)):
            return None
        clear = [turn for turn in (1, 3) if self.look(turn).confidence > self._options.sure_upright]
        return clear[0] if len(clear) == 1 else None


class _TurnedNames:
    """Words of a page turned by quarters."""

    def __init__(self, page: FlatPage, reader: TextReader) -> None:
        self._page = page
        self._reader = reader

    def find(self, turn: int, edge_mm: Array, size_mm: Array) -> RecognisedText:
        """Words of a part of the page after ``turn`` quarter turns, mm from that part's upper left corner.

        ``edge_mm``: x, y of the upper left corner of the part before the turn, page mm; ``size_mm``: its width and height.
        """
        words, around = self._reader.read_whole(self._page, turn), self._page.around
        x0, y0 = edge_mm - around.edge_mm
        right, below = around.size_mm - (x0, y0) - size_mm
        first = np.array([(x0, y0), (y0, right), (right, below), (below, x0)][turn])
        places = words.places / AROUND_PX_PER_MM - first
        inside = ((places >= 0) & (places < (size_mm[::-1] if turn % 2 else size_mm))).all(axis=1)
        return RecognisedText(places[inside], words.scores[inside], words.chances[inside])
