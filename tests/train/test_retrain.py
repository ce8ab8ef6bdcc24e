"""Retraining of the whole system: what is taken over, what a kill loses, and that the model folder is always valid."""

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgpage.core import weights
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.weights import Card, copy_weights, load_arrays, load_card, save_arrays
from ecgpage.train import retrain as module
from ecgpage.train.retrain import REPORT, WORK, Clock, Options, retrain
from ecgpage.train.stage_task import Outcome, Stage, Task
from ecgpage.train.stages import STAGES
from tests.train.records import write_record

CARD = Card("input", "output", "data", "command", "score")
ENOUGH = Options(hours=10)


def save(folder: Path, name: str, value: float) -> None:
    save_arrays(folder, name, {"x": np.full(3, value, np.float32)}, CARD)


def held(folder: Path) -> dict[str, float]:
    """Value of each entry of a model folder, which must be whole."""
    return {
        name: float(load_arrays(folder, name)["x"][0])
        for name in json.loads((folder / "weights.json").read_text())
    }


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save(tmp_path / "shipped", name, 1.0)
    return tmp_path / "shipped"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for k in range(3):
        write_record(tmp_path / "data", f"r{k}", seed=k, fs=100, labels="NORM")
    return tmp_path / "data"


def stage(
    name: str, before: float, after: float, share: float = 0.3, runs: list[Task] | None = None
) -> Stage:
    """Stage of the entry ``name`` that scores as given and stores 2."""

    def run(task: Task) -> Outcome:
        if runs is not None:
            runs.append(task)
        save(task.out, name, 2.0)
        return Outcome("score", before, after, (name,), task.out)

    return Stage(name, share, run)


def fail(task: Task) -> Outcome:
    raise RuntimeError("out of memory")


# what is taken over


