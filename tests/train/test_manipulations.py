"""What organisers do to the records: fewer, more, others, labels permuted, parts missing, forms mixed; offline, read-only."""

import json
import shutil
import socket
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.core.runtime import Runtime
from ecgpage.core.signal_packs import twelve_leads
from ecgpage.core.weights import digest
from ecgpage.diagnosis import signal_classifier
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_network import SignalNet
from ecgpage.pipeline import Digitizer
from ecgpage.train.prepare import prepare
from ecgpage.train.record_lists import list_wfdb
from ecgpage.train.retrain import FOLDS, REPORT, Options, retrain
from ecgpage.train.scores import f_measures
from ecgpage.train.signal_examples import Windows, collect_windows
from ecgpage.train.signal_fitting import Recipe, _probabilities, fit
from ecgpage.train.stage_task import Task, read_records
from tests.train.records import microvolts, write

SHIPPED = Path(__file__).parents[2] / "model"
TORCH = Runtime("torch")
BRIEF = Options(hours=0.0003)
"""A second: a step or two of the signal branch."""


def wave(seed: int, fs: int = 500) -> np.ndarray:
    """(10 fs, 12) signals, mV."""
    return twelve_leads(microvolts(seed, fs)).T.astype(float)


def put(data: Path, count: int, labels: tuple[str, ...] = ("NORM", "CD"), first: int = 0) -> None:
    """Records r0, r1, ... at 100 Hz whose labels alternate."""
    for k in range(first, first + count):
        write(data, f"r{k}", wave(k, 100), 100, comments=(f"Labels: {labels[k % len(labels)]}",))


def fifteen_percent(data: Path) -> None:
    put(data, 3)


def half_as_many_again(data: Path) -> None:
    put(data, 20)
    for k in range(10):
        for suffix in (".hea", ".dat"):
            text = (data / f"r{k}{suffix}").read_bytes()
            (data / f"copy{k}{suffix}").write_bytes(
                text.replace(b"r%d" % k, b"copy%d" % k) if suffix == ".hea" else text
            )


def one_record(data: Path) -> None:
    put(data, 1)


def a_class_removed(data: Path) -> None:
    put(data, 22, CLASSES[1:])


def classes_added(data: Path) -> None:
    put(data, 22, (*CLASSES, "Zebra", "Âne"))


def no_labels(data: Path) -> None:
    put(data, 2, ("",))
    write(data, "silent", wave(9, 100), 100)


def no_signals(data: Path) -> None:
    put(data, 4)
    for path in data.glob("*.dat"):
        path.unlink()


def everything_mixed(data: Path) -> None:
    """Rates, units, orders, gaps, lengths, subfolders, names that begin with others, demographics, images, damage."""
    kinds: dict[str, dict[str, Any]] = {
        "r1": {"mv": wave(1), "comments": ("Labels: NORM",)},
        "r10": {
            "mv": wave(2)[:, ::-1],
            "leads": LEADS[::-1],
            "comments": ("Labels: CD, HYP", "Age: Unknown"),
        },
        "a/r1": {"mv": wave(3, 100), "fs": 100, "unit": "uV", "comments": ("Labels: NORM", "Sex: Female")},
        "a/b/r1": {"mv": wave(4, 250), "fs": 250, "unit": "V", "comments": ("Labels: CD", "Image: x.png")},
        "gaps": {"mv": np.where(np.arange(5000)[:, None] % 7 == 0, np.nan, wave(5))},
        "nothing": {"mv": np.full((5000, 12), np.nan)},
        "flat": {"mv": np.zeros((5000, 12))},
        "short": {"mv": wave(6)[:900]},
        "long": {"mv": np.tile(wave(7), (3, 1))},
        "few": {"mv": wave(8)[:, :3], "leads": LEADS[:3]},
        "strange": {"mv": wave(9)[:, :1], "leads": ("VX",)},
        "twin": {"mv": wave(1)},
    }
    for name, kind in kinds.items():
        path = data / name
        write(path.parent, path.name, fs=kind.pop("fs", 500), **({"comments": ("Labels: NORM, CD",)} | kind))
    write(data, "half", wave(11), 500, comments=("Labels: NORM",))
    (data / "half.dat").write_bytes((data / "half.dat").read_bytes()[:5000])
    (data / "empty.hea").write_text("")
    (data / "bytes.hea").write_bytes(b"\xff\xfe\x00bad")
    (data / "notes.txt").write_text("no record")


@dataclass
class Case:
    """Manipulation and the classes that the trained model must know; None where the shipped ones stay."""

    make: Callable[[Path], None]
    classes: tuple[str, ...] | None


