"""Sources of recordings: folders of WFDB records and packs of many recordings."""

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError, canonical_lead
from ecgpage.core.signal_packs import load_pack, twelve_leads

log = logging.getLogger(__name__)

TO_MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}
"""Factor to mV by unit in small letters; micro is a u, the micro sign or the Greek letter."""
SEXES = {"0": "Male", "1": "Female", "m": "Male", "f": "Female", "male": "Male", "female": "Female"}


@dataclass(frozen=True)
class Recording:
    """One recorded ECG."""

    name: str
    """Path of the record below its folder, without extension."""
    signal: NDArray[np.float32]
    """(n_samples, 12) signals, mV, in the order of ``LEADS``."""
    fs: float
    comments: tuple[str, ...] = ()
    """Header comments without labels and image names, such as ``Age: 56``."""
    labels: tuple[str, ...] = field(default=())

    def patient(self) -> dict[str, str]:
        """Patient's data for a page's printed header."""
        found = dict(c.split(": ", 1) for c in self.comments if ": " in c)
        known = {
            key: found[key]
            for key in ("Age", "Sex", "Height", "Weight")
            if found.get(key, "Unknown") != "Unknown"
        }
        return {"ID": Path(self.name).name, "Name": "", **known}


class Source(Protocol):
    """Sized collection of recordings that can be read in any order."""

    names: Sequence[str]

    def read(self, index: int) -> Recording:
        """Recording ``index``; raises ``EcgPageError`` when it cannot be used."""


class WfdbFolder:
    """WFDB records at any depth of a folder, sorted by name, of twelve leads in any order and spelling."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.names: Sequence[str] = sorted(
            str(path.relative_to(self.folder).with_suffix("")) for path in self.folder.rglob("*.hea")
        )
        if not self.names:
            raise EcgPageError(
                f"{self.folder}: no WFDB header (.hea) found; is this the folder of the records?"
            )

    def read(self, index: int) -> Recording:
        """Recording of record ``index``."""
        return read_wfdb(self.folder, self.names[index])


def read_wfdb(folder: Path, name: str) -> Recording:
    """Recording of the WFDB record ``name`` (path below ``folder``, without extension); ``EcgPageError`` if it is none."""
    part = read_leads(folder, name)
    column = {canonical_lead(lead): k for k, lead in enumerate(part.leads)}
    missing = [lead for lead in LEADS if lead not in column]
    if missing:
        raise EcgPageError(f"{name}: lacks lead {', '.join(missing)}")
    signal = np.asarray(part.signal[:, [column[lead] for lead in LEADS]], np.float32)
    return Recording(name, signal, part.fs, part.comments, part.labels)


@dataclass(frozen=True)
class PartialRecording:
    """Recording of whatever leads there are."""

    signal: NDArray[np.floating]
    """(n_samples, len(leads)) signals, mV."""
    leads: list[str]
    fs: float
    comments: tuple[str, ...]
    """Header comments without labels and image names."""
    labels: tuple[str, ...]


def read_leads(folder: Path, name: str) -> PartialRecording:
    """Leads of the WFDB record ``name``; ``EcgPageError`` when it cannot be read or is no voltage."""
    import wfdb  # slow to import, and packs do without  # noqa: PLC0415

    try:
        signal, fields = wfdb.rdsamp(str(folder / name))
    except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise EcgPageError(f"{name}: cannot be read as WFDB: {error}") from error
    if signal is None:
        raise EcgPageError(f"{name}: its header names no signal file")
    try:
        scale = [TO_MV[str(unit).lower()] for unit in fields["units"]]
    except KeyError as error:
        raise EcgPageError(f"{name}: unit {error} is not a voltage") from error
    comments = _read_comments(folder / f"{name}.hea")
    labels = [c.split(":", 1)[1] for c in comments if c.startswith("Labels:")]
    return PartialRecording(
        np.asarray(signal) * scale,
        [str(lead) for lead in fields["sig_name"]],
        float(fields["fs"]),
        tuple(c for c in comments if not c.startswith(("Labels:", "Image:"))),
        tuple(label.strip() for text in labels for label in text.split(",") if label.strip()),
    )


def _read_comments(header: Path) -> list[str]:
    """Comments of a header, of which wfdb would keep the letters of ASCII alone."""
    lines = [line.strip() for line in header.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [line.strip(" \t#") for line in lines if line.startswith("#")]


class Pack:
    """Pack of recordings, with its table where there is one.

    The table's columns ``ecg_id`` or ``record``, ``age``, ``sex``, ``labels`` (separated by ';') are
    used; row k belongs to recording k, after the rows of other folds are dropped where the table holds
    more rows than the pack.
    """

    def __init__(self, path: str | Path, table: str | Path | None = None, fs: float | None = None) -> None:
        self.path = Path(path)
        self.signals = load_pack(path)
        self.fs = fs or self.signals.shape[2] / 10.0
        self.rows = self._rows(Path(table)) if table else [{}] * len(self.signals)
        self.names: Sequence[str] = [self._name(k) for k in range(len(self.signals))]

    def _rows(self, table: Path) -> list[dict[str, str]]:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if len(rows) > len(self.signals):
            fold = "".join(c for c in self.path.stem if c.isdigit())
            rows = [row for row in rows if row.get("strat_fold") == fold]
        if len(rows) != len(self.signals):
            raise EcgPageError(
                f"{table}: {len(rows)} rows for the {len(self.signals)} recordings of {self.path}"
            )
        return rows

    def _name(self, index: int) -> str:
        row = self.rows[index]
        if row.get("record"):
            return row["record"]
        if row.get("ecg_id"):
            return f"{int(row['ecg_id']):05d}_{'hr' if self.fs >= 400 else 'lr'}"
        return f"{self.path.stem}_{index:05d}"

    def read(self, index: int) -> Recording:
        """Recording ``index``."""
        row = self.rows[index]
        comments = []
        if row.get("age"):
            comments.append(f"Age: {float(row['age']):g}")
        if row.get("sex"):
            comments.append(f"Sex: {SEXES.get(row['sex'].lower(), 'Unknown')}")
        return Recording(
            name=self.names[index],
            signal=twelve_leads(self.signals[index]).T,
            fs=self.fs,
            comments=tuple(comments),
            labels=tuple(label for label in row.get("labels", "").split(";") if label),
        )


def usable(source: Source) -> Iterator[Recording]:
    """Recordings that can be read; the others are logged."""
    for index in range(len(source.names)):
        try:
            yield source.read(index)
        except EcgPageError as error:
            log.warning("skipped: %s", error)
