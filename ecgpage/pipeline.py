"""From the pictures of one record to its signals: image -> grid -> layout -> trace -> signal.

Every stage is a folder with one entry; this module strings them together, tries which way up the page lies and turns every
failure into a result with a reason.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, SPEED_MM_PER_S, EcgPageError
from ecgpage.core.types import Image
from ecgpage.core.weights import digest
from ecgpage.grid.candidates import grid_candidates
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.image.decode import Source, name_source, read_image
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.orientation import find_upright_turn
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.rows import find_rows
from ecgpage.layout.scale_without_grid import map_without_grid
from ecgpage.layout.text_reader import NAME as WORDS
from ecgpage.layout.text_reader import TextReader
from ecgpage.layout.types import PageLayout
from ecgpage.results import LocatedEcg, PageReading, RecordReading, RefusedPageError
from ecgpage.signal.assembly import assemble
from ecgpage.signal.combine import combine_readings
from ecgpage.signal.consistency import find_contradiction
from ecgpage.signal.options import SignalOptions
from ecgpage.trace.network import TraceNet
from ecgpage.trace.options import TraceOptions
from ecgpage.trace.reader import read_traces

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PAGE_S: Final = 10.0
"""Seconds on one page."""
NEARLY_PAGE: Final = 0.95
"""The length of rows does not tell a record of this share of a page's time from a whole page."""


@dataclass(frozen=True)
class ReaderOptions:
    """Options of all stages, and of what is tried on one page."""

    grid: GridOptions = field(default_factory=GridOptions)
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    trace: TraceOptions = field(default_factory=TraceOptions)
    signal: SignalOptions = field(default_factory=SignalOptions)
    max_grids: int = 4
    """Number of grids that are tried on one page."""
    min_confidence: float = 0.35
    """Confidence (0 to 1) of a layout below which it is refused: what looks like rows of traces is something else."""
    min_located: float = 0.25
    """Confidence of a refused layout from which it still shows where the ECG is: the picture is diagnosed, not read."""


