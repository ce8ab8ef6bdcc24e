"""Packs from recordings on disk: a small PTB-XL, a folder of records of all kinds."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.signal_packs import load_pack, twelve_leads
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.train import prepare as module
from ecgpage.train.prepare import prepare
from ecgpage.train.record_lists import Entry
from ecgpage.train.signal_examples import load_folds
from ecgpage.train.trace_crops import load_signals
from tests.train.records import microvolts, write


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


CODES = {
    1: "{'NORM': 100.0, 'SR': 0.0}",
    2: "{'IMI': 35.0, 'PVC': 0.0}",
    3: "{'SR': 0.0}",
    8: "{'NORM': 80.0}",
}


@pytest.fixture
def ptbxl(tmp_path: Path) -> Path:
    """Records 1 to 3 of fold 1, 8 of fold 8, 10 of fold 10; record 3 has no 500-Hz form."""
    folder = tmp_path / "ptb-xl"
    rows = []
    for number, fold in ((2, 1), (1, 1), (3, 1), (8, 8), (10, 10)):
        names = f"records100/00000/{number:05d}_lr", f"records500/00000/{number:05d}_hr"
        for name, fs in zip(names, (100, 500), strict=True):
            if fs == 500 and number == 3:
                continue
            path = folder / name
            write(path.parent, path.name, twelve_leads(microvolts(number, fs)).T.astype(float), fs)
        rows.append(
            {
                "ecg_id": number,
                "patient_id": f"{number}.0",
                "age": "56.0",
                "sex": "1",
                "strat_fold": fold,
                "scp_codes": CODES.get(number, "{}"),
                "filename_lr": names[0],
                "filename_hr": names[1],
            }
        )
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class\nNORM,,1.0,,,NORM\nIMI,,1.0,,,MI\nSR,,,,1.0,\n"
    )
    return folder


def test_a_download_of_ptb_xl_becomes_the_packs_that_trainings_read(ptbxl: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare(ptbxl, out) == 4
    rows = read_table(out / "ptbxl100/labels.csv")
    assert [(row["ecg_id"], row["strat_fold"], row["labels"]) for row in rows] == [
        ("1", "1", "NORM"), ("2", "1", "Old MI;PVC"), ("3", "1", ""), ("8", "8", "NORM"),
    ]  # fmt: skip
    assert rows[1]["scp_codes"] == "IMI:35;PVC:0"
    np.testing.assert_array_equal(
        load_pack(out / "ptbxl100/fold1.xz"), [microvolts(k, 100) for k in (1, 2, 3)]
    )
    signals, origins = load_signals(out, {"1", "8"})
    np.testing.assert_array_equal(signals, [microvolts(k, 500) for k in (1, 2, 8)])
    assert origins == ["hires500 ptbxl fold 1"] * 2 + ["hires500 ptbxl fold 8"]
    records = TrainingRecords(out, {"1"})
    assert sorted(records.numbers.tolist()) == [1, 2, 3]
    assert {len(records.signal(k)[0]) for k in range(3)} == {1000, 5000}
    fold = load_folds(out / "ptbxl100", [1, 8], tmp_path / "cache")
    assert fold.labels == [["NORM"], ["Old MI", "PVC"], ["NORM"]]


def test_fewer_500_hz_records_come_evenly_from_all_folds(ptbxl: Path, tmp_path: Path) -> None:
    prepare(ptbxl, tmp_path / "out", most_sharp=2)
    assert [row["strat_fold"] for row in read_table(tmp_path / "out/hires500/records.csv")] == ["1"]
    assert len(read_table(tmp_path / "out/ptbxl100/labels.csv")) == 4


def test_a_stopped_run_goes_on_at_its_fold(
    ptbxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, read, real = tmp_path / "out", [], module.read_entry

    def stop_at_8(folder: Path, entry: Entry):  # type: ignore[no-untyped-def]
        read.append(entry.number)
        if entry.number == 8 and len(read) == 4:
            raise KeyboardInterrupt
        return real(folder, entry)

    monkeypatch.setattr(module, "read_entry", stop_at_8)
    with pytest.raises(KeyboardInterrupt):
        prepare(ptbxl, out)
    assert prepare(ptbxl, out) == 4
    assert read == [1, 2, 3, 8, 8]
    assert prepare(ptbxl, out) == 4  # all there: nothing is read
    assert len(read) == 5
    with pytest.raises(EcgPageError, match="other records or options"):
        prepare(ptbxl, out, folds=[1])
    assert not (out / "parts").exists()


def test_records_of_any_rate_unit_and_order_with_labels_in_their_headers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, out = tmp_path / "records", tmp_path / "out"
    wave = twelve_leads(microvolts(1, 500)).T.astype(float)
    write(folder / "a", "r1", wave, 500, comments=("Labels: NORM, My class", "Patient: p1", "Age: 40"))
    write(
        folder / "a",
        "r10",
        wave[:, ::-1] * 0.9,
        500,
        leads=LEADS[::-1],
        comments=("Labels: CD", "Patient: p1"),
    )
    write(folder / "b", "r1", wave * 0.8, 500, unit="uV", comments=("Labels: ",))
    write(folder / "b", "volts", wave * 0.7, 500, unit="V")
    write(
        folder / "b", "slow", twelve_leads(microvolts(2, 100)).T.astype(float), 100, comments=("Labels: HYP",)
    )
    write(
        folder / "b", "odd", twelve_leads(microvolts(3, 250)).T.astype(float), 250, comments=("Labels: PAC",)
    )
    bad = folder / "bad"
    for twin in ("twin", "other"):
        write(bad, twin, wave * 0.6, 500, comments=("Labels: CD",))
    write(bad, "short", wave[:4000], 500)
    write(bad, "gap", np.where(np.arange(5000)[:, None] == 9, np.nan, wave), 500)
    write(bad, "two", wave[:, :2], 500, leads=LEADS[:2])
    write(bad, "lost", wave, 500)
    (bad / "lost.dat").unlink()
    (bad / "empty.hea").write_text("")
    with caplog.at_level(logging.WARNING):
        assert prepare(folder, out) == 7
    for reason in (
        "same signal",
        "shorter than 10 s",
        "samples missing",
        "lacks lead",
        "cannot be read as WFDB",
    ):
        assert reason in caplog.text
    rows = {row["record"].split("_", 1)[1]: row for row in read_table(out / "ptbxl100/labels.csv")}
    assert rows["b/slow"]["labels"] == "HYP"
    pair = [row for row in rows.values() if row["patient_id"] == "p1"]
    assert len(pair) == 2
    assert pair[0]["strat_fold"] == pair[1]["strat_fold"]
    assert {row["labels"] for row in pair} == {"NORM;My class", "CD"}
    assert any(row["strat_fold"] == "8" for row in rows.values())
    records = TrainingRecords(out, set("123456789"))
    sharp = {len(records.signal(k)[0]): 0 for k in range(len(records))}
    assert set(sharp) == {1000, 5000}
    by_number = {int(number): k for k, number in enumerate(records.numbers)}
    for name, scale in (("b/volts", 0.7), ("b/r1", 0.8), ("a/r10", 0.9)):
        k = by_number[int(rows[name]["ecg_id"])]
        np.testing.assert_allclose(records.signal(k)[0], wave * scale, atol=2e-3)
        assert records.labelled[k] == bool(rows[name]["labels"])
    k = by_number[int(rows["b/odd"]["ecg_id"])]
    np.testing.assert_allclose(
        records.signal(k)[0][100:-100], twelve_leads(microvolts(3, 500)).T[100:-100], atol=0.02
    )


def test_patients_are_dealt_out_so_that_two_already_validate(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    for k in range(2):
        write(folder, f"r{k}", twelve_leads(microvolts(k, 100)).T.astype(float), 100)
    prepare(folder, tmp_path / "out")
    assert {row["strat_fold"] for row in read_table(tmp_path / "out/ptbxl100/labels.csv")} == {"1", "8"}


def test_a_folder_without_usable_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EcgPageError, match="no WFDB header"):
        prepare(tmp_path, tmp_path / "out")
    write(tmp_path / "records", "short", np.zeros((100, 12)), 100)
    with pytest.raises(EcgPageError, match="no record could be packed"):
        prepare(tmp_path / "records", tmp_path / "out")


def test_what_was_made_stands_beside_the_packs(ptbxl: Path, tmp_path: Path) -> None:
    prepare(ptbxl, tmp_path / "out", folds=[8])
    assert json.loads((tmp_path / "out" / module.DONE).read_text())["records"] == 1
