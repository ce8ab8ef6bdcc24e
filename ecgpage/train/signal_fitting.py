"""Fit one network of the signal branch: its loss, its one-cycle schedule, the report that validates best."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.torch_runtime import network_precision
from ecgpage.diagnosis.signal_network import SignalNets
from ecgpage.train import loop
from ecgpage.train.scores import choose_thresholds, f_measures
from ecgpage.train.signal_examples import Examples, Inputs, draw_weights

Log = Callable[[str], None]
Batch = tuple[Inputs, Tensor]
"""Inputs of a network and targets (b, targets), 0 to 1."""

RISE: Final = 0.2
"""Share of the steps in which the learning rate rises."""
FIRST_RATE: Final = 1 / 25
"""Learning rate of the first step over that at the peak."""
LAST_RATE: Final = FIRST_RATE / 1e4
"""Learning rate of the last step over that at the peak."""
MOMENTA: Final = (0.95, 0.85)
"""Momentum at both ends and at the peak of the learning rate."""
MERIT: Final = "-bce"
"""Score that chooses a report: macro F of few records would choose by chance."""


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """Numbers of one training; there is a report after each pass, and within a pass that takes long."""

    minutes: float = math.inf
    epochs: int = 30
    """Number of passes; each draws the number of records in the set, with replacement, by weight."""
    batch: int = 64
    """Number of records in a step; a smaller set is drawn from several times, so that norms average over enough."""
    peak_lr: float = 2e-3
    """Learning rate of AdamW at the top of the one-cycle schedule."""
    weight_decay: float = 0.05
    checkpoint_minutes: float = 4.0
    balance: float = 0.5
    """Exponent in a record's weight: the maximum over its labels c of (n_largest / n_c) ** balance."""
    auxiliary: float = 0.5
    """Weight in the loss of the targets beyond the classes, which are finer statements of the diagnoses."""
    compiled: bool = False
    """Whether torch.compile fuses the network's steps: 1.6 times as fast on a CPU, but it needs a C++ compiler."""


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Fitted:
    """Outcome of ``fit``."""

    state: dict[str, Tensor]
    """Averaged weights of the chosen report."""
    losses: list[float]
    """Mean training loss of each report."""
    macro_f: float
    """Macro F of the chosen report on the validation windows, with thresholds chosen on these; NaN without validation."""


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


def one_cycle(step: float, steps: float) -> tuple[float, float]:
    """Learning rate over its peak, and momentum, of a step (0 to ``steps`` - 1): up to the peak, down to almost nothing.

    Source: Smith and Topin 2018, Super-convergence, with half cosines.
    """
    top = RISE * steps - 1
    if step < top:
        place, rates, momenta = step / top, (FIRST_RATE, 1.0), MOMENTA
    else:
        place = min(1.0, (step - top) / max(1.0, steps - 1 - top))
        rates, momenta = (1.0, LAST_RATE), MOMENTA[::-1]
    left = (1 + math.cos(math.pi * place)) / 2
    return rates[1] + (rates[0] - rates[1]) * left, momenta[1] + (momenta[0] - momenta[1]) * left


class Trainer(loop.Trainer[Batch, Recipe]):
    """Network of the signal branch in training.

    Loss: binary cross-entropy, mean over the first ``classes`` targets, plus ``recipe.auxiliary`` times the mean over the
    others.
    """

    def __init__(self, network: nn.Module, data: Examples, classes: int, recipe: Recipe) -> None:
        self.data = data
        self.pass_steps = max(1, math.ceil(len(data.y) / recipe.batch))
        """Number of steps of a pass."""
        seen = float(self.pass_steps * recipe.epochs * recipe.batch)
        recipe = replace(recipe, most_seen=seen, report_steps=self.pass_steps)
        device = next(network.parameters()).device
        super().__init__(network, recipe, device, compiled=recipe.compiled)
        further = data.y.shape[1] - classes
        weight = [1 / classes] * classes + [recipe.auxiliary / max(1, further)] * further
        self.column_weight = torch.tensor(weight, device=device)
        self.draw_weight = draw_weights(data.y[:, :classes].numpy(), recipe.balance)

    def tune(self) -> None:
        recipe = self.recipe
        steps = recipe.most_seen / recipe.batch
        rate, momentum = one_cycle(self.share * steps, steps)
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = recipe.peak_lr * rate, (momentum, 0.999)

    def draw_batches(self) -> Iterator[Batch]:
        """Endless batches; each pass draws its own random numbers, and so does the rest of a pass that was stopped."""
        first, within = divmod(self.progress.steps, self.pass_steps)
        for epoch in count(first):
            rng = np.random.default_rng([self.recipe.seed, epoch, within])
            for _ in range(self.pass_steps - within):
                rows = torch.from_numpy(rng.choice(len(self.data.y), self.recipe.batch, p=self.draw_weight))
                yield self.data.draw(rows, rng, self.device)
            within = 0

    def count(self, batch: Batch) -> int:
        return len(batch[1])

    def losses(self, batch: Batch) -> loop.Parts:
        inputs, wanted = batch
        with self.autocast():
            logits = self.forward(*inputs)  # (b, targets)
        loss = F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        return {"bce": (loss.mean(0) * self.column_weight).sum()}


def validate(network: nn.Module, val: Examples | None, classes: int) -> loop.Scores:
    """Macro F with the best thresholds, F of each class by its number, and ``MERIT``; nothing without validation."""
    if val is None:
        return {}
    truth = val.y.numpy() > 0.5
    p = _probabilities(network, val.batches(next(network.parameters()).device), classes)
    f = f_measures(truth, p >= np.array(choose_thresholds(truth, p)))
    bce = float(F.binary_cross_entropy(torch.from_numpy(p), val.y))
    return {MERIT: -bce, "F": float(np.nanmean(f)), **{f"F{k}": float(one) for k, one in enumerate(f)}}


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
    """Train ``network`` on ``train``; keep the averaged weights of the best report, without ``val`` of the last.

    A ``checkpoint`` is written with each report, and a later call continues from it.
    """
    trainer = Trainer(network, train, classes, recipe)
    trainer.log = log
    trainer.begin(checkpoint, resume=True)
    trainer.run(trainer.draw_batches(), partial(validate, val=val, classes=classes), merit=MERIT)
    history = trainer.progress.history
    macro = history[trainer.progress.chosen]["scores"].get("F", math.nan)
    return Fitted(trainer.best, [entry["loss"]["bce"] for entry in history], macro)