CASES = (
    Case(fifteen_percent, ("NORM", "CD")),
    Case(half_as_many_again, ("NORM", "CD")),
    Case(one_record, ("NORM",)),
    Case(a_class_removed, CLASSES[1:]),
    Case(classes_added, (*CLASSES, "Zebra", "Âne")),
    Case(no_labels, None),
    Case(no_signals, None),
    Case(everything_mixed, ("NORM", "CD", "HYP")),
)


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of each file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    def connect_here(own: socket.socket, address: Any) -> None:
        return connect(own, address) if own.family == socket.AF_UNIX else refuse()

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.medium
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("case", CASES, ids=[case.make.__name__ for case in CASES])
def test_any_folder_of_records_gives_a_model_that_loads(case: Case, tmp_path: Path) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    case.make(data)
    before = state_of(data)
    for folder in (data, *(path for path in data.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    found = retrain(data, model, SHIPPED, BRIEF)
    assert state_of(data) == before
    assert len(found["stages"]) == 6
    Digitizer.load(model, runtime=TORCH)
    diagnoser = Diagnoser.load(model, runtime=TORCH)
    same = digest(model, signal_classifier.NAME) == digest(SHIPPED, signal_classifier.NAME)
    if case.classes is None:
        assert same
        assert not any(stage["taken"] for stage in found["stages"].values())
        return
    assert tuple(diagnoser.classes) == case.classes
    answer = diagnoser.signal.predict(wave(1), 500, LEADS)
    assert np.isfinite(list(answer.probabilities.values())).all()
    known = {path.name for path in SHIPPED.iterdir()} | {REPORT}
    assert {path.name.split(".")[0] for path in model.iterdir()} <= {name.split(".")[0] for name in known}


def test_copies_of_records_count_once(tmp_path: Path) -> None:
    half_as_many_again(tmp_path / "data")
    assert prepare(tmp_path / "data", tmp_path / "packs", folds=FOLDS) == 20


@pytest.mark.medium
def test_permuted_labels_teach_nothing_and_true_ones_do() -> None:
    """The first half of the records trains, the other is scored: F of true labels is high, of permuted ones chance."""
    rng = np.random.default_rng(5)
    kinds = np.arange(64) % 2
    signals = [wave(k, 100) * (0.4 if kind else 1.6) for k, kind in enumerate(kinds)]
    x = torch.from_numpy(np.concatenate([to_windows(signal, 100, LEADS) for signal in signals])).half()
    truth = torch.from_numpy(np.stack([kinds, 1 - kinds], 1)).float()
    scores = {}
    for kind, order in (("true", np.arange(32)), ("permuted", rng.permutation(32))):
        torch.manual_seed(0)
        net = SignalNet(2, widths=(16, 16, 16), depths=(1, 1, 1), queries=1, hidden=16, dropout=0.0)
        recipe = Recipe(epochs=8, batch=16, peak_lr=1e-2, ema=0.8)
        fitted = fit(net, Windows(x[:32], truth[:32][order]), None, 2, recipe, log=lambda _: None)
        net.load_state_dict(fitted.state)
        p = _probabilities(net, Windows(x[32:], truth[32:]).batches(torch.device("cpu")), 2)
        guess = np.eye(2, dtype=bool)[p.argmax(1)]
        scores[kind] = float(np.nanmean(f_measures(truth[32:].numpy() > 0.5, guess)))
    assert scores["true"] > 0.9
    assert scores["permuted"] < 0.7  # chance is 0.5 of 32 records


# size


@pytest.mark.medium
def test_twenty_two_thousand_headers_take_little_memory(tmp_path: Path) -> None:
    count, megabyte = 22_000, 2**20
    for part in range(22):
        (tmp_path / f"{part:05d}").mkdir()
    for k in range(count):
        (tmp_path / f"{k // 1000:05d}" / f"{k:05d}_hr.hea").write_text(
            f"r 12 500 5000\n# Patient: {k // 2}\n"
        )
    tracemalloc.start()
    try:
        entries = list_wfdb(tmp_path, FOLDS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(entries) == count
    assert peak < 40 * megabyte
    validating = sum(entry.fold == FOLDS[0] for entry in entries)
    assert validating == pytest.approx(count / 8, rel=0.01)


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.medium
def test_packing_holds_a_fold_and_windows_hold_no_signals(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for k in range(24):
        write(data, f"r{k}", wave(k), 500, comments=("Labels: NORM",))
    one = peak_of(lambda: prepare(data, tmp_path / "one", folds=[8]))
    eight = peak_of(lambda: prepare(data, tmp_path / "eight", folds=FOLDS))
    assert one - eight > 21 * 2 * (8 * 5000 * 2)  # xz itself takes more than these few signals
    task = Task(data, list_wfdb(data, FOLDS), *[tmp_path] * 4, None, False, 1.0, 1)  # type: ignore[arg-type]
    peak = peak_of(lambda: collect_windows(read_records(task, set())))
    own, window = 5000 * 12 * 8, 1000 * 12 * 2
    assert peak < 24 * window + 16 * own < 24 * own


# an older model


@pytest.mark.medium
def test_an_older_model_with_its_work_and_report_is_replaced(tmp_path: Path) -> None:
    data, model = tmp_path / "data", tmp_path / "model"
    put(data, 4)
    model.mkdir()
    for path in SHIPPED.iterdir():
        shutil.copy(path, model)
    table = json.loads((model / "weights.json").read_text())
    table["older"] = table["trace"] | {"file": "older.safetensors"}
    shutil.copy(model / table["trace"]["file"], model / "older.safetensors")
    (model / "weights.json").write_text(json.dumps(table))
    (model / REPORT).write_text('{"hours": 20, "stages": {}}')
    (model / "training" / "trace_network").mkdir(parents=True)
    (model / "training" / "state.json").write_text('{"stages": {"trace network": {"taken": true}}}')
    (model / "training" / "trace_network" / "checkpoint.pt").write_bytes(b"of another time")
    found = retrain(data, model, SHIPPED, BRIEF)
    assert len(found["stages"]) == 6
    assert not (model / "training").exists()
    assert not (model / "older.safetensors").exists()
    assert json.loads((model / REPORT).read_text()) == found
    assert Diagnoser.load(model, runtime=TORCH).classes == ["NORM", "CD"]
