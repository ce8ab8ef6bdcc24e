"""What a page's layout is made of: rows of traces, segments of leads, calibration pulses."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV
from ecgpage.core.types import Array

PULSE_WIDTH_MM: Final = 5.0


@dataclass(frozen=True)
class Row:
    """One line of traces across the page."""

    x_mm: Array
    """(n,) page x, 1 mm apart."""
    y_mm: Array
    """(n,) page y of the line of ink near the baseline."""
    ink: Array
    """(n,) ink there, 0 to 1."""

    @property
    def start_mm(self) -> float:
        return float(self.x_mm[inked_ends(self.ink)[0]])

    @property
    def length_mm(self) -> int:
        return int((self.ink > 0.3).sum())

    @property
    def level_mm(self) -> float:
        """Median page y."""
        return float(np.median(self.y_mm[self.ink > 0.3])) if self.length_mm else float(np.median(self.y_mm))

    @property
    def presence(self) -> float:
        """Share of the way from the first to the last ink that is inked."""
        first, last = inked_ends(self.ink)
        return float((self.ink[first : last + 1] > 0.3).mean())

    @property
    def end_mm(self) -> float:
        return float(self.x_mm[inked_ends(self.ink)[1]])

    def level_at(self, x_mm: float) -> float:
        """Page y of the row at one page x."""
        return float(np.interp(x_mm, self.x_mm, self.y_mm))

    def y_at(self, x_mm: Array) -> Array:
        """Page y of the row at page x."""
        return np.asarray(np.interp(x_mm, self.x_mm, self.y_mm), np.float64)


@dataclass(frozen=True)
class Segment:
    """One lead drawn without a break."""

    lead: str
    row: int
    x0_mm: float
    """Page x of the first sample."""
    x1_mm: float
    start_s: float
    """Time of the first sample in the record."""
    duration_s: float
    zero_mm: float
    """Page y of 0 mV as far as known: the foot of the calibration pulse, else the row's usual level."""
    gain_mm_per_mv: float = GAIN_MM_PER_MV
    """Negative where the lead is drawn upside down."""
    is_strip: bool = False

    def baseline(self, rows: list[Row]) -> float:
        """Usual page y of its ink."""
        row = rows[self.row]
        inside = (row.x_mm >= self.x0_mm) & (row.x_mm <= self.x1_mm)
        return float(np.median(row.y_mm[inside])) if inside.any() else float(np.median(row.y_mm))


@dataclass(frozen=True)
class Pulse:
    """One calibration pulse; left edge, foot and size in page mm."""

    x_mm: float
    foot_mm: float
    height_mm: float
    score: float
    width_mm: float = PULSE_WIDTH_MM


@dataclass(frozen=True)
class PageLayout:
    """What is drawn where."""

    rows: list[Row]
    segments: list[Segment]
    pulses: list[Pulse]
    ticks_mm: list[float]
    """Page x of the separators, the same in all rows."""
    speed_mm_per_s: float
    gain_mm_per_mv: float
    confidence: float
    """How well ink, separators and pulses agree with the layout, 0 to 1."""
    notes: tuple[str, ...] = ()


def inked_ends(ink: Array, least: int = 8) -> tuple[int, int]:
    """First and last index of the inked part, ignoring specks shorter than ``least``."""
    seen = (np.convolve(ink > 0.25, np.ones(least), "same") >= 0.7 * least) & (ink > 0.25)
    where = np.flatnonzero(seen)
    return (int(where[0]), int(where[-1])) if len(where) else (0, len(ink) - 1)
