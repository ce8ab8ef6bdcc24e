"""Surfaces through lines: they solve the penalised system, keep planes, and leave odd places and snapped lines out."""

import numpy as np
import pytest

from ecgpage.grid.smoothing import choose_stiffness, estimate_surface_error, fit_surface, smooth_lines

STIFFNESS = (0.03, 0.3, 3.0, 30.0, 300.0, 3000.0)


def make_wave(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 0.3 * np.sin(x / 4) + 0.2 * np.cos(y / 5)


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (9, 9)])
def test_fits_solve_the_penalised_system(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    values, weights = rng.normal(size=shape), rng.uniform(0.1, 1, size=shape)
    surface, _ = fit_surface(values, weights, 2.0, rounds=1)

    def loss(tried: np.ndarray) -> float:
        twist = np.diff(np.diff(tried, axis=0), axis=1)
        bending = sum((np.diff(tried, 2, axis=axis) ** 2).sum() for axis in (0, 1)) + 2 * (twist**2).sum()
        return float((weights * (values - tried) ** 2).sum() + 2.0 * bending)

    others = [loss(surface + change) for change in 1e-3 * rng.normal(size=(50, *shape))]
    assert loss(surface) < min(others)


def test_a_plane_is_not_bent_however_stiff_the_surface() -> None:
    y, x = np.mgrid[:8, :13]
    plane = 0.2 + 0.03 * x - 0.05 * y
    surface, _ = fit_surface(plane, np.ones(plane.shape), 1e5, rounds=1)
    np.testing.assert_allclose(surface, plane, atol=1e-4)


def test_an_odd_place_is_left_out() -> None:
    values = make_wave((15, 20))
    values[7, 9] += 3.0
    surface, robust = fit_surface(values, np.ones(values.shape), 0.3, rounds=3)
    assert robust[7, 9] == 0
    assert np.abs(surface - make_wave((15, 20))).max() < 0.05


@pytest.mark.parametrize(("moved_mm", "expected_mm"), [(0.05, 0.0), (0.3, 0.3)], ids=["snapped", "stuttered"])
def test_a_line_snapped_to_a_pixel_is_left_out_and_one_moved_by_a_scanner_is_followed(
    moved_mm: float, expected_mm: float
) -> None:
    values = np.random.default_rng(6).normal(0, 0.1, (60, 30))
    values[:, 12] += moved_mm
    surface = smooth_lines(values, np.ones(values.shape), 300.0, bias_mm=0.08).surface
    assert surface[:, 12].mean() == pytest.approx(expected_mm, abs=0.05)


@pytest.mark.parametrize("is_wavy", [False, True])
def test_the_stiffness_follows_what_the_lines_do(is_wavy: bool) -> None:
    rng = np.random.default_rng(4)
    values = [is_wavy * make_wave(shape) + rng.normal(0, 0.05, shape) for shape in ((24, 32), (32, 24))]
    stiffness = choose_stiffness(values, [np.ones(v.shape) for v in values], STIFFNESS)
    assert stiffness < 30 if is_wavy else stiffness >= 300


def test_the_expected_error_of_mere_noise_is_one_to_two_times_the_true_one() -> None:
    rng = np.random.default_rng(5)
    shape = (40, 50)
    values = make_wave(shape) + rng.normal(0, 0.1, shape)
    weights = np.ones(shape)
    surface, _ = fit_surface(values, weights, 1.0, rounds=2)
    true = float(np.sqrt(((surface - make_wave(shape)) ** 2).mean()))
    assert true < estimate_surface_error(values, weights, 1.0) < 2 * true
