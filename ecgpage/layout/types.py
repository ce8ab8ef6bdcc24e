"""What a page's layout is made of: rows of traces, segments of leads, calibration pulses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import GAIN_MM_PER_MV
from ecgpage.core.types import Array

PULSE_WIDTH_MM: Final = 5.0
"""Width, mm, of a calibration pulse: 0.2 s at 25 mm/s."""


@dataclass(frozen=True)
class Row:
    """One line of traces across the page."""

    x_mm: Array
    """(n,) page x, mm, in steps of 1 mm."""
    y_mm: Array
    """(n,) page y, mm, of the line of ink near the baseline."""
    ink: Array
    """(n,) ink on that line, 0 to 1."""

    @property
    def start_mm(self) -> float:
        return float(self.x_mm[inked_ends(self.ink)[0]])

    @property
    def length_mm(self) -> int:
        return int((self.ink > 0.3).sum())

    @property
    def level_mm(self) -> float:
        """Median page y, mm, of the inked part; of the whole row where nothing is inked."""
        return float(np.median(self.y_mm[self.ink > 0.3])) if self.length_mm else float(np.median(self.y_mm))

    @property
    def presence(self) -> float:
        """Inked share, 0 to 1, of the row between its first and last ink."""
        first, last = inked_ends(self.ink)
        return float((self.ink[first : last + 1] > 0.3).mean())

    @property
    def end_mm(self) -> float:
        return float(self.x_mm[inked_ends(self.ink)[1]])

    def level_at(self, x_mm: float) -> float:
        """Page y, mm, of the row at one page x, mm."""
        return float(np.interp(x_mm, self.x_mm, self.y_mm))

    def y_at(self, x_mm: Array) -> Array:
        """(n,) page y, mm, of the row at each page x (n,), mm."""
        return np.asarray(np.interp(x_mm, self.x_mm, self.y_mm), np.float64)


@dataclass(frozen=True)
class Segment:
    """One lead drawn without a break."""

    lead: str
    row: int
    x0_mm: float
    """Page x, mm, of the first sample."""
    x1_mm: float
    start_s: float
    """Time, s, of the first sample in the record."""
    duration_s: float
    zero_mm: float
    """Page y, mm, of 0 mV: the foot of the calibration pulse where there is one, else the row's usual level."""
    gain_mm_per_mv: float = GAIN_MM_PER_MV
    """Gain, mm/mV; negative where the lead is drawn upside down."""
    is_strip: bool = False
    is_named: bool = False
    """Whether its name was read beside it; otherwise its place, its looks or the other leads tell it."""

    def baseline(self, rows: list[Row]) -> float:
        """Median page y, mm, of the segment's ink; ``rows``: those of its ``PageLayout``."""
        row = rows[self.row]
        inside = (row.x_mm >= self.x0_mm) & (row.x_mm <= self.x1_mm)
        return float(np.median(row.y_mm[inside])) if inside.any() else float(np.median(row.y_mm))


@dataclass(frozen=True)
class Pulse:
    """One calibration pulse: left edge, foot and size, page mm."""

    x_mm: float
    foot_mm: float
    height_mm: float
    score: float
    width_mm: float = PULSE_WIDTH_MM


Gains = tuple[float, float]
"""Gains, mm/mV, of the limb and of the chest leads."""


@dataclass(frozen=True)
class PrintedScales:
    """Log likelihoods of what was read if a scale is printed, over the likelihood if none is."""

    speeds: Mapping[float, float]
    """By paper speed, mm/s; a page that prints none counts as each of them, as often as pages do."""
    gains: Mapping[Gains, float]
    """By gains, mm/mV, of limb and chest leads."""
    speed: float | None = None
    """Speed that is surely printed; None without one."""
    gain: Gains | None = None
    """Gains that are surely printed."""


NO_PRINT: Final = PrintedScales({}, {})
"""What a page tells of which nothing was read."""


@dataclass(frozen=True)
class SeenBeats:
    """Median beats of a page, mm; NaN where too few are seen."""

    apart_mm: float = float("nan")
    """Distance from beat to beat."""
    width_mm: float = float("nan")
    """Width of the QRS complex."""
    limb_mm: float = float("nan")
    """Height of the ink of the QRS complex, median of the limb leads."""
    chest_mm: float = float("nan")
    """The same of the chest leads."""


