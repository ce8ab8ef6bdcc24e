"""Retraining killed at random moments: the model folder is whole after each, and in the end that of a run without kills."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.signal_packs import twelve_leads
from ecgpage.core.torch_runtime import save_tensors
from ecgpage.core.weights import Card, load_arrays, save_arrays
from ecgpage.diagnosis.signal_network import SignalNet
from ecgpage.train.retrain import REPORT, WORK, Options, retrain
from ecgpage.train.signal_examples import Windows
from ecgpage.train.signal_fitting import Recipe, fit
from ecgpage.train.stage_task import Outcome, Stage, Task
from tests.train.records import microvolts, write_record

CARD = Card("input", "output", "data", "command", "score")
NAMES = ("a", "b", "c")
"""Entries of the model folder; the stage of the last fails."""
PASSES = 6


def train_stage(name: str, seed: int) -> Stage:
    """Stage that trains a small network by the common loop, with a checkpoint after each pass."""

    def run(task: Task) -> Outcome:
        mv = np.stack([twelve_leads(microvolts(k, 100)) for k in range(8)]).astype(np.float16)
        windows = Windows(torch.from_numpy(mv), torch.tensor([[float(k % 2)] for k in range(8)]))
        torch.manual_seed(seed)
        net = SignalNet(1, widths=(16,) * 4, depths=(1,) * 4, queries=1, hidden=16, dropout=0.0)
        recipe = Recipe(epochs=PASSES, batch=4, seed=seed)
        fitted = fit(net, windows, windows, 1, recipe, log=lambda _: None, checkpoint=task.work / "c.pt")
        save_tensors(task.out, name, fitted.state, CARD)
        return Outcome("minus the loss", -9.0, -fitted.losses[-1], (name,), task.out)

    return Stage(name, 0.4, run)


def refuse(task: Task) -> Outcome:
    raise EcgPageError("nothing to train on")


STAGES = (train_stage("a", 1), train_stage("b", 2), Stage("c", 0.2, refuse))


def train(data: Path, model: Path, shipped: Path) -> None:
    torch.set_num_threads(1)
    retrain(data, model, shipped, Options(hours=1), STAGES)


def held(model: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of a model folder, which must be whole."""
    return {name: load_arrays(model, name) for name in json.loads((model / "weights.json").read_text())}


@pytest.mark.medium
def test_a_run_killed_at_random_moments_ends_with_the_same_model(tmp_path: Path) -> None:
    data, shipped, model = tmp_path / "data", tmp_path / "shipped", tmp_path / "model"
    for k in range(3):
        write_record(data, f"r{k}", seed=k, fs=100, labels="NORM")
    for name in NAMES:
        save_arrays(shipped, name, {"x": np.ones(3, np.float32)}, CARD)
    train(data, tmp_path / "imports", shipped)
    began = time.monotonic()
    train(data, tmp_path / "whole", shipped)
    took = time.monotonic() - began

    fork = multiprocessing.get_context("fork")
    rng, kills = np.random.default_rng(7), 0
    while True:
        process = fork.Process(target=train, args=(data, model, shipped))
        process.start()
        process.join(took * rng.uniform(0.02, 0.6) if kills < 12 else None)
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
        if (model / "weights.json").exists():
            assert set(held(model)) == set(NAMES)
    assert kills >= 2
    assert not (model / WORK).exists()
    found, wanted = held(model), held(tmp_path / "whole")
    assert "stem.weight" in found["a"].keys() & found["b"].keys()
    for name in NAMES:
        assert found[name].keys() == wanted[name].keys()
        for key, value in wanted[name].items():
            np.testing.assert_array_equal(found[name][key], value)
    reports = [json.loads((folder / REPORT).read_text()) for folder in (model, tmp_path / "whole")]
    assert reports[0]["stages"] == reports[1]["stages"]
    leftovers = [path.name for path in model.rglob("*") if path.name.startswith(".")]
    assert leftovers == []
