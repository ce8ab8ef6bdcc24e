"""WFDB records for the tests of trainings."""

from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.signal_packs import twelve_leads


def microvolts(seed: int, fs: int, seconds: float = 10.0) -> NDArray[np.int16]:
    """(8, n) smooth signals, uV, of the leads of a pack; the same waves at any rate."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs)) / fs
    waves = [rng.uniform(100, 900) * np.sin(2 * np.pi * rng.uniform(1, 6) * t) for _ in range(8)]
    return np.round(waves).astype(np.int16)


def write(
    folder: Path,
    name: str,
    mv: NDArray[np.floating],
    fs: float,
    *,
    leads: tuple[str, ...] = LEADS,
    unit: str = "mV",
    comments: tuple[str, ...] = (),
) -> None:
    """Write signals (n, len(leads)), mV, in 1-uV steps as a WFDB record."""
    folder.mkdir(parents=True, exist_ok=True)
    factor = {"mV": 1.0, "uV": 1e3, "V": 1e-3}[unit]
    n = len(leads)
    wfdb.wrsamp(
        name, fs, [unit] * n, list(leads), p_signal=mv * factor, fmt=["16"] * n, adc_gain=[1000.0 / factor] * n,
        baseline=[0] * n, comments=list(comments), write_dir=str(folder),
    )  # fmt: skip


def write_record(folder: Path, name: str, *, seed: int, fs: int, labels: str) -> None:
    """Write smooth signals as a labelled record."""
    signal = twelve_leads(microvolts(seed, fs)).T.astype(float)
    write(folder, name, signal, fs, comments=(f"Labels: {labels}",))
