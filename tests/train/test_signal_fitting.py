"""Fitting of the signal branch's networks by the common loop: the losses of a plain loop, its time, its stops."""

import copy
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ecgpage.core.signal_packs import twelve_leads
from ecgpage.diagnosis.signal_network import SignalNet, SignalNets
from ecgpage.train import signal_fitting, tree_growing
from ecgpage.train.loop_parts import parameter_groups, update_average
from ecgpage.train.signal_classifier import fit_parts
from ecgpage.train.signal_examples import BeatViews, Windows, draw_weights
from ecgpage.train.signal_fitting import Recipe, Trainer, fit
from tests.train.records import microvolts

SMALL = {"widths": (16,) * 4, "depths": (1,) * 4, "queries": 1, "hidden": 16, "dropout": 0.2}
RECIPE = Recipe(epochs=4, batch=8, peak_lr=5e-3, seed=3)
CLASSES = 2


def network() -> SignalNet:
    torch.manual_seed(0)
    return SignalNet(3, **SMALL)


@pytest.fixture(scope="module")
def windows() -> Windows:
    """20 windows of two classes and a finer statement."""
    mv = np.stack([twelve_leads(microvolts(k, 100)) for k in range(20)]).astype(np.float16)
    y = torch.tensor([[float(k % 2 == 0), float(k % 5 == 0), float(k % 4 == 0)] for k in range(20)])
    return Windows(torch.from_numpy(mv), y)


def train_plainly(windows: Windows) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of the passes and averaged weights of a loop that only PyTorch's parts make."""
    net = network()
    averaged = copy.deepcopy(net).eval()
    steps = math.ceil(len(windows.y) / RECIPE.batch)
    groups = parameter_groups(net, RECIPE.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.peak_lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RECIPE.peak_lr, total_steps=steps * RECIPE.epochs, pct_start=0.2
    )
    column = torch.tensor([0.5, 0.5, RECIPE.auxiliary])
    weights = draw_weights(windows.y[:, :CLASSES].numpy(), RECIPE.balance)
    torch.manual_seed(1000 * RECIPE.seed + 1)
    losses = []
    for epoch in range(RECIPE.epochs):
        rng = np.random.default_rng([RECIPE.seed, epoch])
        own = []
        for k in range(steps):
            rows = torch.from_numpy(rng.choice(len(windows.y), RECIPE.batch, p=weights))
            inputs, wanted = windows.draw(rows, rng, torch.device("cpu"))
            net.train()
            bce = F.binary_cross_entropy_with_logits(net(*inputs), wanted, reduction="none")
            loss = (bce.mean(0) * column).sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            update_average(averaged, net, RECIPE.ema, epoch * steps + k)
            own.append(float(loss.detach()))
        losses.append(float(np.mean(own)))
    return losses, averaged.state_dict()


@pytest.mark.medium
def test_the_common_loop_has_the_losses_of_a_plain_one(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGPAGE_PRECISION", "float32")
    losses, state = train_plainly(windows)
    fitted = fit(network(), windows, None, CLASSES, RECIPE, log=lambda _: None)
    assert fitted.losses == pytest.approx(losses, rel=1e-4)
    torch.testing.assert_close(fitted.state, state, rtol=1e-3, atol=1e-5)
    other = fit(network(), windows, None, CLASSES, Recipe(**{**vars(RECIPE), "seed": 4}), log=lambda _: None)
    assert other.losses != pytest.approx(losses, rel=1e-2)


@pytest.mark.medium
def test_the_report_with_the_least_loss_of_the_validation_is_kept(windows: Windows) -> None:
    held_out = Windows(windows.x[:8], windows.y[:8, :CLASSES])
    logged: list[str] = []
    recipe = Recipe(epochs=5, batch=8, peak_lr=0.3)  # so large that it gets worse
    fitted = fit(network(), windows, held_out, CLASSES, recipe, log=logged.append)
    bce = [float(line.split("-bce -")[1].split(",")[0]) for line in logged]
    net = network()
    net.load_state_dict(fitted.state)
    scores = signal_fitting.validate(net, held_out, CLASSES)
    assert scores["-bce"] == pytest.approx(-min(bce), rel=1e-2)
    assert scores["F"] == pytest.approx(fitted.macro_f)


@pytest.mark.medium
def test_a_training_ends_with_its_time(windows: Windows) -> None:
    logged: list[str] = []
    recipe = Recipe(epochs=100_000, batch=8, minutes=0.02)
    fit(network(), windows, None, CLASSES, recipe, log=logged.append)
    assert 1 <= len(logged) < 200
    rates = [float(line.split("rate ")[1].split()[0]) for line in logged]
    assert rates[-1] < 0.5 * recipe.peak_lr < 0.8 * recipe.peak_lr < max(rates)  # the whole schedule


@pytest.mark.medium
def test_a_training_that_is_stopped_within_a_pass_goes_on_there(windows: Windows, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    first = Trainer(network(), windows, CLASSES, RECIPE)
    first.begin(path, resume=True)
    for batch in islice(first.draw_batches(), 4):  # of three steps a pass
        first.step(batch)
    first.save(path)
    logged: list[str] = []
    fitted = fit(network(), windows, None, CLASSES, RECIPE, log=logged.append, checkpoint=path)
    assert "4 steps" in logged[0]
    assert [int(line.split(" steps")[0].split()[-1]) for line in logged[1:]] == [6, 9, 12]
    assert len(fitted.losses) == 3
    resumed = Trainer(network(), windows, CLASSES, RECIPE)
    resumed.begin(path, resume=True)
    assert resumed.progress.steps == 12


@pytest.mark.parametrize(("seconds", "views"), [(0.0, 1), (3600.0, 3)])
def test_beats_are_read_from_fewer_views_when_time_is_short(seconds: float, views: int) -> None:
    mv = np.stack([twelve_leads(microvolts(k, 100)) for k in range(2)]).astype(np.float16)
    windows = Windows(torch.from_numpy(mv), torch.zeros(2, 1))
    read = BeatViews.of(windows, 3, seconds=seconds)
    assert len(read.usual) == len(read.sequence) == len(read.numbers) == views


@pytest.mark.medium
def test_a_stopped_training_finds_its_beats_and_trees_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mv = np.stack([twelve_leads(microvolts(k, 100)) for k in range(50)]).astype(np.float16)
    y = torch.tensor([[float(k % 5 < 2), float(k % 25 == 0)] for k in range(50)])
    windows = Windows(torch.from_numpy(mv), y)

    def fit_beats(data: Windows, seed: int = 1) -> dict[str, Tensor]:
        torch.manual_seed(0)
        nets = SignalNets(2)
        recipe = Recipe(epochs=1, batch=16, seed=seed)
        fit_parts(
            nets, ["beats"], data, None, ["NORM", "CD"], recipe, log=lambda _: None, work=tmp_path / f"{seed}"
        )
        return nets.trees.state_dict()

    first = fit_beats(windows)
    assert first["covered"].tolist() == [True, False]
    made = []
    with monkeypatch.context() as patched:
        patched.setattr(BeatViews, "of", lambda *_: made.append("beats"))
        patched.setattr(tree_growing, "_grow", lambda *_: made.append("trees"))
        torch.testing.assert_close(fit_beats(windows), first, rtol=0, atol=0)
    assert made == []
    (tmp_path / "1").rename(tmp_path / "2")
    (tmp_path / "2" / "beats.pt").unlink()
    other = fit_beats(Windows(windows.x, 1 - y), seed=2)  # other targets are not those that were kept
    assert not torch.equal(other["base"], first["base"])
