"""Training loop of all networks: time budget, learning rate, averaged weights, checkpoints, log, resuming.

A script derives its ``Recipe`` and its ``Trainer`` from those here and adds the loss of a batch, the validation and the
stored form. ``Trainer.begin`` loads a checkpoint, ``Trainer.run`` trains, also in several processes
(``ecgpage.train.several``).
"""

import copy
import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.torch_runtime import network_precision
from ecgpage.train import several
from ecgpage.train.devices import describe_duration, name_device
from ecgpage.train.loop_parts import (
    cosine,
    describe_report,
    is_matrix,
    parameter_groups,
    update_average,
    write_checkpoint,
)

log = logging.getLogger(__name__)

Batch = TypeVar("Batch")
AnyRecipe = TypeVar("AnyRecipe", bound="Recipe")
Scores = dict[str, float]
"""Figures of a validation by name."""
Parts = dict[str, Tensor]
"""Terms of a loss by name; their sum is minimised."""
Write = Callable[[nn.Module, Scores, Path], object]
"""Function that stores a network with its scores in a model folder."""

SYNC_STEPS: Final = 10
"""Number of steps after which the loop waits for a GPU, so that its clock is right."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Numbers of every training."""

    minutes: float = 60.0
    """Time, min, of steps and of waiting for batches, over all resumed runs; validation is not counted."""
    most_seen: float = math.inf
    """Number of examples seen after which the training ends, if that is sooner; the schedule then goes by examples."""
    batch: int = 64
    """Number of examples in a step."""
    peak_lr: float = 1e-3
    """Learning rate of AdamW after the warm-up."""
    last_lr: float = 0.01
    """Learning rate at the end over that at the peak."""
    weight_decay: float = 0.02
    """Weight decay of AdamW, on the parameters that decay."""
    warmup: int = 200
    """Number of steps of the linear warm-up."""
    warm_share: float = 0.2
    """Share of the training after which the warm-up is over in any case."""
    ema: float = 0.998
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    clip: float = 1.0
    """Norm of a step's gradient, at most."""
    checkpoint_minutes: float = 3.0
    """Time, min, between two reports, each with a validation and a checkpoint."""
    report_steps: int = 0
    """Number of steps between two reports, if that is sooner; 0: by time alone."""
    seed: int = 1


@dataclass
class Progress:
    """Progress of a training over all resumed runs."""

    seconds: float = 0.0
    steps: int = 0
    seen: int = 0
    """Number of examples that the network saw, with repeats."""
    drawn: int = 0
    """Number of different examples among them, which the script counts."""
    starts: int = 0
    devices: list[str] = field(default_factory=list)
    """Names of the devices that it ran on."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Entry of each report: minutes, steps, seen, drawn, per_second, rate, loss (by term), scores."""
    chosen: int = -1
    """Index of the report whose weights are to be stored; -1 before the first one."""


