"""Types of the signals of one page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import SPEED_MM_PER_S
from ecgpage.layout.types import Segment
from ecgpage.signal.expected_snr import Expectation


@dataclass(frozen=True)
class LeadReading:
    """Outcome of one lead: what read it, over how much of its time, and why not."""

    lead: str
    """Standard name of the lead."""
    source: str
    """"network" by the picture, "path" by a line that a PDF holds, or "none" when nothing was read."""
    coverage: float
    """Share of the drawn time that has a value, 0 to 1."""
    reason: str = ""
    """Reason why it was not read; empty when it was."""
    expectation: Expectation | None = None
    """Expected signal and noise; None when nothing was read."""

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB; NaN when nothing was read."""
        return self.expectation.snr_db if self.expectation else float("nan")

    @property
    def reader_snr_db(self) -> float:
        """SNR, dB, that the reader's own errors alone would leave; NaN when nothing was read."""
        return self.expectation.reader_snr_db if self.expectation else float("nan")


@dataclass(frozen=True)
class PageSignals:
    """All leads of one page."""

    mv: NDArray[np.float32]
    """(n_samples, 12) mV in the order ``LEADS``; NaN where nothing was drawn or read."""
    readings: list[LeadReading]
    """(12) outcome of each lead, in the order ``LEADS``."""
    segments: list[Segment]
    """Segments of the layout, strips under their final names."""
    as_read: NDArray[np.float32]
    """(n, 12) mV before the limb leads corrected each other, at the rate of assembly: ``fs`` or a multiple of it."""
    notes: tuple[str, ...] = ()
    """Findings about the page that its layout did not show, such as an aVR drawn upside down."""
    speed_mm_per_s: float = SPEED_MM_PER_S
    """Paper speed by all evidence, mm/s."""
    times_margin: float = float("inf")
    """Log odds of the times of columns, and of the speed, over the likeliest others; infinite without any."""
