"""Ends of ink tell where leads begin and end, where paper lies beyond."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecgpage.core.conventions import X_PX_PER_MM, Y_PX_PER_MM
from ecgpage.core.types import Array
from ecgpage.trace.crops import Reading
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.ink_ends import find_ink_ends

LEVEL_MM = 50.0


def draw_page(*drawn_mm: tuple[float, float]) -> Any:
    """Stands for a flat page: lines at ``LEVEL_MM`` between these page x, mm."""
    ink = np.zeros((100 * Y_PX_PER_MM, 300 * X_PX_PER_MM), np.float32)
    row = round(LEVEL_MM * Y_PX_PER_MM)
    for first, last in drawn_mm:
        ink[row - 1 : row + 2, round(first * X_PX_PER_MM) : round(last * X_PX_PER_MM) + 1] = 1.0
    return SimpleNamespace(
        ink=ink,
        column=lambda x_mm: x_mm * X_PX_PER_MM,
        row=lambda y_mm: y_mm * Y_PX_PER_MM,
        x_mm=lambda column: column / X_PX_PER_MM,
    )


def read_marks(first_mm: float, last_mm: float) -> Reading:
    """Reading that sees its lead between these page x, mm."""
    x_mm = np.arange(first_mm - 5, last_mm + 5, STEP_MM)
    seen = (x_mm >= first_mm) & (x_mm <= last_mm)
    level: Array = np.where(seen, LEVEL_MM, np.nan)
    return Reading(x_mm, level, np.full(len(x_mm), 0.1), np.where(seen, 0.9, 0.1))


def test_ink_begins_before_the_network_sees_it() -> None:
    ends = find_ink_ends(draw_page((27.2, 88.0)), [read_marks(30.0, 86.5)])
    assert ends[0] == pytest.approx((27.2, 88.0), abs=0.15)


def test_where_ink_goes_on_nothing_is_known() -> None:
    ends = find_ink_ends(draw_page((10.0, 200.0)), [read_marks(60.0, 122.5)])
    assert np.isnan(ends).all()


def test_ink_of_the_next_column_is_another_lead_s() -> None:
    ends = find_ink_ends(
        draw_page((20.0, 80.0), (83.0, 143.0)), [read_marks(20.3, 79.5), read_marks(83.4, 142.0)]
    )
    np.testing.assert_allclose(ends, [(20.0, 80.0), (83.0, 143.0)], atol=0.15)


def test_a_lead_that_was_not_read_has_no_ends() -> None:
    blind = read_marks(20.0, 80.0)
    blind.visible[:] = 0.0
    assert np.isnan(find_ink_ends(draw_page((20.0, 80.0)), [blind])).all()
