"""The raster of a plotting program in the places of lines."""

import numpy as np
import pytest

from ecgpage.raster import LinePlaces, Raster, find_rasters, without_trend

N_LINES = 45
STEP_MM = 5.0


def places(moved_mm: np.ndarray, noise_mm: float, seed: int) -> LinePlaces:
    """Lines that stand off by ``moved_mm``, on paper that is stretched a little, seen with some noise."""
    rng = np.random.default_rng(seed)
    along = np.arange(len(moved_mm))
    off = moved_mm + 0.2 * np.sin(along / 15) + rng.normal(0, noise_mm, len(along))
    use = np.ones(len(along), bool)
    use[7] = False
    detail = without_trend(use)
    return LinePlaces(detail @ np.where(use, off, 0.0), use, detail, STEP_MM)


def moves(dpi: float, phase: float) -> np.ndarray:
    return Raster(25.4 / dpi, phase).moves(STEP_MM * np.arange(N_LINES, dtype=float))


def test_moves_are_at_most_half_a_pixel_and_end_on_whole_ones() -> None:
    raster = Raster(25.4 / 200, 0.3)
    lines = STEP_MM * np.arange(50.0)
    moved = raster.moves(lines)
    assert np.abs(moved).max() <= raster.pixel_mm / 2 + 1e-12
    ends = (lines + moved) / raster.pixel_mm + raster.phase
    np.testing.assert_allclose(ends, np.rint(ends), atol=1e-9)


@pytest.mark.parametrize(("dpi", "phase"), [(200, 0.12), (200, 0.86), (150, 0.4), (96, 0.7)])
def test_a_raster_is_found_with_its_phase(dpi: float, phase: float) -> None:
    found = find_rasters([places(moves(dpi, phase), 0.004, 1)])[0]
    assert found is not None
    assert found.pixel_mm == pytest.approx(25.4 / dpi)
    assert abs((found.phase - phase + 0.5) % 1 - 0.5) < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_noise_has_no_raster(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    lines = [
        places(rng.normal(0, 0.03, N_LINES), 0.0, seed),
        places(rng.normal(0, 0.03, N_LINES), 0.0, seed + 50),
    ]
    assert find_rasters(lines) == [None, None]


def test_the_clear_direction_tells_the_resolution_of_the_other() -> None:
    """Steps of a scanner's feed hide the raster of one direction; both were plotted by the same program."""
    rng = np.random.default_rng(8)
    hidden = places(moves(200, 0.64) + rng.normal(0, 0.036, N_LINES), 0.0, 2)
    clear = places(moves(200, 0.34), 0.004, 3)
    assert find_rasters([hidden])[0] is None
    first, second = find_rasters([hidden, clear])
    assert second is not None
    assert abs(second.phase - 0.34) < 0.05
    assert first is not None
    assert first.pixel_mm == second.pixel_mm
    assert abs(first.phase - 0.64) < 0.1


def test_few_lines_have_no_raster() -> None:
    lines = places(moves(200, 0.2)[:15], 0.0, 1)
    assert find_rasters([lines]) == [None]
