"""Scale by the numbers of axes, whatever the proportions of a plot's squares."""

from dataclasses import replace

import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.grid.axes import fits_axes, map_axes, read_axes
from ecgpage.grid.find_grids import find_grids
from ecgpage.grid.grid_map import AXES
from tests.plotted import Plot, draw_plot, write

WIDE = Plot(77.0, 32.4)


@pytest.mark.parametrize(
    "plot",
    [
        WIDE,
        Plot(90.0, 60.0, seconds=4.0),
        Plot(150.0, 40.0, columns=1, seconds=4.0, font="DejaVuSerif", size=14.0),
    ],
    ids=["narrow squares", "nearly square", "wide squares"],
)
def test_numbers_tell_both_scales(plot: Plot) -> None:
    axes = read_axes(draw_plot(plot))
    assert axes.seconds is not None
    assert axes.millivolts is not None
    assert axes.seconds.px_per_unit == pytest.approx(plot.px_per_s, rel=0.003)
    assert axes.millivolts.px_per_unit == pytest.approx(plot.px_per_mv, rel=0.005)
    assert len(axes.seconds.panels_px) == plot.columns
    assert axes.seconds.first == (0.0,) * plot.columns


def test_the_map_by_numbers_comes_before_the_lines_of_squares_that_mean_something_else() -> None:
    picture = draw_plot(WIDE)
    first = next(find_grids(picture, 4, []))
    assert first.source == AXES
    assert first.axes_mm == pytest.approx((25.0, 10.0), rel=0.001)
    assert np.diff(first.panels_mm[:, :2])[:, 0] == pytest.approx([125.0, 125.0], abs=0.5)
    assert first.source_note
    assert first.rotate(2).axes is None


def test_without_numbers_there_is_no_such_map() -> None:
    axes = read_axes(draw_plot(replace(WIDE, numbers=False)))
    assert axes.seconds is None
    assert axes.millivolts is None
    assert map_axes(axes, (100, 100)) is None


def write_list(numbers: list[float], apart: int) -> Image:
    picture = np.full((60 + apart * len(numbers), 300, 3), 255, np.uint8)
    for k, number in enumerate(numbers):
        write(picture, f"{number:g}", 150, 40 + apart * k, Plot(100, 50, size=16.0))
    return picture


def test_a_list_that_counts_downwards_the_page_is_no_axis_but_one_that_counts_upwards_is() -> None:
    assert read_axes(write_list([1, 2, 3, 4, 5, 6], 30)).millivolts is None
    axis = read_axes(write_list([4, 3, 2, 1, 0], 30)).millivolts
    assert axis is not None
    assert axis.px_per_unit == pytest.approx(30.0, rel=0.02)


def test_numbers_without_order_are_no_axis() -> None:
    assert read_axes(write_list([3, 7, 1, 9, 4, 8], 30)).millivolts is None


def test_a_grid_fits_where_the_numbers_say_a_usual_speed_and_gain_on_it() -> None:
    axes = read_axes(draw_plot(WIDE))
    numbered = map_axes(axes, (900, 1000))
    assert numbered is not None
    assert fits_axes(numbered, axes)
    assert fits_axes(replace(numbered, nodes=numbered.nodes * 2.0), axes)  # half the speed, half the gain
    assert not fits_axes(replace(numbered, nodes=numbered.nodes * 1.6), axes)


def test_other_print_on_the_page_does_not_hide_a_time_axis() -> None:
    picture = np.full((700, 1300, 3), 255, np.uint8)
    rng = np.random.default_rng(4)
    for row in range(18):
        for column in range(8):
            write(picture, str(rng.integers(10, 99)), 60 + 150 * column, 40 + 32 * row, Plot(100, 50))
    for k in range(6):
        write(picture, str(k), 100 + 180 * k, 660, Plot(100, 50))
    axes = read_axes(picture)
    assert axes.seconds is not None
    assert axes.seconds.px_per_unit == pytest.approx(180.0, rel=0.003)
    assert axes.millivolts is None


@pytest.mark.parametrize("px_per_s", [76.7, 77.3, 81.45])
def test_all_numbers_of_a_panel_tell_its_place(px_per_s: float) -> None:
    """Each is printed on whole pixels; together they know better."""
    plot = replace(WIDE, px_per_s=px_per_s)
    axes = read_axes(draw_plot(plot))
    assert axes.seconds is not None
    starts = [first for first, _ in axes.seconds.panels_px]
    assert np.diff(starts) == pytest.approx(np.diff([x for x, _ in plot.corners[:2]]), abs=0.3)
