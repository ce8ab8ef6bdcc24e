"""Read one page of one file and write its results: all that a worker of any kind has to call.

    row = digitize_one("scans/a.pdf", 2, Target("out", "a_p2", sha256), Settings())

Nothing here knows of processes, progress or other pages, so a cluster's engine can call it as well as ``ecgpage digitize``.
"""

import hashlib
import logging
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecgpage.cli.names import name_anonymously
from ecgpage.cli.pictures import OVERLAY, PLOT, write_overlay, write_plot, write_stages
from ecgpage.cli.results import Target, publish, written_aside
from ecgpage.cli.settings import Settings
from ecgpage.cli.summary import Row, in_one_line
from ecgpage.cli.tasks import Examine, FileFacts, Task
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.export.formats import save_formats
from ecgpage.export.layout_name import name_layout
from ecgpage.export.types import Metadata
from ecgpage.image.documents import InputPage, count_pages, read_pages

if TYPE_CHECKING:  # PyTorch is loaded with the weights, where pages are read
    from ecgpage.reader import Digitization, Reader

log = logging.getLogger(__name__)

UNEXPECTED: Final = "unexpected "
"""Beginning of reasons that are faults of the program: such pages are tried again when a batch goes on."""
OUT_OF_MEMORY: Final = re.compile(
    r"MemoryError|OutOfMemory|out of memory|can't allocate memory|Insufficient memory", re.IGNORECASE
)
"""What Python, PyTorch and OpenCV say when there is no memory left."""
BLOCK: Final = 1 << 20
"""Bytes that are hashed at a time."""


def run_task(task: Task, settings: Settings) -> FileFacts | list[Row]:
    """Result of a task: what has to be known of a file, or the rows of pages. Raises as ``digitize_one`` does."""
    if isinstance(task, Examine):
        return examine_file(task.path, settings)
    return digitize_pages(task.path, task.pages, task.each, task.together, settings)


def examine_file(path: str, settings: Settings) -> FileFacts:
    """Content and number of pages of a file; whatever is wrong with the file stands in the result."""
    digest = ""
    try:
        digest = hash_file(path)
        return FileFacts(digest, count_pages(path, password=settings.password))
    except EcgPageError as error:
        reason = str(error)
    except OSError as error:
        reason = _explain_read_error(error)
    except MemoryError:
        raise
    except Exception as error:  # one odd file must not stop a batch; the log keeps the trace for a report
        _raise_if_out_of_memory([str(error)])
        log.exception("%s", path)
        reason = _unexpected(error)
    return FileFacts(digest, reason=tell([reason], path, hidden=settings.anonymous))


