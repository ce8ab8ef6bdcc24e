"""Add the artifacts of electrodes, amplifiers and old machines to a recording. Signals are (n_samples, n_leads) mV."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Rng
from ecgpage.signal.limb_leads import BY_I_AND_II

Signal = NDArray[np.float32]

LIMB_MIX: Final = tuple(BY_I_AND_II[lead] for lead in LEADS[:6])
"""Artifacts of I, II, III, aVR, aVL, aVF by those of I and II (Einthoven's and Goldberger's constraints)."""


def add_artifacts(signal: NDArray[np.floating], fs: float, rng: Rng, *, chance: float = 0.15) -> Signal:
    """Copy of ``signal`` with each kind of artifact added with probability ``chance``, rare ones less often."""
    result = np.array(signal, np.float32)
    if rng.random() < chance:
        result = change_rate(result, fs, float(rng.uniform(0.7, 1.5)), rng)
    seconds = np.arange(len(result)) / fs
    if rng.random() < chance:
        result += spread_over_leads(make_wander(seconds, rng), result.shape[1], rng)
    if rng.random() < chance:
        result += spread_over_leads(make_hum(seconds, rng), result.shape[1], rng)
    if rng.random() < chance:
        result += spread_over_leads(make_muscle_noise(len(result), rng), result.shape[1], rng)
    if rng.random() < chance / 4:
        result += spread_over_leads(make_pacing(seconds, fs, rng), result.shape[1], rng)
    if rng.random() < chance / 2:
        result *= np.float32(rng.uniform(0.5, 2.0))
    if rng.random() < chance / 4:
        limit = float(rng.uniform(0.8, 2.0))
        np.clip(result, -limit, limit, out=result)
    if rng.random() < chance / 4:
        result[:, int(rng.integers(result.shape[1]))] = np.float32(rng.normal(0, 0.05))
    if rng.random() < chance / 4:
        lead = int(rng.integers(result.shape[1]))
        result[:, lead] = detach_electrode(result[:, lead], fs, rng)
    return result


def change_rate(signal: NDArray[np.floating], fs: float, factor: float, rng: Rng) -> Signal:
    """Recording with its time compressed by ``factor`` (above 1: a faster heart) and its length kept.

    A slower one is a window of the stretched recording. For a faster one, a second copy follows where it agrees
    best with the end of the first, and the two are blended over 0.2 s.
    """
    n = len(signal)
    length = int(np.floor((n - 1) / factor)) + 1
    start = 0.0 if length <= n else float(rng.uniform(0, n - 1 - (n - 1) * factor))
    at = start + np.arange(min(length, n), dtype=np.float64) * factor
    left = np.minimum(at.astype(np.intp), n - 2)
    part = (at - left).astype(np.float32)[:, None]
    known = np.asarray(signal, np.float32)
    changed = known[left] * (1 - part) + known[left + 1] * part
    while len(changed) < n:
        changed = _continue(changed, max(int(0.2 * fs), 2))
    return np.asarray(changed[:n], np.float32)


def _continue(signal: Signal, overlap: int) -> Signal:
    """``signal`` followed by itself from where ``overlap`` samples agree best with its end."""
    end = signal[-overlap:]
    # only the first half is searched: late starts would add little
    starts = np.arange(0, max(len(signal) // 2 - overlap, 1), 4)
    grid = np.linspace(0, overlap - 1, 12).astype(np.intp)
    off = signal[starts[:, None] + grid] - end[grid]
    best = int(starts[np.argmin(np.nan_to_num(off**2, nan=1.0).sum(axis=(1, 2)))])
    weight = np.linspace(0, 1, overlap, dtype=np.float32)[:, None]
    blended = end * (1 - weight) + signal[best : best + overlap] * weight
    return np.asarray(np.concatenate([signal[:-overlap], blended, signal[best + overlap :]]), np.float32)


def detach_electrode(lead: NDArray[np.float32], fs: float, rng: Rng) -> NDArray[np.float32]:
    """Lead whose electrode comes off: driven to the amplifier's limit, from which it may recover."""
    limit, at = float(rng.choice([-1, 1]) * rng.uniform(1.0, 2.5)), int(rng.integers(len(lead)))
    held = int(rng.uniform(0.1, 2.0) * fs)
    since = np.maximum(np.arange(len(lead)) - at - held, 0) / fs
    pull = np.where(np.arange(len(lead)) >= at, np.exp(-since / rng.uniform(0.1, 1.0)), 0.0)
    if rng.random() < 0.3:
        pull = np.where(np.arange(len(lead)) >= at, 1.0, 0.0)
    return np.asarray(lead * (1 - pull) + limit * pull, np.float32)


def make_wander(seconds: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Baseline wander with breathing and movement."""
    rate, slow = rng.uniform(0.15, 0.5), rng.uniform(0.03, 0.12)
    breath = np.sin(2 * np.pi * (rate * seconds + rng.random()))
    drift = np.sin(2 * np.pi * (slow * seconds + rng.random()))
    return np.asarray(rng.uniform(0.02, 0.2) * breath + rng.uniform(0.05, 0.4) * drift, np.float64)


def make_hum(seconds: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Mains hum, 50 or 60 Hz."""
    rate = rng.choice([50.0, 60.0])
    return np.asarray(rng.uniform(0.005, 0.06) * np.sin(2 * np.pi * rate * seconds), np.float64)


def make_muscle_noise(n_samples: int, rng: Rng) -> NDArray[np.float64]:
    """Muscle noise that comes and goes."""
    swell = np.interp(np.linspace(0, 5, n_samples), np.arange(6), rng.uniform(0, 1, 6))
    return np.asarray(rng.uniform(0.01, 0.06) * swell * rng.standard_normal(n_samples), np.float64)


def make_pacing(seconds: NDArray[np.float64], fs: float, rng: Rng) -> NDArray[np.float64]:
    """Spikes of a pacemaker, two samples wide."""
    result = np.zeros(len(seconds))
    period = rng.uniform(0.6, 1.1)
    at = (np.arange(rng.random(), seconds[-1], period) * fs).astype(int)
    at = at[at < len(result) - 1]
    result[at] = result[at + 1] = rng.choice([-1, 1]) * rng.uniform(0.3, 2.0)
    return result


def spread_over_leads(course: NDArray[np.float64], n_leads: int, rng: Rng) -> Signal:
    """One artifact in all leads, (n, n_leads) mV, under Einthoven's and Goldberger's constraints."""
    strength = rng.normal(0, 1, n_leads)
    if n_leads == 12:
        strength[:6] = np.array(LIMB_MIX) @ strength[:2]
    return np.outer(course, strength).astype(np.float32)
