"""Read the recorded ECGs for the drawing of training pages.

FOLDER holds ``ptbxl100/fold<k>.xz`` with ``ptbxl100/labels.csv``, ``hires500/signals.xz`` (or several packs) with
``hires500/records.csv`` (see ``ecgpage.core.signal_packs``), or some of these; ``ecgpage.train.prepare`` makes them. Of a
record in both, the 500-Hz form is taken. Records without a fold go with the training folds 1-7.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.signal_packs import load_pack, load_rows, twelve_leads
from ecgpage.synth.origins import name_origin

TRAINING_FOLDS: Final = frozenset("1234567")
"""Folds of PTB-XL that networks are trained on; 8 validates, 9 is reported."""
LABELLED: Final = frozenset(("ptbxl", "wfdb"))
"""Databases of ``hires500`` whose labels are the Challenge's own: PTB-XL, and folders of records with labels in headers."""


@dataclass(frozen=True)
class _Records:
    """Recorded ECGs of one pack."""

    microvolts: NDArray[np.int16]
    """(n, 8, n_samples) signals, uV, of the eight independent leads."""
    labels: list[str]
    """Labels of each record, separated by ';'."""
    numbers: NDArray[np.int64]
    origins: list[str]
    """Pack, database and fold of each record."""


class TrainingRecords:
    """Records of some folds, each once; signals stay packed until they are drawn."""

    def __init__(self, data: Path, folds: set[str]) -> None:
        """Read the records of ``folds`` in ``data``; ``EcgPageError`` when there is none."""
        self.parts: list[_Records] = []
        hires = data / "hires500" / "records.csv"
        if hires.exists():
            self.parts.append(_read_hires(hires, folds))
        sharper = {int(k) for part in self.parts for k in part.numbers}
        for fold in sorted(folds - {""}):
            path = data / "ptbxl100" / f"fold{fold}.xz"
            if path.exists():
                self.parts.append(_read_fold(path, fold, sharper))
        self.numbers = np.concatenate([part.numbers for part in self.parts] or [np.zeros(0, np.int64)])
        if len(self.numbers) == 0:
            raise EcgPageError(
                f"{data}: no records of the folds {sorted(folds)}; it needs ptbxl100/fold<k>.xz with "
                "labels.csv beside it, or hires500/signals.xz with records.csv (python -m ecgpage.train.prepare)"
            )
        self.starts = np.cumsum([0, *(len(part.numbers) for part in self.parts)])
        texts = [text for part in self.parts for text in part.labels]
        self.labels = np.array([[c in text.split(";") for c in CLASSES] for text in texts], np.bool_)
        self.labelled = np.array([bool(text) for text in texts], np.bool_)
        self.origins = [origin for part in self.parts for origin in part.origins]

    def __len__(self) -> int:
        return len(self.numbers)

    def signal(self, index: int) -> tuple[NDArray[np.float32], float]:
        """Signals (n_samples, 12), mV, of a record and their sampling frequency, Hz."""
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        microvolts = self.parts[part].microvolts[index - self.starts[part]]
        return twelve_leads(microvolts).T, microvolts.shape[1] / 10.0


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_hires(path: Path, folds: set[str]) -> _Records:
    """500-Hz records of ``folds``; labels that were mapped from another coding count as none (``LABELLED``)."""
    rows = _read_table(path)
    kept = [k for k, row in enumerate(rows) if row["strat_fold"] in folds]
    ours = [rows[k]["database"] in LABELLED for k in kept]
    numbers = [
        int(rows[k]["record"].split("_")[0]) if own else -1 - k for k, own in zip(kept, ours, strict=True)
    ]
    return _Records(
        load_rows(path.parent, rows, kept),
        [rows[k]["labels"] if own else "" for k, own in zip(kept, ours, strict=True)],
        np.array(numbers, np.int64),
        [name_origin(path.parent.name, rows[k]["strat_fold"], rows[k]["database"]) for k in kept],
    )


def _read_fold(path: Path, fold: str, known: set[int]) -> _Records:
    """Records of a fold without those whose numbers are ``known``."""
    rows = [row for row in _read_table(path.with_name("labels.csv")) if row["strat_fold"] == fold]
    microvolts = load_pack(path)
    if len(rows) != len(microvolts):
        raise EcgPageError(f"{path}: {len(microvolts)} records, but {len(rows)} rows in labels.csv")
    kept = [k for k, row in enumerate(rows) if int(row["ecg_id"]) not in known]
    numbers = np.array([int(rows[k]["ecg_id"]) for k in kept], np.int64)
    origins = [name_origin(path.parent.name, fold)] * len(kept)
    return _Records(microvolts[kept], [rows[k]["labels"] for k in kept], numbers, origins)
