"""Calibration pulses are measured in the ink."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.layout.pulses import measure_pulses, seek_pulses
from ecgpage.layout.rows import find_rows
from ecgpage.layout.types import Pulse
from ecgpage.synth import DrawnPage
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from tests.layout.pages import draw_styled, flatten_exactly, read_drawn_plan


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


def seek(drawn: DrawnPage, page: FlatPage | None = None) -> list[tuple[int, Pulse]]:
    """Pulses beside the columns of a page with four columns."""
    page = flatten_exactly(drawn) if page is None else page
    layout = read_drawn_plan(drawn)
    ends = [(s.x0_mm, s.x1_mm) for s in layout.segments]
    return seek_pulses(page, layout.rows, (min(x for x, _ in ends), max(x for _, x in ends)))


@pytest.mark.medium
@pytest.mark.parametrize(
    ("style", "size_mm"),
    [
        ({"gain": 5.0}, (5.0, 5.0)),
        ({"gain": 20.0, "pulse": "right"}, (5.0, 20.0)),
        ({"speed": 50.0}, (10.0, 10.0)),
        ({"pulse_span": 2.5, "gain": 2.5}, (2.5, 2.5)),
        ({"pulse_foot": 0.0}, (5.0, 10.0)),
    ],
    ids=str,
)
def test_pulses_of_any_size_are_sought_in_the_ink(
    style: dict[str, object], size_mm: tuple[float, float]
) -> None:
    found = seek(draw_styled(150.0, layout="3x4+1", **style))
    assert len({row for row, _ in found}) >= 3
    for _, pulse in found:
        assert (pulse.width_mm, pulse.height_mm) == pytest.approx(size_mm, abs=0.4)


@pytest.mark.medium
def test_no_pulses_are_found_where_there_are_names_and_beats_only() -> None:
    assert seek(draw_styled(150.0, layout="3x4", pulse="none")) == []


@pytest.mark.medium
def test_pulses_beyond_the_mapped_grid_are_found() -> None:
    drawn = draw_styled(150.0, layout="3x4+1")
    grid = exact_grid(drawn)
    first = int(seek(drawn)[0][1].x_mm // SQUARE_MM) + 2
    x0, y0 = grid.origin_mm
    part = replace(
        grid,
        nodes=grid.nodes[:, first:],
        quality=grid.quality[:, first:],
        origin_mm=(x0 + SQUARE_MM * first, y0),
    )
    found = seek(drawn, flatten_page(drawn.image, part))
    assert len({row for row, _ in found}) >= 3
    for _, pulse in found:
        assert (pulse.width_mm, pulse.height_mm) == pytest.approx((5.0, 10.0), abs=0.6)
