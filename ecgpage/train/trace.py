"""Train the trace network on crops drawn during the training.

    python -m ecgpage.train.trace --data FOLDER --out model --minutes 120 --compile

FOLDER holds ``hires500/signals.xz`` and ``hires500/records.csv`` (500 Hz, see ``ecgpage.core.signal_packs``). Folds 1-7
and the records without a fold are trained on (``--folds``), fixed crops of fold 8 are validated on (``--valid-folds``),
fold 9 is scored once, with ``--score 9``. A worker draws the crops (``ecgpage.synth.crops``). The loss is a
cross-entropy over voltage with a Gaussian around the truth, visibility and expected error; after 30 % of the time the
signal's SNR and its differences join in. ``--work`` holds checkpoint and log; ``--resume`` continues a stopped run
within its time.

On two cores at 2 GHz one hour sees about 30,000 crops. On CUDA the network is faster than the drawing: with
``--repeat 4`` crops stay on the device and are seen about four times while the workers draw the next ones.
``--start model --rate 2e-4`` trains weights further.

For comparisons, ``--crops N --workers 0`` gives every run identical crops in one order, whatever its speed;
``--layers 0`` leaves the attention out, ``--snr-weight 0`` the SNR loss.
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ecgpage.core.torch_runtime import half_precision, load_tensors, network_precision, save_tensors
from ecgpage.core.weights import Card, load_card
from ecgpage.synth.origins import summarize_origins
from ecgpage.synth.training_records import TRAINING_FOLDS
from ecgpage.trace.crop_reader import NAME
from ecgpage.trace.decoding import AROUND_MODE, BIN_MM, BINS, bin_heights, decode
from ecgpage.trace.network import TraceNet, load_network, load_trained
from ecgpage.train import loop, several
from ecgpage.train.command import COMMON, Setting, build_parser, list_options, read_recipe, set_up
from ecgpage.train.devices import choose_device
from ecgpage.train.loop_parts import is_matrix
from ecgpage.train.trace_crops import (
    MIN_STEPS,
    Batch,
    DrawnCrops,
    Variation,
    draw_fixed_crops,
    gather_batches,
    load_signals,
    repeat_batches,
)

log = logging.getLogger(__name__)

SCORED: Final = 400
"""Number of crops that a fold is scored on."""
POWER_FLOOR: Final = 0.05
"""Signal, mm rms, below which the SNR loss gets no steeper."""
SETTINGS: Final = (
    Setting("most_seen", "--crops", "end after so many crops, if that is sooner"),
    Setting("widths", "--widths", "channels of the network"),
    Setting("layers", "--layers", "attention layers; 0: no attention"),
    *COMMON,
    Setting("folds", "--folds", "digits: folds that are trained on"),
    Setting("valid_folds", "--valid-folds", "digits: folds that are validated on"),
    Setting("repeat", "--repeat", "how often a drawn crop is seen"),
    Setting("peak_lr", "--rate", "highest learning rate"),
    Setting("snr_weight", "--snr-weight", "of the SNR loss"),
)


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """Numbers of one training."""

    minutes: float = 120.0
    widths: tuple[int, ...] = (48, 64, 96, 128)
    """Numbers of channels of the network, from fine to coarse."""
    layers: int = 3
    """Number of attention layers of the network."""
    batch: int = 8
    repeat: int = 1
    """Number of times that a drawn crop is seen; above 1, crops stay on the device and batches are drawn among them."""
    pool: int = 60_000
    """Number of crops on the device, 0.2 MB each, at most; the oldest leave first."""
    variation: Variation = field(default_factory=Variation)
    """Variation of the crops."""
    folds: str = "1234567"
    """Training folds, a digit each; records without a fold join in where all are training folds."""
    valid_folds: str = "8"
    """Validation folds, a digit each."""
    valid_crops: int = 300
    """Number of crops of the validation."""
    sigma_bins: float = 1.0
    """Standard deviation, bins of 0.25 mm (2 px), of the Gaussian target."""
    signal_from: float = 0.3
    """Share of the training after which the SNR and difference losses join in."""
    snr_weight: float = 0.5
    """Weight of the SNR loss."""
    difference_weight: float = 0.3
    """Weight of the loss of differences between neighbouring steps."""
    error_weight: float = 0.05
    """Weight of the loss of the expected error."""
    drawn_weight: float = 0.3
    """Weight of the loss of visibility."""


# --- losses -------------------------------------------------------------------------------------------------


def column_loss(logits: Tensor, height: Tensor, drawn: Tensor, sigma_bins: float) -> Tensor:
    """Cross-entropy (b,) of logits (b, BINS, t) with a Gaussian around heights (b, t) mm over drawn steps."""
    distance = (_bins(logits.device)[None, :, None] - height[:, None]) / (sigma_bins * BIN_MM)
    target = torch.exp(-0.5 * distance * distance)
    target = target / target.sum(1, keepdim=True).clamp_min(1e-6)  # (b, BINS, t)
    loss = torch.logsumexp(logits, 1) - (target * logits).sum(1)  # (b, t)
    return average_over(loss, drawn)


def mean_around_mode(logits: Tensor) -> Tensor:
    """Heights (b, t), mm, of voltage logits (b, BINS, t): mean over the bins around the likeliest one, with gradients."""
    offsets = torch.arange(-AROUND_MODE, AROUND_MODE + 1, device=logits.device)
    index = logits.argmax(1)[:, None] + offsets[None, :, None]  # (b, 2 * AROUND_MODE + 1, t)
    inside = (index >= 0) & (index < BINS)
    index = index.clamp(0, BINS - 1)
    near = logits.gather(1, index).masked_fill(~inside, -torch.inf).softmax(1)
    return (near * _bins(logits.device)[index]).sum(1)


def _bins(device: torch.device) -> Tensor:
    return torch.from_numpy(bin_heights()).to(device)


def signal_losses(height: Tensor, truth: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """log10 of noise over signal power (b,) and mean error, mm, of differences (b,), of ``height`` (b, t), mm."""
    centred = truth - average_over(truth, drawn)[:, None]
    noise = average_over((height - truth) ** 2, drawn)
    power = average_over(centred**2, drawn)
    floor = POWER_FLOOR**2
    both = drawn[:, 1:] & drawn[:, :-1]
    slope = average_over((height.diff(dim=1) - truth.diff(dim=1)).abs(), both)
    return torch.log10((noise + floor / 100) / (power + floor)), slope


def error_loss(log_error: Tensor, height: Tensor, truth: Tensor, drawn: Tensor) -> Tensor:
    """Negative log-likelihood (b,) of the errors of ``height`` (b, t), mm: Laplace with mean size exp(log_error) mm."""
    off = (height.detach() - truth).abs()
    log_error = log_error.clamp(-6, 4)
    return average_over(log_error + off * torch.exp(-log_error), drawn)


def average_over(values: Tensor, where: Tensor) -> Tensor:
    """Mean (b,) of ``values`` (b, t) over the steps ``where``; 0 without any."""
    return torch.where(where, values, 0.0).sum(1) / where.sum(1).clamp_min(1)


def snr_db(height: Tensor, truth: Tensor, drawn: Tensor) -> Tensor:
    """SNR, dB, (b,) over the drawn steps.

    Constant offsets do not count, as the Challenge's alignment removes them.
    """
    off = height - truth
    off = off - average_over(off, drawn)[:, None]
    centred = truth - average_over(truth, drawn)[:, None]
    return 10 * torch.log10(average_over(centred**2, drawn) / average_over(off**2, drawn).clamp_min(1e-12))


# --- training -----------------------------------------------------------------------------------------------


class Trainer(loop.Trainer[Batch, Recipe]):
    """Trace network in training."""

    def __init__(
        self, recipe: Recipe, device: torch.device, *, compiled: bool = False, start: Path | None = None
    ) -> None:
        """``start``: model folder whose weights are trained further; widths and layers are then theirs."""
        network = (
            TraceNet(recipe.widths, layers=recipe.layers) if start is None else load_trained(start, NAME)
        )
        self.before = "" if start is None else load_card(start, NAME).trained_on
        """Text of the card of the weights that it began with."""
        self.network_settings: dict[str, Any] = network.settings
        super().__init__(network, recipe, device, compiled=compiled)

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a parameter decays: matrices do, except the row embedding."""
        return is_matrix(name, parameter) and name != "row"

    def count(self, batch: Batch) -> int:
        return len(batch[0])

    def losses(self, batch: Batch) -> loop.Parts:
        image, height, drawn = batch
        with self.autocast():
            outputs = self.forward(image[:, None].float() / 255)
        logits, drawn_logits, log_error = (v.float() for v in outputs)
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


