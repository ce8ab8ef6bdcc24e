"""What was read: of a page, of a record, and where an ECG stands in a picture whether its signals were read or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.types import LeadReading, PageSignals
from ecgpage.trace.reader import Trace


@dataclass(frozen=True)
class LocatedEcg:
    """Where an ECG stands in a picture: all that is needed to cut it out."""

    image: Image
    """uint8 (H, W, 3) RGB, as decoded."""
    grid: GridMap
    """Map of the upright page."""
    segments: Sequence[Segment]
    """Where leads are drawn."""
    traces: Sequence[Trace] = ()
    """Of these segments; none where they were not read."""


@dataclass(frozen=True)
class PageReading:
    """Everything that was read of one page."""

    grid: GridMap
    layout: PageLayout
    traces: list[Trace]
    signals: PageSignals
    located: LocatedEcg | None = None
    """Where the ECG stands; None where the picture was not kept."""


class RefusedPageError(EcgPageError):
    """A page whose signals cannot be trusted, though an ECG may have been located on it."""

    def __init__(self, reason: str, located: LocatedEcg | None) -> None:
        """``located``: where the ECG stands; None where nothing is sure enough."""
        super().__init__(reason)
        self.located = located


@dataclass(frozen=True)
class RecordReading:
    """The answer for one record, whatever happened."""

    mv: NDArray[np.float32]
    """(n_samples, 12) in the order ``LEADS``, NaN where nothing is known."""
    readings: list[LeadReading]
    """One for each lead, of all pages that count."""
    pages: list[PageReading | None]
    """One for each image, None where it could not be read."""
    reasons: list[str] = field(default_factory=list)
    """Why something is missing, and what had to be assumed."""
    seconds: float = 0.0
    located: list[LocatedEcg | None] = field(default_factory=list)
    """One for each image: where its ECG stands, None where none was located."""
    whole_page: NDArray[np.float32] | None = None
    """(n, 12) mV of all that a page shows of a record shorter than it; None where ``mv`` holds all."""

    @property
    def shown(self) -> NDArray[np.float32]:
        """(n, 12) mV, NaN where nothing is known: ``mv``, or more where the page shows more."""
        return self.mv if self.whole_page is None else self.whole_page

    @property
    def is_empty(self) -> bool:
        """Whether nothing of what is shown was read."""
        return not bool(np.isfinite(self.shown).any())
