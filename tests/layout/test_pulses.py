"""Calibration pulses are measured in the ink."""

import numpy as np
import pytest

from ecgpage.layout.pulses import measure_pulses
from ecgpage.layout.rows import find_rows
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.layout.pages import draw_styled, flatten_exactly


@pytest.mark.medium
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_pulses_have_the_height_of_a_millivolt(gain: float) -> None:
    drawn = draw_styled(150.0, layout="3x4+1", gain=gain)
    page, boxes = flatten_exactly(drawn), true_boxes(drawn, exact_grid(drawn))
    found = measure_pulses(page, find_rows(page), boxes.pulses)
    assert [row for row, _ in found] == [0, 1, 2, 3]
    assert [pulse.height_mm for _, pulse in found] == [gain] * 4
    left = boxes.pulses[:, 0] + 1.0  # after the flat line before the pulse
    assert np.allclose([pulse.x_mm for _, pulse in found], left, atol=0.3)


def test_a_box_without_a_pulse_in_it_has_no_score() -> None:
    drawn = draw_styled(150.0, layout="3x4", pulse="none")
    page = flatten_exactly(drawn)
    rows = find_rows(page)
    level = rows[0].level_mm
    ((_, pulse),) = measure_pulses(page, rows, np.array([[100.0, level - 10.0, 105.0, level]]))
    assert pulse.score == 0.0
