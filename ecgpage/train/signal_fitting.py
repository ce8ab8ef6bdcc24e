"""Fit one network of the signal branch: steps, averaged weights, checkpoints, the epoch that validates best."""

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.torch_runtime import network_precision
from ecgpage.diagnosis.signal_network import SignalNets
from ecgpage.train.loop import parameter_groups, update_average, write_checkpoint
from ecgpage.train.scores import choose_thresholds, f_measures
from ecgpage.train.signal_examples import Examples, Inputs, draw_weights

Log = Callable[[str], None]

PASS_S: Final = 240.0
"""Time, s, of a pass in a training by time, at most: what a kill may lose."""
TIMED_STEPS: Final = 3
"""Number of steps whose time is measured; the first does not count."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    epochs: int = 30
    """Number of passes; each draws the number of records in the set, with replacement, by weight."""
    most_steps: int = 0
    """Number of steps of a pass, at most, so that a checkpoint is never old; 0: as many as the records need."""
    batch: int = 64
    """Number of records in a step; a smaller set is drawn from several times, so that norms average over enough."""
    peak_lr: float = 2e-3
    """Learning rate of AdamW at the top of the one-cycle schedule."""
    weight_decay: float = 0.05
    ema: float = 0.998
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    balance: float = 0.5
    """Exponent in a record's weight: the maximum over its labels c of (n_largest / n_c) ** balance."""
    auxiliary: float = 0.5
    """Weight in the loss of the targets beyond the classes, which are finer statements of the diagnoses."""
    compiled: bool = False
    """Whether torch.compile fuses the network's steps: 1.6 times as fast on a CPU, but it needs a C++ compiler."""
    seed: int = 1


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Fitted:
    """Outcome of ``fit``."""

    state: dict[str, Tensor]
    """Averaged weights of the chosen epoch."""
    losses: list[float]
    """Mean training loss of each epoch."""
    macro_f: float
    """Macro F of the chosen epoch on the validation windows, with thresholds chosen on these; NaN without validation."""
    merit: float = math.nan
    """Score that chose the epoch, the larger the better; NaN without validation."""


def probabilities(network: SignalNets, x: Tensor) -> NDArray[np.float32]:
    """Probabilities (n, outputs) of windows ``x`` (n, 12, 1000), mV, in evaluation mode."""
    device = next(network.parameters()).device
    return _probabilities(network, ((b.to(device).float(),) for b in x.split(128)), network.outputs)


def _probabilities(network: nn.Module, batches: Iterable[Inputs], classes: int) -> NDArray[np.float32]:
    """Probabilities (n, classes) of the first ``classes`` outputs, in evaluation mode."""
    network.eval()
    with torch.inference_mode(), network_precision(next(network.parameters()).device):
        parts = [network(*inputs)[:, :classes].float().sigmoid().cpu() for inputs in batches]
    return torch.cat(parts).numpy()


class Trainer:
    """Network in training with its running average and the state that resuming needs."""

    KEPT: Final = ("network", "averaged", "optimizer", "schedule")

    def __init__(self, network: nn.Module, data: Examples, classes: int, recipe: Recipe) -> None:
        self.network = network
        self.forward: Callable[..., Tensor] = torch.compile(network) if recipe.compiled else network
        self.averaged = copy.deepcopy(network)
        self.data = data
        self.recipe = recipe
        self.device = next(network.parameters()).device
        self.steps = max(1, math.ceil(len(data.y) / recipe.batch))
        if recipe.most_steps:
            self.steps = min(self.steps, recipe.most_steps)
        further = data.y.shape[1] - classes
        weight = [1 / classes] * classes + [recipe.auxiliary / max(1, further)] * further
        self.column_weight = torch.tensor(weight, device=self.device)
        self.draw_weight = draw_weights(data.y[:, :classes].numpy(), recipe.balance)
        self.optimizer = torch.optim.AdamW(parameter_groups(network, recipe.weight_decay), lr=recipe.peak_lr)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.peak_lr, total_steps=self.steps * recipe.epochs, pct_start=0.2
        )
        self.done = 0

    def run_epoch(self, rng: np.random.Generator) -> float:
        """Train one pass; returns the mean loss."""
        self.network.train()
        losses = []
        for _ in range(self.steps):
            rows = torch.from_numpy(rng.choice(len(self.data.y), self.recipe.batch, p=self.draw_weight))
            losses.append(self.step(*self.data.draw(rows, rng, self.device)))
        return float(np.mean(losses))

    def step(self, inputs: Inputs, wanted: Tensor) -> float:
        """Train one step on inputs and targets (b, targets), 0 to 1; returns the loss."""
        with network_precision(self.device):
            logits = self.forward(*inputs)  # (b, targets)
        loss = F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        loss = (loss.mean(0) * self.column_weight).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.done)
        self.done += 1
        return float(loss.detach())

    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key).state_dict() for key in self.KEPT} | {"done": self.done}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        for key in self.KEPT:
            getattr(self, key).load_state_dict(saved[key])
        self.done = saved["done"]


