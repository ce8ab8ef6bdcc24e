"""Turn recordings on disk into the packs that the trainings read.

    python -m ecgpage.train.prepare PTBXL_FOLDER OUT --ptbxl-plus PTBXL_PLUS_FOLDER
    python -m ecgpage.train.prepare RECORDS_FOLDER OUT

PTBXL_FOLDER is a download of PTB-XL (``ptbxl_database.csv``, ``scp_statements.csv``, ``records100``, ``records500``). The
labels are the Challenge's; its acute infarctions need PTB-XL+ (``labels/12sl_statements.csv`` and
``labels/mapping/12slv23ToSNOMED.csv``). Fold 10 stays out, for a final test, unless ``--folds`` names it.

RECORDS_FOLDER holds WFDB records at any depth, with a line ``# Labels: ...`` in their headers, and ``# Patient: ...`` where
patients have several records. Patients (records without one) are dealt out to the folds 8, 1, 2, ... 7, 9, so that no
patient is trained on and validated with.

OUT gets ``ptbxl100`` (100 Hz, all records) and ``hires500`` (500 Hz, records of at least ``SHARP_HZ``). The first 10 s of
each record with all leads and samples are taken, once where a folder holds them twice; the log counts the others by reason. A
stopped run goes on at the fold where it was; more than one fold is never in memory.
"""

import argparse
import csv
import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.signal_packs import PACK_LEADS, save_pack
from ecgpage.diagnosis.preprocessing import resample
from ecgpage.synth.sources import Recording, read_wfdb
from ecgpage.train.record_lists import DEALT_FOLDS, PTBXL_FOLDS, Entry, list_ptbxl, list_wfdb

log = logging.getLogger(__name__)

SECONDS: Final = 10
"""Time, s, of a record in a pack."""
SHARP_HZ: Final = 200.0
"""Sampling frequency, Hz, from which a record is sharp enough for the 500-Hz pack."""
LARGEST_UV: Final = 32767
"""Voltage, uV, of a pack, at most."""
LABEL_COLUMNS: Final = ("ecg_id", "patient_id", "age", "sex", "strat_fold", "scp_codes", "labels", "record")
"""Columns of ``labels.csv``."""
RECORD_COLUMNS: Final = ("database", "record", "strat_fold", "labels", "pack")
"""Columns of ``records.csv``."""
DONE: Final = "prepared.json"
"""File in OUT that says from what its packs were made."""

Packed = NDArray[np.int16]
"""(8, n_samples) signals, uV, of one record."""


# --- one record ---------------------------------------------------------------------------------------------


def pack_signal(recording: Recording, fs: int) -> Packed:
    """First 10 s of a recording, uV at ``fs`` Hz; EcgPageError with the reason when they cannot be packed."""
    needed = round(SECONDS * recording.fs)
    if len(recording.signal) < needed:
        raise EcgPageError("shorter than 10 s")
    mv = recording.signal[:needed, [LEADS.index(lead) for lead in PACK_LEADS]].T.astype(np.float64)
    if not np.isfinite(mv).all():
        raise EcgPageError("samples missing")
    microvolts = np.round(1000 * resample(mv, recording.fs, fs)[:, : SECONDS * fs])
    if np.abs(microvolts).max() > LARGEST_UV:
        raise EcgPageError("beyond 32.767 mV")
    return microvolts.astype(np.int16)


def read_entry(folder: Path, entry: Entry) -> tuple[Entry, Packed, Packed | None]:
    """Entry with its labels, its signal at 100 Hz, and at 500 Hz where it is sharp enough."""
    low_name, high_name = entry.files
    high = read_wfdb(folder, high_name) if high_name and (folder / f"{high_name}.hea").exists() else None
    low = read_wfdb(folder, low_name) if low_name and (folder / f"{low_name}.hea").exists() else high
    if low is None:
        raise EcgPageError("no header (.hea)")
    sharp = None if high is None or high.fs < SHARP_HZ else pack_signal(high, 500)
    if not entry.codes:  # a folder's own labels stand in its headers
        patient = low.patient()
        data = {"labels": low.labels, "age": patient.get("Age", ""), "sex": patient.get("Sex", "")}
        entry = Entry(**{**asdict(entry), **data})
    return entry, pack_signal(low, 100), sharp


