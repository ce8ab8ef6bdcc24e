"""The blank between columns."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.columns import Columns
from ecgpage.layout.gaps import measure_gap
from ecgpage.layout.types import Row
from tests.layout.pages import draw_styled, flatten_exactly


def test_faint_traces_and_a_beat_of_the_row_above_make_no_other_gap() -> None:
    columns = Columns(2, 20.0, 60.0, 58.0)
    page = flatten_exactly(draw_styled(layout="strip"))
    rows = [Row(np.arange(5.5, 255), np.full(250, y), np.ones(250)) for y in np.arange(40.0, 160.0, 20.0)]

    def inked(drawn: Callable[[int, np.ndarray], np.ndarray]) -> FlatPage:
        ink = np.zeros_like(page.ink)
        x_mm = page.x_mm(np.arange(ink.shape[1]))
        for k, row in enumerate(rows):
            at = round(page.row(row.level_mm))
            ink[at - 2 : at + 3] = drawn(k, x_mm)
        return replace(page, ink=ink)

    def apart(k: int, x_mm: np.ndarray) -> np.ndarray:
        return (np.abs(x_mm - 79.0) > 1.0) | ((k == 3) & (x_mm > 78.2) & (x_mm < 79.8))

    def faint(k: int, x_mm: np.ndarray) -> np.ndarray:
        return apart(9, x_mm) & ((x_mm * 7).astype(int) % 3 == 0)

    assert measure_gap(inked(apart), rows, columns) == pytest.approx(2.3, abs=0.25)
    assert measure_gap(inked(faint), rows, columns) == 0.0