def test_only_what_beats_the_shipped_weights_is_taken(
    data: Path, shipped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages = stage("a", 0.5, 0.7), stage("b", 0.7, 0.7), Stage("c", 0.3, fail)
    with caplog.at_level(logging.INFO, logger="ecgpage"):
        found = retrain(data, tmp_path / "model", shipped, ENOUGH, stages)
    assert held(tmp_path / "model") == {"a": 2.0, "b": 1.0, "c": 1.0}
    assert found["stages"]["a"] == {"taken": True, "metric": "score", "shipped": 0.5, "retrained": 0.7}
    assert not found["stages"]["b"]["taken"]
    assert "out of memory" in found["stages"]["c"]["reason"]
    assert "score: shipped 0.7, retrained 0.7: the shipped weights stay" in caplog.text
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {REPORT, "weights.json"} < names
    assert len(names) == 5  # three files of weights, no work and no old weights
    assert held(shipped) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_from_scratch_everything_is_taken_and_nothing_is_started_from(
    data: Path, shipped: Path, tmp_path: Path
) -> None:
    runs: list[Task] = []
    stages = stage("a", 0.9, 0.1, runs=runs), stage("b", 0.9, math.nan, runs=runs)
    retrain(data, tmp_path / "model", shipped, Options(10, scratch=True), stages)
    assert held(tmp_path / "model") == {"a": 2.0, "b": 2.0, "c": 1.0}
    assert [task.start for task in runs] == [None, None]


def test_without_shipped_weights_what_is_trained_is_all_there_is(data: Path, tmp_path: Path) -> None:
    retrain(data, tmp_path / "model", None, ENOUGH, [stage("a", math.nan, 0.1)])
    assert held(tmp_path / "model") == {"a": 2.0}
    with pytest.raises(EcgPageError, match=r"nothing could be trained.*out of memory"):
        retrain(data, tmp_path / "other", None, ENOUGH, [Stage("c", 1.0, fail)])


def test_weights_that_follow_the_data_otherwise_stay_in_their_new_form(
    data: Path, shipped: Path, tmp_path: Path
) -> None:
    def run(task: Task) -> Outcome:
        save(task.out, "a", 2.0)
        save(task.work / "kept", "a", 1.5)
        return Outcome("score", 0.8, 0.7, ("a",), task.out, task.work / "kept")

    retrain(data, tmp_path / "model", shipped, ENOUGH, [Stage("a", 1.0, run)])
    assert held(tmp_path / "model") == {"a": 1.5, "b": 1.0, "c": 1.0}


def test_what_too_few_records_say_is_not_taken(data: Path, shipped: Path, tmp_path: Path) -> None:
    def run(task: Task) -> Outcome:
        save(task.out, "a", 2.0)
        return Outcome("score", 0.1, 0.9, ("a",), task.out, enough=False)

    found = retrain(data, tmp_path / "model", shipped, ENOUGH, [Stage("a", 1.0, run)])
    assert held(tmp_path / "model")["a"] == 1.0
    assert found["stages"]["a"]["retrained"] == 0.9  # what it scored is said all the same


def test_an_older_model_is_replaced(data: Path, shipped: Path, tmp_path: Path) -> None:
    for name in ("a", "old"):
        save(tmp_path / "model", name, 7.0)
    retrain(data, tmp_path / "model", shipped, ENOUGH, [stage("b", 0.1, 0.2)])
    assert held(tmp_path / "model") == {"a": 1.0, "b": 2.0, "c": 1.0}
    assert not (tmp_path / "model" / "old.safetensors").exists()


def test_the_folder_of_the_shipped_weights_itself_can_be_retrained(
    data: Path, shipped: Path, tmp_path: Path
) -> None:
    retrain(data, shipped, shipped, ENOUGH, [stage("a", 0.1, 0.2), stage("b", 0.2, 0.1)])
    assert held(shipped) == {"a": 2.0, "b": 1.0, "c": 1.0}


def test_a_folder_whose_table_cannot_be_read_is_replaced(data: Path, shipped: Path, tmp_path: Path) -> None:
    for k, table in enumerate(("{", "[]", '{"a": 7, "old": {"sha256": "x"}}')):
        model = tmp_path / f"model{k}"
        model.mkdir()
        (model / "weights.json").write_text(table)
        retrain(data, model, shipped, ENOUGH, [stage("b", 0.1, 0.2)])
        assert held(model) == {"a": 1.0, "b": 2.0, "c": 1.0}


def test_the_folder_is_valid_before_the_records_are_listed(
    data: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, folds: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "list_wfdb", killed)
    with pytest.raises(KeyboardInterrupt):
        retrain(data, tmp_path / "model", shipped, ENOUGH, [stage("a", 0, 1)])
    assert held(tmp_path / "model") == {"a": 1.0, "b": 1.0, "c": 1.0}


# a second start


def test_a_finished_folder_stays_as_it_is(
    data: Path, shipped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[Task] = []
    stages = stage("a", 0, 1, runs=runs), stage("b", 1, 0, runs=runs)
    found = retrain(data, tmp_path / "model", shipped, ENOUGH, stages)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")}
    assert "finished" not in caplog.text
    assert retrain(data, tmp_path / "model", shipped, ENOUGH, stages) == found
    assert len(runs) == 2
    assert "was finished from these records and options" in caplog.text  # without -v, too
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")} == before


def test_a_report_goes_when_a_training_begins_anew(data: Path, shipped: Path, tmp_path: Path) -> None:
    def killed(task: Task) -> Outcome:
        assert not (tmp_path / "model" / REPORT).exists()
        raise KeyboardInterrupt

    retrain(data, tmp_path / "model", shipped, ENOUGH, [stage("a", 1, 0)])
    add_record(data, tmp_path / "model", shipped)
    with pytest.raises(KeyboardInterrupt):
        retrain(data, tmp_path / "model", shipped, ENOUGH, [Stage("a", 1.0, killed)])


def test_work_that_a_kill_left_after_the_report_goes_with_the_next_start(
    data: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Task] = []
    stages, remove = [stage("a", 0, 1, runs=runs)], shutil.rmtree

    def killed(folder: Path, **how: object) -> None:
        if (folder / "state.json").exists() and (tmp_path / "model" / REPORT).exists():
            (folder / "state.json").unlink()
            raise KeyboardInterrupt
        remove(folder, ignore_errors=True)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            retrain(data, tmp_path / "model", shipped, ENOUGH, stages)
    assert (tmp_path / "model" / WORK).exists()
    retrain(data, tmp_path / "model", shipped, ENOUGH, stages)
    assert not (tmp_path / "model" / WORK).exists()
    assert len(runs) == 1
    assert held(tmp_path / "model") == {"a": 2.0, "b": 1.0, "c": 1.0}


def change_label(data: Path, model: Path, shipped: Path) -> None:
    header = data / "r1.hea"
    header.write_text(header.read_text().replace("NORM", "CD"))


def add_record(data: Path, model: Path, shipped: Path) -> None:
    write_record(data, "more", seed=9, fs=100, labels="NORM")


def change_signal(data: Path, model: Path, shipped: Path) -> None:
    write_record(data, "r1", seed=9, fs=100, labels="NORM")


def change_weights(data: Path, model: Path, shipped: Path) -> None:
    save(model, "c", 9.0)


def forget_report(data: Path, model: Path, shipped: Path) -> None:
    (model / REPORT).unlink()


def ship_other_weights(data: Path, model: Path, shipped: Path) -> None:
    save(shipped, "c", 1.0)
    save(shipped, "a", 1.5)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (change_label, ENOUGH),
        (add_record, ENOUGH),
        (change_signal, ENOUGH),
        (change_weights, ENOUGH),
        (forget_report, ENOUGH),
        (ship_other_weights, ENOUGH),
        (None, Options(hours=11)),
        (None, Options(hours=10, scratch=True)),
    ],
)
def test_a_finished_folder_is_trained_anew_where_anything_changed(
    data: Path,
    shipped: Path,
    tmp_path: Path,
    change: Callable[[Path, Path, Path], None] | None,
    options: Options,
) -> None:
    runs: list[Task] = []
    model, stages = tmp_path / "model", [stage("a", 0, 1, runs=runs)]
    retrain(data, model, shipped, ENOUGH, stages)
    if change:
        change(data, model, shipped)
    retrain(data, model, shipped, options, stages)
    assert len(runs) == 2
    assert held(model) == {"a": 2.0, "b": 1.0, "c": 1.0}
    retrain(data, model, shipped, options, stages)
    assert len(runs) == 2


