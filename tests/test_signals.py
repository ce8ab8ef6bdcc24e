"""Signals that cannot be what their names say are recognised."""

import numpy as np
import pytest

from ecgpage.ecg import LEADS
from ecgpage.signals import contradiction
from tests.drawn import FS, record


def complete() -> np.ndarray:
    """Twelve complete, lawful leads made of independent ones."""
    strip = record()[:, LEADS.index("II")]
    one, two = np.roll(strip, 40) * 0.6 + 0.1 * np.roll(strip, 7), strip
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    chest = [np.roll(strip, 11 * k) * (0.4 + 0.3 * k) for k in range(6)]
    return np.stack(limb + chest, axis=1).astype(np.float32)


def test_lawful_leads_pass() -> None:
    assert contradiction(complete(), FS) == ""


@pytest.mark.parametrize("noise_mv", [0.01, 0.05])
def test_noise_alone_is_no_contradiction(noise_mv: float) -> None:
    noisy = complete() + np.random.default_rng(0).normal(0, noise_mv, (5000, 12)).astype(np.float32)
    assert contradiction(noisy, FS) == ""


def test_leads_at_wrong_times_contradict_each_other() -> None:
    mv = complete()
    mv[:, LEADS.index("I")] = np.roll(mv[:, 0], 230)
    mv[:, LEADS.index("aVL")] = np.roll(mv[:, 4], 230)
    mv[:, LEADS.index("III")] = np.roll(mv[:, 2], 400)
    mv[:, LEADS.index("aVF")] = np.roll(mv[:, 5], -333)
    assert "do not agree" in contradiction(mv, FS)


def test_limb_leads_under_the_names_of_chest_leads_are_noticed() -> None:
    mv = complete()
    mv[:, 6:] = mv[:, :6]
    assert "limb leads" in contradiction(mv, FS)


def test_a_page_with_too_little_in_common_is_not_judged() -> None:
    assert contradiction(np.full((5000, 12), np.nan, np.float32), FS) == ""