def fit_in_time(
    network: nn.Module, train: Examples, val: Examples | None, classes: int, recipe: Recipe, seconds: float
) -> Recipe:
    """Recipe with as many passes as fit in ``seconds``, at most those of ``recipe``; a pass takes ``PASS_S`` at most.

    A few steps are timed on a copy of the network.
    """
    trainer = Trainer(copy.deepcopy(network), train, classes, replace(recipe, compiled=False))
    rng = np.random.default_rng(recipe.seed)
    took = []
    trainer.network.train()
    for _ in range(TIMED_STEPS):
        began = time.monotonic()
        rows = torch.from_numpy(rng.choice(len(train.y), recipe.batch, p=trainer.draw_weight))
        trainer.step(*train.draw(rows, rng, trainer.device))
        took.append(time.monotonic() - began)
    step = float(np.min(took[1:]))
    validation = 0.0 if val is None else step * len(val.y) / recipe.batch / 2  # no gradients
    steps = int(np.clip(PASS_S / step, 1, trainer.steps))
    wanted = math.ceil(recipe.epochs * trainer.steps / steps)
    return replace(
        recipe, most_steps=steps, epochs=int(np.clip(seconds / (steps * step + validation), 1, wanted))
    )


def fit(
    network: nn.Module,
    train: Examples,
    val: Examples | None,
    classes: int,
    recipe: Recipe,
    *,
    log: Log,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train ``network`` on ``train``; keep the averaged weights of the best epoch.

    Loss: binary cross-entropy, mean over the first ``classes`` targets, plus ``recipe.auxiliary`` times the
    mean over the others. A ``checkpoint`` is written after each epoch, and a later call continues from it.
    """
    torch.manual_seed(recipe.seed)
    trainer = Trainer(network, train, classes, recipe)
    fitted, first = Fitted({}, [], math.nan), 0
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, map_location=trainer.device, weights_only=True)
        trainer.load_state_dict(saved["trainer"])
        fitted, first = Fitted(*saved["fitted"]), len(saved["fitted"][1])
        log(f"goes on at epoch {first}")
    for epoch in range(first, recipe.epochs):
        began = time.monotonic()
        fitted.losses.append(trainer.run_epoch(np.random.default_rng([recipe.seed, epoch])))
        line = f"epoch {epoch} loss {fitted.losses[-1]:.4f}"
        macro = merit = math.nan
        if val is not None:
            truth = val.y.numpy() > 0.5
            p = _probabilities(trainer.averaged, val.batches(trainer.device), classes)
            score = f_measures(truth, p >= np.array(choose_thresholds(truth, p)))
            macro = float(np.nanmean(score))
            bce = float(F.binary_cross_entropy(torch.from_numpy(p), val.y))
            merit = -bce  # macro F of few records would choose by chance
            line += f" val bce {bce:.4f} F {macro:.4f} [" + " ".join(f"{s:.2f}" for s in score) + "]"
        if not merit <= fitted.merit:  # better, the first, or NaN
            fitted.macro_f, fitted.merit = macro, merit
            fitted.state = {key: v.cpu().clone() for key, v in trainer.averaged.state_dict().items()}
        log(f"{line} {time.monotonic() - began:.0f} s")
        if checkpoint is not None:
            kept = [fitted.state, fitted.losses, fitted.macro_f, fitted.merit]
            write_checkpoint({"trainer": trainer.state_dict(), "fitted": kept}, checkpoint)
    return fitted