def test_a_finished_folder_that_trains_in_its_place_stays_as_it_is(data: Path, shipped: Path) -> None:
    runs: list[Task] = []
    for _ in range(2):
        retrain(data, shipped, shipped, ENOUGH, [stage("a", 0, 1, runs=runs)])
    assert len(runs) == 1


# time and kills


def test_a_killed_run_goes_on_at_its_stage_and_its_time(data: Path, shipped: Path, tmp_path: Path) -> None:
    runs: list[Task] = []

    def killed(task: Task) -> Outcome:
        assert held(tmp_path / "model")["a"] == 2.0
        (task.work / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain(
            data, tmp_path / "model", shipped, ENOUGH, [stage("a", 0, 1, runs=runs), Stage("b", 0.3, killed)]
        )
    assert held(tmp_path / "model") == {"a": 2.0, "b": 1.0, "c": 1.0}
    (tmp_path / "model" / WORK / "seconds").write_text("18000")  # half of the time

    def resumed(task: Task) -> Outcome:
        assert (task.work / "checkpoint").read_text() == "half"
        return stage("b", 0, 1, runs=runs).run(task)

    retrain(
        data, tmp_path / "model", shipped, ENOUGH, [stage("a", 0, 1, runs=runs), Stage("b", 0.3, resumed)]
    )
    assert held(tmp_path / "model") == {"a": 2.0, "b": 2.0, "c": 1.0}
    first, second = runs  # the first stage ran once
    assert first.minutes == pytest.approx(600 * 0.97 / 2, rel=0.1)
    assert second.minutes == pytest.approx(600 * 0.97, rel=0.1)  # its part of all that was left as it began


def test_other_records_start_anew(data: Path, shipped: Path, tmp_path: Path) -> None:
    def killed(task: Task) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain(data, tmp_path / "model", shipped, ENOUGH, [stage("a", 0, 1), Stage("b", 0.3, killed)])
    write_record(data, "more", seed=9, fs=100, labels="NORM")
    retrain(data, tmp_path / "model", shipped, ENOUGH, [stage("b", 0, 1)])
    assert held(tmp_path / "model") == {"a": 1.0, "b": 2.0, "c": 1.0}


def test_without_time_the_shipped_weights_stay(data: Path, shipped: Path, tmp_path: Path) -> None:
    runs: list[Task] = []
    found = retrain(data, tmp_path / "model", shipped, Options(1e-9), [stage("a", 0, 1, runs=runs)])
    assert runs == []
    assert found["stages"]["a"]["reason"] == "no time left"
    assert held(tmp_path / "model") == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_a_folder_is_valid_wherever_the_copying_is_cut_off(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, cut = weights._replace, 0

    def cut_off(path: Path, content: bytes) -> None:
        nonlocal cut
        cut -= 1
        if cut < 0:
            raise KeyboardInterrupt
        real(path, content)

    for writes in range(5):  # three files, then the table
        model = tmp_path / f"model{writes}"
        for name in ("a", "b"):
            save(model, name, 5.0)
        with monkeypatch.context() as patched:
            patched.setattr(weights, "_replace", cut_off)
            cut = writes
            if writes < 4:
                with pytest.raises(KeyboardInterrupt):
                    copy_weights(shipped, model)
                assert held(model) == {"a": 5.0, "b": 5.0}
                cut = 4
            copy_weights(shipped, model)
        assert held(model) == {"a": 1.0, "b": 1.0, "c": 1.0}
        assert load_card(model, "c") == CARD


def test_the_clock_counts_all_starts(tmp_path: Path) -> None:
    (tmp_path / "seconds").write_text("3000")
    clock = Clock(tmp_path / "seconds", 1.0)
    assert 599 < clock.left <= 600
    clock.stop()
    assert float((tmp_path / "seconds").read_text()) >= 3000


@pytest.mark.parametrize(
    ("hours", "scratch", "wanted"),
    [(None, None, Options()), ("2.5", "0", Options(2.5)), ("1", "1", Options(1.0, scratch=True))],
)
def test_the_environment_gives_time_and_start(
    hours: str | None, scratch: str | None, wanted: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ECGPAGE_TRAIN_HOURS", hours), ("ECGPAGE_FROM_SCRATCH", scratch)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert Options.from_environment() == wanted
    monkeypatch.setenv("ECGPAGE_TRAIN_HOURS", "soon")
    with pytest.raises(EcgPageError, match="positive number of hours"):
        Options.from_environment()


def test_the_stages_divide_the_time(data: Path) -> None:
    assert sum(stage.share for stage in STAGES) == pytest.approx(1)
    assert len({stage.name for stage in STAGES}) == len(STAGES) == 6
    assert 0 < module.LAST_SHARE < 0.1
