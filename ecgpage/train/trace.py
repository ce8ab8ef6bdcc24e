"""Train the trace network on crops that are drawn as it learns.

    python -m ecgpage.train.trace --data FOLDER --out model --minutes 120 --compile

FOLDER holds ``hires500/signals.xz`` and ``hires500/records.csv`` (500 Hz, see ``ecgpage.core.signal_packs``). Folds 1-7
and the records without a fold are trained on, fixed crops of fold 8 are validated on, fold 9 is scored once,
with ``--score 9``. A worker draws the crops (``ecgpage.synth.crops``). The loss is a cross-entropy over voltage
with a Gaussian around the truth, visibility and expected error; after 30 % of the time the signal's SNR and its
differences join in. ``--work`` holds checkpoint and log; with ``--resume`` the run goes on where it stopped,
within the same time.

On two cores at 2 GHz one hour sees about 30,000 crops. On CUDA the network is faster than the drawing: with
``--repeat 4`` crops stay on the device and are seen about four times while the workers draw the next ones.

Runs that are to be compared get the same crops in the same order by ``--crops N --workers 0``, however fast each
of them is; ``--layers 0`` leaves the attention out, ``--snr-weight 0`` the SNR loss.
"""

import argparse
import copy
import csv
import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ecgpage.core.conventions import Y_PX_PER_MM
from ecgpage.core.signal_packs import load_pack, twelve_leads
from ecgpage.core.weights import Card, half_precision, load_card, load_tensors, save_tensors
from ecgpage.synth.crops import MM_PER_MV, Crop, draw_crop
from ecgpage.trace.decoding import BIN_MM, BINS, bin_heights, decode, mean_around_mode
from ecgpage.trace.network import NAME, TraceNet
from ecgpage.train.loop import cosine, is_matrix, parameter_groups, update_average, write_checkpoint

log = logging.getLogger(__name__)

Signals = NDArray[np.float32]
Batch = tuple[Tensor, Tensor, Tensor]
"""Grey uint8 (b, ROWS, W), truth float32 (b, 2 W) in mm above the level, drawn bool (b, 2 W)."""

FS: Final = 500.0
MIN_STEPS: Final = 100
"""Crops that show less of their lead (0.2 s) are not scored."""
HELD_OUT: Final = 300
"""Crops of fold 8 that are validated on."""
DRAWN_AT_ONCE: Final = 8
"""Crops that a worker hands over together."""
POWER_FLOOR: Final = 0.05
"""mm, root mean square: weaker signals do not make the SNR loss any steeper."""
OPTIONS: Final = {
    "minutes": "--minutes",
    "crops": "--crops",
    "widths": "--widths",
    "layers": "--layers",
    "batch": "--batch",
    "repeat": "--repeat",
    "peak_lr": "--rate",
    "snr_weight": "--snr-weight",
}
"""Numbers of the recipe that the command line sets."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    minutes: float = 120.0
    """Time with the training loop, all resumed runs together."""
    crops: float = math.inf
    """Crops after which it ends, if that is sooner; the schedule then goes by crops."""
    widths: tuple[int, ...] = (48, 64, 96, 128)
    """Channels of the network, from fine to coarse."""
    layers: int = 3
    """Attention layers of the network."""
    width: int = 512
    """Columns of a training crop: 2 s."""
    batch: int = 8
    repeat: int = 1
    """How often a drawn crop is seen; above 1 the crops stay on the device and batches are drawn among them."""
    pool: int = 60_000
    """Crops that stay on the device, 0.2 MB each; the oldest leave first."""
    peak_lr: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 200
    """Steps of linear warm-up."""
    ema: float = 0.998
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    sigma_bins: float = 1.0
    """Width of the Gaussian target: 2 px."""
    signal_from: float = 0.3
    """Share of the time after which the SNR and difference losses join in."""
    snr_weight: float = 0.5
    difference_weight: float = 0.3
    error_weight: float = 0.05
    drawn_weight: float = 0.3
    shifted: float = 0.5
    """Share of crops whose level is off by some millimetres, as a level taken from the ink is."""
    shift_mm: float = 1.2
    gain_spread: float = 0.3
    """Standard deviation of the log of a gain that the drawn signals are given."""
    checkpoint_minutes: float = 3.0
    seed: int = 1


# --- crops --------------------------------------------------------------------------------------------------


def load_signals(data: Path, folds: set[str]) -> Signals:
    """(n, 5000, 12) mV of the 500-Hz records whose ``strat_fold`` ("" for none) is among ``folds``."""
    with (data / "hires500" / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = [k for k, row in enumerate(csv.DictReader(file)) if row["strat_fold"] in folds]
    return twelve_leads(load_pack(data / "hires500" / "signals.xz")[rows]).swapaxes(1, 2)


def example(crop: Crop, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Image (ROWS, W), truth (2 W,) mm and drawn (2 W,) of a crop seen from ``rows`` pixels lower on the page."""
    table = np.clip(np.arange(len(crop.image)) + rows, 0, len(crop.image) - 1)
    height = crop.target * np.float32(MM_PER_MV) + np.float32(rows / Y_PX_PER_MM)
    return crop.image[table], height, crop.visible & (np.abs(height) < BINS * BIN_MM / 2)


