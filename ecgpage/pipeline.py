"""Digitize the pictures of one record: image -> grid -> layout -> trace -> signal.

Every stage is a folder with one entry; this module runs them in order, finds which way up the page lies, and turns every
failure into a result with a reason.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from ecgpage.core.conventions import EcgPageError, NoGridError
from ecgpage.core.runtime import Runtime, choose_runtime
from ecgpage.core.types import Image
from ecgpage.core.weights import digest
from ecgpage.grid.find_grids import find_grids
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.periodic_map import SOURCE as PERIODIC
from ecgpage.image.decode import Source, name_source, read_image
from ecgpage.image.ink_colour import darken, list_ink_views
from ecgpage.image.long_lines import shows_only_words
from ecgpage.image.pdf_paths import PageDrawing
from ecgpage.image.polarity import as_positive, list_positives
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.detector import LeadDetector
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.known_layouts import order_of
from ecgpage.layout.options import Hints, LayoutOptions
from ecgpage.layout.orientation import find_upright_turn
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.rivals import SeenLayout, is_same_scale, rank, weigh_size
from ecgpage.layout.scale_without_grid import map_without_grid
from ecgpage.layout.scales import find_doubt
from ecgpage.layout.second_page import ANOTHER, shows_another
from ecgpage.layout.shown_time import PAGE_S, shown_seconds
from ecgpage.layout.text_reader import NAME as WORDS
from ecgpage.layout.text_reader import TextReader
from ecgpage.layout.types import PageLayout
from ecgpage.results import (
    DoubtfulLayoutError,
    LocatedEcg,
    OtherKindError,
    PageReading,
    RecordReading,
    RefusedPageError,
    choose_failure,
    join_readings,
)
from ecgpage.signal.assembly import assemble
from ecgpage.signal.consistency import find_contradiction, find_disagreement
from ecgpage.signal.grade import grade_page, weigh
from ecgpage.signal.grade_evidence import PageEvidence, gather_evidence
from ecgpage.signal.kept_leads import KeptPage, keep_leads, keep_rhythm
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.page_kind import Kind, KindEvidence, gather_kind_evidence, likeliest, tell_kind
from ecgpage.signal.sampling import FINE_HZ
from ecgpage.signal.types import PageSignals
from ecgpage.trace.crop_reader import CropReader
from ecgpage.trace.options import TraceOptions
from ecgpage.trace.reader import Trace, read_traces
from ecgpage.vector.page_reader import has_curves, read_path_page

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

NO_LINES: Final = (
    "no ECG grid found, and no trace: nothing but words, or nothing at all, is drawn on the picture"
)
"""Why a picture without any trace is refused."""
NO_LEADS: Final = "no leads of an ECG: what is drawn does not beat as leads do"
"""Why a picture of something else is refused."""
NO_TRACES: Final = "no trace of an ECG was found where leads seem to be named"
"""Why a page without any sample is refused: names were read, or looked like names, on a grid that is none."""
LONG_PAGES: Final = 1.5
"""Length of a record, in pages, from which each of its pages shows the seconds from where a whole one before it ends."""


@dataclass(frozen=True)
class ReaderOptions:
    """Options of all stages, and limits of what is tried on one page."""

    grid: GridOptions = field(default_factory=GridOptions)
    """Options of finding and flattening the grid."""
    layout: LayoutOptions = field(default_factory=LayoutOptions)
    """Options of the layout of leads."""
    trace: TraceOptions = field(default_factory=TraceOptions)
    """Options of the reading of traces."""
    signal: SignalOptions = field(default_factory=SignalOptions)
    """Options of the assembly of signals."""
    max_grids: int = 4
    """Largest number of grids that are tried on one page."""
    least_doubt: float = 2.0
    """Log likelihood by which what a page shows must fit another scale better for other grids to be read, too."""
    sure_page: float = -2.0
    """Log likelihood of a page's lines and of what it shows of its scale, below which they are read as well."""
    far_behind: float = 10.0
    """Log odds of one grid over another of a different scale, from which the other is not read instead."""
    max_rivals: int = 3
    """Largest number of grids of other scales that are then read."""
    max_page_m2: float = 1.0
    """Area, m2, of what a picture shows at most: a larger one is no sheet on a table, its grid was misread."""
    min_confidence: float = 0.35
    """Confidence, 0 to 1, of a layout, below which it is refused: the rows are probably no traces of an ECG."""
    min_located: float = 0.25
    """Confidence, 0 to 1, of a refused layout, from which it still locates the ECG: the picture is diagnosed, not read."""