# --- folds --------------------------------------------------------------------------------------------------


class Packs:
    """Packs in the making: a fold at a time, each kept in ``parts`` until the tables of all are written."""

    def __init__(self, folder: Path, out: Path, made_from: dict[str, Any]) -> None:
        """``made_from``: what the packs are made from; EcgPageError when OUT holds packs of something else."""
        self.folder, self.out, self.made_from = folder, out, made_from
        self.parts = out / "parts"
        begun = self.parts / DONE
        for path in (out / DONE, begun):
            if path.exists() and json.loads(path.read_text(encoding="utf-8"))["made_from"] != made_from:
                raise EcgPageError(f"{out}: holds packs of other records or options; give an empty folder")
        self.finished = (out / DONE).exists()
        if not self.finished:
            for sub in (out / "ptbxl100", out / "hires500", self.parts):
                sub.mkdir(parents=True, exist_ok=True)
            write_text(begun, json.dumps({"made_from": made_from}))
        self.seen: dict[str, int] = {}
        """Number of the first record with each signal, by its digest: later ones are duplicates."""

    def add_fold(self, fold: int, entries: Sequence[Entry], sharp: set[int]) -> None:
        """Write the packs of a fold, unless they are there; the numbers in ``sharp`` go to the 500-Hz pack, too."""
        part = self.parts / f"fold{fold}.json"
        if not part.exists():
            self._write_fold(fold, entries, sharp, part)
        for row in json.loads(part.read_text(encoding="utf-8"))["rows"]:
            self.seen.setdefault(row["digest"], row["ecg_id"])

    def _write_fold(self, fold: int, entries: Sequence[Entry], sharp: set[int], part: Path) -> None:
        rows: list[dict[str, Any]] = []
        low, high = [], []
        left_out: Counter[str] = Counter()
        seen = set(self.seen)
        for entry in tqdm(entries, desc=f"fold {fold}", unit="record", disable=None, leave=False):
            try:
                labelled, signal, fine = read_entry(self.folder, entry)
            except EcgPageError as error:
                reason = str(error).removeprefix(f"{entry.files[1]}: ").removeprefix(f"{entry.files[0]}: ")
                left_out[reason.split(":")[0]] += 1
                log.debug("%s: left out (%s)", entry.files[1] or entry.files[0], error)
                continue
            digest = hashlib.sha256(signal.tobytes()).hexdigest()[:16]
            if not entry.codes and digest in seen:
                left_out["the same signal as another record"] += 1
                continue
            seen.add(digest)
            low.append(signal)
            in_high = fine is not None and entry.number in sharp
            if fine is not None and in_high:
                high.append(fine)
            rows.append(_row(labelled) | {"digest": digest, "sharp": in_high})
        if low:
            save_pack(self.out / "ptbxl100" / f"fold{fold}.xz", np.stack(low), preset=3)
        if high:
            save_pack(self.out / "hires500" / f"signals_{fold:02d}.xz", np.stack(high), preset=3)
        for reason, count in left_out.items():
            log.warning("fold %d: %d of %d records left out: %s", fold, count, len(entries), reason)
        log.info("fold %d: %d records, %d of them at 500 Hz", fold, len(low), len(high))
        write_text(part, json.dumps({"rows": rows, "left_out": left_out}))

    def finish(self, folds: Sequence[int], database: str) -> int:
        """Write the tables and forget the parts; returns the number of records. EcgPageError when there is none."""
        rows = [
            row
            for fold in folds
            for row in json.loads((self.parts / f"fold{fold}.json").read_text(encoding="utf-8"))["rows"]
        ]
        if not rows:
            raise EcgPageError(f"{self.folder}: no record could be packed; the log gives the reasons")
        fine = [
            {
                "database": database,
                "record": row["record"],
                "strat_fold": row["strat_fold"],
                "labels": row["labels"],
                "pack": f"signals_{row['strat_fold']:02d}.xz",
            }
            for row in rows
            if row["sharp"]
        ]
        _write_table(self.out / "ptbxl100" / "labels.csv", LABEL_COLUMNS, rows)
        if fine:
            _write_table(self.out / "hires500" / "records.csv", RECORD_COLUMNS, fine)
        write_text(self.out / DONE, json.dumps({"made_from": self.made_from, "records": len(rows)}))
        shutil.rmtree(self.parts)
        return len(rows)


