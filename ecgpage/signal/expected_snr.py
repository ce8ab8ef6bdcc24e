"""Expected signal-to-noise ratio of a lead, estimated without its true signal.

A lead's expected noise has two parts: the network's expected error of each value, and errors of time, which cost most where
the signal is steep. The size of the time errors of a page comes from the limb leads: lags between them break Einthoven's
and Goldberger's constraints (``limb_leads.estimate_time_error``).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.signal.limb_leads import Part

NOISE: Final = (0.6, 2.6, 5e-8)
"""Weights of the three terms of an expectation. Robust least squares in dB over 564 leads of 47 drawn pages of fold 8, all
kinds: ``python -m bench.expected_snr --data DATA --fold 8 --fit``. The last one stands for 0.2 ms of time error that the
constraints do not show."""
TYPICAL_LAG_S: Final = 0.0003
"""Time error, s, of a page on which no constraint can be checked."""
EXACT: Final = (1.0, 0.0, 0.0)
"""Weights for traces whose expected errors hold all there is: lines of a PDF."""
FLAT_MV: Final = 0.05
"""Signal amplitude, mV rms, that the noise of a flatter line is compared with: a flat line has no signal of its own."""


@dataclass(frozen=True)
class Expectation:
    """Power of one lead's signal and the terms of its expected noise."""

    power: float
    """Variance of the signal as it was read, mV^2."""
    terms: tuple[float, float, float]
    """Mean squares of three terms: expected error of the values (mV^2), slope times the page's time error (mV^2), and slope
    ((mV/s)^2).
    """
    weights: tuple[float, float, float] = NOISE
    """What the terms count: those of a network's traces, or those of exact points, whose error is stated in full."""

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB; a constant offset is no noise."""
        noise = float(np.dot(self.weights, self.terms))
        return 10 * float(np.log10(max(self.power, FLAT_MV**2) / max(noise, 1e-12)))


def expect(part: Part, fs: float, lag_s: float, exact: bool = False) -> Expectation | None:
    """Expectation of a reading at ``fs`` Hz; None with fewer than two known samples.

    ``lag_s``: time error of the page, s, as ``estimate_time_error`` gives it; NaN where not known. ``exact``: the part was
    read from a line, whose expected errors are all there is.
    """
    known = np.isfinite(part.mv)
    if known.sum() < 2:
        return None
    lag_s = lag_s if np.isfinite(lag_s) else TYPICAL_LAG_S
    steps = np.diff(part.mv) * fs
    steep = float(np.mean(steps[np.isfinite(steps)] ** 2)) if np.isfinite(steps).any() else 0.0
    error = float(np.mean(part.sigma_mv[known] ** 2))
    return Expectation(
        float(np.var(part.mv[known])), (error, lag_s**2 * steep, steep), EXACT if exact else NOISE
    )
