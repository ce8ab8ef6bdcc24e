"""Table of a batch, ``summary.csv``: a row for each page, whatever became of it."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from ecgpage.cli.names import SUMMARY

Outcome = Literal["ok", "partial", "failed", "skipped"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "partial", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one page; texts, so that the table of a batch that goes on is the one of a batch that ran through."""

    file: str
    """Path as the command line spells it; the record's name in anonymous batches."""
    page: str
    """Number from 1, "1-2" where pages are one record; empty where the file could not be opened."""
    record: str
    """Results below the output folder, without suffix; empty where there are none."""
    sha256: str
    """Of the file."""
    status: Outcome
    """"ok", "partial" and "failed" as in ``Digitization``; "skipped": the same content stands in another row."""
    layout: str = ""
    """Rows x columns + rhythm strips."""
    speed: str = ""
    """Paper speed, mm/s."""
    gain: str = ""
    """Gain, mm/mV."""
    leads: str = ""
    """Number of leads that were read."""
    worst_lead: str = ""
    """Lead of the lowest expected SNR; one that was not read, where there is one."""
    snr_db: str = ""
    """Mean expected SNR of the leads that were read, dB."""
    grade: str = ""
    """A, B, C or "–": how likely scale, names and times are right; empty where it is not known."""
    labels: str = ""
    """Diagnoses, separated by ";"."""
    reason: str = ""
    """Why it was not read, or not whole, and what was assumed."""
    seconds: str = ""
    """Time that reading took."""

    def as_json(self) -> dict[str, Any]:
        """Row as JSON values."""
        return asdict(self)


COLUMNS: Final = tuple(f.name for f in fields(Row))


def row_from_json(values: Any) -> Row | None:
    """Row from what ``Row.as_json`` gave; None when it is none."""
    if not isinstance(values, dict) or values.get("status") not in OUTCOMES:
        return None
    texts: dict[str, Any] = {name: values.get(name, "") for name in COLUMNS}
    return Row(**texts) if all(isinstance(text, str) for text in texts.values()) else None


def read_summary(folder: Path) -> list[Row]:
    """Rows of an earlier summary; none where there is no such table."""
    try:
        with open(folder / SUMMARY, encoding="utf-8", newline="") as file:
            rows = [row_from_json(values) for values in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if row is not None]


def write_summary(folder: Path, rows: Iterable[Row]) -> Path:
    """Write the table, sorted by file and page, whole or not at all; rows of earlier batches in this folder stay.

    An earlier row gives way to one of this batch for the same file and page, or for the same results. ``OSError`` when it
    cannot be written.
    """
    new = list(rows)
    replaced = {(row.file, row.page) for row in new} | {(row.file, "") for row in new}
    taken = {row.record for row in new if row.record}
    old = [
        row
        for row in read_summary(folder)
        if row.record and row.record not in taken and (row.file, row.page) not in replaced
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted([*old, *new], key=_place):
        writer.writerow([getattr(row, name) for name in COLUMNS])
    path = folder / SUMMARY
    beside = folder / f".{SUMMARY}.{os.getpid()}"
    try:
        beside.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return path


def in_one_line(reasons: Iterable[str]) -> str:
    """Reasons for a table or a terminal: one line, without control characters."""
    return "; ".join(" ".join(reason.split()) for reason in reasons)


def rename(row: Row, file: str, record: str) -> Row:
    """Row as a batch that names this file and these results writes it."""
    return replace(row, file=file, record=record)


def _place(row: Row) -> tuple[str, int, str]:
    first = row.page.split("-")[0]
    return row.file, int(first) if first.isdigit() else 0, row.record
