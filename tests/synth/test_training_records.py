"""Records that training pages are drawn of: each once, in its sharper form, with its labels."""

from pathlib import Path

import pytest

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.synth.training_records import TrainingRecords


def by_number(records: TrainingRecords) -> dict[int, int]:
    return {int(number): k for k, number in enumerate(records.numbers)}


def test_each_record_is_there_once_in_its_sharper_form(training_data: Path):
    records = TrainingRecords(training_data, {"1", ""})
    place = by_number(records)
    assert sorted(place) == [-2, 11, 12, 13]
    assert records.signal(place[11])[1] == 100.0
    signal, fs = records.signal(place[12])
    assert (signal.shape, fs) == ((5000, 12), 500.0)


def test_each_record_knows_its_pack_and_fold(training_data: Path):
    records = TrainingRecords(training_data, {"1", ""})
    assert {n: records.origins[k] for n, k in by_number(records).items()} == {
        11: "ptbxl100 fold 1",
        12: "hires500 ptbxl fold 1",
        13: "ptbxl100 fold 1",
        -2: "hires500 georgia",
    }


def test_labels_are_those_of_ptb_xl_alone(training_data: Path):
    records = TrainingRecords(training_data, {"1", ""})
    held = {
        n: [c for c, on in zip(CLASSES, records.labels[k], strict=True) if on]
        for n, k in by_number(records).items()
    }
    assert held == {11: ["NORM"], 12: ["CD", "PVC"], 13: [], -2: []}
    assert {n: bool(records.labelled[k]) for n, k in by_number(records).items()} == {
        11: True,
        12: True,
        13: False,
        -2: False,
    }


def test_other_folds_and_what_has_none_stay_away(training_data: Path):
    assert list(TrainingRecords(training_data, {"8"}).numbers) == [81]


def test_a_folder_without_the_folds_says_what_it_needs(tmp_path: Path):
    with pytest.raises(EcgPageError, match=r"ptbxl100/fold<k>.xz"):
        TrainingRecords(tmp_path, {"1"})
