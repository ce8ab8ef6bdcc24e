"""Diagnose a record from what was read of it: by its signal, by its page, and by the stack that combines both.

    digitizer, diagnoser = Digitizer.load("model"), Diagnoser.load("model")
    reading = digitizer.read_record(["page.png"], 500.0, 5000)
    diagnoser.diagnose(reading, 500.0).answer.probabilities

The page branch counts only through a stack that was fitted to exactly these weights of both branches; otherwise the
signal branch alone gives the diagnosis, as after training on other records.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.runtime import Runtime, choose_runtime
from ecgpage.core.types import Light
from ecgpage.core.weights import digest
from ecgpage.diagnosis import page_classifier, signal_classifier, stack
from ecgpage.diagnosis.needed_leads import withhold
from ecgpage.diagnosis.page_classifier import PageClassifier
from ecgpage.diagnosis.page_view import page_view
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.diagnosis.stack import Stack, logit
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.results import RecordReading

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordDiagnosis:
    """Diagnosis of one record, and the diagnoses of both branches that it was made of."""

    answer: Diagnosis
    """Final diagnosis: labels, and probabilities per class, NaN when nothing could be read."""
    signal: Diagnosis | None
    """Diagnosis of the digitized signal; None when there is none."""
    page: Diagnosis | None
    """Diagnosis of the picture; None without a page branch or without a picture of the ECG."""
    leads_read: int
    """Number of leads with values, 0 to 12."""
    snr_db: float
    """Mean expected SNR of the leads, dB; NaN where it is not known."""


class Diagnoser:
    """Both branches and their stack; ``load`` it, then ``diagnose``."""

    def __init__(
        self, signal: SignalClassifier, page: PageClassifier | None = None, stacked: Stack | None = None
    ) -> None:
        """``stacked``: combination of both branches; without it the signal branch gives the diagnosis.

        A page branch still predicts then, but its prediction does not count.
        """
        self.signal, self.page, self.stacked = signal, page, stacked

    @classmethod
    def load(
        cls, folder: str | Path, *, ask_page: bool = False, runtime: Runtime | None = None
    ) -> "Diagnoser":
        """Diagnoser of a model folder; EcgPageError when the signal branch is missing or a file is wrong.

        ``ask_page`` loads the page branch also without a stack that uses it: to fit one, or to report its prediction.
        ``runtime``: what runs the networks; chosen when None.
        """
        runtime = runtime or choose_runtime()
        signal = SignalClassifier.load(folder, runtime)
        stacked = Stack.load(folder) if digest(folder, stack.NAME) else None
        wanted = {name: digest(folder, name) for name in (signal_classifier.NAME, page_classifier.NAME)}
        if stacked is not None and stacked.branches != wanted:
            log.info("the stack in %s was fitted to other weights: the signal branch answers alone", folder)
            stacked = None
        asked = stacked is not None or (ask_page and wanted[page_classifier.NAME] is not None)
        return cls(signal, PageClassifier.load(folder, runtime) if asked else None, stacked)

    @property
    def classes(self) -> list[str]:
        """Names of the diagnoses, in the order of the probabilities."""
        return self.signal.classes if self.stacked is None else self.stacked.classes

    def diagnose(
        self, reading: RecordReading, fs: float, *, by_picture_alone: bool = False
    ) -> RecordDiagnosis:
        """Diagnosis of what was read of a record at ``fs`` Hz.

        What the pages show too few leads for is withheld. Where no signal was read there are no labels, and probabilities of
        NaN; ``by_picture_alone``: the page branch alone diagnoses a page whose ECG was located, as the Challenge scores
        labels of every record.
        """
        signal = None if reading.is_empty else self.signal.predict(reading.shown, fs, LEADS)
        page = None
        if self.page is not None:
            seen = [
                page_view(e.image, e.grid, e.segments, e.traces) for e in reading.located if e is not None
            ]
            views = [view for view in seen if view is not None]
            page = self._pages(views) if views else None
        leads = int(np.isfinite(reading.shown).any(axis=0).sum())
        expected = [r.reader_snr_db for r in reading.readings if math.isfinite(r.reader_snr_db)]
        snr_db = float(np.mean(expected)) if expected and signal is not None else math.nan
        if signal is None and not by_picture_alone:
            answer = Diagnosis.unknown(self.classes)
        elif self.stacked is not None:
            answer = self.stacked.combine(signal, page, leads_read=leads, snr_db=snr_db)
        else:
            answer = signal or Diagnosis.unknown(self.classes)
        return RecordDiagnosis(withhold(answer, reading.shown_leads), signal, page, leads, snr_db)

    def _pages(self, views: Sequence[Light]) -> Diagnosis:
        """Diagnosis by the page branch, from the mean of the logits over all pictures of a record."""
        assert self.page is not None
        found = [list(self.page.predict(view).probabilities.values()) for view in views]
        p = 1 / (1 + np.exp(-logit(np.array(found)).mean(axis=0)))
        return Diagnosis.by_thresholds(self.page.classes, p.tolist(), self.page.thresholds)
