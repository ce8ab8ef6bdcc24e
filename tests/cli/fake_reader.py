"""A reader that does at once what the colour of a picture says; it stands for the real one, which takes seconds."""

import errno
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.layout.options import Hints
from ecgpage.signal.expected_snr import Expectation
from ecgpage.signal.grade import NOT_GIVEN, PageGrade
from ecgpage.signal.types import LeadReading

NAME: Final = "tests.cli.fake_reader:FakeReader"
"""Its name for ``Settings.reader``."""
KINDS: Final = (
    "ok", "partial", "failed", "dies", "dies_once", "hangs", "hangs_once", "raises", "refuses", "no_memory", "slow",
    "full_disk",
)  # fmt: skip
"""What a picture makes the reader do."""


def colour_of(kind: str) -> tuple[int, int, int]:
    """Colour of a picture of that kind, RGB."""
    return (20 * KINDS.index(kind), 100, 200)


@dataclass(frozen=True)
class FakeDigitization:
    """What the command line needs of a ``Digitization``."""

    signal: Any
    fs: float
    status: str
    reasons: tuple[str, ...]
    readings: dict[str, LeadReading]
    labels: tuple[str, ...] = ("NORM",)
    probabilities: dict[str, float] = field(default_factory=lambda: {"NORM": 0.9})
    layout: None = None
    grid: None = None
    page: None = None
    located: None = None
    leads: tuple[str, ...] = LEADS
    grade: PageGrade = NOT_GIVEN

    @property
    def lead_reasons(self) -> dict[str, str]:
        return {lead: reading.reason for lead, reading in self.readings.items() if reading.source == "none"}

    @property
    def expected_snr_db(self) -> dict[str, float]:
        return {lead: reading.snr_db for lead, reading in self.readings.items()}


class FakeReader:
    """Reader of pictures of one colour; ``model`` is a folder in which it leaves marks."""

    def __init__(self, device: str, model: str | None) -> None:
        self.marks = Path(model or ".")
        if (self.marks / "unusable").exists():
            raise EcgPageError("weights cannot be used: they are marked so")
        if (self.marks / "broken").exists():
            raise RuntimeError("no driver")
        if (self.marks / "dies_at_start").exists():
            os._exit(9)

    def digitize(self, page: Any, *, fs: float, seconds: float, hints: Hints) -> FakeDigitization:
        """What a page of that colour gives."""
        image = page.image
        kind = KINDS[round(int(image[0, 0, 0]) / 20)]
        self._act(kind)
        read = {"partial": LEADS[:9], "failed": ()}.get(kind, LEADS)
        signal = np.full((round(fs * seconds), len(LEADS)), np.nan, np.float32)
        signal[:, [LEADS.index(lead) for lead in read]] = float(image[0, 0, 0]) / 100
        found = Expectation(1.0, (0.01, 0.0, 0.0))
        readings = {
            lead: LeadReading(lead, "network", 1.0, "", found)
            if lead in read
            else LeadReading(lead, "none", 0.0, "covered by a stamp")
            for lead in LEADS
        }
        status = "ok" if len(read) == len(LEADS) else "partial" if read else "failed"
        reasons = ("no 12-lead ECG recognised",) if status == "failed" else ()
        reasons += (f"told {hints}",) if hints != Hints() else ()
        return FakeDigitization(signal, fs, status, reasons, readings)

    def _act(self, kind: str) -> None:
        """Do what only some pages make a reader do."""
        first = not (self.marks / kind).exists()
        if kind.endswith("_once"):
            (self.marks / kind).touch()
        if kind == "dies" or (kind == "dies_once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs" or (kind == "hangs_once" and first):
            time.sleep(600)
        if kind == "raises":
            raise ValueError("an odd page")
        if kind == "refuses":
            raise EcgPageError("the page is refused; scan it again")
        if kind == "no_memory":
            raise MemoryError
        if kind == "slow":
            time.sleep(0.4)
        if kind == "full_disk":
            os.fsync = _fail_once  # type: ignore[assignment]


_fsync = os.fsync


def _fail_once(_: int) -> None:
    """What a full disk says, the first time that something is to be written."""
    os.fsync = _fsync
    raise OSError(errno.ENOSPC, "No space left on device")
