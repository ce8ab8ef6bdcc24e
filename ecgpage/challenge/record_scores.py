"""Score all leads of a record at once."""

import numpy as np
from numpy.typing import NDArray

from ecgpage.challenge.scoring import score_lead


def score_leads(ref: NDArray[np.floating], est: NDArray[np.floating], fs: float) -> list[float]:
    """SNR, dB, of each lead that ``ref`` (n_samples, n_leads), mV, shows; 0 where ``est`` has no sample of it."""
    return [
        score_lead(wanted, found, fs).snr
        for wanted, found in zip(ref.T, est.T, strict=True)
        if np.isfinite(wanted).any()
    ]
