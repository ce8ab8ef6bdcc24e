"""Find the leads and pulses of a flat page by the detector, and read the names and scales beside them."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import AROUND_MM, FlatPage
from ecgpage.layout.arrangement import arrange
from ecgpage.layout.boxes import PageBoxes, PrintedNames, SeveralPagesError
from ecgpage.layout.detector import CLASSES, PULSE, LeadDetector
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, SPEEDS, WordReader, Words

MIN_SCORE: Final = 0.1
"""Boxes below are not looked at; those above still have to agree with a layout."""
MOST_NAMES: Final = 4
"""Among so many names a lead's may be undecided."""
SURE_UPRIGHT: Final = 0.88
"""Confidence from which other turns are not tried."""
SCALES_MM: Final = 300.0
"""Speed and gain are printed so far from the leads at most: the longer side of A4."""
MIN_PULSE_SCORE: Final = 0.4


def find_boxes(page: FlatPage, detector: LeadDetector, reader: WordReader | None = None) -> PageBoxes:
    """Leads and pulses of an upright page, in page mm, with the names and scales that ``reader`` reads there; where what the
    grid covers shows no clear layout, also around it.
    """
    view, frame = page.overview(detector.size)
    boxes = detect_boxes(view, frame, detector)
    evidence, confidence = weigh_boxes(boxes)
    if confidence < SURE_UPRIGHT:
        wider, wider_frame = page.overview(detector.size, beyond_mm=AROUND_MM)
        if not np.array_equal(wider_frame, frame):
            others = detect_boxes(wider, wider_frame, detector)
            boxes = others if weigh_boxes(others)[0] > evidence else boxes
    if reader is None:
        return boxes
    found = with_words(boxes, reader.read(page, boxes.leads))
    if found.speed_mm_per_s is not None and found.gain_mm_per_mv is not None:
        return found
    # few leads may stand far from the foot of the page, where the scales are printed
    far = reader.read(page, boxes.leads, SCALES_MM)
    return replace(found, speed_mm_per_s=far.scale(SPEEDS), gain_mm_per_mv=far.scale(GAINS))


def with_words(boxes: PageBoxes, words: Words) -> PageBoxes:
    """The boxes with what is written around them."""
    chances = words.chances[:, : len(LEAD_WORDS)] * words.scores[:, None]
    minus = chances[:, len(LEADS) :].sum(axis=1)
    chances = chances[:, : len(LEADS)]
    chances[:, LEADS.index("aVR")] += minus
    return replace(
        boxes,
        printed=PrintedNames(words.places, chances, minus),
        speed_mm_per_s=words.scale(SPEEDS),
        gain_mm_per_mv=words.scale(GAINS),
    )


def weigh_boxes(boxes: PageBoxes) -> tuple[float, float]:
    """How much speaks for the best reading of the boxes, and its confidence."""
    try:
        arrangement = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1))
    except SeveralPagesError:
        return 100.0, 1.0  # pages that can be read, though not as one
    except EcgPageError:
        return -100.0, 0.0
    return arrangement.score + 10 * arrangement.confidence, arrangement.confidence


def detect_boxes(view: NDArray[np.uint8], frame: Array, detector: LeadDetector) -> PageBoxes:
    """Boxes of a picture with its ``frame`` as ``FlatPage.overview`` gives it, in page mm."""
    edge, scale = frame
    found = detector.detect(view, score=MIN_SCORE / MOST_NAMES)
    boxes = found.boxes.astype(np.float64) * np.tile(scale, 2) + np.tile(edge, 2)
    is_pulse = found.classes == CLASSES.index(PULSE)
    sure_pulse = is_pulse & (found.scores >= MIN_PULSE_SCORE)
    # that there is a lead may be sure where its name is not
    is_lead = ~is_pulse & (found.objectness >= MIN_SCORE)
    names = found.probabilities[is_lead, : len(LEADS)].astype(np.float64)
    return PageBoxes(boxes[is_lead], found.objectness[is_lead].astype(np.float64), names, boxes[sure_pulse])
