"""What every writer of a format takes and gives: a digitized page, its metadata, and the files made of them.

Writers make the content of files, ``ecgpage.export.formats`` alone puts it on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # lists of formats load neither OpenCV nor PyTorch
    from ecgpage.grid.grid_map import GridMap
    from ecgpage.layout.types import PageLayout
    from ecgpage.signal.grade import PageGrade
    from ecgpage.signal.types import LeadReading


class Digitized(Protocol):
    """What writers need of a digitized page; ``ecgpage.reader.Digitization`` is one."""

    @property
    def signal(self) -> NDArray[np.float32]:
        """(n, leads) mV, NaN where nothing is known."""
        ...

    @property
    def fs(self) -> float:
        """Samples per second of ``signal``, Hz."""
        ...

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the columns of ``signal``."""
        ...

    @property
    def status(self) -> str:
        """ "ok", "partial" or "failed"."""
        ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the page could not be read, and what had to be assumed."""
        ...

    @property
    def readings(self) -> "Mapping[str, LeadReading]":
        """Lead -> how it came about."""
        ...

    @property
    def lead_reasons(self) -> Mapping[str, str]:
        """Lead that was not read -> why."""
        ...

    @property
    def expected_snr_db(self) -> Mapping[str, float]:
        """Lead -> expected signal-to-noise ratio, dB; NaN when not known."""
        ...

    @property
    def grade(self) -> "PageGrade":
        """How likely scale, names and times are right, of the page and of each lead."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Diagnoses."""
        ...

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Diagnosis -> probability, 0 to 1; NaN when there was nothing to diagnose."""
        ...

    @property
    def layout(self) -> "PageLayout | None":
        """Speed, gain and segments; None without a page."""
        ...

    @property
    def grid(self) -> "GridMap | None":
        """Map from page mm to pixels; None without a page."""
        ...


@dataclass(frozen=True)
class Metadata:
    """What is known of a page besides its reading; every field may be left out."""

    record: str | None = None
    """Name of the record; the stem of the files when None."""
    source: str | None = None
    """Path of the picture; None when it is not to be told."""
    sha256: str | None = None
    """SHA-256 of the picture file, hexadecimal."""
    page: int | None = None
    """Number of the page in its file, from 1; None for a file of one picture."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Options that the page was read with, for the JSON report."""


@dataclass(frozen=True)
class Encoded:
    """Content of the files of one format."""

    files: Mapping[str, bytes]
    """Suffix with its dot -> content, in the order in which they are to appear on disk."""
    notes: tuple[str, ...] = ()
    """What was changed to fit the format, such as clipped samples; they stand in the files, too, where these have room."""
