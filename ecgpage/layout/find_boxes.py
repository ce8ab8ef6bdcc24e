"""Find the leads and pulses of a flat page by the detector, and read the names and scales beside them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import AROUND_MM, FlatPage
from ecgpage.layout.boxes import PageBoxes, PrintedNames, SeveralPagesError
from ecgpage.layout.detector import CLASSES, PULSE, LeadDetector
from ecgpage.layout.named_boxes import arrange_with_names
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, SPEEDS, RecognisedText, TextReader


def find_boxes(
    page: FlatPage,
    detector: LeadDetector,
    reader: TextReader | None = None,
    options: LayoutOptions = LayoutOptions(),
) -> PageBoxes:
    """Leads and pulses of an upright page, page mm, with the names and scales that ``reader`` reads beside them.

    Where the part within the grid shows no clear layout, the surroundings are searched too.
    """
    view, frame = page.overview(detector.size)
    boxes = detect_boxes(view, frame, detector, options)
    evidence, confidence = weigh_boxes(boxes, options)
    if confidence < options.sure_upright:
        wider, wider_frame = page.overview(detector.size, beyond_mm=AROUND_MM)
        if not np.array_equal(wider_frame, frame):
            others = detect_boxes(wider, wider_frame, detector, options)
            boxes = others if weigh_boxes(others, options)[0] > evidence else boxes
    if reader is None:
        return boxes
    found = add_text(boxes, _read_words(page, boxes, reader, options))
    if found.speed_mm_per_s is not None and found.gain_mm_per_mv is not None:
        return found
    # a few leads may stand far from the foot of the page, where scales are printed
    far = reader.read(page, boxes.leads, options.scales_reach_mm)
    return replace(found, words=far, speed_mm_per_s=far.scale(SPEEDS), gain_mm_per_mv=far.scale(GAINS))


def _read_words(
    page: FlatPage, boxes: PageBoxes, reader: TextReader, options: LayoutOptions
) -> RecognisedText:
    """Words of an upright page; the names of its leads from below to above where more of them are read so, as programs that
    plot write them beside axes.
    """
    words = reader.read(page, boxes.leads)
    upright = _count_names(words, options)
    if upright >= options.few_names:
        return words
    turned = reader.read(page, boxes.leads, turned=True)
    if _count_names(turned, options) < upright + options.more_turned_names:
        return words
    first = len(LEAD_WORDS)
    names, scales = (t.chances[:, :first].sum(axis=1) > 0.5 for t in (turned, words))
    parts = [(turned, names), (words, ~scales)]
    return RecognisedText(
        *(
            np.concatenate([np.asarray(getattr(text, key))[kept] for text, kept in parts])
            for key in ("places", "scores", "chances")
        )
    )


def _count_names(words: RecognisedText, options: LayoutOptions) -> int:
    """Number of different leads whose names are read clearly; a stroke looks like an I."""
    told = words.chances[:, : len(LEADS)] * words.scores[:, None]
    return int((told[:, 1:].max(axis=0, initial=0.0) > options.min_legible).sum())


def add_text(boxes: PageBoxes, words: RecognisedText) -> PageBoxes:
    """Boxes with the recognised names, paper speed and gain."""
    chances = words.chances[:, : len(LEAD_WORDS)] * words.scores[:, None]
    minus = chances[:, len(LEADS) :].sum(axis=1)
    chances = chances[:, : len(LEADS)]
    chances[:, LEADS.index("aVR")] += minus
    return replace(
        boxes,
        printed=PrintedNames(words.places, chances, minus),
        speed_mm_per_s=words.scale(SPEEDS),
        gain_mm_per_mv=words.scale(GAINS),
        words=words,
    )


def weigh_boxes(boxes: PageBoxes, options: LayoutOptions = LayoutOptions()) -> tuple[float, float]:
    """Evidence for the best reading of the boxes (log odds plus ten times its confidence), and the confidence, 0 to 1.

    Boxes of several pages count as (100, 1), boxes that fit no layout as (-100, 0).
    """
    try:
        arrangement, _ = arrange_with_names(boxes, boxes.leads[:, [1, 3]].mean(axis=1), options=options)
    except SeveralPagesError:
        return 100.0, 1.0  # readable pages, though not one page
    except EcgPageError:
        return -100.0, 0.0
    return arrangement.score + 10 * arrangement.confidence, arrangement.confidence


def detect_boxes(
    view: NDArray[np.uint8], frame: Array, detector: LeadDetector, options: LayoutOptions = LayoutOptions()
) -> PageBoxes:
    """Boxes, page mm, of a picture ``view`` uint8 (h, w) and its ``frame``, both from ``FlatPage.overview``."""
    edge, scale = frame
    found = detector.detect(view, score=options.min_box_score / options.most_names)
    boxes = found.boxes.astype(np.float64) * np.tile(scale, 2) + np.tile(edge, 2)
    is_pulse = found.classes == CLASSES.index(PULSE)
    sure_pulse = is_pulse & (found.scores >= options.min_pulse_score)
    # a lead may be sure where its name is not
    is_lead = ~is_pulse & (found.objectness >= options.min_box_score)
    names = found.probabilities[is_lead, : len(LEADS)].astype(np.float64)
    return PageBoxes(boxes[is_lead], found.objectness[is_lead].astype(np.float64), names, boxes[sure_pulse])
