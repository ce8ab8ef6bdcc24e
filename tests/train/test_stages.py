"""Stages of the retraining on a tiny scale, each from random weights and from the shipped ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.runtime import Runtime
from ecgpage.core.signal_packs import twelve_leads
from ecgpage.core.weights import copy_weights, digest, load_card
from ecgpage.diagnosis import signal_classifier
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.pipeline import Digitizer
from ecgpage.train import stages
from ecgpage.train.prepare import prepare
from ecgpage.train.record_lists import list_wfdb
from ecgpage.train.retrain import FOLDS
from ecgpage.train.signal_examples import Windows
from ecgpage.train.signal_records import Trained
from ecgpage.train.stage_task import Outcome, Task, read_records
from ecgpage.train.stages import keep_signal
from tests.train.records import microvolts, write, write_record

MODEL = Path(__file__).parents[2] / "model"
TORCH = Runtime("torch")


def task(data: Path, work: Path, *, scratch: bool = True, minutes: float = 0.02) -> Task:
    """Task of one stage, with the packs of the records in ``data``."""
    prepare(data, work / "packs", folds=FOLDS)
    copy_weights(MODEL, work / "model")
    return Task(
        data, list_wfdb(data, FOLDS), work / "packs", work / "stage", work / "drawn", work / "model", MODEL, scratch,
        minutes, 1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Task with twelve records of all eleven classes, two of which validate."""
    folder = tmp_path_factory.mktemp("eleven")
    for k in range(12):
        write_record(
            folder / "data", f"r{k}", seed=k, fs=500, labels=", ".join((CLASSES[k % 11], CLASSES[0]))
        )
    return task(folder / "data", folder)


