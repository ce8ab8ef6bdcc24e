"""Scale of pages without a grid, by the boxes of leads and of pulses."""

import numpy as np
import pytest

from ecgpage.layout.scale_without_grid import tell_scale

PX = 4.0
"""Pixels per mm of the drawn boxes."""


def lead_boxes(gap_mm: float, width_mm: float, columns: int = 4) -> np.ndarray:
    """Boxes (n, 4), px, of three rows of leads."""
    return np.array(
        [
            (20 + k * (width_mm + gap_mm), 30 + 30 * row, 20 + k * (width_mm + gap_mm) + width_mm, 55 + 30 * row)
            for row in range(3)
            for k in range(columns)
        ]
    ) * PX  # fmt: skip


def pulse_boxes(height_mm: float, count: int = 3) -> np.ndarray:
    return np.array([(5, 50 + 30 * k - height_mm, 10, 50 + 30 * k) for k in range(count)]) * PX


NO_PULSES = np.zeros((0, 4))


def test_rows_that_touch_and_usual_pulses_give_the_scale_together() -> None:
    scale, source = tell_scale(lead_boxes(0.0, 62.5), pulse_boxes(10.0))
    assert scale == pytest.approx(PX, rel=0.003)
    assert source == "calibration pulses and length of the rows"


@pytest.mark.parametrize("pulse_mm", [9.6, 10.0, 10.4])
def test_pulses_tell_that_wide_gaps_are_no_time(pulse_mm: float) -> None:
    """Columns of 2.5 s with 10 mm between them make rows of 280 mm, 12 % too long."""
    scale, _ = tell_scale(lead_boxes(10.0, 62.5), pulse_boxes(pulse_mm))
    assert scale == pytest.approx(PX, rel=0.005)


@pytest.mark.parametrize("pulse_mm", [9.6, 10.0, 10.4])
def test_pulses_tell_that_wide_gaps_are_time(pulse_mm: float) -> None:
    scale, _ = tell_scale(lead_boxes(10.0, 55.0), pulse_boxes(pulse_mm))
    assert scale == pytest.approx(PX, rel=0.005)


def test_rows_of_five_seconds_leave_the_scale_to_the_pulses() -> None:
    scale, source = tell_scale(lead_boxes(0.0, 31.25), pulse_boxes(10.0))
    assert scale == pytest.approx(PX, rel=0.03)
    assert source == "calibration pulses and length of the rows"


def test_without_pulses_the_rows_alone_tell() -> None:
    scale, source = tell_scale(lead_boxes(0.0, 62.5), NO_PULSES)
    assert scale == pytest.approx(PX, rel=0.003)
    assert source == "length of the rows"


def test_rows_that_are_cut_leave_the_scale_to_the_pulses() -> None:
    scale, source = tell_scale(lead_boxes(0.0, 45.0), pulse_boxes(10.0))
    assert scale == pytest.approx(PX, rel=0.03)
    assert source == "calibration pulses"