@dataclass(frozen=True)
class ScaleEvidence:
    """What a page shows of its scale, in mm of its grid."""

    printed: PrintedScales = NO_PRINT
    pulses: Sequence[tuple[str, Pulse]] = ()
    """Calibration pulses, each with the group of the leads that it stands beside: "limb", "chest", or "" for none."""
    length_mm: float = float("nan")
    """Length of all columns together; NaN where it is not known."""
    columns: int = 1
    """Number of columns."""
    duration_s: float = 10.0
    """Time, s, that the page shows at most."""
    beats: SeenBeats = field(default_factory=SeenBeats)
    axes_mm: tuple[float, float] = (float("nan"), float("nan"))
    """A second along and a millivolt down the page, mm, by the numbers that stand along axes; NaN where none do."""

    def at(self, along: float, down: float) -> "ScaleEvidence":
        """The evidence on another grid, whose millimetres are larger by the factors ``along`` and ``down``."""
        pulses = [
            (group, replace(p, width_mm=p.width_mm / along, height_mm=p.height_mm / down))
            for group, p in self.pulses
        ]
        b = self.beats
        beats = SeenBeats(b.apart_mm / along, b.width_mm / along, b.limb_mm / down, b.chest_mm / down)
        axes_mm = self.axes_mm[0] / along, self.axes_mm[1] / down
        return replace(self, pulses=pulses, length_mm=self.length_mm / along, beats=beats, axes_mm=axes_mm)

    @property
    def inked_pulses(self) -> list[Pulse]:
        """Pulses that the ink shows."""
        return [p for _, p in self.pulses if p.score]


@dataclass(frozen=True)
class NameEvidence:
    """What the names of a page's leads rest on."""

    margin: float = float("inf")
    """Log odds of the leads in their places over the best reading with others; infinite without one."""
    missed: int = 0
    """Number of leads whose box was missed."""
    misnamed: int = 0
    """Number of leads whose box looks more like another."""
    is_known_order: bool = True
    """Whether the leads stand in a usual order."""
    read_share: float = 1.0
    """Share of the leads, 0 to 1, beside which their name was read."""
    pattern_share: float = 1.0
    """Share of the leads, 0 to 1, whose names stand where those of the likeliest usual order would; 0 where too few do."""
    is_pattern: bool = True
    """Whether the leads are those of that order; true without one."""
    explained: float = 1.0
    """Share, 0 to 1, of the leads that are surely seen which stand in the layout."""

    def are_read(self, share: float) -> bool:
        """Whether this share of the names, at least, was read in print in the places of a usual order."""
        return self.is_pattern and min(self.pattern_share, self.read_share) >= share


@dataclass(frozen=True)
class PageLayout:
    """Place, lead and scale of everything drawn on a page."""

    rows: list[Row]
    segments: list[Segment]
    pulses: list[Pulse]
    ticks_mm: list[float]
    """Page x, mm, of the separators, common to all rows."""
    speed_mm_per_s: float
    gain_mm_per_mv: float
    confidence: float
    """Agreement, 0 to 1, of ink, separators and pulses with the layout."""
    notes: tuple[str, ...] = ()
    speed_odds: Mapping[float, float] = field(default_factory=dict)
    """Log odds of paper speeds, mm/s, by print, pulses and the width of beats alone; empty where the speed is settled."""
    scale_margin: float = float("inf")
    """Log odds of the page's scale (grid, speed, gains) over the next likeliest one; infinite where it was given."""
    scale_evidence: ScaleEvidence = field(default_factory=ScaleEvidence)
    """What the scale rests on, besides the grid's lines."""
    name_evidence: NameEvidence = field(default_factory=NameEvidence)
    """What the names of the leads rest on."""
    numbered_s: tuple[float, ...] = ()
    """Time, s, at which each column begins by the numbers of its time axis; empty where columns have none."""

    def at_speed(self, speed_mm_per_s: float) -> "PageLayout":
        """The layout at another speed, without what was said of this one."""
        notes = tuple(note for note in self.notes if " mm/s" not in note)
        return replace(self, speed_mm_per_s=speed_mm_per_s, notes=notes)


def inked_ends(ink: Array, least: int = 8) -> tuple[int, int]:
    """First and last index of the inked part, without specks shorter than ``least`` entries."""
    seen = (np.convolve(ink > 0.25, np.ones(least), "same") >= 0.7 * least) & (ink > 0.25)
    where = np.flatnonzero(seen)
    return (int(where[0]), int(where[-1])) if len(where) else (0, len(ink) - 1)
