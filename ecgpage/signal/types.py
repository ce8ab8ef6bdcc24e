"""What is known of the signals of one page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.layout.types import Segment
from ecgpage.signal.expected_snr import Expectation


@dataclass(frozen=True)
class LeadReading:
    """How one lead of the answer came about."""

    lead: str
    source: str
    """"network", or "none" when nothing was found."""
    coverage: float
    """Share of the drawn time that has a value."""
    reason: str = ""
    expectation: Expectation | None = None
    """How good it is expected to be; None when nothing was read."""

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB; NaN when nothing was read."""
        return self.expectation.snr_db if self.expectation else float("nan")


@dataclass(frozen=True)
class PageSignals:
    """All leads of one page."""

    mv: NDArray[np.float32]
    """(n_samples, 12) in the order ``ecg.LEADS``; NaN where nothing was drawn or read."""
    readings: list[LeadReading]
    segments: list[Segment]
    """The segments with the strips' final names."""
    as_read: NDArray[np.float32]
    """(n, 12) mV before the limb leads corrected each other, at the rate of assembly: ``fs`` or a multiple of it."""
    notes: tuple[str, ...] = ()
    """What the signals tell of the page that the layout did not know."""