def check(outcome: Outcome, work: Path) -> None:
    """Check that the weights load in the whole system, and that both scores are numbers."""
    copy_weights(MODEL, work)
    copy_weights(outcome.folder, work, outcome.names)
    Digitizer.load(work, runtime=TORCH)
    Diagnoser.load(work, ask_page=True, runtime=TORCH)
    assert np.isfinite([outcome.shipped, outcome.retrained]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "run",
    [stages.train_trace, stages.train_page, stages.train_detector, stages.train_text, stages.train_stack],
)
def test_a_stage_stores_weights_that_load_and_scores_both(
    run: Callable[[Task], Outcome], eleven: Task, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    own = Task(**{**vars(eleven), "work": tmp_path / "stage"})
    outcome = run(own)
    check(outcome, tmp_path / "model")
    again = run(own)  # what is done is not trained again
    assert again.retrained == pytest.approx(outcome.retrained, abs=1e-6)
    if run not in (stages.train_page, stages.train_stack):  # of two pages of no ECG, macro F is chance
        assert outcome.shipped > outcome.retrained  # one step from random weights
    if run is not stages.train_stack:
        card = load_card(outcome.folder, outcome.names[0])
        assert "wfdb" in card.trained_on
        assert "PTB-XL" not in card.trained_on


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Task with six records of two classes, from the shipped weights."""
    folder = tmp_path_factory.mktemp("six")
    for k in range(6):
        write_record(folder / "data", f"r{k}", seed=k, fs=100, labels=("CD", "NORM")[k % 2])
    return task(folder / "data", folder, scratch=False)


def test_a_kept_signal_classifier_has_the_classes_of_the_records(six: Task) -> None:
    macro, kept = keep_signal(six, Trained({}, ["NORM", "CD"], None))
    assert np.isnan(macro)  # six records prove nothing
    assert kept is not None
    after, before = SignalClassifier.load(kept, TORCH), SignalClassifier.load(MODEL, TORCH)
    signal = twelve_leads(microvolts(1, 500)).T
    wanted = before.predict(signal, 500, LEADS).probabilities
    found = after.predict(signal, 500, LEADS).probabilities
    assert found == pytest.approx({c: wanted[c] for c in ("NORM", "CD")}, abs=2e-3)
    assert keep_signal(six, Trained({}, ["NORM", "Mine"], None))[1] is None  # it does not know that class


def test_a_kept_signal_classifier_stays_that_of_its_stack(six: Task, tmp_path: Path) -> None:
    _, kept = keep_signal(six, Trained({}, list(CLASSES), None))
    assert kept is not None
    copy_weights(MODEL, tmp_path)
    copy_weights(kept, tmp_path, [signal_classifier.NAME])
    assert digest(tmp_path, signal_classifier.NAME) == digest(MODEL, signal_classifier.NAME)
    assert Diagnoser.load(tmp_path, runtime=TORCH).stacked is not None


def test_a_kept_signal_classifier_is_scored_with_thresholds_of_the_data(six: Task) -> None:
    windows = np.concatenate([to_windows(twelve_leads(microvolts(k, 100)).T, 100, LEADS) for k in range(8)])
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 4)
    macro, kept = keep_signal(six, Trained({}, ["NORM", "CD"], Windows(torch.from_numpy(windows).half(), y)))
    assert kept is not None
    assert 0 < macro <= 1
    settings = load_card(MODEL, signal_classifier.NAME).settings
    shipped = dict(zip(settings["classes"], settings["thresholds"], strict=True))
    thresholds = load_card(kept, signal_classifier.NAME).settings["thresholds"]
    assert thresholds != [shipped[c] for c in ("NORM", "CD")]


def test_too_few_records_replace_nothing_and_other_classes_have_no_stack(six: Task) -> None:
    for run in (stages.train_trace, stages.train_detector, stages.train_text, stages.train_page):
        with pytest.raises(EcgPageError, match="are needed"):
            run(six)
    with pytest.raises(EcgPageError, match="signal branch answers alone"):
        stages.train_stack(six)


def test_any_record_with_a_label_and_some_signal_trains_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    wave = twelve_leads(microvolts(1, 500)).T.astype(float)
    kinds: dict[str, dict[str, object]] = {
        "a/r1": {"mv": wave},
        "a/r10": {"mv": wave[:, ::-1] * 0.9, "leads": LEADS[::-1]},  # its name begins with another's
        "b/r1": {"mv": wave * 0.8, "unit": "uV"},
        "volts": {"mv": wave * 0.7, "unit": "V"},
        "slow": {"mv": twelve_leads(microvolts(2, 100)).T.astype(float), "fs": 100},
        "odd": {"mv": twelve_leads(microvolts(3, 250)).T.astype(float), "fs": 250},
        "short": {"mv": wave[:2000] * 0.6},
        "two": {"mv": wave[:, :2], "leads": LEADS[:2]},
        "gaps": {"mv": np.where(np.arange(5000)[:, None] < 2500, np.nan, wave)},
        "twin": {"mv": wave},
    }
    for name, kind in kinds.items():
        path = data / name
        fs = kind.pop("fs", 500)
        write(path.parent, path.name, fs=fs, comments=("Labels: NORM, Mine",), **kind)  # type: ignore[arg-type]
    write(data, "unlabelled", wave * 0.5, 500, comments=("Labels: ",))
    write(data, "signalless", wave * 0.4, 500, comments=("Labels: CD",))
    (data / "signalless.dat").unlink()
    validating: set[int] = set()
    own = Task(data, list_wfdb(data, FOLDS), *[tmp_path] * 4, None, False, 1.0, 1)  # type: ignore[arg-type]
    records = list(read_records(own, validating))
    assert len(records) == 10  # all but the unlabelled and the one without signal
    assert all(labels == ["NORM", "Mine"] for *_, labels in records)
    peaks = sorted(
        round(float(np.nanmax(np.abs(signal[:, list(leads).index("I")]))), 2)
        for signal, _, leads, _ in records
    )
    top = float(np.abs(wave[:, 0]).max())
    for scale in (1.0, 0.9, 0.8, 0.7, 0.6):
        assert any(peak == pytest.approx(scale * top, abs=0.02) for peak in peaks)
    assert 1 <= len(validating) <= 3
    twins = [
        k
        for k, (signal, *_) in enumerate(records)
        if signal.shape == wave.shape and np.allclose(signal, wave, atol=1e-3)
    ]
    assert len(twins) == 2
    assert len({k in validating for k in twins}) == 1


def test_a_patient_is_on_one_side(tmp_path: Path) -> None:
    wave = twelve_leads(microvolts(1, 100)).T.astype(float)
    for k in range(24):
        comments = ("Labels: NORM", f"Patient: p{k // 3}")
        write(tmp_path, f"r{k}", wave * (1 - k / 50), 100, comments=comments)
    entries = list_wfdb(tmp_path, FOLDS)
    sides = {
        patient: {e.fold == 8 for e in entries if e.patient == patient}
        for patient in {e.patient for e in entries}
    }
    assert len(sides) == 8
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {True} for side in sides.values()) == 1
