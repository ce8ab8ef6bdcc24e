"""Train the signal classifier on recorded ECGs that are masked and disturbed as if read from a page.

    python -m ecgpage.train.classifier --data FOLDER_WITH_PACKS --out model

FOLDER_WITH_PACKS holds ``fold1.xz`` ... ``fold9.xz`` (see ``ecgpage.records``) and ``labels.csv``. Folds 1-7
are trained on, fold 8 stops the training and gives the thresholds, fold 9 is scored once, with ``--score 9``.
The run takes up again where it was stopped: ``--work`` holds the checkpoint and the log, and the folder
``packs`` beside it the decoded packs.

``train_on_records`` does the same for any labelled records, from scratch or from given weights; it is what
the Challenge's ``train_models`` calls.
"""

import argparse
import copy
import csv
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from ecgpage.diagnose import NAME, SignalClassifier, SignalNet, to_planes, to_windows
from ecgpage.ecg import CLASSES, EcgPageError
from ecgpage.records import load_pack, twelve_leads
from ecgpage.train.common import parameter_groups, update_average, write_checkpoint
from ecgpage.train.disturb import as_page, disturb
from ecgpage.train.scores import choose_thresholds, f_measures, macro_interval
from ecgpage.weights import Card, half_precision, load_card, load_tensors, save_tensors

Record = tuple[NDArray[np.floating[Any]], float, Sequence[str], Sequence[str]]
"""Signal (n_samples, n_leads) mV with NaN, sampling frequency, lead names, labels."""

Log = Callable[[str], None]

INPUT: Final = "12 leads x 10 s at 100 Hz, mV, NaN where not printed (as 12 signal and 12 mask planes)"
OUTPUT: Final = "one logit per class; a label where its sigmoid reaches the class's threshold (settings)"


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    epochs: int = 30
    """Passes; each draws as many records as there are, with replacement, by weight."""
    batch: int = 64
    """Records a step; a smaller set is drawn from several times, so that the norms have enough to average."""
    peak_lr: float = 2e-3
    """AdamW's rate at the top of the one-cycle schedule."""
    weight_decay: float = 0.05
    ema: float = 0.998
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    balance: float = 0.5
    """Record i is drawn with weight max over its labels c of (n_largest / n_c) ** balance."""
    auxiliary: float = 0.5
    """Weight in the loss of the targets beyond the classes (finer statements of the same readings)."""
    choose: Literal["macro F", "loss"] = "macro F"
    """Keep the epoch that is best on the validation windows by this; without these, the last."""
    compiled: bool = False
    """Fuse the network's steps with torch.compile: 1.6 times as fast on a CPU, but needs a C++ compiler."""
    seed: int = 1


@dataclass(frozen=True)
class Windows:
    """Examples in memory."""

    x: Tensor
    """float16 (n, 12, 1000), mV, NaN where unknown."""
    y: Tensor
    """float32 (n, n_targets), 0 or 1; the first columns are the classes."""


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Fitted:
    """Outcome of ``fit``."""

    state: dict[str, Tensor]
    """Averaged weights of the chosen epoch."""
    losses: list[float]
    """Mean training loss of each epoch."""
    macro_f: float
    """The same epoch's macro F on the validation windows, thresholds chosen on these; NaN without."""
    merit: float = math.nan
    """What chose the epoch, the larger the better; NaN without validation."""


