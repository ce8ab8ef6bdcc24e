"""How good a reading is expected to be, before anyone compares it with the truth.

A lead's expected noise has two parts: the network's expected error of each value, and errors of time, which cost most where
the signal is steep. How large those are on a page is told by the limb leads, whose laws do not hold when they stand apart
(``laws.time_error``).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.signal.limb_leads import Part

NOISE: Final = (0.6, 2.6, 5e-8)
"""What the terms of an expectation weigh. Robust least squares in dB over 564 leads of 47 drawn pages of fold 8 (all kinds):
``python -m bench.expected_snr --data DATA --fold 8 --fit``. The last one stands for 0.2 ms that the laws do not tell of."""
TYPICAL_LAG_S: Final = 0.0003
"""Taken where no law tells how far readings of the same moment stand apart."""
FLAT_MV: Final = 0.05
"""A flat line has no signal: its noise is compared with this."""


@dataclass(frozen=True)
class Expectation:
    """What is known of one lead's signal and noise."""

    power: float
    """Variance of the signal as it was read, mV^2."""
    terms: tuple[float, float, float]
    """Mean squares of the values' expected error (mV^2), of the slope times the page's time error (mV^2), and of the slope
    alone ((mV/s)^2).
    """

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB; a constant offset is no noise."""
        noise = float(np.dot(NOISE, self.terms))
        return 10 * float(np.log10(max(self.power, FLAT_MV**2) / max(noise, 1e-12)))


def expect(part: Part, fs: float, lag_s: float) -> Expectation | None:
    """Expectation of a reading at ``fs`` Hz; None with fewer than two known samples.

    ``lag_s``: how far readings of the same moment stand apart on this page, NaN where not known.
    """
    known = np.isfinite(part.mv)
    if known.sum() < 2:
        return None
    lag_s = lag_s if np.isfinite(lag_s) else TYPICAL_LAG_S
    steps = np.diff(part.mv) * fs
    steep = float(np.mean(steps[np.isfinite(steps)] ** 2)) if np.isfinite(steps).any() else 0.0
    error = float(np.mean(part.sigma_mv[known] ** 2))
    return Expectation(float(np.var(part.mv[known])), (error, lag_s**2 * steep, steep))
