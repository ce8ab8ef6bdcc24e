"""Rows of ink: traces, and printed lines that are none."""

from dataclasses import replace

import numpy as np

from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.columns import Columns
from ecgpage.layout.rows import find_row_at, find_rows
from tests.layout.pages import draw_styled, flatten_exactly

LEVELS_MM = (50.0, 80.0, 110.0)


def draw_ink(*levels_mm: np.ndarray) -> FlatPage:
    """A flat page with strokes 0.4 mm thick along these levels (250,) mm, one each millimetre from x = 5 mm on."""
    page = flatten_exactly(draw_styled(layout="strip"))
    ink = np.zeros_like(page.ink)
    columns = np.arange(round(page.column(5.0)), round(page.column(255.0)))
    for level_mm in levels_mm:
        y = np.interp(page.x_mm(columns), np.arange(5.0, 255.0), level_mm)
        at = np.rint(page.row(y)).astype(int)
        for d in (-1, 0, 1):
            ink[at + d, columns] = 1.0
    return replace(page, ink=ink)


def wave(level_mm: float) -> np.ndarray:
    """A trace that swings 3 mm about its level."""
    return level_mm + 3 * np.sin(np.arange(250) / 7)


def test_rows_are_found_at_their_levels_from_the_top() -> None:
    rows = find_rows(draw_ink(*(wave(y) for y in LEVELS_MM)))
    assert np.allclose([row.level_mm for row in rows], LEVELS_MM, atol=0.5)
    assert all(abs(row.start_mm - 5) < 3 and abs(row.end_mm - 255) < 3 for row in rows)


def test_a_straight_printed_line_is_no_row_unless_beats_rise_from_it() -> None:
    """Beats 0.6 mm wide, between the millimetres at which rows are known."""
    page = draw_ink(wave(LEVELS_MM[0]), np.full(250, LEVELS_MM[1]), wave(LEVELS_MM[2]))
    assert np.allclose([row.level_mm for row in find_rows(page)], (50.0, 110.0), atol=0.5)
    beats = page.ink.copy()
    for x_mm in np.arange(20.0, 240.0, 25.0) + 0.9:
        column = round(page.column(x_mm))
        beats[round(page.row(LEVELS_MM[1] - 8)) : round(page.row(LEVELS_MM[1])), column : column + 6] = 1.0
    rows = find_rows(replace(page, ink=beats))
    assert np.allclose([row.level_mm for row in rows], LEVELS_MM, atol=0.5)


def test_a_header_far_above_the_rows_is_none_of_them() -> None:
    rows = find_rows(draw_ink(wave(20.0), *(wave(y) for y in (100.0, 120.0, 140.0, 160.0))))
    assert np.allclose([row.level_mm for row in rows], (100.0, 120.0, 140.0, 160.0), atol=0.5)


def test_a_row_that_only_a_box_shows_is_followed_near_its_level() -> None:
    page = draw_ink(wave(70.0))
    row = find_row_at(page, 71.5, Columns(1, 5.0, 250.0, 250.0), [])
    away = row.y_at(np.arange(10.0, 250.0)) - np.interp(
        np.arange(10.0, 250.0), np.arange(5.0, 255.0), wave(70.0)
    )
    assert np.abs(away).mean() < 0.5
