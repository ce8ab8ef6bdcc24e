"""Results of a page and of a record, and where an ECG stands in a picture, whether or not its signals were read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError, NoGridError
from ecgpage.core.types import Image
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.combine import combine_readings
from ecgpage.signal.grade import NOT_GIVEN, PageGrade, join_grades
from ecgpage.signal.join_pages import JoinedPages, ReadPage, join_pages
from ecgpage.signal.types import LeadReading, PageSignals
from ecgpage.trace.reader import Trace


@dataclass(frozen=True)
class LocatedEcg:
    """Place of an ECG in a picture: all that is needed to cut it out."""

    image: Image
    """uint8 (H, W, 3) RGB, as decoded."""
    grid: GridMap
    """Map of the upright page."""
    segments: Sequence[Segment]
    """Where each lead is drawn, page mm."""
    traces: Sequence[Trace] = ()
    """Traces of these segments; empty where they were not read."""
    boxes: PageBoxes | None = None
    """Detections and text from which the segments were made, page mm; None where they were not kept."""


@dataclass(frozen=True)
class PageReading:
    """Everything that was read of one page."""

    grid: GridMap
    """Map of the upright page."""
    layout: PageLayout
    """Where each lead is drawn and at which scale, page mm."""
    traces: list[Trace]
    """Traces of the layout's segments, page mm."""
    signals: PageSignals
    """Signals of the twelve leads, mV."""
    located: LocatedEcg | None = None
    """Place of the ECG; None where the picture was not kept."""
    grade: PageGrade = NOT_GIVEN
    """How likely its scale, names and times are right, and the grade of each lead."""


class RefusedPageError(EcgPageError):
    """A page whose signals cannot be trusted, though an ECG may have been located on it."""

    def __init__(self, reason: str, located: LocatedEcg | None) -> None:
        """``located``: place of the ECG; None where no layout is certain enough to show it."""
        super().__init__(reason)
        self.located = located


def choose_failure(failures: Sequence[EcgPageError]) -> EcgPageError:
    """The most useful reason of several: where an ECG was located, else what came of a grid, else why none was found."""
    return min(
        failures, key=lambda e: 0 if isinstance(e, RefusedPageError) else 1 + isinstance(e, NoGridError)
    )


class OtherKindError(RefusedPageError):
    """A page of averaged beats, or of one lead over several rows, of which nothing can be given: on no grid is it leads."""


class DoubtfulLayoutError(RefusedPageError):
    """A page whose layout is not certain enough to be read; whether it shows leads at all is still to be seen."""

    def __init__(self, reason: str, place: LocatedEcg, layout: PageLayout) -> None:
        super().__init__(reason, place)
        self.place = place
        self.layout = layout


@dataclass(frozen=True)
class RecordReading:
    """Result of one record; it exists whether or not its pages could be read."""

    mv: NDArray[np.float32]
    """(n_samples, 12) mV in the order ``LEADS``, NaN where nothing is known."""
    readings: list[LeadReading]
    """(12) outcome of each lead over the pages that count."""
    pages: list[PageReading | None]
    """Reading of each image; None where it could not be read."""
    reasons: list[str] = field(default_factory=list)
    """Reasons for what is missing, and assumptions that were made."""
    seconds: float = 0.0
    """Time that reading took, s."""
    located: list[LocatedEcg | None] = field(default_factory=list)
    """Place of the ECG in each image; None where none was located."""
    whole_page: NDArray[np.float32] | None = None
    """(n, 12) mV of the whole page where it shows more than the record; None where ``mv`` holds everything."""
    counted: list[PageReading | None] = field(default_factory=list)
    """Pages whose signals ``mv`` holds; all where it is empty."""

    @property
    def grade(self) -> PageGrade:
        """Grade of the record: of each lead the best of all pages, of the rest that of the worst page that gives leads."""
        return join_grades([page.grade for page in self.counted or self.pages if page is not None])

    @property
    def shown(self) -> NDArray[np.float32]:
        """Signals (n, 12) mV of all that the page shows: ``whole_page`` where there is one, else ``mv``."""
        return self.mv if self.whole_page is None else self.whole_page

    @property
    def shown_leads(self) -> set[str]:
        """Leads that its pages show, read or not, as far as they were recognised."""
        read = [s.lead for page in self.pages if page is not None for s in page.signals.segments]
        lost = [s.lead for place in self.located if place is not None for s in place.segments]
        return {*read, *lost}

    @property
    def is_empty(self) -> bool:
        """Whether no sample of ``shown`` is known."""
        return not bool(np.isfinite(self.shown).any())


def join_readings(
    pages: Sequence[PageReading | None],
    reasons: list[str],
    located: list[LocatedEcg | None],
    fs: float,
    n_samples: int,
    page_s: float | None = None,
) -> RecordReading:
    """One record of the pages that show it.

    Args:
        pages: reading of each page, in their order; None for one that could not be read.
        reasons: of all pages.
        located: place of the ECG on each.
        fs: samples per second of the record, Hz.
        n_samples: its length.
        page_s: see ``ecgpage.signal.join_pages.join_pages``.
    """
    shown = [
        None if p is None else ReadPage(p.signals.mv, p.signals.readings, p.layout.confidence) for p in pages
    ]
    if not any(page is not None for page in pages):
        mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
        return RecordReading(mv, combine_readings([]), list(pages), reasons, located=located)
    longest = max(n_samples, *(len(page.mv) for page in shown if page is not None))
    joined = join_pages(shown, fs, longest, page_s)
    return RecordReading(
        joined.mv[:n_samples],
        joined.readings,
        list(pages),
        [*reasons, *_tell_pages(joined, pages)],
        located=located,
        whole_page=joined.mv if longest > n_samples else None,
        counted=[pages[k] for k in joined.counted],
    )


def _tell_pages(joined: JoinedPages, pages: Sequence[PageReading | None]) -> list[str]:
    """What to say of pages that do not simply show one lead each."""
    read = [k for k, page in enumerate(pages) if page is not None]
    unused = [str(k + 1) for k in read if k not in joined.counted]
    if len(read) < 2:
        return []
    if joined.relation == "next seconds":
        return ["the pages go on with each other"]
    return [f"page {', '.join(unused)} shows the same once more"] if unused else []