class DrawnCrops(IterableDataset[Batch]):
    """Endless batches of drawn crops; each worker, and each start of the run, draws its own."""

    def __init__(self, signals: Signals, recipe: Recipe, start: int) -> None:
        self.signals, self.recipe, self.start = signals, recipe, start

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.recipe.seed, self.start, worker.id if worker else 0])
        while True:
            parts = [self._draw(rng) for _ in range(DRAWN_AT_ONCE)]
            image, height, drawn = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
            yield image, height, drawn

    def _draw(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
        signal = self.signals[rng.integers(len(self.signals))]
        gain = np.float32(np.exp(rng.normal(0, self.recipe.gain_spread)))
        crop = draw_crop(signal * gain, FS, rng, width=self.recipe.width)
        shifted = rng.random() < self.recipe.shifted
        return example(crop, round(rng.normal(0, self.recipe.shift_mm) * Y_PX_PER_MM) if shifted else 0)


class Pool:
    """The newest drawn crops on the device; batches are drawn among them."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device = size, device
        self.crops: list[Tensor] = []
        self.held = self.next = 0

    def add(self, batch: Batch) -> None:
        if not self.crops:
            self.crops = [part.new_empty((self.size, *part.shape[1:]), device=self.device) for part in batch]
        count = len(batch[0])
        at = (torch.arange(count) + self.next).remainder(self.size).to(self.device)
        for kept, part in zip(self.crops, batch, strict=True):
            kept[at] = part.to(self.device)
        self.next = (self.next + count) % self.size
        self.held = min(self.held + count, self.size)

    def take(self, count: int) -> Batch:
        index = torch.randint(self.held, (count,), device=self.device)
        image, height, drawn = (kept[index] for kept in self.crops)
        return image, height, drawn


def batches(loader: Iterable[Batch], recipe: Recipe, device: torch.device) -> Iterator[tuple[Batch, int]]:
    """Endless batches of ``recipe.batch`` crops on the device, and how many crops were drawn since the last."""
    if recipe.repeat == 1:
        parts: list[Batch] = []
        for drawn in loader:
            parts.append(drawn)
            if sum(len(part[0]) for part in parts) >= recipe.batch:
                image, height, seen = (torch.cat(part).to(device) for part in zip(*parts, strict=True))
                yield (image, height, seen), len(image)
                parts = []
        return
    waiting: queue.Queue[Batch] = queue.Queue(64)

    def draw() -> None:
        for batch in loader:
            waiting.put(batch)

    threading.Thread(target=draw, daemon=True).start()
    pool = Pool(recipe.pool, device)
    credit = 0
    while True:
        new = 0
        while credit < recipe.batch or pool.held < 16 * recipe.batch or not waiting.empty():
            batch = waiting.get()
            pool.add(batch)
            new += len(batch[0])
            credit += recipe.repeat * len(batch[0])
        credit -= recipe.batch
        yield pool.take(recipe.batch), new


def fixed_crops(signals: Signals, count: int, width: int, seed: int = 8) -> Batch:
    """The same ``count`` crops at each call, record by record, that show at least MIN_STEPS of their lead."""
    parts: list[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]] = []
    k = 0
    while len(parts) < count:
        rng = np.random.default_rng([seed, k])
        part = example(draw_crop(signals[k % len(signals)], FS, rng, width=width), 0)
        k += 1
        if part[2].sum() >= MIN_STEPS:
            parts.append(part)
    image, height, drawn = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
    return image, height, drawn


# --- losses -------------------------------------------------------------------------------------------------


def column_loss(logits: Tensor, height: Tensor, drawn: Tensor, sigma_bins: float) -> Tensor:
    """Cross-entropy (b,) of logits (b, BINS, t) with a Gaussian around heights (b, t) mm over drawn steps."""
    distance = (bin_heights(logits.device)[None, :, None] - height[:, None]) / (sigma_bins * BIN_MM)
    target = torch.exp(-0.5 * distance * distance)
    target = target / target.sum(1, keepdim=True).clamp_min(1e-6)  # (b, BINS, t)
    loss = torch.logsumexp(logits, 1) - (target * logits).sum(1)  # (b, t)
    return _mean_over(loss, drawn)


def signal_losses(height: Tensor, truth: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """log10 of noise over signal power and error of the differences in mm, (b,), of heights (b, t) in mm."""
    centred = truth - _mean_over(truth, drawn)[:, None]
    noise = _mean_over((height - truth) ** 2, drawn)
    power = _mean_over(centred**2, drawn)
    floor = POWER_FLOOR**2
    both = drawn[:, 1:] & drawn[:, :-1]
    slope = _mean_over((height.diff(dim=1) - truth.diff(dim=1)).abs(), both)
    return torch.log10((noise + floor / 100) / (power + floor)), slope


def error_loss(log_error: Tensor, height: Tensor, truth: Tensor, drawn: Tensor) -> Tensor:
    """Negative log-likelihood (b,) of the errors, Laplace-distributed with the mean size exp(log_error) mm."""
    off = (height.detach() - truth).abs()
    log_error = log_error.clamp(-6, 4)
    return _mean_over(log_error + off * torch.exp(-log_error), drawn)


def _mean_over(values: Tensor, where: Tensor) -> Tensor:
    """(b, t) to (b,): mean where true, 0 where nowhere."""
    return torch.where(where, values, 0.0).sum(1) / where.sum(1).clamp_min(1)


def snr_db(height: Tensor, truth: Tensor, drawn: Tensor) -> Tensor:
    """SNR in dB (b,) over the drawn steps.

    Constant offsets do not count, as the Challenge's alignment forgives them.
    """
    off = height - truth
    off = off - _mean_over(off, drawn)[:, None]
    centred = truth - _mean_over(truth, drawn)[:, None]
    return 10 * torch.log10(_mean_over(centred**2, drawn) / _mean_over(off**2, drawn).clamp_min(1e-12))


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """What has been done so far, over all resumed runs."""

    seconds: float = 0.0
    crops: int = 0
    """Drawn."""
    seen: int = 0
    """By the network, repeated ones included."""
    starts: int = 0
    history: list[tuple[float, int, float]] = field(default_factory=list)
    """(minutes, crops, mean validation SNR in dB)."""


class Trainer:
    """Network in training, its running average, and what is needed to go on after a stop."""

    KEPT: Final = ("network", "averaged", "optimizer")

    def __init__(self, recipe: Recipe, device: torch.device, *, compiled: bool) -> None:
        self.recipe, self.device = recipe, device
        network = TraceNet(recipe.widths, layers=recipe.layers)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).eval()
        self.forward = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, recipe.weight_decay, _decays), lr=recipe.peak_lr
        )
        self.progress = Progress()
        self.steps = 0

    @property
    def share(self) -> float:
        """Part of the time, or of the crops, that is over."""
        progress, recipe = self.progress, self.recipe
        return min(1.0, max(progress.seconds / (60 * recipe.minutes), progress.seen / recipe.crops))

    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine over the time to a hundredth of the peak."""
        warm = min(1.0, (self.steps + 1) / self.recipe.warmup)
        return self.recipe.peak_lr * warm * cosine(self.share)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step on a batch on the device; returns the parts of the loss."""
        image, height, drawn = batch
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.forward(image[:, None].float() / 255)
        logits, drawn_logits, log_error = (v.float() for v in outputs)
        parts = self._losses(logits, drawn_logits, log_error, height, drawn)
        loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.steps)
        self.steps += 1
        self.progress.seen += len(image)
        return {key: value.detach() for key, value in parts.items()}

    def _losses(
        self, logits: Tensor, drawn_logits: Tensor, log_error: Tensor, height: Tensor, drawn: Tensor
    ) -> dict[str, Tensor]:
        recipe = self.recipe
        seen = (drawn.sum(1) >= MIN_STEPS).float()
        parts = {
            "column": column_loss(logits, height, drawn, recipe.sigma_bins).mean(),
            "drawn": recipe.drawn_weight * F.binary_cross_entropy_with_logits(drawn_logits, drawn.float()),
        }
        late = self.share > recipe.signal_from
        with torch.set_grad_enabled(late):
            read = mean_around_mode(logits)  # (b, t)
            snr, slope = signal_losses(read, height, drawn)
        parts["error"] = recipe.error_weight * error_loss(log_error, read, height, drawn).mean()
        if late:
            parts["snr"] = recipe.snr_weight * (snr * seen).mean()
            parts["slope"] = recipe.difference_weight * (slope * seen).mean()
        return parts

    def save(self, path: Path) -> None:
        saved = {key: getattr(self, key).state_dict() for key in self.KEPT}
        write_checkpoint(saved | {"steps": self.steps, "progress": asdict(self.progress)}, path)

    def resume(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for key in self.KEPT:
            getattr(self, key).load_state_dict(saved[key])
        self.steps, self.progress = saved["steps"], Progress(**saved["progress"])


def validate(network: TraceNet, batch: Batch) -> dict[str, float]:
    """Mean, median and 10th percentile of the SNR in dB over crops, share of steps whose visibility is right,
    and the correlation between the logs of expected and true error of the crops.
    """
    network.eval()
    device = network.row.device
    snr, right, expected, true = [], [], [], []
    for image, height, drawn in zip(*(part.split(16) for part in batch), strict=True):
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            outputs = network(image.to(device)[:, None].float() / 255)
        found = decode(*(v.float().cpu() for v in outputs))
        snr.append(snr_db(found.height_mm, height, drawn))
        right.append(((found.visible > 0.5) == drawn).float().mean())
        expected.append(_mean_over(found.sigma_mm**2, drawn).log())
        true.append(_mean_over((found.height_mm - height) ** 2, drawn).clamp_min(1e-9).log())
    db = torch.cat(snr).numpy()
    agreement = np.corrcoef(torch.cat(expected).numpy(), torch.cat(true).numpy())[0, 1]
    return {
        "mean": float(db.mean()),
        "median": float(np.median(db)),
        "p10": float(np.quantile(db, 0.1)),
        "drawn": float(torch.stack(right).mean()),
        "error_agreement": float(agreement),
    }


def train(
    data: Path,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    resume: bool,
    compiled: bool,
    workers: int,
    stop: float,
) -> None:
    """Train for ``recipe.minutes``; writes weights and card to ``out`` at the end.

    After ``stop`` minutes of this start it is left for another start to resume.
    """
    arrived = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, device, compiled=compiled)
    checkpoint = work / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.resume(checkpoint)
        progress = trainer.progress
        log.info("goes on after %.1f minutes, %d crops", progress.seconds / 60, progress.crops)
    trainer.progress.starts += 1
    signals = load_signals(data, {"", *"1234567"})
    held_out = fixed_crops(load_signals(data, {"8"}), HELD_OUT, recipe.width)
    log.info("%d records; %d validation crops", len(signals), len(held_out[0]))
    crops = DrawnCrops(signals, recipe, trainer.progress.starts)
    loader = DataLoader(crops, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
    last = began = time.monotonic()
    first_crop, parts = trainer.progress.crops, []
    for batch, new in batches(loader, recipe, device):
        parts.append(trainer.step(batch))
        trainer.progress.crops += new
        now = time.monotonic()
        trainer.progress.seconds += now - last
        last = now
        over = trainer.share >= 1
        left = now - arrived > 60 * stop
        if over or left or now - began > 60 * recipe.checkpoint_minutes:
            speed = (trainer.progress.crops - first_crop) / (now - began)
            report(trainer, held_out, parts, speed)
            trainer.save(checkpoint)
            write(trainer, out if over else work / "model")
            last = began = time.monotonic()
            first_crop, parts = trainer.progress.crops, []
        if over or left:
            break


def report(trainer: Trainer, held_out: Batch, parts: list[dict[str, Tensor]], speed: float) -> None:
    """Validate and log one line."""
    score = validate(trainer.averaged, held_out)
    progress = trainer.progress
    progress.history.append((progress.seconds / 60, progress.crops, score["mean"]))
    losses = {key: float(torch.stack([p[key] for p in parts if key in p]).mean()) for key in parts[-1]}
    log.info(
        "%.1f min %d crops (%.1f/s, %d seen) lr %.1e | %s | "
        "fold 8: SNR mean %.2f median %.2f p10 %.2f dB, drawn %.3f, error %.2f",
        progress.seconds / 60,
        progress.crops,
        speed,
        progress.seen,
        trainer.rate(),
        " ".join(f"{key} {value:.3f}" for key, value in losses.items()),
        *score.values(),
    )


def write(trainer: Trainer, folder: Path) -> None:
    """Store the averaged weights and their card."""
    progress, recipe = trainer.progress, trainer.recipe
    _, _, snr = progress.history[-1]
    card = Card(
        input="grey 0 to 1, 320 px high (8 px/mm, level in the middle) x multiples of 32 px wide (10 px/mm)",
        output="per 2 ms: logits over 160 voltage bins of 0.25 mm, logit of being drawn, log of the error in mm",
        trained_on=(
            f"{progress.crops} crops drawn from 1,304 500-Hz records (PTB-XL folds 1-7, Chapman, Georgia, "
            f"CPSC 2018, CinC 2011), {progress.seen} seen, in {progress.seconds / 3600:.2f} hours on "
            f"{'a GPU' if trainer.device.type == 'cuda' else 'a CPU'}"
        ),
        command=f"python -m ecgpage.train.trace --data FOLDER {options(recipe)}",
        score=f"SNR {snr:.2f} dB, mean over {HELD_OUT} drawn crops of fold 8, constant offset removed",
        settings={"network": trainer.network.settings},
    )
    save_tensors(folder, NAME, half_precision(trainer.averaged.state_dict()), card)


def options(recipe: Recipe) -> str:
    """The command line's options for a recipe, defaults left out."""
    texts = []
    for name, option in OPTIONS.items():
        value = getattr(recipe, name)
        if value != getattr(Recipe, name):
            numbers = value if isinstance(value, tuple) else (value,)
            texts.append(" ".join([option, *(f"{number:g}" for number in numbers)]))
    return " ".join(texts)


def score_fold(data: Path, model: Path, fold: str, width: int) -> None:
    """Log the SNR on 400 fixed crops of a fold and add it to the weights' card."""
    crops = fixed_crops(load_signals(data, {fold}), 400, width, seed=int(fold))
    score = validate(TraceNet.load(model), crops)
    log.info("fold %s: %s", fold, json.dumps(score))
    card = asdict(load_card(model, NAME))
    earlier = [part for part in card["score"].split("; ") if f"fold {fold}," not in part]
    text = f"{score['mean']:.2f} dB (median {score['median']:.2f}) on 400 of fold {fold}, scored once"
    card["score"] = "; ".join([*earlier, text])
    save_tensors(model, NAME, load_tensors(model, NAME), Card(**card))


def _decays(name: str, parameter: torch.nn.Parameter) -> bool:
    """The row embedding is no matrix."""
    return is_matrix(name, parameter) and name != "row"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/trace/first"), help="checkpoint and log")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument(
        "--crops", type=float, default=Recipe.crops, help="end after so many, if that is sooner"
    )
    parser.add_argument("--widths", type=int, nargs=4, default=Recipe.widths, help="channels of the network")
    parser.add_argument("--layers", type=int, default=Recipe.layers, help="attention layers; 0: no attention")
    parser.add_argument("--snr-weight", type=float, default=Recipe.snr_weight, help="of the SNR loss")
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--rate", type=float, default=Recipe.peak_lr, help="highest learning rate")
    parser.add_argument("--repeat", type=int, default=Recipe.repeat, help="how often a drawn crop is seen")
    parser.add_argument(
        "--stop", type=float, default=math.inf, help="minutes after which to leave, for --resume"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument(
        "--compile", action="store_true", help="fuse with torch.compile (needs a C++ compiler)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--score", metavar="FOLD", help="only score the weights in --out on this fold")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)  # before the workers fork: OpenCV's threads do not survive it
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    asked = {name: getattr(args, option.strip("-").replace("-", "_")) for name, option in OPTIONS.items()}
    recipe = Recipe(**asked | {"widths": tuple(args.widths)})
    if args.score:
        score_fold(args.data, args.out, args.score, recipe.width)
    else:
        how = {"resume": args.resume, "compiled": args.compile, "workers": args.workers, "stop": args.stop}
        train(args.data, args.out, args.work, recipe, **how)


if __name__ == "__main__":
    main()
