"""Put the results of a page into the output folder, whole or not at all, and know them again.

Everything is written into a temporary folder beside, then renamed, the JSON report last. A report therefore vouches for
the results: it names the sha256 of the input, settings, version, and every file with its size.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ecgpage import __version__
from ecgpage.cli.summary import Row, row_from_json
from ecgpage.core.conventions import EcgPageError

TEMPORARY: Final = ".ecgpage-"
"""Beginning of the names of temporary folders."""
REPORT: Final = ".json"
"""Suffix of the report."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Target:
    """Where the results of a page go."""

    folder: str
    """Output folder of the batch."""
    record: str
    """Path below it, without suffix, folders separated by "/"."""
    sha256: str
    """Of the file that is read."""

    @property
    def home(self) -> Path:
        """Folder of the results."""
        return Path(self.folder, self.record).parent

    @property
    def stem(self) -> str:
        return Path(self.record).name


@contextmanager
def written_aside(target: Target) -> Iterator[Path]:
    """Empty folder beside the results, removed at the end; ``EcgPageError`` when something cannot be written."""
    aside: Path | None = None
    try:
        target.home.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.home))
        yield aside
    except OSError as error:
        raise EcgPageError(explain_write_error(error, target.home)) from error
    except EcgPageError as error:
        raise EcgPageError(str(error).replace(str(aside), str(target.home))) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def publish(aside: Path, target: Target, row: Row, pages: Sequence[int]) -> None:
    """Complete the report in ``aside`` and move everything to its place, the report last.

    Older results of this record that a report names are removed. ``OSError`` when it fails; no report is there then.
    """
    report = aside / f"{target.stem}{REPORT}"
    others = sorted(path for path in aside.iterdir() if path != report)
    described: dict[str, Any] = json.loads(report.read_bytes())
    described["run"] = {
        "pages": list(pages),
        "row": row.as_json(),
        "bytes": {path.name: path.stat().st_size for path in others},
    }
    report.write_text(json.dumps(described, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
    for path in (*others, report):
        _flush(path)
    withdraw(target)
    moved: list[Path] = []
    try:
        for path in (*others, report):
            moved.append(target.home / path.name)
            path.replace(moved[-1])
    except OSError:
        for path in moved:
            with suppress(OSError):
                path.unlink()
        raise


def withdraw(target: Target) -> None:
    """Remove the results of a record that its report names, the report first."""
    report = target.home / f"{target.stem}{REPORT}"
    names = list_files(read_report(target))
    report.unlink(missing_ok=True)
    for name in names:
        (target.home / name).unlink(missing_ok=True)


def read_report(target: Target) -> Mapping[str, Any]:
    """Report of a record; empty where there is none that this program has finished."""
    try:
        report = json.loads((target.home / f"{target.stem}{REPORT}").read_bytes())
    except (OSError, ValueError):
        return {}
    run = report.get("run") if isinstance(report, dict) else None
    whole = isinstance(run, dict) and isinstance(run.get("bytes"), dict) and row_from_json(run.get("row"))
    return report if whole else {}


def list_files(report: Mapping[str, Any]) -> list[str]:
    """Names of the files that a report vouches for; none that lies elsewhere than beside it."""
    names = report["run"]["bytes"] if report else {}
    return [name for name in names if isinstance(name, str) and Path(name).name == name]


def find_finished(target: Target, pages: Sequence[int], settings: Mapping[str, Any]) -> Row | None:
    """Row of results that are there and were made of this content, by these settings and this version; else None."""
    report = read_report(target)
    if not report:
        return None
    same = (
        report.get("ecgpage") == __version__
        and isinstance(report.get("input"), dict)
        and report["input"].get("sha256") == target.sha256
        and report.get("settings") == dict(settings)
        and report["run"].get("pages") == list(pages)
    )
    try:
        there = same and all(
            (target.home / name).stat().st_size == report["run"]["bytes"][name] for name in list_files(report)
        )
    except OSError:
        return None
    return row_from_json(report["run"]["row"]) if there else None


def explain_write_error(error: OSError, folder: Path | str) -> str:
    """Why results could not be written to a folder, and the way out."""
    if error.errno in FULL:
        return f"{folder}: the disk is full; make room and go on with --skip-existing"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder}: no right to write there; choose another folder with -o"
    return f"{folder}: cannot be written ({error.strerror or error}); choose another folder with -o"


def _flush(path: Path) -> None:
    """Have the disk say now whether there is room."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
