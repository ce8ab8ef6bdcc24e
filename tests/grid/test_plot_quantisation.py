"""Plotting programs move lines onto whole pixels; the moves tell the pixels, chance does not."""

import numpy as np
import pytest

from ecgpage.grid.plot_quantisation import (
    LineShifts,
    PlotPixels,
    build_detrending,
    find_line_shifts,
    find_plot_pixels,
)

N_LINES = 45
STEP_MM = 5.0


def places(moved_mm: np.ndarray, noise_mm: float, seed: int) -> LineShifts:
    """Lines that stand off by ``moved_mm``, on paper that is stretched a little, seen with some noise."""
    rng = np.random.default_rng(seed)
    along = np.arange(len(moved_mm))
    off = moved_mm + 0.2 * np.sin(along / 15) + rng.normal(0, noise_mm, len(along))
    use = np.ones(len(along), bool)
    use[7] = False
    detail = build_detrending(use)
    return LineShifts(detail @ np.where(use, off, 0.0), use, detail, STEP_MM)


def moves(dpi: float, phase: float) -> np.ndarray:
    return PlotPixels(25.4 / dpi, phase).shift(STEP_MM * np.arange(N_LINES, dtype=float))


def test_moves_are_at_most_half_a_pixel_and_end_on_whole_ones() -> None:
    pixels = PlotPixels(25.4 / 200, 0.3)
    lines = STEP_MM * np.arange(50.0)
    moved = pixels.shift(lines)
    assert np.abs(moved).max() <= pixels.pixel_mm / 2 + 1e-12
    ends = (lines + moved) / pixels.pixel_mm + pixels.phase
    np.testing.assert_allclose(ends, np.rint(ends), atol=1e-9)


@pytest.mark.parametrize(("dpi", "phase"), [(200, 0.12), (200, 0.86), (150, 0.4), (96, 0.7)])
def test_plot_pixels_are_found_with_their_phase(dpi: float, phase: float) -> None:
    found = find_plot_pixels([places(moves(dpi, phase), 0.004, 1)])[0]
    assert found is not None
    assert found.pixel_mm == pytest.approx(25.4 / dpi)
    assert abs((found.phase - phase + 0.5) % 1 - 0.5) < 0.05


def test_lines_half_way_between_two_pixels_went_where_they_are_seen() -> None:
    """A phase that is wrong by two hundredths of a pixel puts some of them a whole pixel off."""
    step = 5.0 / (25.4 / 200) % 1
    phase = (0.5 - 12 * step) % 1 + 0.01  # line 12 is moved up by nearly half a pixel
    true = moves(200, phase)
    lines = places(true, 0.004, 4)
    near = PlotPixels(25.4 / 200, phase - 0.02)
    assert np.abs(near.shift(STEP_MM * np.arange(N_LINES, dtype=float)) - true).max() > 0.1
    np.testing.assert_allclose(find_line_shifts(near, lines), true, atol=0.01)


@pytest.mark.parametrize("dpi", [100, 120, 144, 200])
def test_clear_plot_pixels_are_found_whatever_their_phase(dpi: int) -> None:
    """That a neighbouring pitch explains a part of the moves, too, is no doubt about one that explains them all."""
    for phase in np.arange(0, 1, 0.04):
        found = find_plot_pixels([places(moves(dpi, phase), 0.004, 5)])[0]
        assert found is not None
        assert found.pixel_mm == pytest.approx(25.4 / dpi)


@pytest.mark.parametrize("seed", range(6))
def test_noise_has_no_plot_pixels(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    lines = [
        places(rng.normal(0, 0.03, N_LINES), 0.0, seed),
        places(rng.normal(0, 0.03, N_LINES), 0.0, seed + 50),
    ]
    assert find_plot_pixels(lines) == [None, None]


def test_the_clear_direction_tells_the_resolution_of_the_other() -> None:
    """Steps of a scanner's feed hide the plot's pixels in one direction; both were plotted by the same program."""
    rng = np.random.default_rng(8)
    hidden = places(moves(200, 0.64) + rng.normal(0, 0.036, N_LINES), 0.0, 2)
    clear = places(moves(200, 0.34), 0.004, 3)
    assert find_plot_pixels([hidden])[0] is None
    first, second = find_plot_pixels([hidden, clear])
    assert second is not None
    assert abs(second.phase - 0.34) < 0.05
    assert first is not None
    assert first.pixel_mm == second.pixel_mm
    assert abs(first.phase - 0.64) < 0.1


def test_few_lines_have_no_plot_pixels() -> None:
    lines = places(moves(200, 0.2)[:15], 0.0, 1)
    assert find_plot_pixels([lines]) == [None]