def validate(network: nn.Module, batch: Batch) -> loop.Scores:
    """Mean, median and 10th percentile of the crops' SNR, dB; share of steps with right visibility; correlation of the logs
    of the crops' expected and true errors.
    """
    network.eval()
    device = next(network.parameters()).device
    snr, right, expected, true = [], [], [], []
    for image, height, drawn in zip(*(part.split(16) for part in batch), strict=True):
        with torch.inference_mode(), network_precision(device):
            outputs = network(image.to(device)[:, None].float() / 255)
        found = decode(*(v.float().cpu().numpy() for v in outputs))
        read, sigma, visible = map(torch.from_numpy, (found.height_mm, found.sigma_mm, found.visible))
        snr.append(snr_db(read, height, drawn))
        right.append(((visible > 0.5) == drawn).float().mean())
        expected.append(average_over(sigma**2, drawn).log())
        true.append(average_over((read - height) ** 2, drawn).clamp_min(1e-9).log())
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
    resume: bool = False,
    compiled: bool = False,
    workers: int = 1,
    stop: float = math.inf,
    start: Path | None = None,
) -> None:
    """Train for ``recipe.minutes`` from the weights of the model folder ``start`` or from random ones, and write weights and
    card to ``out``.

    After ``stop`` minutes of this start, the rest is left to a resumed run.
    """
    cv2.setNumThreads(1)  # before workers fork: OpenCV's threads do not survive it
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, choose_device(), compiled=compiled, start=start)
    trainer.begin(work / "checkpoint.pt", resume=resume)
    folds = set(recipe.folds)
    signals, origins = load_signals(data, folds | {""} if folds <= TRAINING_FOLDS else folds)
    valid_signals, valid_origins = load_signals(data, set(recipe.valid_folds))
    held_out = draw_fixed_crops(valid_signals, recipe.valid_crops, recipe.variation.width)
    log.info("%s; %d validation crops", summarize_origins(origins), len(held_out[0]))
    crops = DrawnCrops(signals, recipe.variation, trainer.seeds)
    loader = DataLoader(crops, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)

    def feed() -> Iterator[Batch]:
        device, repeat = trainer.device, recipe.repeat
        drawn = (
            gather_batches(loader, recipe.batch, device)
            if repeat == 1
            else repeat_batches(loader, recipe.batch, device, repeat=repeat, pool_size=recipe.pool)
        )
        for batch, new in drawn:
            trainer.progress.drawn += new * several.joined()
            yield batch

    def store(network: nn.Module, scores: loop.Scores, folder: Path) -> None:
        valid = f"{recipe.valid_crops} drawn crops of {summarize_origins(valid_origins)}"
        write(trainer, network, scores, folder, summarize_origins(origins), valid)

    trainer.run(feed(), partial(validate, batch=held_out), write=store, out=out, stop=stop)


