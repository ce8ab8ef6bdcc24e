"""A small folder of training data for the tests of what is drawn from one."""

import csv
from pathlib import Path

import pytest

from ecgpage.core.signal_packs import save_pack
from tests.synth.pages import beats


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def training_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds at 100 Hz, and 500-Hz records of which the first is also in fold 1 and the last has no fold."""
    folder = tmp_path_factory.mktemp("data")
    write_table(
        folder / "ptbxl100/labels.csv",
        [
            {"ecg_id": 11, "strat_fold": 1, "labels": "NORM"},
            {"ecg_id": 12, "strat_fold": 1, "labels": "CD;PVC"},
            {"ecg_id": 13, "strat_fold": 1, "labels": ""},
            {"ecg_id": 81, "strat_fold": 8, "labels": "HYP"},
        ],
    )
    save_pack(folder / "ptbxl100/fold1.xz", beats(100, 3))
    save_pack(folder / "ptbxl100/fold8.xz", beats(100, 1))
    write_table(
        folder / "hires500/records.csv",
        [
            {"database": "ptbxl", "record": "00012_hr", "strat_fold": 1, "labels": "CD;PVC"},
            {"database": "georgia", "record": "E1", "strat_fold": "", "labels": "TACHY"},
        ],
    )
    save_pack(folder / "hires500/signals.xz", beats(500, 2))
    return folder
