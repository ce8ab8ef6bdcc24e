"""Clean pages and boxes for the tests of the layout: drawn ones with their truth, and boxes set by hand."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.layout.arrangement import Arrangement, arrange
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.text_reader import TextReader
from ecgpage.layout.types import PageLayout
from ecgpage.synth import DrawnPage
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.model import Page, masked_signal
from ecgpage.synth.page.rasterize import draw_page
from ecgpage.synth.scene.page_map import flat_map
from ecgpage.synth.truth import page_truth
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.drawn import FS, lawful_record

MODEL = Path(__file__).parents[2] / "model"
DPI = 100.0
SHUFFLED = (7, 2, 10, 0, 5, 9, 1, 11, 3, 8, 4, 6)
"""Lead that is drawn in place of each."""
ROWS_MM = (40.0, 70.0, 100.0)
"""Levels of the rows of ``page_boxes``."""
STRIP_MM = 130.0
"""Level of its rhythm strip."""


# ------------------------------------------------------------------------------------------ drawn pages


def draw_clean(page: Page, dpi: float = DPI, mv: NDArray[np.float32] | None = None) -> DrawnPage:
    """A clean picture of a page of a lawful record, or of ``mv``."""
    mv = lawful_record() if mv is None else mv
    image = draw_page(page, mv, dpi)
    truth = page_truth(page, mv, flat_map(dpi), (image.shape[0], image.shape[1]))
    return DrawnPage(image, truth, masked_signal(page, mv))


def draw_styled(dpi: float = DPI, mv: NDArray[np.float32] | None = None, **style: object) -> DrawnPage:
    """A clean picture of a page in the ``PageStyle`` of these values; ``mv``: see ``draw_clean``."""
    chosen = PageStyle(**{"top": 20.0, "bottom": 8.0} | style)  # type: ignore[arg-type]
    return draw_clean(build_page(chosen, 5000, FS), dpi, mv)


def flatten_exactly(page: DrawnPage) -> FlatPage:
    """The page flattened by its true map."""
    return flatten_page(page.image, exact_grid(page))


def read_drawn_plan(page: DrawnPage, boxes: PageBoxes | None = None) -> PageLayout:
    """The layout that is read from the true map and the true boxes, or from ``boxes``."""
    flat = flatten_exactly(page)
    return read_layout(flat, true_boxes(page, flat.grid) if boxes is None else boxes, 10.0)


@cache
def load_eyes() -> tuple[LeadDetector, TextReader]:
    """The shipped detector and reader."""
    return LeadDetector.load(MODEL), TextReader.load(MODEL)


def read_seen_plan(page: DrawnPage) -> PageLayout:
    """The layout that is read from the true map and what the shipped detector and reader see."""
    flat = flatten_exactly(page)
    return read_layout(flat, find_boxes(flat, *load_eyes()), 10.0)


# ------------------------------------------------------------------------------------------ boxes by hand


def page_boxes(
    names: Sequence[str] = LEADS, *, strip: str | None = "II", shift_mm: float = 0.0, score: float = 0.9
) -> PageBoxes:
    """A 3x4 page, 62.5-mm columns from x = 20 mm on, with the names down the columns."""
    boxes, index = [], []
    for k, name in enumerate(names):
        x, y = 20 + 62.5 * (k // 3) + shift_mm, ROWS_MM[k % 3]
        boxes.append((x, y - 8.0, x + 62.5, y + 8.0))
        index.append(LEADS.index(name))
    if strip is not None:
        boxes.append((20 + shift_mm, STRIP_MM - 8, 270 + shift_mm, STRIP_MM + 8))
        index.append(LEADS.index(strip))
    chances = np.full((len(boxes), len(LEADS)), 0.01)
    chances[np.arange(len(boxes)), index] = 0.95
    return PageBoxes(np.array(boxes), np.full(len(boxes), score), chances, np.zeros((0, 4)))


def arrange_boxes(boxes: PageBoxes) -> Arrangement:
    """What the boxes are read as where each box's middle is its level."""
    return arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1))


def list_leads(arrangement: Arrangement) -> list[str]:
    """Names in reading order without those of strips."""
    return [cell.lead for cell in arrangement.cells if not cell.is_strip]


def drop_boxes(boxes: PageBoxes, *lost: int) -> PageBoxes:
    """The boxes without those of these numbers."""
    kept = [k for k in range(len(boxes.leads)) if k not in lost]
    return PageBoxes(boxes.leads[kept], boxes.scores[kept], boxes.names[kept], boxes.pulses)


def join_boxes(*parts: PageBoxes) -> PageBoxes:
    """All boxes of several pages as of one."""
    keys = ("leads", "scores", "names", "pulses")
    return PageBoxes(*(np.concatenate([getattr(part, key) for part in parts]) for key in keys))