def write(
    trainer: Trainer, network: nn.Module, scores: loop.Scores, folder: Path, records: str, valid: str
) -> None:
    """Store a network in float16 and its card, which names the ``records`` of training and validation."""
    seen = trainer.describe("crops", records)
    options = list_options(trainer.recipe, SETTINGS) + (" --start model" if trainer.before else "")
    card = Card(
        input="grey 0 to 1, 320 px high (8 px/mm, level in the middle) x multiples of 32 px wide (10 px/mm)",
        output="per 2 ms: logits over 160 voltage bins of 0.25 mm, logit of being drawn, log of the error in mm",
        trained_on=f"{trainer.before}; then {seen}" if trainer.before else seen,
        command=f"python -m ecgpage.train.trace --data FOLDER{options}",
        score=f"SNR {scores['mean']:.2f} dB, mean over {valid}, constant offset removed",
        settings={"network": trainer.network_settings},
    )
    save_tensors(folder, NAME, half_precision(network.state_dict()), card)


def score_fold(data: Path, model: Path, fold: str) -> None:
    """Log the SNR on fixed crops of a fold and add it to the weights' card."""
    signals, _ = load_signals(data, {fold})
    scores = validate(
        load_network(model, NAME), draw_fixed_crops(signals, SCORED, Variation().width, seed=int(fold))
    )
    log.info("fold %s: %s", fold, json.dumps(scores))
    card = load_card(model, NAME)
    earlier = [part for part in card.score.split("; ") if f"fold {fold}, scored" not in part]
    text = f"{scores['mean']:.2f} dB (median {scores['median']:.2f}) on {SCORED} of fold {fold}, scored once"
    card = replace(card, score="; ".join([*earlier, text]))
    save_tensors(model, NAME, load_tensors(model, NAME), card)


def main() -> None:
    parser = build_parser(__doc__, Recipe, SETTINGS, "runs/trace/first")
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    parser.add_argument("--start", type=Path, help="model folder whose weights are trained further")
    parser.add_argument("--stop", type=float, default=math.inf, help="minutes after which to leave")
    parser.add_argument("--score", metavar="FOLD", help="only score the weights in --out on this fold")
    args = parser.parse_args()
    set_up(args)
    if args.score:
        score_fold(args.data, args.out, args.score)
        return
    recipe = read_recipe(args, Recipe, SETTINGS)
    how = {"resume": args.resume, "compiled": args.compile, "workers": args.workers}
    train(args.data, args.out, args.work, recipe, **how, stop=args.stop, start=args.start)


if __name__ == "__main__":
    main()
