"""Expected signal-to-noise ratio of a lead, estimated without its true signal.

A lead's expected noise has two parts: the network's expected error of each value, and errors of time, which cost most where
the signal is steep. The size of the time errors of a page comes from the limb leads: lags between them break Einthoven's
and Goldberger's constraints (``limb_leads.estimate_errors``).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.signal.grade_weights import SNR_WEIGHTS
from ecgpage.signal.limb_leads import Part

NOISE: Final = (0.6, 2.6, 5e-8)
"""Weights of the three terms of an expectation. Robust least squares in dB over 564 leads of 47 drawn pages of fold 8, all
kinds: ``python -m bench.expected_snr --data DATA --fold 8 --fit``. The last one stands for 0.2 ms of time error that the
constraints do not show."""
TYPICAL_LAG_S: Final = 0.0003
"""Time error, s, of a page on which no constraint can be checked."""
TYPICAL_UNLIKE_S: Final = 0.001
"""Error of the limb leads, s, of such a page."""
EXACT: Final = (1.0, 0.0, 0.0)
"""Weights for traces whose expected errors hold all there is: lines of a PDF."""
FLAT_MV: Final = 0.05
"""Signal amplitude, mV rms, that the noise of a flatter line is compared with: a flat line has no signal of its own."""


@dataclass(frozen=True)
class PageErrors:
    """What is known of the errors that all leads of a page share."""

    lag_s: float = float("nan")
    """Time error of the page, s, as ``estimate_errors`` gives it; NaN where not known."""
    unlike_s: float = float("nan")
    """Error of the limb leads, s, as ``estimate_errors`` gives it; NaN where not known."""
    pixel_s: float = 0.0
    """Size of the picture's pixels along time, s."""
    pixel_mv: float = 0.0
    """Size of the picture's pixels along voltage, mV."""


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
    beyond: tuple[float, ...] = ()
    """Mean squares, mV^2, of what a network does not know of its errors on pictures unlike those of its training: slope times
    the size of pixels, their size, slope times the disagreement of the limb leads, and the signal; empty for exact points.
    """

    @property
    def reader_snr_db(self) -> float:
        """SNR, dB, if the errors that the reader states were all; a constant offset is no noise."""
        return self._against(float(np.dot(self.weights, self.terms)))

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB, on pictures of any style; a constant offset is no noise."""
        if not self.beyond:
            return self.reader_snr_db
        own, further = SNR_WEIGHTS
        return self._against(float(np.dot(own, self.terms) + np.dot(further, self.beyond)))

    def _against(self, noise: float) -> float:
        return 10 * float(np.log10(max(self.power, FLAT_MV**2) / max(noise, 1e-12)))


def expect(part: Part, fs: float, page: PageErrors, exact: bool = False) -> Expectation | None:
    """Expectation of a reading at ``fs`` Hz; None with fewer than two known samples.

    ``page``: what all leads share. ``exact``: the part was read from a line, whose expected errors are all there is.
    """
    known = np.isfinite(part.mv)
    if known.sum() < 2:
        return None
    lag_s = page.lag_s if np.isfinite(page.lag_s) else TYPICAL_LAG_S
    unlike_s = page.unlike_s if np.isfinite(page.unlike_s) else TYPICAL_UNLIKE_S
    steps = np.diff(part.mv) * fs
    steep = float(np.mean(steps[np.isfinite(steps)] ** 2)) if np.isfinite(steps).any() else 0.0
    error = float(np.mean(part.sigma_mv[known] ** 2))
    power = float(np.var(part.mv[known]))
    terms = error, lag_s**2 * steep, steep
    if exact:
        return Expectation(power, terms, EXACT)
    return Expectation(
        power, terms, NOISE, (page.pixel_s**2 * steep, page.pixel_mv**2, unlike_s**2 * steep, power)
    )