class Digitizer:
    """Reader of the pages of a record: networks and options, loaded once."""

    def __init__(
        self,
        network: CropReader,
        detector: LeadDetector,
        reader: TextReader | None = None,
        options: ReaderOptions | None = None,
    ) -> None:
        self.options = ReaderOptions() if options is None else options
        self.network = network
        self.detector = detector
        self.reader = reader if self.options.layout.text else None

    @classmethod
    def load(
        cls, folder: str | Path, options: ReaderOptions | None = None, runtime: Runtime | None = None
    ) -> "Digitizer":
        """Digitizer with the weights of a model folder; ``EcgPageError`` when they are missing or wrong.

        The text reader may be missing: leads are then named by the detector and by their places. ``runtime``: what runs the
        networks; chosen when None.
        """
        runtime = runtime or choose_runtime()
        reader = TextReader.load(folder, runtime) if digest(folder, WORDS) else None
        return cls(CropReader.load(folder, runtime), LeadDetector.load(folder, runtime), reader, options)

    def with_hints(self, hints: Hints) -> "Digitizer":
        """This digitizer with what is known of its pages beforehand; ``EcgPageError`` when the layout is not known."""
        if hints.layout is not None:
            order_of(hints.layout)
        options = replace(self.options, layout=replace(self.options.layout, hints=hints))
        return Digitizer(self.network, self.detector, self.reader, options)

    def read_record(
        self,
        pictures: Sequence[Source],
        fs: float,
        n_samples: int,
        drawings: Sequence[PageDrawing | None] = (),
    ) -> RecordReading:
        """Signals (n_samples, 12) mV at ``fs`` Hz from the images of one record.

        A record shorter than its page gets the beginning of what the page shows; one that is longer has NaN beyond the page.
        Several images are joined by what each shows: leads of its own, the seconds that follow, or the same once more, of
        which the most confident reading counts (``ecgpage.signal.join_pages``). ``drawings``: what each picture is drawn of,
        where it is a page of a PDF. The content of a picture never raises: the result gives the reasons for what is missing.
        """
        began = time.perf_counter()
        pages: list[PageReading | None] = []
        reasons: list[str] = []
        located: list[LocatedEcg | None] = []
        per_page = min(n_samples, round(PAGE_S * fs))
        for number, picture in enumerate(pictures):
            name, place = name_source(picture), None
            try:
                page = self.read_page(
                    read_image(picture), fs, per_page, drawing=drawings[number] if drawings else None
                )
            except EcgPageError as error:
                reasons.append(str(error) if name in str(error) else f"{name}: {error}")
                place = error.located if isinstance(error, RefusedPageError) else None
            except Exception as error:  # one odd page must not stop a batch; the log keeps the trace
                log.exception("%s: unexpected error", name)
                said = f"unexpected {type(error).__name__}: {error}; please report it with the image"
                reasons.append(f"{name}: {said}")
            else:
                pages.append(page)
                located.append(page.located)
                reasons += [f"{name}: {note}" for note in (*page.layout.notes, *page.signals.notes)]
                continue
            pages.append(None)
            located.append(place)
        if not pictures:
            reasons.append("the header names no image; add a line '# Image: FILE'")
        is_long = n_samples > round(LONG_PAGES * PAGE_S * fs)
        reading = join_readings(pages, reasons, located, fs, n_samples, PAGE_S if is_long else None)
        return replace(reading, seconds=time.perf_counter() - began)

    def read_page(
        self,
        image: Image,
        fs: float,
        n_samples: int,
        *,
        grid: GridMap | None = None,
        boxes: PageBoxes | None = None,
        drawing: PageDrawing | None = None,
    ) -> PageReading:
        """Reading of one page of a record; ``EcgPageError`` when it cannot be read.

        Args:
            image: uint8 (H, W, 3) RGB, as decoded.
            fs: samples per second, Hz.
            n_samples: length of the record; signals are a whole page long when the record is shorter.
            grid: map of the upright page, when it is known.
            boxes: detections on it, page mm, when they are known.
            drawing: what the page is drawn of, where ``image`` is a page of a PDF: its own curves are read then, and the
                picture where they do not show an ECG.
        """
        why = ""
        if drawing is not None and grid is None and has_curves(drawing):
            try:
                return self._read_drawing(image, drawing, fs, n_samples)
            except EcgPageError as error:
                why = f"read from the picture of the PDF's page: {error}"
                log.info(why)
        reading = self._read_picture(image, fs, n_samples, grid, boxes)
        if not why:
            return reading
        return replace(reading, layout=replace(reading.layout, notes=(*reading.layout.notes, why)))

    def _read_picture(
        self, image: Image, fs: float, n_samples: int, grid: GridMap | None, boxes: PageBoxes | None
    ) -> PageReading:
        """Reading of a picture, or of its negative where that may be the page and is read with a better grade."""
        readings, failures = list[PageReading](), list[EcgPageError]()
        for positive in list_positives(image):
            try:
                reading = self._read_positive(positive, fs, n_samples, grid, boxes)
            except EcgPageError as error:
                failures.append(error)
                continue
            if not failures or reading.grade.letter != "C":
                readings.append(reading)
            if reading.grade.letter == "A":
                break
        if not readings:
            raise choose_failure(failures)
        return max(readings, key=lambda reading: reading.grade.probability)

    def _read_positive(
        self, image: Image, fs: float, n_samples: int, grid: GridMap | None, boxes: PageBoxes | None
    ) -> PageReading:
        if grid is None and shows_only_words(image):
            raise RefusedPageError(NO_LINES, None)

        def read(view: Image) -> PageReading:
            return self._on_some_grid(
                view, grid, n_samples / fs, boxes, lambda seen: self._read_on(view, seen, fs, n_samples)
            )

        views = list_ink_views(image)
        for kept in views.first:
            try:
                return read(darken(image, kept))
            except EcgPageError as error:
                log.info("with ink of one colour made black: %s", error)
        try:
            return read(image)
        except OtherKindError:
            raise
        except EcgPageError:
            for kept in views.last:
                with suppress(EcgPageError):
                    return read(darken(image, kept))
            raise

    def read_layout(
        self,
        image: Image,
        record_s: float = PAGE_S,
        *,
        grid: GridMap | None = None,
        boxes: PageBoxes | None = None,
    ) -> tuple[FlatPage, PageLayout]:
        """Flattened upright page of a record of ``record_s`` seconds, and its layout.

        Other arguments and errors are those of ``read_page``.
        """
        positive = as_positive(image)
        return self._on_some_grid(positive, grid, record_s, boxes, lambda seen: (seen.flat, seen.layout))

    def _on_some_grid(
        self,
        image: Image,
        known: GridMap | None,
        record_s: float,
        boxes: PageBoxes | None,
        read: Callable[[SeenLayout], Answer],
    ) -> Answer:
        """Result of ``read`` on the likeliest grid on which it succeeds; its ``EcgPageError`` when there is none."""
        failures: list[EcgPageError] = []
        best: SeenLayout | None = None
        for seen in self._layouts(image, known, record_s, boxes, failures):
            if best is None or seen.log_odds > best.log_odds:
                best = seen
            behind = best.log_odds - seen.log_odds
            if behind > self.options.far_behind and not is_same_scale(seen.flat.grid, best.flat.grid):
                continue  # that a likelier scale cannot be read makes this one no truer
            try:
                return read(seen)
            except OtherKindError:
                raise
            except EcgPageError as error:
                failures.append(error)
        worst = choose_failure(failures)
        if isinstance(worst, DoubtfulLayoutError) and not self._shows_leads(image, worst):
            worst = RefusedPageError(str(worst), None)
        raise worst

    def _layouts(
        self,
        image: Image,
        known: GridMap | None,
        record_s: float,
        boxes: PageBoxes | None,
        failures: list[EcgPageError],
    ) -> Iterator[SeenLayout]:
        """Layouts on candidate grids, the likeliest first; reasons why there are no more are added to ``failures``.

        Where what is printed beside the traces fits a grid of another distance far better, the rivals are read, too, and
        lines, print, pulses, lengths and beats decide together.
        """

        def try_on(grid: GridMap) -> Iterator[SeenLayout]:
            try:
                yield self._read_layout_on(image, grid, record_s, boxes)
            except EcgPageError as error:
                failures.append(error)

        grids = self._grids(image, failures) if known is None else iter([known])
        for grid in grids:
            for first in try_on(grid):
                if known is not None or not self._is_doubtful(first):
                    yield first
                    continue
                log.info("the scale of %s fits badly: other grids are read", grid.source)
                alike, unlike = list[GridMap](), list[GridMap]()
                for other in grids:
                    (alike if is_same_scale(other, first.flat.grid) else unlike).append(other)
                    if len(unlike) == self.options.max_rivals:
                        break
                read = [first]
                unlike.sort(key=lambda g: g.log_odds + weigh_size(image, g))
                while unlike and (read[-1] is first or self._is_doubtful(read[-1])):
                    read += try_on(unlike.pop())
                yield from rank(read, self.options.layout)
                yield from (seen for g in (*alike, *unlike) for seen in try_on(g))

    def _is_doubtful(self, seen: SeenLayout) -> bool:
        """Whether what a page shows of its scale fits another one better, or its lines and it are unlikely altogether."""
        doubt = find_doubt(seen.layout.scale_evidence, self.options.layout)
        grid = seen.flat.grid
        log.debug("%s: log likelihood %.1f, doubt %.1f", grid.source, seen.log_odds, doubt)
        # print beats like a grid now and then where none is printed
        is_faint = grid.source == PERIODIC and grid.log_odds < self.options.grid.least_comb
        return doubt > self.options.least_doubt or seen.log_odds < self.options.sure_page or is_faint

    def _grids(self, image: Image, failures: list[EcgPageError]) -> Iterator[GridMap]:
        """Candidate grids of a page, the likeliest first; reasons why there are no more are added to ``failures``."""
        for grid in find_grids(image, self.options.max_grids, failures, self.options.grid):
            sides_m = np.array(image.shape[:2]) / grid.px_per_mm / 1000
            if sides_m.prod() <= self.options.max_page_m2:
                yield grid
                continue
            failures.append(NoGridError(f"lines {SQUARE_MM * grid.px_per_mm:.0f} px apart are no ECG grid"))
            log.info("%s: the picture would show %.1f x %.1f m", grid.source, *sides_m)
        try:
            yield map_without_grid(image, self.detector)
        except EcgPageError as error:
            failures.append(error)

    def _read_on(self, image: Image, seen: SeenLayout, fs: float, n_samples: int) -> PageReading:
        """Reading of a page with a layout; ``EcgPageError`` when it cannot be read so."""
        flat, layout, boxes = seen.flat, seen.layout, seen.boxes
        n_samples = max(n_samples, round(PAGE_S * fs))
        traces = read_traces(image, flat, layout, self.network, self.options.trace)
        signals = assemble(traces, layout, fs, n_samples, self.options.signal)
        reading = self._conclude(image, flat.grid, layout, traces, signals, fs, n_samples, boxes)
        if not np.isfinite(reading.signals.mv).any():
            raise RefusedPageError(NO_TRACES, reading.located)
        return reading

    def _conclude(
        self,
        image: Image,
        grid: GridMap,
        layout: PageLayout,
        traces: list[Trace],
        signals: PageSignals,
        fs: float,
        n_samples: int,
        boxes: PageBoxes,
    ) -> PageReading:
        """Reading of a page whose signals do not contradict the names of their leads; else ``RefusedPageError``."""
        if signals.speed_mm_per_s != layout.speed_mm_per_s:
            layout = layout.at_speed(signals.speed_mm_per_s)
        side_px = max(image.shape[:2])
        evidence = gather_evidence(grid, layout, traces, signals, side_px, fs)
        kind = likeliest(self.weigh_kinds(evidence, gather_kind_evidence(layout, traces, signals)))
        if kind == "other":
            raise RefusedPageError(NO_LEADS, None)
        if kind != "leads":
            rhythm = KeptPage(layout, traces, signals)
            try:
                rhythm = keep_rhythm(kind, rhythm, boxes.printed, fs, n_samples, self.options.signal)
            except EcgPageError as error:
                raise OtherKindError(str(error), None) from error
            layout, traces, signals = rhythm.layout, rhythm.traces, rhythm.signals
            evidence = gather_evidence(grid, layout, traces, signals, side_px, fs)
        located = LocatedEcg(image, grid, layout.segments, traces, boxes)
        as_read_fs = fs * len(signals.as_read) / n_samples
        are_read = layout.name_evidence.are_read(self.options.layout.sure_pattern)
        misread = find_contradiction(signals.as_read, as_read_fs, self.options.signal, are_read=are_read)
        if misread:
            raise RefusedPageError(misread, located)
        disagreement = find_disagreement(signals.as_read, as_read_fs, self.options.signal)
        if disagreement:
            signals = replace(signals, notes=(*signals.notes, disagreement))
        kept = keep_leads(signals, weigh(evidence, "names"))
        if kept is not signals:
            signals, located = kept, replace(located, segments=kept.segments)
        if shows_another(image, grid, layout, self.detector):
            layout = replace(layout, notes=(*layout.notes, ANOTHER))
        grade = grade_page(evidence, signals.readings)
        log.info("grade %s", grade)
        return PageReading(grid, layout, traces, signals, located, grade)

    def weigh_kinds(self, page: PageEvidence, beats: KindEvidence) -> dict[Kind, float]:
        """Probability of each kind of page."""
        return tell_kind(page, beats)

    def _read_drawing(self, image: Image, drawing: PageDrawing, fs: float, n_samples: int) -> PageReading:
        """Reading of a page of a PDF by its own curves; ``EcgPageError`` when they do not show an ECG."""
        n_samples = max(n_samples, round(PAGE_S * fs))

        def find_grid() -> GridMap:
            failures: list[EcgPageError] = []
            for grid in find_grids(as_positive(image), 1, failures, self.options.grid):
                return grid
            raise failures[0] if failures else EcgPageError("no grid is found")

        def find_leads(grid: GridMap) -> PageBoxes:
            flat = self._flatten(as_positive(image), grid)
            return find_boxes(flat, self.detector, self.reader, self.options.layout)

        found = read_path_page(drawing, image, n_samples / fs, self.options.layout, find_grid, find_leads)
        layout = found.layout
        if not found.grid.is_printed:
            layout = replace(layout, notes=(*layout.notes, found.grid.source_note))
        signals = assemble(found.traces, layout, fs, n_samples, self.options.signal)
        return self._conclude(image, found.grid, layout, found.traces, signals, fs, n_samples, found.boxes)

    def _read_layout_on(
        self, image: Image, grid: GridMap, record_s: float, boxes: PageBoxes | None
    ) -> SeenLayout:
        """Layout of the upright page on one grid; ``RefusedPageError`` when its confidence is too low."""
        flat, boxes = self._upright(image, grid) if boxes is None else (self._flatten(image, grid), boxes)
        layout = read_layout(
            flat, boxes, shown_seconds(flat, record_s, self.options.layout), self.options.layout
        )
        if layout.confidence < self.options.min_confidence:
            reason = f"no 12-lead ECG recognised on the grid (confidence {layout.confidence:.2f})"
            if layout.confidence < self.options.min_located:
                raise RefusedPageError(reason, None)
            place = LocatedEcg(image, flat.grid, layout.segments, boxes=boxes)
            raise DoubtfulLayoutError(reason, place, layout)
        if not flat.grid.is_printed:
            layout = replace(layout, notes=(*layout.notes, flat.grid.source_note))
        return SeenLayout.weigh(image, flat, layout, boxes, self.options.layout)

    def _shows_leads(self, image: Image, doubtful: "DoubtfulLayoutError") -> bool:
        """Whether what stands in the places of a doubtful layout is leads of an ECG."""
        fs, layout, grid = FINE_HZ, doubtful.layout, doubtful.place.grid
        traces = read_traces(image, self._flatten(image, grid), layout, self.network, self.options.trace)
        signals = assemble(traces, layout, fs, round(PAGE_S * fs), self.options.signal)
        evidence = gather_evidence(grid, layout, traces, signals, max(image.shape[:2]), fs)
        kinds = self.weigh_kinds(evidence, gather_kind_evidence(layout, traces, signals))
        return likeliest(kinds) == "leads"

    def _upright(self, image: Image, grid: GridMap) -> tuple[FlatPage, PageBoxes]:
        """Flat page, turned so that rows run along x and it most likely lies the right way up, and what is detected on it."""
        flat = self._flatten(image, grid)
        turn = find_upright_turn(flat, self.detector, self.options.layout, self.reader)
        if turn is None:
            raise EcgPageError("no layout of leads is recognised, whichever way the page is turned")
        if turn:
            flat = self._flatten(image, grid.rotate(turn))
        return flat, find_boxes(flat, self.detector, self.reader, self.options.layout)

    def _flatten(self, image: Image, grid: GridMap) -> FlatPage:
        return flatten_page(image, grid, options=self.options.grid)
