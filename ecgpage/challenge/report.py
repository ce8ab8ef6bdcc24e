"""Write a JSON report of each record that ``run_model.py`` reads: more than the labels."""

import json
import math
from pathlib import Path

from ecgpage.diagnosis.diagnoser import RecordDiagnosis
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.results import RecordReading


def write_report(folder: str | Path, record: str, reading: RecordReading, found: RecordDiagnosis) -> None:
    """Write ``<folder>/<folder of the record>/<record>.json``.

    It holds the labels, the final probabilities and those of each branch, leads read, expected SNR (dB), reasons and
    seconds. Numbers that are not known are null.
    """
    report = {
        "labels": found.answer.labels,
        "probabilities": _probabilities(found.answer),
        "signal": _probabilities(found.signal),
        "page": _probabilities(found.page),
        "leads_read": found.leads_read,
        "snr_db": _known(found.snr_db),
        "reasons": reading.reasons,
        "seconds": reading.seconds,
    }
    path = Path(record).absolute()
    target = Path(folder) / path.parent.name
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{path.name}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def _probabilities(branch: Diagnosis | None) -> dict[str, float | None] | None:
    return None if branch is None else {c: _known(p) for c, p in branch.probabilities.items()}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
