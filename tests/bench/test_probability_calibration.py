"""The bench of calibrated probabilities."""

from pathlib import Path

import numpy as np
import pytest

from bench.probability_calibration import calibration, plot, wilson


@pytest.mark.medium
def test_calibrated_probabilities_lie_on_the_diagonal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 11))
    truth = rng.random(p.shape) < p
    for said, held, count in calibration(truth[:, 0], p[:, 0]):
        assert said == pytest.approx(held, abs=0.04)
        assert count > 1000
    plot(truth, p, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").stat().st_size > 10_000


def test_empty_ranges_of_probability_are_left_out() -> None:
    truth = np.array([True, False, True])
    assert calibration(truth, np.array([0.95, 0.05, np.nan])) == [(0.05, 0.0, 1), (0.95, 1.0, 1)]


def test_the_interval_of_a_share_is_wilsons() -> None:
    """Wilson's own kind of example: 1 of 10 lies in 0.018 to 0.404; 0 of 10 in 0 to 0.278."""
    low, high = wilson(np.array([0.1, 0.0]), np.array([10.0, 10.0]))
    np.testing.assert_allclose(low, [0.0179, 0.0], atol=5e-4)
    np.testing.assert_allclose(high, [0.4042, 0.2775], atol=5e-4)