def _row(entry: Entry) -> dict[str, Any]:
    """Row of ``labels.csv``; ``record`` begins with the number, as in ``records.csv``."""
    name = entry.files[1] or entry.files[0]
    stem = Path(name).name
    record = stem if entry.codes and stem.startswith(f"{entry.number:05d}_") else f"{entry.number:05d}_{name}"
    return {
        "ecg_id": entry.number,
        "patient_id": entry.patient,
        "age": entry.age,
        "sex": entry.sex,
        "strat_fold": entry.fold,
        "scp_codes": entry.codes,
        "labels": ";".join(entry.labels),
        "record": record,
    }


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text that appears whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f".{path.name}.new").write_text(text, encoding="utf-8")
    path.with_name(f".{path.name}.new").replace(path)


# --- all of it ----------------------------------------------------------------------------------------------


def spread(entries: Sequence[Entry], most: int | None) -> set[int]:
    """Numbers of at most ``most`` entries, evenly spaced over all folds; all of them for None."""
    if most is None or most >= len(entries):
        return {entry.number for entry in entries}
    places = np.linspace(0, len(entries), most, endpoint=False).astype(int)
    return {entries[place].number for place in places}


def prepare(
    folder: Path,
    out: Path,
    *,
    folds: Sequence[int] | None = None,
    plus: Path | None = None,
    most_sharp: int | None = None,
) -> int:
    """Write the packs of a folder to ``out``; returns the number of records.

    Args:
        folder: PTB-XL download where it holds ``ptbxl_database.csv``, else WFDB records with labels in their headers.
        out: made if missing; a stopped run goes on there.
        folds: folds of PTB-XL, or those to which a folder's patients are dealt out; None for the defaults.
        plus: folder of PTB-XL+, for the acute infarctions.
        most_sharp: number of records at 500 Hz, at most, evenly from all folds; None for all.

    Raises EcgPageError when nothing can be packed, a table is missing or wrong, or ``out`` holds other packs.
    """
    is_ptbxl = (folder / "ptbxl_database.csv").exists()
    if is_ptbxl:
        chosen = tuple(folds or PTBXL_FOLDS)
        entries = list_ptbxl(folder, chosen, plus)
    else:
        chosen = tuple(folds or DEALT_FOLDS)
        entries = list_wfdb(folder, chosen)
    digest = hashlib.sha256("\n".join(repr(entry) for entry in entries).encode()).hexdigest()
    packs = Packs(folder, out, {"records": digest, "most_sharp": most_sharp})
    if packs.finished:
        log.info("%s: all packs are there", out)
        return int(json.loads((out / DONE).read_text(encoding="utf-8"))["records"])
    sharp = spread(entries, most_sharp)
    found = sorted({entry.fold for entry in entries})
    for fold in found:
        packs.add_fold(fold, [entry for entry in entries if entry.fold == fold], sharp)
    count = packs.finish(found, "ptbxl" if is_ptbxl else "wfdb")
    log.info("%s: %d of %d records", out, count, len(entries))
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="PTB-XL download, or WFDB records with labels"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the packs")
    parser.add_argument(
        "--ptbxl-plus", type=Path, help="folder of PTB-XL+, whose 12SL statements tell acute infarctions"
    )
    parser.add_argument("--folds", type=int, nargs="+", help="folds; of PTB-XL 1 to 9 by default")
    parser.add_argument(
        "--most-sharp", type=int, help="records at 500 Hz, at most; 80 kB of memory each in a training"
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare(args.folder, args.out, folds=args.folds, plus=args.ptbxl_plus, most_sharp=args.most_sharp)


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        raise SystemExit(str(error)) from None