def probabilities(network: SignalNet, x: Tensor, classes: int) -> NDArray[np.float32]:
    """(n, 12, 1000) -> (n, classes) in evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode(), _autocast(device):
        parts = [
            network(to_planes(b.to(device).float()))[:, :classes].float().sigmoid() for b in x.split(128)
        ]
    return torch.cat(parts).cpu().numpy()


class Trainer:
    """Network in training, its running average, and what is needed to go on after a stop."""

    KEPT: Final = ("network", "averaged", "optimizer", "schedule")

    def __init__(self, network: SignalNet, data: Windows, classes: int, recipe: Recipe) -> None:
        self.network = network
        self.forward = torch.compile(network) if recipe.compiled else network
        self.averaged = copy.deepcopy(network)
        self.data = data
        self.recipe = recipe
        self.device = next(network.parameters()).device
        self.steps = max(1, math.ceil(len(data.x) / recipe.batch))
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
        """One pass; returns the mean loss."""
        self.network.train()
        losses = []
        for _ in range(self.steps):
            rows = torch.from_numpy(rng.choice(len(self.data.x), self.recipe.batch, p=self.draw_weight))
            x = disturb(self.data.x[rows].to(self.device).float(), rng)  # (b, 12, 1000)
            losses.append(self.step(to_planes(x), self.data.y[rows].to(self.device)))
        return float(np.mean(losses))

    def step(self, planes: Tensor, wanted: Tensor) -> float:
        """One step on (b, 24, 1000) planes and (b, targets) 0 or 1; returns the loss."""
        with _autocast(self.device):
            logits = self.forward(planes)  # (b, targets)
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


def fit(
    network: SignalNet,
    train: Windows,
    val: Windows | None,
    classes: int,
    recipe: Recipe,
    *,
    log: Log,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train ``network`` on ``train``; keep the averaged weights of the best epoch.

    Loss: binary cross-entropy, mean over the first ``classes`` targets, plus ``recipe.auxiliary`` times the
    mean over the others. A ``checkpoint`` is written after each epoch, and the training goes on from there.
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
            truth, p = val.y.numpy() > 0.5, probabilities(trainer.averaged, val.x, classes)
            score = f_measures(truth, p >= np.array(choose_thresholds(truth, p)))
            macro = float(np.nanmean(score))
            bce = float(F.binary_cross_entropy(torch.from_numpy(p), val.y))
            merit = macro if recipe.choose == "macro F" else -bce
            line += f" val bce {bce:.4f} F {macro:.4f} [" + " ".join(f"{s:.2f}" for s in score) + "]"
        if not merit <= fitted.merit:  # better, the first, or NaN
            fitted.macro_f, fitted.merit = macro, merit
            fitted.state = {key: v.cpu().clone() for key, v in trainer.averaged.state_dict().items()}
        log(f"{line} {time.monotonic() - began:.0f} s")
        if checkpoint is not None:
            kept = [fitted.state, fitted.losses, fitted.macro_f, fitted.merit]
            write_checkpoint({"trainer": trainer.state_dict(), "fitted": kept}, checkpoint)
    return fitted


def draw_weights(y: NDArray[np.float32], balance: float) -> NDArray[np.float64]:
    """Probability (n,) of each record being drawn; see ``Recipe.balance``."""
    count = np.maximum(y.sum(0), 1)
    weight = np.maximum((y * (count.max() / count) ** balance).max(1), 1.0).astype(np.float64)
    return weight / weight.sum()


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16)


def _without_auxiliary(state: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    return {k: v[:classes] if k.startswith("head.") else v for k, v in state.items()}


# --- any labelled records -----------------------------------------------------------------------------------


def train_on_records(
    records: Iterable[Record],
    model_folder: str | Path,
    start_from: str | Path | None = None,
    *,
    epochs: int | None = None,
    device: str = "auto",
    log: Log | None = None,
) -> Fitted:
    """Train the classifier on ``records`` and write it to ``model_folder``.

    Args:
        records: (signal (n_samples, n_leads) mV with NaN, fs, lead names, labels); those without label are
            left out. A complete signal is masked as pages of many layouts print it, a partial one as it is.
        model_folder: made if missing.
        start_from: model folder whose weights are the start; the head's rows of classes that both share are
            taken over, those of new classes are fresh. None starts from scratch.
        epochs: default falls with the number of records, from 200 (up to 225 records) to 21 (20,000); from a
            start from 30 (up to 100 records) to 3.
        device: "auto" takes CUDA where there is one.
        log: takes one line at a time; default the module's logger.

    From 50 records on every seventh is held out: the loss there chooses the epoch (macro F of few records would
    do so by chance), the probabilities there the thresholds.

    Raises EcgPageError when no record has both a label and a signal.
    """
    log = log or logging.getLogger(__name__).info
    examples = _collect(records)
    classes = _sorted_classes(label for _, _, held in examples for label in held)
    if not classes:
        raise EcgPageError("no record has a label and a signal; training needs headers with '# Labels: ...'")
    network, fallback = _start(classes, start_from)
    network.to(_device(device))
    train, val = _split(examples, classes)
    n = len(train.x)
    if epochs is None:
        epochs = int(np.clip(300 / n**0.5, 3, 30) if start_from else np.clip(3000 / n**0.5, 20, 200))
    recipe = Recipe(
        epochs=max(1, epochs),
        batch=int(np.clip(n, 16, 64)),
        peak_lr=5e-4 if start_from else 2e-3,
        ema=0.99 if n < 5000 else 0.998,
        choose="loss",
    )
    log(f"classifier: {n} windows, {len(classes)} classes, {epochs} epochs, start: {start_from or 'random'}")
    fitted = fit(network, train, val, len(classes), recipe, log=log)
    network.load_state_dict(fitted.state)
    thresholds = fallback
    if val is not None:
        p = probabilities(network, val.x, len(classes))
        thresholds = choose_thresholds(val.y.numpy() > 0.5, p, fallback, trust=10)
    score = "not validated (fewer than 50 records)"
    if val is not None:
        score = (
            f"macro F {fitted.macro_f:.3f} on {len(val.x)} held-out windows that chose epoch and thresholds"
        )
    card = Card(
        input=INPUT,
        output=OUTPUT,
        trained_on=f"{n} labelled 10-s windows; start: {'given weights' if start_from else 'random'}",
        command="python train_model.py -d DATA -m MODEL",
        score=score,
        settings={"classes": classes, "thresholds": thresholds, "network": network.settings},
    )
    save_tensors(model_folder, NAME, half_precision(fitted.state), card)
    return fitted


def _collect(records: Iterable[Record]) -> list[tuple[int, NDArray[np.float16], list[str]]]:
    """(record's number, window (12, 1000), labels) of every window of every labelled record."""
    examples = []
    for i, (signal, fs, leads, labels) in enumerate(records):
        held = [label for label in labels if label]
        if held:
            examples += [(i, window.astype(np.float16), held) for window in to_windows(signal, fs, leads)]
    return examples


def _split(
    examples: list[tuple[int, NDArray[np.float16], list[str]]], classes: list[str]
) -> tuple[Windows, Windows | None]:
    """Training and validation windows; of 50 or more records every seventh (in random order) validates."""
    x = torch.from_numpy(np.stack([window for _, window, _ in examples]))
    y = torch.tensor([[float(c in held) for c in classes] for _, _, held in examples])
    owner = np.array([i for i, _, _ in examples])
    numbers = np.random.default_rng(0).permutation(np.unique(owner))
    if len(numbers) < 50:
        return Windows(x, y), None
    held_out = torch.from_numpy(np.isin(owner, numbers[::7]))
    x_val = as_page(x[held_out])
    return Windows(x[~held_out], y[~held_out]), Windows(x_val, y[held_out])


def _start(classes: list[str], start_from: str | Path | None) -> tuple[SignalNet, list[float]]:
    """Network with one output a class, and thresholds to fall back on; of the start weights where given."""
    network = SignalNet(len(classes))
    if start_from is None:
        return network, [0.4] * len(classes)
    start = SignalClassifier.load(start_from)
    network = SignalNet(len(classes), **start.network.settings)
    state = network.state_dict()
    old = start.network.state_dict()
    state |= {key: value for key, value in old.items() if not key.startswith("head.")}
    for row, name in enumerate(classes):
        if name in start.classes:
            for key in ("head.weight", "head.bias"):
                state[key][row] = old[key][start.classes.index(name)]
    network.load_state_dict(state)
    known = dict(zip(start.classes, start.thresholds, strict=True))
    return network, [known.get(name, 0.4) for name in classes]


def _sorted_classes(labels: Iterable[str]) -> list[str]:
    """Known classes in the order ``CLASSES``, then the others by name."""
    found = set(labels)
    return [c for c in CLASSES if c in found] + sorted(found - set(CLASSES))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise EcgPageError(
            f"device {name!r} was asked for, but there is no CUDA device; use --device cpu or auto"
        )
    return torch.device(name)


# --- the packs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fold:
    """Labelled records of some folds."""

    x: Tensor
    """float16 (n, 12, 1000), mV, complete."""
    labels: list[list[str]]
    statements: list[list[str]]
    """SCP codes of the reading, of which the classes are a coarse summary."""


def load_folds(data: Path, folds: Iterable[int], cache: Path) -> Fold:
    """Read the labelled records of the packs ``fold<k>.xz``; decoded packs are kept in ``cache``."""
    with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts, labels, statements = [], [], []
    cache.mkdir(parents=True, exist_ok=True)
    for fold in folds:
        decoded = cache / f"fold{fold}.npy"
        if not decoded.exists():
            np.save(decoded, twelve_leads(load_pack(data / f"fold{fold}.xz")).astype(np.float16))
        x = np.load(decoded)
        own = [row for row in rows if int(row["strat_fold"]) == fold]
        if len(own) != len(x):
            raise EcgPageError(f"{data}: fold {fold} has {len(x)} records, labels.csv has {len(own)}")
        kept = [i for i, row in enumerate(own) if row["labels"]]
        parts.append(x[kept])
        labels += [own[i]["labels"].split(";") for i in kept]
        statements += [[s.split(":")[0] for s in own[i]["scp_codes"].split(";")] for i in kept]
    return Fold(torch.from_numpy(np.concatenate(parts)), labels, statements)


def one_hot(held: list[list[str]], names: Sequence[str]) -> Tensor:
    """float32 (n, len(names)): 1 where a record holds the name."""
    return torch.tensor([[float(name in h) for name in names] for h in held])


def train_on_packs(data: Path, out: Path, work: Path, recipe: Recipe, log: Log) -> None:
    """Folds 1-7 train, fold 8 chooses; writes weights and card to ``out``."""
    fold = load_folds(data, range(1, 8), work.parent / "packs")
    codes = [s for held in fold.statements for s in held]
    statements = sorted(s for s in set(codes) if codes.count(s) >= 40)
    y = torch.cat([one_hot(fold.labels, CLASSES), one_hot(fold.statements, statements)], 1)
    held_out = load_folds(data, [8], work.parent / "packs")
    rng = np.random.default_rng(8)
    x_val = torch.cat([as_page(held_out.x), disturb(held_out.x.float(), rng, mixed_layouts=False).half()])
    val = Windows(x_val, one_hot(held_out.labels, CLASSES).repeat(2, 1))
    log(f"{len(y)} records, {y.shape[1]} targets ({len(CLASSES)} classes), validation {len(held_out.x)}")
    torch.manual_seed(recipe.seed)
    network = SignalNet(y.shape[1])
    fitted = fit(
        network, Windows(fold.x, y), val, len(CLASSES), recipe, log=log, checkpoint=work / "checkpoint.pt"
    )
    network = SignalNet(len(CLASSES))
    state = _without_auxiliary(fitted.state, len(CLASSES))
    network.load_state_dict(state)
    truth = val.y.numpy() > 0.5
    thresholds = choose_thresholds(truth, probabilities(network, val.x, len(CLASSES)))
    card = Card(
        input=INPUT,
        output=OUTPUT,
        trained_on="PTB-XL 1.0.3 (100 Hz) folds 1-7, windows masked as printed, simulated digitization",
        command=f"python -m ecgpage.train.classifier --data FOLDER_WITH_PACKS --epochs {recipe.epochs}",
        score=f"macro F {fitted.macro_f:.3f} on fold 8, printed windows, which chose epoch and thresholds",
        settings={"classes": list(CLASSES), "thresholds": thresholds, "network": network.settings},
    )
    save_tensors(out, NAME, half_precision(state), card)


def score_packs(data: Path, model: Path, work: Path, fold: int, log: Log) -> None:
    """Log macro F, its 95 % bootstrap interval and each class's F, as printed (3x4 + II) and complete.

    The figure of the printed windows is added to the weights' card.
    """
    classifier = SignalClassifier.load(model)
    held_out = load_folds(data, [fold], work.parent / "packs")
    truth = one_hot(held_out.labels, classifier.classes).numpy() > 0.5
    rng = np.random.default_rng(fold)
    scores: dict[str, str] = {}
    kinds = {
        "printed windows": as_page(held_out.x),
        "printed windows, disturbed": disturb(held_out.x.float(), rng, mixed_layouts=False),
        "full signals": held_out.x,
    }
    for kind, x in kinds.items():
        p = probabilities(classifier.network, x, len(classifier.classes))
        guess = p >= np.array(classifier.thresholds)
        macro, low, high = macro_interval(truth, guess)
        interval = f"{low:.3f}-{high:.3f}"
        scores[kind] = f"macro F {macro:.3f} ({interval}) on fold {fold}, {kind}, {len(truth)} records"
        single = zip(classifier.classes, f_measures(truth, guess), strict=True)
        log(f"{scores[kind]}: " + ", ".join(f"{c} {f:.3f}" for c, f in single))
    card = load_card(model, NAME)
    earlier = [part for part in card.score.split("; ") if f"fold {fold}," not in part]
    card = replace(card, score="; ".join([*earlier, scores["printed windows"]]))
    save_tensors(model, NAME, load_tensors(model, NAME), card)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with fold1.xz ... and labels.csv")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/classifier/first"), help="checkpoint and log")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument(
        "--compile", action="store_true", help="fuse with torch.compile (needs a C++ compiler)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--score", type=int, metavar="FOLD", help="only score the weights in --out on this fold"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    log = logging.getLogger(__name__).info
    if args.score is not None:
        score_packs(args.data, args.out, args.work, args.score, log)
    else:
        train_on_packs(args.data, args.out, args.work, Recipe(epochs=args.epochs, compiled=args.compile), log)


if __name__ == "__main__":
    main()
