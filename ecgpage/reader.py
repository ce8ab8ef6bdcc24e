"""The public call: one picture of a 12-lead ECG to its signals in millivolts and its diagnoses.

from ecgpage import Reader

reader = Reader()  # loads the weights once
found = reader.digitize("page.jpg")
found.status, found.reasons  # "ok", ()
found.signal  # float32 (5000, 12), mV, NaN where nothing is printed
found.labels, found.probabilities["AFIB/AFL"]
found.save("out")  # out/ecg.dat, .hea, .csv, .json
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.runtime import choose_runtime
from ecgpage.core.shipped_weights import find_weights
from ecgpage.diagnosis.diagnoser import Diagnoser, RecordDiagnosis
from ecgpage.export.drawing import Drawing
from ecgpage.export.formats import DEFAULT_FORMATS, save_formats
from ecgpage.export.plot import plot_leads
from ecgpage.export.types import Metadata
from ecgpage.grid.grid_map import GridMap
from ecgpage.image.decode import UNNAMED, Source, read_image
from ecgpage.image.documents import InputPage
from ecgpage.layout.options import Hints
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer
from ecgpage.results import LocatedEcg, PageReading, RecordReading
from ecgpage.signal.grade import NOT_GIVEN, PageGrade
from ecgpage.signal.join_pages import ReadPage, put_in_turn, relate
from ecgpage.signal.types import LeadReading

Status = Literal["ok", "partial", "failed"]
NOT_READ: Final = "none"
"""Source of a lead that was not read."""


@dataclass(frozen=True, eq=False)
class Digitization:
    """What one picture shows, whatever happened."""

    signal: NDArray[np.float32] = field(repr=False)
    """(n, 12) mV, leads in the order ``leads``; NaN where nothing is printed or can be trusted."""
    fs: float
    """Samples per second of ``signal``, Hz."""
    status: Status
    """"ok": all twelve leads were read; "partial": some were; "failed": none was."""
    reasons: tuple[str, ...]
    """Why the page could not be read, and what had to be assumed."""
    readings: Mapping[str, LeadReading] = field(repr=False)
    """Lead -> how it came about: source, coverage (0 to 1) and expectation."""
    labels: tuple[str, ...]
    """Diagnoses; a failed page whose ECG could be located may have some, from the picture alone."""
    probabilities: Mapping[str, float]
    """Diagnosis -> probability, 0 to 1; NaN when there was nothing to diagnose."""
    page: PageReading | None = field(repr=False)
    """Everything that was read on the way, with the picture; None where no page was recognised."""
    leads: tuple[str, ...] = field(default=LEADS, repr=False)
    """Names of the columns of ``signal``."""
    located: LocatedEcg | None = field(default=None, repr=False)
    """Place of the ECG in the picture, also on a page that failed; None where none was found."""
    grade: PageGrade = field(default=NOT_GIVEN, repr=False)
    """How likely scale, names and times are right: A, B, C or "–" of the page (``letter``) and of its leads (``leads``)."""

    @property
    def lead_reasons(self) -> dict[str, str]:
        """Lead that was not read -> why."""
        return {lead: reading.reason for lead, reading in self.readings.items() if reading.source == NOT_READ}

    @property
    def expected_snr_db(self) -> dict[str, float]:
        """Lead -> expected signal-to-noise ratio, dB; NaN when nothing was read or its errors are not known."""
        return {lead: reading.snr_db for lead, reading in self.readings.items()}

    @property
    def layout(self) -> PageLayout | None:
        """Layout with paper speed (mm/s), gain (mm/mV) and the segments of the leads, page mm; None without a page."""
        if self.page is None:
            return None
        return replace(self.page.layout, segments=self.page.signals.segments)  # strips by their final names

    @property
    def grid(self) -> GridMap | None:
        """Map from page mm to pixels of the picture as ``read_image`` gives it; None without a page."""
        return None if self.page is None else self.page.grid

    def save(
        self,
        folder: str | Path,
        formats: str | Iterable[str] = DEFAULT_FORMATS,
        stem: str = "ecg",
        *,
        metadata: Metadata | None = None,
    ) -> tuple[Path, ...]:
        """Write the page as ``<folder>/<stem><suffix>`` in each format; existing files are replaced.

        Args:
            folder: where the files go; it is made when it is not there.
            formats: names of ``ecgpage.export.formats.FORMATS``: wfdb, csv, json, edf, dicom, fhir, npz.
            stem: name of the files without suffix; for WFDB of A-Z a-z 0-9 _ - only.
            metadata: what else is known of the page, such as the path of its picture.

        Returns the paths of all files. Raises ``EcgPageError`` when a format is not known or its library is missing, when
        the folder cannot be written, and when the disk is full; nothing half-written is left then.

        >>> found = Reader().digitize("page.jpg")  # doctest: +SKIP
        >>> [path.name for path in found.save("out", ("wfdb", "csv"), stem="page")]  # doctest: +SKIP
        ['page.dat', 'page.hea', 'page.csv']
        """
        return save_formats(self, folder, stem, formats, metadata=metadata)

    def plot(self, path: str | Path | None = None, *, title: str = "") -> Drawing:
        """Plot of the signals as a 12-lead ECG is printed: 3 x 4 leads with a rhythm strip, 25 mm/s, 10 mm/mV.

        Args:
            path: file to write, .svg or .png; none when None. Notebooks show the result by themselves.
            title: text above it.

        Returns the drawing, which ``to_svg``, ``to_image`` and ``save`` turn into files and pictures. Raises ``EcgPageError``
        when the suffix is another one or the file cannot be written.
        """
        drawing = plot_leads(self, title)
        if path is not None:
            drawing.save(path)
        return drawing


class Reader:
    """Ready-made reader of pictures of 12-lead ECGs; loads the weights once, then ``digitize``."""

    def __init__(self, device: str = "auto", model: str | Path | None = None) -> None:
        """Load the weights.

        Args:
            device: "cpu", "cuda", or "auto" for a GPU where PyTorch and a driver for it are installed.
            model: folder with weights; those that came with the package when None.

        The environment variable ``ECGPAGE_RUNTIME`` (auto, onnx, torch) says what runs the networks; without a GPU that is
        ONNX Runtime. Raises ``EcgPageError`` when the device is not there, and when weights are missing or damaged.
        """
        self.runtime = choose_runtime(device)
        folder = find_weights() if model is None else Path(model)
        self.digitizer = Digitizer.load(folder, runtime=self.runtime)
        self.diagnoser = Diagnoser.load(folder, runtime=self.runtime)

    def digitize(
        self,
        source: Source | InputPage,
        *,
        fs: float = 500.0,
        seconds: float = 10.0,
        hints: Hints | None = None,
    ) -> Digitization:
        """Signals and diagnoses of one page.

        Args:
            source: path or bytes of a picture file, an array uint8 (H, W, 3) RGB or (H, W) grey, or a page as
                ``ecgpage.image.documents.read_pages`` gives it: curves that a PDF holds are then read themselves.
            fs: samples per second that are wanted, Hz.
            seconds: length of ``signal``, s; pages of 10 s are assumed: less is their start, what is beyond them NaN.
            hints: speed, gain and layout where they are known and are to overrule what is read.

        A page that cannot be read gives the status "failed" and the reasons. Raises ``EcgPageError`` when ``source`` is no
        picture or cannot be opened, ``ValueError`` when ``fs`` and ``seconds`` make no sample.
        """
        if not (math.isfinite(fs * seconds) and fs > 0 and seconds > 0 and round(fs * seconds) > 0):
            raise ValueError(
                f"fs={fs} Hz and seconds={seconds} s make no sample; give both as positive numbers"
            )
        drawing = source.drawing if isinstance(source, InputPage) else None
        image = read_image(source.image if isinstance(source, InputPage) else source)
        digitizer = self.digitizer if hints is None else self.digitizer.with_hints(hints)
        reading = digitizer.read_record([image], fs, round(fs * seconds), [drawing])
        return summarize(reading, self.diagnoser.diagnose(reading, fs), fs)

    def join(self, pages: Sequence[Digitization], numbers: Sequence[int] | None = None) -> Digitization:
        """One record from the pages that show it, digitized alike: each lead from the page on which it is expected best, or
        pages one after the other where each shows the seconds that follow.

        Args:
            pages: at least one, of one rate and length. ``page`` of the result is the first that was recognised.
            numbers: what reasons call the pages; 1, 2, ... when None.
        """
        mv, readings = _join_signals(pages)
        reasons = [
            f"page {number}: {reason}"
            for number, page in zip(numbers or range(1, len(pages) + 1), pages, strict=True)
            for reason in page.reasons
        ]
        reading = RecordReading(
            mv=mv,
            readings=readings,
            pages=sorted((page.page for page in pages), key=lambda page: page is None),
            reasons=reasons,
            located=[page.located for page in pages],
        )
        return summarize(reading, self.diagnoser.diagnose(reading, pages[0].fs), pages[0].fs)


def _join_signals(pages: Sequence[Digitization]) -> tuple[NDArray[np.float32], list[LeadReading]]:
    """Signals (n, 12) of a record, and the outcome of each lead."""
    fs, n_samples = pages[0].fs, len(pages[0].signal)
    shown = [ReadPage(p.signal, [p.readings[lead] for lead in LEADS], 0.0) for p in pages]
    read = [page if page.leads else None for page in shown]
    if relate([page for page in read if page is not None], fs, n_samples) == "next seconds":
        joined = put_in_turn(read, fs, n_samples)
        return joined.mv, joined.readings
    best = [max(pages, key=partial(_quality, lead=lead)) for lead in LEADS]
    mv = np.stack([page.signal[:, k] for k, page in enumerate(best)], axis=1)
    return mv, [page.readings[lead] for lead, page in zip(LEADS, best, strict=True)]


def complete_each_other(pages: Sequence[Digitization]) -> bool:
    """Whether several pages show all twelve leads together and none of them twice, such as limb leads and chest leads."""
    layouts = [page.layout for page in pages]
    shown = [set() if layout is None else {s.lead for s in layout.segments} for layout in layouts]
    return len(pages) > 1 and all(shown) and sum(map(len, shown)) == len(LEADS) == len(set().union(*shown))


def _quality(page: Digitization, lead: str) -> tuple[bool, float]:
    """How good a lead of a page is beside that of another page."""
    snr_db = page.expected_snr_db[lead]
    return page.readings[lead].source != NOT_READ, snr_db if math.isfinite(snr_db) else -math.inf


def summarize(reading: RecordReading, diagnosis: RecordDiagnosis, fs: float) -> Digitization:
    """The record of one page in the public form."""
    read = [r.source != NOT_READ for r in reading.readings]
    status: Status = "ok" if all(read) else "partial" if any(read) else "failed"
    return Digitization(
        signal=reading.mv,
        fs=fs,
        status=status,
        reasons=tuple(reason.removeprefix(f"{UNNAMED}: ") for reason in reading.reasons),
        readings={r.lead: r for r in reading.readings},
        labels=tuple(diagnosis.answer.labels),
        probabilities=dict(diagnosis.answer.probabilities),
        page=reading.pages[0],
        located=next((place for place in reading.located if place is not None), None),
        grade=reading.grade,
    )
