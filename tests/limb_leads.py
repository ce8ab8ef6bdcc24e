"""Readings of limb leads with known noise and lag."""

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.signal.limb_leads import BY_I_AND_II, Part
from tests.drawn import FS, record

NOISE_MV = 0.02


def lawful(lead: str, *, lag_s: float = 0.0) -> np.ndarray:
    """2.5 s of a limb lead that follows from two independent ones, ``lag_s`` late."""
    strip = record()[:, LEADS.index("II")]
    one, two = np.roll(strip, 40) * 0.6, strip
    a, b = BY_I_AND_II[lead]
    at = np.arange(100, 1350)
    return np.interp(at - lag_s * FS, np.arange(len(strip)), a * one + b * two)


def part(lead: str, noise_mv: float, seed: int, *, first: int = 0, lag_s: float = 0.0) -> Part:
    values = lawful(lead, lag_s=lag_s)
    smooth = np.convolve(np.random.default_rng(seed).normal(0, 1, len(values)), np.ones(5) / 5**0.5, "same")
    return Part(lead, first, values + noise_mv * smooth, np.full(len(values), noise_mv))
