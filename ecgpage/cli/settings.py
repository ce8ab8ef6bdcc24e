"""What a run of ``ecgpage digitize`` is to do with each page; plain values only, so that other processes can be told.

Nothing heavy is imported here: the command line, ``--help`` included, needs neither NumPy nor PyTorch.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from ecgpage.cli.page_choice import ALL_PAGES, PageChoice
from ecgpage.layout.options import Hints

Overlay = Literal["ecg", "page", "none"]
PagesAre = Literal["records", "one", "auto"]
Existing = Literal["refuse", "skip", "replace"]

FORMATS: Final = ("wfdb", "csv", "png", "json", "edf", "dicom", "fhir", "npz")
"""Formats that ``--to`` takes."""
LIBRARIES: Final = {"edf": ("edfio", "edf"), "dicom": ("pydicom", "dicom")}
"""Format -> library that it needs, and the extra of the package that brings it."""
DEFAULT_FORMATS: Final = ("wfdb", "csv", "png", "json")
"""Formats that are written unless ``--to`` says otherwise."""
OVERLAYS: Final[tuple[Overlay, ...]] = ("ecg", "page", "none")
PAGES_ARE: Final[tuple[PagesAre, ...]] = ("records", "one", "auto")
DEVICES: Final = ("auto", "cpu", "cuda")
SPEEDS_MM_PER_S: Final = (12.5, 25.0, 50.0, 100.0)
"""Paper speeds that ``--speed`` takes, mm/s."""
GAINS_MM_PER_MV: Final = (2.5, 5.0, 10.0, 20.0, 40.0)
"""Gains that ``--gain`` takes, mm/mV."""


@dataclass(frozen=True)
class Settings:
    """What is done with each page."""

    formats: tuple[str, ...] = DEFAULT_FORMATS
    """Formats to write, of FORMATS; JSON is written in any case."""
    fs: float = 500.0
    """Samples per second, Hz."""
    seconds: float = 10.0
    """Length of the signals, s."""
    overlay: Overlay = "ecg"
    """Picture of the traces on their page: on the ECG alone, with all that the page shows, or none."""
    anonymous: bool = False
    """Whether results are named by their content and name no source."""
    hints: Hints = field(default_factory=Hints)
    """Speed, gain and layout that overrule what is read."""
    pages_are: PagesAre = "auto"
    """Whether the pages of a file are records, one record, or one where they complete each other."""
    dpi: float | None = None
    """Resolution at which pages of PDFs are drawn, dots per inch; None to choose it."""
    password: str | None = field(default=None, repr=False)
    """Password of PDFs."""
    device: str = "auto"
    model: str | None = None
    """Folder with weights; None for those of the package."""
    weights: str = ""
    """sha256 of the table of the weights, which names that of each file."""
    existing: Existing = "refuse"
    """What becomes of results that are there."""
    debug: str | None = None
    """Folder for pictures of what was found on the way; None for none."""
    verbosity: int = 0
    """-1 quiet, 0, 1 a line for each page and warnings of the reader, 2 all that the reader says."""
    reader: str = "ecgpage.reader:Reader"
    """Dotted module and name of the callable that makes a reader from ``device`` and ``model``."""

    def describe_result(self) -> dict[str, Any]:
        """Those settings that results depend on, as JSON values; two runs that agree in them give the same results."""
        return {
            "formats": sorted({*self.formats, "json"}),
            "fs": self.fs,
            "seconds": self.seconds,
            "overlay": self.overlay,
            "anonymous": self.anonymous,
            "hints": asdict(self.hints),
            "pages_are": self.pages_are,
            "dpi": self.dpi,
            "weights": self.weights,
        }


@dataclass(frozen=True)
class Order:
    """What a command line asks for."""

    inputs: tuple[str, ...]
    """Files, folders, patterns, lists."""
    out: str
    """Output folder."""
    settings: Settings = field(default_factory=Settings)
    pages: PageChoice = ALL_PAGES
    jobs: int = 1
    """Number of workers."""
    timeout_s: float = 120.0
    """Time for one page, s."""
    strict: bool = False
    """Whether partial pages count as failed."""
