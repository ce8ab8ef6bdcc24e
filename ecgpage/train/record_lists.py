"""Records that there are to train on: those of a PTB-XL download, or those of a folder with labels in their headers."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecgpage.challenge.ptbxl_labels import LabelRules, read_codes, read_table
from ecgpage.core.conventions import EcgPageError
from ecgpage.synth.sources import WfdbFolder

log = logging.getLogger(__name__)

PTBXL_FOLDS: Final = tuple(range(1, 10))
"""Folds of PTB-XL that are prepared unless others are named."""
DEALT_FOLDS: Final = (8, 1, 2, 3, 4, 5, 6, 7, 9)
"""Folds in the order in which patients of a folder are dealt out: the validation's first, as few must have one, too."""


@dataclass(frozen=True)
class Entry:
    """Record to prepare."""

    number: int
    fold: int
    files: tuple[str, str]
    """Names of its WFDB records at 100 Hz and at 500 Hz, or whatever there is, below the folder; "" for none."""
    labels: tuple[str, ...] = ()
    codes: str = ""
    """Statements of its reading, code:likelihood, separated by ';'."""
    patient: str = ""
    age: str = ""
    sex: str = ""
    header: str = ""
    """Digest of its header, which knows labels and checksums of the signal; "" for a table's record."""


def list_ptbxl(folder: Path, folds: Sequence[int], plus: Path | None) -> list[Entry]:
    """Records of a PTB-XL download, with the Challenge's labels; without PTB-XL+ (``plus``) none is an Acute MI."""
    statements = plus / "labels" / "12sl_statements.csv" if plus else None
    acronyms = plus / "labels" / "mapping" / "12slv23ToSNOMED.csv" if plus else None
    rules = LabelRules.read(folder / "scp_statements.csv", statements, acronyms)
    if plus is None:
        log.warning("without --ptbxl-plus every infarction is labelled Old MI, none Acute MI")
    columns = ("ecg_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
    found = []
    for row in read_table(folder / "ptbxl_database.csv", columns):
        number, fold = int(float(row["ecg_id"])), int(float(row["strat_fold"]))
        if fold not in folds:
            continue
        codes = read_codes(row["scp_codes"])
        found.append(
            Entry(
                number,
                fold,
                (row["filename_lr"], row["filename_hr"]),
                tuple(rules.labels(number, codes)),
                ";".join(f"{code}:{likelihood:g}" for code, likelihood in codes.items()),
                row.get("patient_id", "").removesuffix(".0"),
                row.get("age", ""),
                row.get("sex", ""),
            )
        )
    if not found:
        raise EcgPageError(f"{folder / 'ptbxl_database.csv'}: no record of the folds {list(folds)}")
    return sorted(found, key=lambda entry: (entry.fold, entry.number))


def list_wfdb(folder: Path, folds: Sequence[int] = DEALT_FOLDS) -> list[Entry]:
    """Records of a folder, their patients dealt out to ``folds`` in an order that their names decide."""
    names = WfdbFolder(folder).names
    headers = {name: _read(folder / f"{name}.hea") for name in names}
    patients = {name: patient or name for name, (patient, _) in headers.items()}
    order = sorted(set(patients.values()), key=lambda text: hashlib.sha256(text.encode()).digest())
    dealt = {patient: folds[k % len(folds)] for k, patient in enumerate(order)}
    entries = [
        Entry(k, dealt[patients[name]], ("", name), patient=patients[name], header=headers[name][1])
        for k, name in enumerate(names, start=1)
    ]
    return sorted(entries, key=lambda entry: (entry.fold, entry.number))


def _read(header: Path) -> tuple[str, str]:
    """Patient that a header's comments name, "" when they name none, and digest of the header."""
    try:
        content = header.read_bytes()
    except OSError:
        return "", ""
    digest = hashlib.sha256(content).hexdigest()[:16]
    for line in content.decode("utf-8", errors="replace").splitlines():
        key, _, value = line.lstrip("# ").partition(":")
        if line.startswith("#") and key.strip().lower() in ("patient", "patient id", "subject"):
            return value.strip(), digest
    return "", digest