class Digitizer:
    """Reads pages; holds what has to be loaded once."""

    def __init__(
        self,
        network: TraceNet,
        detector: LeadDetector,
        reader: TextReader | None = None,
        options: ReaderOptions | None = None,
    ) -> None:
        self.options = ReaderOptions() if options is None else options
        self.network = network
        self.detector = detector
        self.reader = reader if self.options.layout.text else None

    @classmethod
    def load(cls, folder: str | Path, options: ReaderOptions | None = None) -> "Digitizer":
        """With the weights of a model folder; ``EcgPageError`` when they are missing or wrong. A folder may have no reader of
        text: leads are then told by looks and places.
        """
        reader = TextReader.load(folder) if digest(folder, WORDS) else None
        return cls(TraceNet.load(folder), LeadDetector.load(folder), reader, options)

    def read_record(self, pictures: Sequence[Source], fs: float, n_samples: int) -> RecordReading:
        """Signals at ``fs`` Hz, ``n_samples`` long, from the images of one record: the first of what a page shows where the
        record is shorter, NaN beyond it where it is longer.

        Several images show one page after the other when the record is longer than one page; else the same page, of
        which the best reading counts. Never raises for what is in a picture: the result says why something is missing.
        """
        began = time.perf_counter()
        mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
        pages: list[PageReading | None] = []
        reasons: list[str] = []
        located: list[LocatedEcg | None] = []
        whole: NDArray[np.float32] | None = None
        per_page = min(n_samples, round(PAGE_S * fs))
        in_turn = n_samples > round(1.5 * PAGE_S * fs) and len(pictures) > 1
        for number, picture in enumerate(pictures):
            name = name_source(picture)
            try:
                page = self.read_page(read_image(picture), fs, per_page)
            except EcgPageError as error:
                reasons.append(str(error) if name in str(error) else f"{name}: {error}")
                pages.append(None)
                located.append(error.located if isinstance(error, RefusedPageError) else None)
                continue
            except (
                Exception
            ) as error:  # one odd page must not stop a batch; the log keeps the trace for a report
                log.exception("%s: unexpected error", name)
                reasons.append(
                    f"{name}: unexpected {type(error).__name__}: {error}; please report it with the image"
                )
                pages.append(None)
                located.append(None)
                continue
            pages.append(page)
            located.append(page.located)
            reasons += [f"{name}: {note}" for note in (*page.layout.notes, *page.signals.notes)]
            if in_turn:
                start = number * per_page
                room = mv[start : start + per_page]
                room[:] = page.signals.mv[: len(room)]
        counted = pages
        if not in_turn and any(pages):
            best = max((p for p in pages if p is not None), key=lambda p: p.layout.confidence)
            shown = best.signals.mv
            mv[: len(shown)] = shown[:n_samples]
            whole = shown if len(shown) > n_samples else None
            counted = [best]
        readings = combine_readings([None if page is None else page.signals.readings for page in counted])
        if not pictures:
            reasons.append("the header names no image; add a line '# Image: FILE'")
        return RecordReading(mv, readings, pages, reasons, time.perf_counter() - began, located, whole)

    def read_page(
        self,
        image: Image,
        fs: float,
        n_samples: int,
        *,
        grid: GridMap | None = None,
        boxes: PageBoxes | None = None,
    ) -> PageReading:
        """Everything on one page of a record; uint8 (H, W, 3) RGB. Signals are ``n_samples`` long, or as long as a whole page
        when the record is shorter.

        ``grid``: the map of the upright page where it is known, ``boxes``: what is drawn on it, page mm; both are found in
        the picture otherwise. Raises ``EcgPageError`` when the page cannot be read.
        """
        return self._on_some_grid(image, grid, lambda g: self._read_on_grid(image, g, fs, n_samples, boxes))

    def read_layout(
        self,
        image: Image,
        record_s: float = PAGE_S,
        *,
        grid: GridMap | None = None,
        boxes: PageBoxes | None = None,
    ) -> tuple[FlatPage, PageLayout]:
        """The flattened page of a record of ``record_s`` seconds, upright, and what is drawn where; the other arguments and
        errors are those of ``read_page``.
        """
        return self._on_some_grid(image, grid, lambda g: self._read_layout_on(image, g, record_s, boxes))

    def _on_some_grid(self, image: Image, known: GridMap | None, read: Callable[[GridMap], Answer]) -> Answer:
        """What ``read`` makes of the first grid that it can read; its ``EcgPageError`` when there is none."""
        failures: list[EcgPageError] = []
        for grid in self._grids(image, failures) if known is None else [known]:
            try:
                return read(grid)
            except EcgPageError as error:
                failures.append(error)
        # what shows an ECG says more than what shows none
        raise next((error for error in failures if isinstance(error, RefusedPageError)), failures[0])

    def _grids(self, image: Image, failures: list[EcgPageError]) -> Iterator[GridMap]:
        """Grids that may be the page's, the likeliest first; why there are no more goes to ``failures``."""
        frequencies = find_grid_frequencies(image, options=self.options.grid)
        for bridge_gaps, most in ((False, self.options.max_grids), (True, 1)):
            options = replace(self.options.grid, bridge_gaps=bridge_gaps)
            found = grid_candidates(image, frequencies, options=options)
            try:
                yield from itertools.islice(found, most)
            except EcgPageError as error:
                failures.append(error)
        try:
            yield map_without_grid(image, self.detector)
        except EcgPageError as error:
            failures.append(error)

    def _read_on_grid(
        self, image: Image, grid: GridMap, fs: float, n_samples: int, boxes: PageBoxes | None
    ) -> PageReading:
        """One attempt."""
        flat, layout = self._read_layout_on(image, grid, n_samples / fs, boxes)
        n_samples = max(n_samples, round(PAGE_S * fs))
        traces = read_traces(image, flat, layout, self.network, self.options.trace)
        signals = assemble(traces, layout, fs, n_samples, self.options.signal)
        located = LocatedEcg(image, flat.grid, layout.segments, traces)
        misread = find_contradiction(
            signals.as_read, fs * len(signals.as_read) / n_samples, self.options.signal
        )
        if misread:
            raise RefusedPageError(misread, located)
        return PageReading(flat.grid, layout, traces, signals, located)

    def _read_layout_on(
        self, image: Image, grid: GridMap, record_s: float, boxes: PageBoxes | None
    ) -> tuple[FlatPage, PageLayout]:
        """The page upright and its layout, if it is likely to be one."""
        if boxes is None:
            flat, layout = self._upright(image, grid, record_s)
        else:
            flat = self._flatten(image, grid)
            layout = read_layout(
                flat, boxes, shown_seconds(flat, record_s, self.options.layout), self.options.layout
            )
        if layout.confidence < self.options.min_confidence:
            raise RefusedPageError(
                f"no 12-lead ECG recognised on the grid (confidence {layout.confidence:.2f})",
                LocatedEcg(image, flat.grid, layout.segments)
                if layout.confidence >= self.options.min_located
                else None,
            )
        if not flat.grid.is_printed:
            layout = replace(layout, notes=(*layout.notes, f"no grid seen: scale from {flat.grid.source}"))
        return flat, layout

    def _upright(self, image: Image, grid: GridMap, record_s: float) -> tuple[FlatPage, PageLayout]:
        """The page and its layout, turned so that rows run along x and the evidence is for the right way up."""
        flat = self._flatten(image, grid)
        turn = find_upright_turn(flat, self.detector, self.options.layout)
        if turn is None:
            raise EcgPageError("no layout of leads is recognised, whichever way the page is turned")
        if turn:
            flat = self._flatten(image, grid.rotate(turn))
        boxes = find_boxes(flat, self.detector, self.reader, self.options.layout)
        return flat, read_layout(
            flat, boxes, shown_seconds(flat, record_s, self.options.layout), self.options.layout
        )

    def _flatten(self, image: Image, grid: GridMap) -> FlatPage:
        return flatten_page(image, grid, options=self.options.grid)


def shown_seconds(page: FlatPage, record_s: float, options: LayoutOptions = LayoutOptions()) -> float:
    """Seconds that an upright page shows of a record of ``record_s`` seconds: a whole page's where its rows are longer than
    the record, which was then cut from what is printed, or drawn at 50 mm/s, as its pulses or its text say.
    """
    if record_s >= NEARLY_PAGE * PAGE_S:
        return max(record_s, PAGE_S)
    lengths_mm = [row.end_mm - row.start_mm for row in find_rows(page, options)]
    is_whole = not lengths_mm or float(np.median(lengths_mm)) > options.long_share * record_s * SPEED_MM_PER_S
    return PAGE_S if is_whole else record_s
