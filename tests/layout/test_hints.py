"""A layout that is known beforehand overrules the order in which leads seem to stand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.layout.arrangement import arrange
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.known_layouts import LAYOUT_OF
from ecgpage.layout.options import Hints, LayoutOptions
from ecgpage.pipeline import Digitizer, ReaderOptions
from tests.layout.pages import list_leads, page_boxes

KNOWN = ("3x4+1", "3x4 by rows", "cabrera 3x4+1")


def read_names(boxes: PageBoxes, layout: str | None) -> list[str]:
    """Names of the leads by rows."""
    options = LayoutOptions(hints=Hints(layout=layout))
    found = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1), options=options)
    assert list_leads(found)
    cells = sorted((c.row, c.column or 0, c.lead) for c in found.cells if not c.is_strip)
    return [lead for _, _, lead in cells]


@pytest.mark.parametrize("strip", ["II", None])
@pytest.mark.parametrize("layout", KNOWN)
def test_a_given_layout_names_leads_that_no_box_tells(layout: str, strip: str | None) -> None:
    boxes = page_boxes(strip=strip)
    blind = replace(boxes, names=np.full_like(boxes.names, 1 / len(LEADS)))
    assert read_names(blind, layout) == [n.removeprefix("-") for row in LAYOUT_OF[layout].rows for n in row]


def test_a_given_layout_overrules_names_that_are_seen() -> None:
    boxes = page_boxes()
    assert read_names(boxes, None) == [n for row in LAYOUT_OF["3x4"].rows for n in row]
    assert read_names(boxes, "3x4 by rows") == [n for row in LAYOUT_OF["3x4 by rows"].rows for n in row]


def test_a_given_layout_that_boxes_do_not_fit_is_refused() -> None:
    with pytest.raises(EcgPageError):
        read_names(page_boxes(), "12x1")


def digitizer() -> Digitizer:
    """One whose networks are not needed."""
    network: Any = object()
    return Digitizer(network, network, None, ReaderOptions(max_grids=2))


def test_hints_change_nothing_else_of_a_digitizer() -> None:
    usual = digitizer()
    told = usual.with_hints(Hints(speed_mm_per_s=50.0, layout="6x2"))
    assert told.options.layout.hints == Hints(50.0, None, "6x2")
    assert replace(told.options, layout=usual.options.layout) == usual.options
    assert (told.network, told.detector) == (usual.network, usual.detector)
    assert usual.options.layout.hints == Hints()


def test_a_layout_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(EcgPageError, match="'5x5' is not known; use one of 3x4, "):
        digitizer().with_hints(Hints(layout="5x5"))