class Trainer(ABC, Generic[Batch, AnyRecipe]):
    """Network in training with its running average and the state that resuming needs."""

    KEPT: Final = ("network", "averaged", "optimizer")
    log: Callable[[str], None]
    """Function that takes one line of the log."""

    def __init__(
        self, network: nn.Module, recipe: AnyRecipe, device: torch.device, *, compiled: bool = False
    ) -> None:
        self.recipe, self.device = recipe, device
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        several.share_weights(self.network)
        self.averaged = copy.deepcopy(self.network).eval()
        self.forward: Callable[..., Any] = torch.compile(self.network) if compiled else self.network
        groups = parameter_groups(self.network, recipe.weight_decay, self.decays)
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.peak_lr, fused=True)
        self.progress = Progress()
        self.checkpoint: Path | None = None
        self.best: dict[str, Tensor] = {}
        """Weights of the chosen report, where a merit chooses it."""
        self.log = log.info

    # what differs

    @abstractmethod
    def losses(self, batch: Batch) -> Parts:
        """Terms of the loss of a batch; networks run within ``autocast``."""

    @abstractmethod
    def count(self, batch: Batch) -> int:
        """Number of examples of a batch."""

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a parameter decays."""
        return is_matrix(name, parameter)

    def tune(self) -> None:
        """Set the optimizer for the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()

    def candidate(self) -> nn.Module:
        """Network with the averaged weights, in the form that is validated and stored."""
        return self.averaged

    # what is shared

    @property
    def share(self) -> float:
        """Share, 0 to 1, of the time or of the examples that is over."""
        progress, recipe = self.progress, self.recipe
        return min(1.0, max(progress.seconds / (60 * recipe.minutes), progress.seen / recipe.most_seen))

    @property
    def seeds(self) -> tuple[int, int, int]:
        """Seeds of the training, of this start and of this process, for what is drawn."""
        return self.recipe.seed, self.progress.starts, several.rank()

    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine over the training."""
        recipe = self.recipe
        warm = min(1.0, max((self.progress.steps + 1) / recipe.warmup, self.share / recipe.warm_share))
        return recipe.peak_lr * warm * cosine(self.share, recipe.last_lr)

    def autocast(self) -> torch.autocast:
        """Context of the network's precision: bfloat16 where the device is fast at it, or as ``ECGPAGE_PRECISION`` asks."""
        return network_precision(self.device)

    def step(self, batch: Batch) -> Parts:
        """Do one step; returns the terms of the loss, without waiting for a GPU."""
        self.tune()
        self.network.train()
        parts = self.losses(batch)
        loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad()
        loss.backward()
        several.average_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.progress.steps)
        self.progress.steps += 1
        self.progress.seen += self.count(batch) * several.joined()
        return {key: value.detach() for key, value in parts.items()}

    def begin(self, checkpoint: Path | None = None, *, resume: bool = False) -> None:
        """Start, with ``resume`` from ``checkpoint`` if it exists; later checkpoints are written to it.

        Each start draws its own random numbers. Raises ``EcgPageError`` when the checkpoint is of another training.
        """
        self.checkpoint = checkpoint
        if checkpoint is not None and resume and checkpoint.exists():
            self.resume(checkpoint)
            minutes = self.progress.seconds / 60
            self.log(f"goes on after {minutes:.1f} min, {self.progress.steps} steps")
        elif checkpoint is not None and several.rank() == 0:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.with_suffix(".jsonl").unlink(missing_ok=True)
        self.progress.starts += 1
        name = name_device(self.device)
        if name not in self.progress.devices:
            self.progress.devices.append(name)
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(1000 * self.recipe.seed + self.progress.starts + 10**6 * several.rank())

    def run(
        self,
        batches: Iterable[Batch],
        validate: Callable[[nn.Module], Scores],
        *,
        write: Write | None = None,
        out: Path | None = None,
        merit: str | None = None,
        stop: float = math.inf,
    ) -> None:
        """Train until the training is over or ``batches`` end, with reports in between.

        Args:
            batches: endless or finite, in several processes endless; the time to make them is counted.
            validate: function that scores a network.
            write: function that stores a network: at the end in ``out``, after a report in ``model`` beside the checkpoint.
            merit: name of the score that chooses a report, the larger the better; None chooses the last report.
            stop: time, min, of this start after which the rest is left to a resumed run.
        """
        arrived = time.monotonic()
        if self.share >= 1 and self.progress.history:
            if several.rank() == 0:
                self._store(write, out)
            return
        parts: list[Parts] = []
        last = began = time.monotonic()
        first = self.progress.seen
        for batch in batches:
            parts.append(self.step(batch))
            if len(parts) % SYNC_STEPS == 0 and self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            now = time.monotonic()
            mine = (
                self.progress.seconds + now - last,
                now - arrived > 60 * stop,
                self._is_report_due(now - began),
            )
            self.progress.seconds, left, due = several.agree(self.device, *mine)
            last = now
            over = self.share >= 1
            if over or left or due:
                if several.rank() == 0:
                    speed = (self.progress.seen - first) / max(now - began, 1e-9)
                    chosen = self._report(parts, speed, validate, merit)
                    if over or chosen:
                        beside = self.checkpoint.parent / "model" if self.checkpoint else None
                        self._store(write, out if over else beside)
                parts, first = [], self.progress.seen
                last = began = time.monotonic()
            if over or left:
                return

    def _is_report_due(self, seconds: float) -> bool:
        every = self.recipe.report_steps
        by_steps = every > 0 and self.progress.steps % every == 0
        return by_steps or seconds > 60 * self.recipe.checkpoint_minutes

    def _report(
        self,
        parts: list[Parts],
        speed: float,
        validate: Callable[[nn.Module], Scores],
        merit: str | None,
    ) -> bool:
        """Validate, log and write a checkpoint; returns whether this report's weights are to be stored."""
        network, progress = self.candidate(), self.progress
        scores = validate(network)
        losses = {key: float(torch.stack([p[key] for p in parts if key in p]).mean()) for key in parts[-1]}
        counts = {"steps": progress.steps, "seen": progress.seen, "drawn": progress.drawn}
        entry: dict[str, Any] = {"minutes": progress.seconds / 60, **counts, "per_second": speed}
        entry |= {"rate": self.optimizer.param_groups[0]["lr"], "loss": losses, "scores": scores}
        progress.history.append(entry)
        better = merit is None or merit not in scores or progress.chosen < 0
        if not better:
            best = progress.history[progress.chosen]["scores"]
            better = not scores[str(merit)] <= best[str(merit)]
        if better:
            progress.chosen = len(progress.history) - 1
            if merit is not None:
                self.best = {key: v.detach().cpu().clone() for key, v in network.state_dict().items()}
        self.log(describe_report(entry))
        if self.checkpoint is not None:
            with self.checkpoint.with_suffix(".jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            self.save(self.checkpoint)
        return better

    def _store(self, write: Write | None, folder: Path | None) -> None:
        """Store the chosen network with its scores by ``write``."""
        if write is None or folder is None:
            return
        network = self.candidate()
        if self.best:
            network = copy.deepcopy(network)
            network.load_state_dict(self.best)
        write(network, self.progress.history[self.progress.chosen]["scores"], folder)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        saved = {key: getattr(self, key).state_dict() for key in self.KEPT}
        write_checkpoint(saved | {"best": self.best, "progress": asdict(self.progress)}, path)

    def resume(self, path: Path) -> None:
        """Load a checkpoint; ``EcgPageError`` when it is of another training."""
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            for key in self.KEPT:
                getattr(self, key).load_state_dict(saved[key])
            self.best, self.progress = saved["best"], Progress(**saved["progress"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise EcgPageError(f"{path}: no checkpoint of this training ({error}); train anew") from error

    def describe(self, examples: str, records: str) -> str:
        """Text of a model card: number of ``examples`` of which ``records`` were seen, duration and devices."""
        progress = self.progress
        return (
            f"{progress.drawn:,} different {examples} drawn from {records}, {progress.seen:,} seen, "
            f"in {describe_duration(progress.seconds)} on {' and '.join(progress.devices)}"
        )
