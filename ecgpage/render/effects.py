"""Disturb a recording as electrodes, amplifiers and old machines do. Signals are (n_samples, n_leads) mV."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]
Rng = np.random.Generator

LIMB_MIX: Final = ((1, 0), (0, 1), (-1, 1), (-0.5, -0.5), (1, -0.5), (-0.5, 1))
"""How I, II, III, aVR, aVL, aVF follow from disturbances of I and II."""


def disturb(signal: NDArray[np.floating], fs: float, rng: Rng, *, chance: float = 0.15) -> Signal:
    """A copy with each kind of disturbance added with probability ``chance``."""
    result = np.array(signal, np.float32)
    seconds = np.arange(len(result)) / fs
    if rng.random() < chance:
        result += spread(wander(seconds, rng), result.shape[1], rng)
    if rng.random() < chance:
        result += spread(hum(seconds, rng), result.shape[1], rng)
    if rng.random() < chance:
        result += spread(muscle(len(result), rng), result.shape[1], rng)
    if rng.random() < chance / 4:
        result += spread(pacing(seconds, fs, rng), result.shape[1], rng)
    if rng.random() < chance / 2:
        result *= np.float32(rng.uniform(0.5, 2.0))
    if rng.random() < chance / 4:
        limit = float(rng.uniform(0.8, 2.0))
        np.clip(result, -limit, limit, out=result)
    if rng.random() < chance / 4:
        result[:, int(rng.integers(result.shape[1]))] = np.float32(rng.normal(0, 0.05))
    return result


def wander(seconds: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Baseline wander with breathing and movement."""
    rate, slow = rng.uniform(0.15, 0.5), rng.uniform(0.03, 0.12)
    breath = np.sin(2 * np.pi * (rate * seconds + rng.random()))
    drift = np.sin(2 * np.pi * (slow * seconds + rng.random()))
    return np.asarray(rng.uniform(0.02, 0.2) * breath + rng.uniform(0.05, 0.4) * drift, np.float64)


def hum(seconds: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Mains hum, 50 or 60 Hz."""
    rate = rng.choice([50.0, 60.0])
    return np.asarray(rng.uniform(0.005, 0.06) * np.sin(2 * np.pi * rate * seconds), np.float64)


def muscle(n_samples: int, rng: Rng) -> NDArray[np.float64]:
    """Muscle noise that comes and goes."""
    swell = np.interp(np.linspace(0, 5, n_samples), np.arange(6), rng.uniform(0, 1, 6))
    return np.asarray(rng.uniform(0.01, 0.06) * swell * rng.standard_normal(n_samples), np.float64)


def pacing(seconds: NDArray[np.float64], fs: float, rng: Rng) -> NDArray[np.float64]:
    """Spikes of a pacemaker, two samples wide."""
    result = np.zeros(len(seconds))
    period = rng.uniform(0.6, 1.1)
    at = (np.arange(rng.random(), seconds[-1], period) * fs).astype(int)
    at = at[at < len(result) - 1]
    result[at] = result[at + 1] = rng.choice([-1, 1]) * rng.uniform(0.3, 2.0)
    return result


def spread(course: NDArray[np.float64], n_leads: int, rng: Rng) -> Signal:
    """One disturbance in all leads, (n, n_leads); the laws that bind the limb leads still hold."""
    strength = rng.normal(0, 1, n_leads)
    if n_leads == 12:
        strength[:6] = np.array(LIMB_MIX) @ strength[:2]
    return np.outer(course, strength).astype(np.float32)
