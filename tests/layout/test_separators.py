"""Separators between columns tell the scale of a page without a grid."""

import pytest

from ecgpage.layout.rows import find_rows
from ecgpage.layout.separators import measure_separator_pitch
from tests.layout.pages import draw_styled, flatten_exactly


def test_ticks_stand_a_quarter_of_the_page_apart() -> None:
    page = flatten_exactly(draw_styled(150.0, layout="3x4+1", separator="tick"))
    assert measure_separator_pitch(page, find_rows(page), 250.0) == pytest.approx(1.0, abs=0.005)
    assert measure_separator_pitch(page, find_rows(page), 240.0) == pytest.approx(250 / 240, abs=0.005)


def test_without_separators_there_is_no_pitch() -> None:
    page = flatten_exactly(draw_styled(150.0, layout="3x4+1", separator="none", pulse="none"))
    assert measure_separator_pitch(page, find_rows(page), 250.0) is None
    assert measure_separator_pitch(page, [], 250.0) is None
