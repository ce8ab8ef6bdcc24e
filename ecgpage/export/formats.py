"""Table of the output formats, and the one place where their files are written.

A page's files appear together: all are made and written aside first, under temporary names in the same folder, then renamed.
What fails before leaves nothing behind. The JSON report is removed first and renamed last, so that a report that is there
vouches for the files it names.
"""

import contextlib
import errno
import importlib.util
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecgpage.core.conventions import EcgPageError
from ecgpage.export.csv_table import encode_csv
from ecgpage.export.dicom_ecg import encode_dicom
from ecgpage.export.edf_plus import encode_edf
from ecgpage.export.fhir_observation import encode_fhir
from ecgpage.export.json_report import encode_json
from ecgpage.export.npz_arrays import encode_npz
from ecgpage.export.types import Digitized, Encoded, Metadata
from ecgpage.export.wfdb_record import encode_wfdb

LOG: Final = logging.getLogger(__name__)

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Format:
    """One row of the table."""

    encode: Callable[[Digitized, str, Metadata], Encoded]
    """Content of its files from a page, the stem of their names, and metadata."""
    suffixes: tuple[str, ...]
    """Suffixes of its files."""
    about: str
    """What it is, for lists."""
    module: str | None = None
    """Library that it needs besides those of the package."""
    extra: str | None = None
    """Extra of the package that installs the library."""

    @property
    def is_available(self) -> bool:
        """Whether its library is installed."""
        return self.module is None or importlib.util.find_spec(self.module) is not None


FORMATS: Final[Mapping[str, Format]] = {
    "wfdb": Format(encode_wfdb, (".dat", ".hea"), "WFDB record, as PhysioNet's tools read it"),
    "csv": Format(encode_csv, (".csv",), "table of time in s and leads in mV"),
    "edf": Format(encode_edf, (".edf",), "EDF+ file, for EDFbrowser, LabChart, MNE", "edfio", "edf"),
    "dicom": Format(encode_dicom, (".dcm",), "DICOM 12-lead ECG waveform, for archives", "pydicom", "dicom"),
    "fhir": Format(encode_fhir, (".fhir.json",), "FHIR R5 Observation, for hospitals' interfaces"),
    "npz": Format(encode_npz, (".npz",), "NumPy arrays: signal, mask, leads, fs"),
    "json": Format(encode_json, (".json",), "report: status, reasons, labels, layout; no samples"),
}
"""Every format by its name."""
DEFAULT_FORMATS: Final = ("wfdb", "csv", "json")
"""Formats that are written unless others are asked for."""


def check_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Names of formats, each once; also from one text with commas between them.

    ``EcgPageError`` with the way out for one that is not known or whose library is missing, and when there is none.
    """
    asked = formats.split(",") if isinstance(formats, str) else formats
    names = tuple(dict.fromkeys(name.strip().lower() for name in asked))
    known = ", ".join(FORMATS)
    if not names:
        raise EcgPageError(f"no format asked for; choose from {known}")
    for name in names:
        if name not in FORMATS:
            raise EcgPageError(f"format {name!r} is not known; choose from {known}")
        row = FORMATS[name]
        if not row.is_available:
            raise EcgPageError(
                f'format {name!r} needs {row.module}; install it with: pip install "ecgpage[{row.extra}]"'
            )
    return names


def save_formats(
    digitized: Digitized,
    folder: str | Path,
    stem: str,
    formats: str | Iterable[str] = DEFAULT_FORMATS,
    *,
    metadata: Metadata | None = None,
) -> tuple[Path, ...]:
    """Write a page as ``<folder>/<stem><suffix>`` in each format; existing files are replaced.

    Args:
        digitized: page, such as ``Reader.digitize`` gives it.
        folder: where the files go; it is made when it is not there.
        stem: name of the files without suffix; for WFDB of A-Z a-z 0-9 _ - only.
        formats: names of ``FORMATS``, or one text with commas between them.
        metadata: what else is known of the page.

    Returns the paths of all files. What had to be changed to fit a format is logged as a warning, and stands in the report.
    Raises ``EcgPageError`` for unknown formats, a missing library, a stem that is no file name, a folder that cannot be
    written, and a full disk; nothing half-written is left then.
    """
    names, folder, metadata = check_formats(formats), Path(folder), metadata or Metadata()
    if not stem or stem.startswith(".") or "\0" in stem or Path(stem).name != stem:
        raise EcgPageError(
            f"{stem!r} is no name for files; give one without folders and without a dot in front"
        )
    encoded = {name: FORMATS[name].encode(digitized, stem, metadata) for name in names if name != "json"}
    notes = [f"{name}: {note}" for name, one in encoded.items() for note in one.notes]
    for note in notes:
        LOG.warning("%s: %s", folder / stem, note)
    if "json" in names:
        files = {name: [f"{stem}{suffix}" for suffix in one.files] for name, one in encoded.items()}
        encoded["json"] = encode_json(digitized, stem, metadata, files=files, notes=notes)
    contents = {
        folder / f"{stem}{suffix}": content
        for one in encoded.values()
        for suffix, content in one.files.items()
    }
    try:
        _write_together(contents, folder / f"{stem}.json")
    except OSError as error:
        raise EcgPageError(_explain(error, folder)) from error
    return tuple(contents)


def _write_together(contents: Mapping[Path, bytes], report: Path) -> None:
    """Write files aside, then rename them in their order; after a failure no temporary file is left."""
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            with drafts[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # some disks and servers say only here that they are full
        if report in contents:
            report.unlink(missing_ok=True)
        for path in contents:
            os.replace(drafts[path], path)
            del drafts[path]
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink()


def _explain(error: OSError, folder: Path) -> str:
    """Message for a failure to write: folder, reason, way out."""
    if error.errno in FULL:
        return f"{folder}: the disk is full, nothing was written; make room or choose another folder"
    if error.errno in READ_ONLY:
        return f"{folder}: no right to write there; choose another folder"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{folder}: is no folder; choose another one"
    return f"{folder}: cannot be written ({error.strerror}: {error.filename}); choose another folder or name"
