"""Layouts on rival grids: what decides between them."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.grid.flat_page import FlatPage, Surroundings
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.rivals import SeenLayout, is_same_scale, rank
from ecgpage.layout.types import NO_PRINT, PageLayout, PrintedScales, ScaleEvidence, SeenBeats
from tests.layout.pages import page_boxes

OPTIONS = LayoutOptions()
WORDS = PrintedScales({12.5: 0.0, 25.0: 9.0, 50.0: 0.0}, {(10.0, 10.0): 9.0, (20.0, 20.0): 0.0})
"""Both scales are read clearly."""
NOTHING = Surroundings(np.zeros((8, 10), np.uint8), np.zeros(2))
IMAGE = np.zeros((1600, 2200, 3), np.uint8)


def seen(px_per_mm: float, lines: float, printed: PrintedScales, evidence: ScaleEvidence) -> SeenLayout:
    """A layout on a grid whose lines have a log likelihood; ``evidence``: without print."""
    x, y = np.meshgrid(np.arange(50.0), np.arange(36.0))
    nodes = 5 * px_per_mm * np.stack([x, y], axis=-1)
    grid = GridMap(nodes, (0.0, 0.0), np.ones(x.shape), 0.0, "periodic grid", log_odds=lines)
    flat = FlatPage(grid, np.zeros((8, 10), np.float32), 0.0, 0.0, NOTHING)
    layout = PageLayout([], [], [], [], 25.0, 10.0, 0.9, scale_evidence=replace(evidence, printed=printed))
    boxes: PageBoxes = page_boxes()
    return SeenLayout.weigh(IMAGE, flat, layout, boxes, OPTIONS)


CUT = ScaleEvidence(length_mm=196.0, columns=4, beats=SeenBeats(19.0, 1.6, 10.4, 13.2))
"""Page whose right edge is cut off."""


def test_words_that_are_read_at_another_size_speak_for_no_grid() -> None:
    true = seen(8.8, 15.0, NO_PRINT, CUT)
    false = seen(8.8 * 0.78, 0.0, WORDS, CUT.at(0.78, 0.78))
    assert false.log_odds > true.log_odds, "words add more than lines"
    best, second = rank([true, false], OPTIONS)
    assert best.flat.grid.px_per_mm == pytest.approx(8.8)
    assert best.layout.scale_margin == pytest.approx(best.log_odds - second.log_odds)


def test_words_still_tell_the_scale_by_lengths_that_fit_them() -> None:
    whole = replace(CUT, length_mm=250.0)
    true = seen(8.8, 5.0, WORDS, whole)
    false = seen(8.8 / 2, 5.0, NO_PRINT, whole.at(0.5, 0.5))
    assert rank([false, true], OPTIONS)[0].flat.grid.px_per_mm == pytest.approx(8.8)


def test_grids_of_nearly_one_distance_are_of_the_same_scale() -> None:
    one, other, far = (seen(v, 0.0, NO_PRINT, CUT).flat.grid for v in (8.0, 8.2, 9.0))
    assert is_same_scale(one, other)
    assert not is_same_scale(one, far)
