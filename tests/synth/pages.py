"""An invented record, and the way from a drawn page back to its values, for the tests of the renderer."""

import numpy as np
from numpy.typing import NDArray

from ecgpage.synth.page.model import Axis, Page, Segment

FS = 500.0


def ecg(seed: int = 0, n_samples: int = 5000) -> NDArray[np.float32]:
    """An invented 12-lead signal (n_samples, 12): sharp R, slow T, wander; the limb leads' laws hold."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples) / FS
    beat = (t * rng.uniform(0.8, 1.6)) % 1.0
    wave = np.exp(-(((beat - 0.3) / 0.012) ** 2)) + 0.25 * np.exp(-(((beat - 0.55) / 0.05) ** 2))
    slow = 0.1 * np.sin(2 * np.pi * 0.3 * t)
    base = np.outer(wave, rng.uniform(-1.2, 1.5, 12)) + np.outer(slow, rng.uniform(-1, 1, 12))
    one, two = base[:, 0], base[:, 1]
    base[:, 2:6] = np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    return base.astype(np.float32)


def read_back(page: Page, segment: Segment, xy: Axis) -> tuple[Axis, Axis]:
    """Inverse of ``segment_path``: seconds from the start of the record and mV at page points (n, 2) mm."""
    seconds = segment.start / page.fs + (xy[:, 0] - segment.x0) / page.speed
    return seconds, (segment.baseline - xy[:, 1]) / segment.gain


def beats(fs: float, count: int, seed: int = 0) -> np.ndarray:
    """int16 (count, 8, 10 s) microvolts: spikes of 1 mV twice a second, of another height in each lead."""
    t = np.arange(round(10 * fs)) / fs
    spikes = np.exp(-0.5 * (((t % 0.5) - 0.25) / 0.015) ** 2)
    gain = np.random.default_rng(seed).uniform(0.4, 1.2, (count, 8, 1))
    return np.round(1000 * gain * spikes).astype(np.int16)