def hash_file(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, hexadecimal; ``EcgPageError`` for what is no file, such as a pipe, which might never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise EcgPageError(f"{os.fspath(path)}: is no file; give a picture, PDF or DICOM file")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def digitize_one(path: str, page: int, out: Target, settings: Settings) -> Row:
    """Row of one page (from 1) of a file, whose results are then in ``out``; whatever is wrong with the page stands in it.

    Raises what is wrong with the process instead: ``EcgPageError`` without weights or device, ``MemoryError``.
    """
    (row,) = digitize_pages(path, [page], [out], None, settings)
    return row


def digitize_pages(
    path: str, pages: Sequence[int], each: Sequence[Target], together: Target | None, settings: Settings
) -> list[Row]:
    """Rows of pages of a file that are one record, or may be one, as ``settings.pages_are`` says.

    Args:
        path: file.
        pages: numbers from 1.
        each: where the results of each page go when they are records.
        together: where they go when they are one record; None for pages that are not.
        settings: of the batch.

    Returns one row for a record, else one for each page. Raises as ``digitize_one`` does.
    """
    reader = load_reader(settings.reader, settings.device, settings.model)
    job = _Job(path, settings, reader)
    if together is None:
        return [job.save_page(job.read(n), target) for n, target in zip(pages, each, strict=True)]
    shown = [job.read(number) for number in pages]
    if job.are_one([page.found for page in shown if page.found is not None], len(pages)):
        return [job.save_record(shown, together)]
    return [job.save_page(page, target) for page, target in zip(shown, each, strict=True)]


@cache
def load_reader(name: str, device: str, model: str | None) -> "Reader":
    """Reader of that dotted name, made once in each process; ``EcgPageError`` without weights, device or PyTorch."""
    module, _, attribute = name.partition(":")
    try:
        make: Callable[..., Any] = getattr(import_module(module), attribute)
    except ImportError as error:
        raise EcgPageError(f"the reader cannot be loaded: {error}; see ecgpage info") from error
    reader: Reader = make(device=device, model=model)
    return reader


@dataclass
class _Page:
    """One page on its way."""

    number: int
    seconds: float
    """Time that it took so far."""
    image: Image | None = None
    found: "Digitization | None" = None
    reason: str = ""
    """Why there is nothing."""

    def name(self, stem: str, pages: "list[_Page]") -> str:
        """Name of files of this page alone, where ``pages`` are one record."""
        return stem if len(pages) == 1 else f"{stem}_p{self.number}"


@dataclass(frozen=True)
class _Job:
    path: str
    settings: Settings
    reader: "Reader"

    def read(self, number: int) -> _Page:
        """One page: picture and what was found, or the reason why not."""
        began = time.perf_counter()
        page = _Page(number, 0.0)
        try:
            opened = self._open(number)
            page.image = opened.image
            page.found = self.reader.digitize(
                opened, fs=self.settings.fs, seconds=self.settings.seconds, hints=self.settings.hints
            )
            _raise_if_out_of_memory(page.found.reasons)
        except EcgPageError as error:
            page.reason = str(error)
        except OSError as error:
            page.reason = _explain_read_error(error)
        except MemoryError:
            raise
        except Exception as error:  # one odd page must not stop a batch; the log keeps the trace for a report
            _raise_if_out_of_memory([str(error)])
            log.exception("%s, page %d", self.path, number)
            page.reason = _unexpected(error)
        page.seconds = time.perf_counter() - began
        return page

    def are_one(self, found: "list[Digitization]", count: int) -> bool:
        """Whether what was found on ``count`` pages is one record."""
        if self.settings.pages_are == "one":
            return True
        from ecgpage.reader import complete_each_other  # noqa: PLC0415 - loads PyTorch

        return len(found) == count and complete_each_other(found)

    def save_page(self, page: _Page, target: Target) -> Row:
        """Write the results of a page that is a record; its row."""
        row = self._row(target, str(page.number))
        if page.found is None:
            return replace(row, reason=self._tell([page.reason]), seconds=f"{page.seconds:.1f}")
        return self._save(row, page.found, [page], target)

    def save_record(self, pages: list[_Page], target: Target) -> Row:
        """Write the results of a record that several pages show; its row."""
        row = self._row(target, f"{pages[0].number}-{pages[-1].number}")
        shown = [page for page in pages if page.found is not None]
        reasons = [f"page {p.number}: {self._tell([p.reason])}" for p in pages if p.found is None]
        if not shown:
            seconds = sum(page.seconds for page in pages)
            return replace(row, reason=self._tell(reasons), seconds=f"{seconds:.1f}")
        found = self.reader.join([p.found for p in shown if p.found], [p.number for p in shown])
        return self._save(row, replace(found, reasons=(*reasons, *found.reasons)), pages, target)

    def _save(self, row: Row, found: "Digitization", pages: list[_Page], target: Target) -> Row:
        """Write all results of a record; its row, which says so when that fails."""
        try:
            return self._write(self._describe(row, found, pages), found, pages, target)
        except EcgPageError as error:
            return replace(row, reason=self._tell([str(error)]))
        except MemoryError:
            raise
        except Exception as error:  # as in reading
            _raise_if_out_of_memory([str(error)])
            log.exception("%s, page %s", self.path, row.page)
            return replace(row, reason=self._tell([_unexpected(error)]))

    def _write(self, row: Row, found: "Digitization", pages: list[_Page], target: Target) -> Row:
        began = time.perf_counter()
        with written_aside(target) as aside:
            self._debug(pages, target)
            self._draw(found, pages, aside, target.stem)
            self._export(found, pages, aside, target, row)
            seconds = sum(page.seconds for page in pages) + time.perf_counter() - began
            row = replace(row, seconds=f"{seconds:.1f}")
            if row.status == "failed" and any(reason.startswith(UNEXPECTED) for reason in found.reasons):
                return row  # without results it is tried again when the batch goes on
            row = replace(row, record=target.record)
            publish(aside, target, row, [page.number for page in pages])
        return row

    def _open(self, number: int) -> InputPage:
        (page,) = read_pages(
            self.path, pages=[number], password=self.settings.password, dpi=self.settings.dpi
        )
        return page

    def _draw(self, found: "Digitization", pages: list[_Page], aside: Path, stem: str) -> None:
        """Write the pictures that are asked for: the leads where some were read, overlays of all pages."""
        if "png" in self.settings.formats and found.status != "failed":
            write_plot(found, aside / f"{stem}{PLOT}")
        if self.settings.overlay == "none":
            return
        for page in pages:
            if page.image is not None and page.found is not None:
                write_overlay(
                    page.image,
                    page.found,
                    aside / f"{page.name(stem, pages)}{OVERLAY}",
                    self.settings.overlay,
                )

    def _debug(self, pages: list[_Page], target: Target) -> None:
        """Write how each page was read, where a folder for it is given."""
        if self.settings.debug is None:
            return
        home = Path(self.settings.debug, target.record).parent
        for page in pages:
            if page.image is not None and page.found is not None:
                name = page.name(target.stem, pages)
                write_stages(page.image, page.found, home, name, self.settings.overlay)

    def _export(
        self, found: "Digitization", pages: list[_Page], aside: Path, target: Target, row: Row
    ) -> None:
        """Write the formats that are asked for; of a page that was not read, the report alone."""
        asked = [name for name in self.settings.formats if name not in ("png", "json")]
        metadata = Metadata(
            source=None if self.settings.anonymous else self.path,
            sha256=target.sha256,
            page=pages[0].number if len(pages) == 1 else None,
            settings=self.settings.describe_result(),
        )
        formats = [*(asked if row.status != "failed" else []), "json"]
        save_formats(found, aside, target.stem, formats, metadata=metadata)

    def _row(self, target: Target, page: str) -> Row:
        """Row of a page of which nothing is known yet."""
        name = name_anonymously(target.sha256) if self.settings.anonymous else self.path
        return Row(name, page, "", target.sha256, "failed")

    def _describe(self, row: Row, found: "Digitization", pages: list[_Page]) -> Row:
        """Row with what was found."""
        read = {lead: db for lead, db in found.expected_snr_db.items() if lead not in found.lead_reasons}
        known = {lead: db for lead, db in read.items() if math.isfinite(db)}
        worst = next(iter(found.lead_reasons), min(known, key=lambda lead: known[lead], default=""))
        layouts = [p.found.layout for p in pages if p.found is not None and p.found.layout is not None]
        return replace(
            row,
            status=found.status,
            layout=_list_once(name_layout(layout) or "other" for layout in layouts),
            speed=_list_once(f"{layout.speed_mm_per_s:g}" for layout in layouts),
            gain=_list_once(f"{layout.gain_mm_per_mv:g}" for layout in layouts),
            leads=str(len(read)),
            worst_lead=worst if read else "",
            snr_db=f"{sum(known.values()) / len(known):.1f}" if known else "",
            grade=found.grade.letter if found.grade.leads else "",
            labels=_list_once(found.labels),
            reason=self._tell(
                [*found.reasons, *found.grade.doubts, *(_list_lost(found.lead_reasons) if read else ())]
            ),
        )

    def _tell(self, reasons: Iterable[str]) -> str:
        return tell(reasons, self.path, hidden=self.settings.anonymous)


def tell(reasons: Iterable[str], path: str, *, hidden: bool) -> str:
    """Reasons in one line, without the path of the file at their beginning, and ``hidden``: without any."""
    own = re.compile(rf"^{re.escape(path)}(, page \d+)?: ")
    text = in_one_line(own.sub("", reason) for reason in reasons)
    for name in (os.path.abspath(path), path, os.path.basename(path)) if hidden else ():
        text = text.replace(name, "the file")
    return text


def _list_once(values: Iterable[str]) -> str:
    """Values of a cell of the table, each once."""
    return ";".join(dict.fromkeys(values))


def _unexpected(error: Exception) -> str:
    return f"{UNEXPECTED}{type(error).__name__}: {error}; please report it with the image"


def _list_lost(reasons: Mapping[str, str]) -> list[str]:
    """Leads that were not read, those of one reason together."""
    leads: dict[str, list[str]] = {}
    for lead, reason in reasons.items():
        leads.setdefault(reason, []).append(lead)
    return [f"{', '.join(names)}: {reason}" for reason, names in leads.items()]


def _raise_if_out_of_memory(reasons: Iterable[str]) -> None:
    """MemoryError where a reason is one: the process is worth nothing then, the page may be read by the next."""
    for reason in reasons:
        if OUT_OF_MEMORY.search(reason):
            raise MemoryError(reason)


def _explain_read_error(error: OSError) -> str:
    """Why a file could not be read, and the way out."""
    if isinstance(error, FileNotFoundError):
        return "no such file any more; check the path, and that its disk is there"
    if isinstance(error, IsADirectoryError):
        return "is a folder where a file was; give the folder itself"
    if isinstance(error, PermissionError):
        return "no right to read it; ask its owner"
    return f"cannot be read ({error.strerror or error}); copy it again"
