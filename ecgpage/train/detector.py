"""Train the lead detector on drawn flattened pages.

    python -m ecgpage.synth.page_shards --data FOLDER --folds 1234567 --out DIR --workers 12 --minutes 10 &
    python -m ecgpage.synth.page_shards --data FOLDER --folds 8 --out VALID --workers 2 --count 512 --seed 8
    python -m ecgpage.train.detector --pages DIR --valid VALID --out model --minutes 9

DIR and VALID hold shards of pages (``ecgpage.synth.page_shards``). Pages are kept in memory; the folder is listed again
before each pass, so shards drawn meanwhile join in. The drawing varies everything but the page's place on the network's
canvas and its final brightness, which are varied on the device, with some noise. ``--work`` holds checkpoint and log;
``--resume`` continues a stopped run within its time; ``--start model --lr 3e-4`` trains weights further. On a CPU,
``--batch 16 --threads 2`` fits; a rehearsal fits with ``--size 320`` besides.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn

from ecgpage.core.torch_runtime import half_precision, network_precision, save_tensors
from ecgpage.core.weights import Card
from ecgpage.core.yolov7 import (
    PAD_GREY,
    Config,
    Detections,
    Targets,
    YoloV7,
    average_precision,
    detection_loss,
    suppress,
)
from ecgpage.layout.detector import CLASSES, NAME, SIZE
from ecgpage.layout.detector_network import load_network
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.origins import summarize_origins
from ecgpage.synth.page_shards import PageShards
from ecgpage.train import loop
from ecgpage.train.command import COMMON, MOST_SEEN, Setting, build_parser, list_options, read_recipe, set_up
from ecgpage.train.devices import choose_device
from ecgpage.train.loop_parts import is_matrix
from ecgpage.train.page_batches import Batch, Feeder, PagePool, collate

log = logging.getLogger(__name__)

ANCHORS: Final = (
    ((13.0, 22.0), (18.0, 23.0), (142.0, 25.0)),
    ((144.0, 38.0), (275.0, 27.0), (145.0, 66.0)),
    ((281.0, 52.0), (567.0, 28.0), (579.0, 51.0)),
)
"""Width and height, px, of the anchors: centres of nine clusters of the drawn boxes' log sides (pulses, columns of 3x4 and
6x2 pages, strips), by ``python -m ecgpage.train.detector --pages DIR --anchors``.
"""
CONFIG: Final = Config("tiny", classes=len(CLASSES), channels=1, width=0.75, anchors=ANCHORS)
"""Settings of the network that ships."""

VALID_SCORE: Final = 0.01
"""Score of a detection, at least: less certain ones hardly count in the mAP."""
VALID_OVERLAP: Final = 0.6
"""Intersection over union above which the less certain of two detections is dropped."""
VALID_BATCH: Final = 32
"""Number of pages in a batch of the validation."""
SHARDS_WITHIN: Final = 300.0
"""Time, s, to wait for the first shard."""
SETTINGS: Final = (
    *COMMON,
    MOST_SEEN,
    Setting("size", "--size", "side of the canvas, a multiple of 32"),
    Setting("peak_lr", "--lr", "highest learning rate"),
    Setting("keep", "--keep", "most pages in memory"),
    Setting("valid_pages", "--valid-pages", "most pages that are validated on"),
)


@dataclass(frozen=True, kw_only=True)
class Recipe(loop.Recipe):
    """Numbers of one training."""

    size: int = SIZE
    """Side of the canvas, px; a multiple of 32."""
    peak_lr: float = 2e-3
    last_lr: float = 0.02
    weight_decay: float = 0.03
    warm_share: float = 0.05
    ema: float = 0.999
    clip: float = 10.0
    scaled: float = 0.3
    """Share of pages that are made smaller, down to ``least_scale``."""
    least_scale: float = 0.85
    """Scale of a page, at least."""
    contrast: float = 0.2
    """Change of the contrast over the contrast, at most."""
    brightness: float = 0.12
    """Change of the brightness over white, at most."""
    noise: float = 0.03
    """Standard deviation of noise over white, at most."""
    keep: int = 60_000
    """Number of pages in memory (0.3 MB each), at most; the oldest go first."""
    valid_pages: int = 512
    """Number of pages of the validation, at most."""
    checkpoint_minutes: float = 2.0


# --- pages as a step sees them ------------------------------------------------------------------------------


def augment(batch: Batch, recipe: Recipe) -> tuple[Tensor, Targets]:
    """Move pages on their canvases, some made smaller, and vary brightness, contrast and noise.

    Returns images float32 (b, 1, size, size), 0 to 1, and the moved targets. Pages stay on the canvas.
    """
    images, sides, targets = batch.images, batch.sides, batch.targets
    b, size, _ = images.shape
    device = images.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device)

    smaller = uniform(b, 1) < recipe.scaled
    scale = torch.where(smaller, 1 - uniform(b, 1) * (1 - recipe.least_scale), 1.0)  # (b, 1)
    room = (size - scale * sides).clamp_min(0) / 2  # (b, 2)
    shift = ((2 * uniform(b, 2) - 1) * room).trunc()  # whole pixels do not blur
    transform = torch.zeros(b, 2, 3, device=device)
    transform[:, 0, 0] = transform[:, 1, 1] = 1 / scale[:, 0]
    transform[:, :, 2] = -shift / scale * 2 / size
    pad = PAD_GREY / 255
    x = images[:, None].float() / 255 - pad  # (b, 1, size, size)
    x = (
        F.grid_sample(x, F.affine_grid(transform, list(x.shape), align_corners=False), align_corners=False)
        + pad
    )
    contrast = 1 + (2 * uniform(b, 1, 1, 1) - 1) * recipe.contrast
    brightness = (2 * uniform(b, 1, 1, 1) - 1) * recipe.brightness
    noise = torch.randn_like(x) * (uniform(b, 1, 1, 1) * recipe.noise)
    x = ((x - 0.5) * contrast + 0.5 + brightness + noise).clamp(0, 1)
    boxes = (targets.boxes - size / 2) * scale[:, None] + size / 2 + shift.repeat(1, 2)[:, None]
    return x, Targets(boxes, targets.classes, targets.valid)


def cluster_anchors(boxes: NDArray[np.floating], count: int = 9, seed: int = 0) -> list[tuple[float, float]]:
    """Widths and heights, px, of ``count`` clusters of the log sides of boxes (n, 4), in the order of their area."""
    sides = np.log(boxes[:, 2:] - boxes[:, :2])
    centres = np.exp(KMeans(count, n_init=10, random_state=seed).fit(sides).cluster_centers_)
    centres = centres[np.argsort(centres.prod(1))]
    return [(round(float(w)), round(float(h))) for w, h in centres]


def scale_config(size: int) -> Config:
    """Configuration of the network that ships, with anchors scaled to a canvas of ``size`` px."""
    share = size / SIZE
    anchors = tuple(tuple((w * share, h * share) for w, h in level) for level in CONFIG.anchors)
    return replace(CONFIG, anchors=anchors)


# --- training -----------------------------------------------------------------------------------------------


class Trainer(loop.Trainer[Batch, Recipe]):
    """Lead detector in training."""

    def __init__(
        self, recipe: Recipe, device: torch.device, *, compiled: bool = False, start: Path | None = None
    ) -> None:
        """``start``: model folder whose weights are trained further; they are stored fused, without batch norms."""
        self.before = ""
        """Text of the card of the weights that it began with."""
        network = YoloV7(scale_config(recipe.size))
        if start is not None:
            network, card = load_network(start, NAME)
            self.before = card.trained_on
        self.config = network.config
        super().__init__(network, recipe, device, compiled=compiled)

    def decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a parameter decays: kernels do, except implicit knowledge."""
        return is_matrix(name, parameter) and name.endswith("weight")

    def count(self, batch: Batch) -> int:
        return len(batch)

    def losses(self, batch: Batch) -> loop.Parts:
        images, targets = augment(batch.to(self.device), self.recipe)
        with self.autocast():
            raw = self.forward(images.contiguous(memory_format=torch.channels_last))
        return detection_loss(raw, self.config, targets)

    def candidate(self) -> YoloV7:
        """Averaged network in its stored form: fused, in float16's precision."""
        averaged = copy.deepcopy(self.averaged)
        assert isinstance(averaged, YoloV7)
        network = averaged.fuse()
        rounded = half_precision(network.state_dict())
        network.load_state_dict({key: value.float() for key, value in rounded.items()})
        return network


def average_precisions(network: YoloV7, pages: Sequence[DrawnFlatPage], size: int) -> Tensor:
    """Average precision (10, 13) at IoU 0.5, 0.55, ... 0.95 of each class on pages."""
    device = next(network.parameters()).device
    found: list[Detections] = []
    boxes: list[Tensor] = []
    classes: list[Tensor] = []
    network.eval()
    for start in range(0, len(pages), VALID_BATCH):
        batch = collate(pages[start : start + VALID_BATCH], size)
        images = batch.images.to(device)[:, None].float() / 255
        with torch.inference_mode(), network_precision(device):
            predictions = network.predict(images.contiguous(memory_format=torch.channels_last))
        found += suppress(predictions.float().cpu().numpy(), score=VALID_SCORE, overlap=VALID_OVERLAP)
        for own, names, valid in zip(
            batch.targets.boxes, batch.targets.classes, batch.targets.valid, strict=True
        ):
            boxes.append(own[valid])
            classes.append(names[valid])
    return average_precision(found, boxes, classes, len(CLASSES))


def validate(network: nn.Module, pages: Sequence[DrawnFlatPage], size: int) -> loop.Scores:
    """mAP50 and mAP50-95, mean over the classes; the class with the least mAP50-95 is logged."""
    assert isinstance(network, YoloV7)
    precision = average_precisions(network, pages, size)
    shown = [k for k in range(len(CLASSES)) if not bool(precision[0, k].isnan())]
    if shown:
        worst = min(shown, key=lambda k: float(precision[:, k].mean()))
        figures = float(precision[0, worst]), float(precision[:, worst].mean())
        log.info("worst: %s, mAP50 %.4f, mAP50-95 %.4f", CLASSES[worst], *figures)
    return {"mAP50": float(precision[0].nanmean()), "mAP50-95": float(precision.nanmean())}


def train(
    pages: Path,
    valid: Path,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    compiled: bool = False,
    start: Path | None = None,
) -> None:
    """Train for ``recipe.minutes`` from the weights of the model folder ``start`` or from random ones, and write weights and
    card to ``out``.
    """
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, choose_device(), compiled=compiled, start=start)
    trainer.begin(work / "checkpoint.pt", resume=resume)
    pool, held_out = PagePool(pages, recipe.keep), PagePool(valid, recipe.valid_pages)
    pool.wait(SHARDS_WITHIN)
    held_out.wait(SHARDS_WITHIN)
    log.info("%d pages so far; %d validation pages", pool.loaded, len(held_out.pages))
    rng = np.random.default_rng(trainer.seeds)
    feeder = Feeder(pool.batches(recipe.batch, recipe.size, rng), pinned=trainer.device.type == "cuda")

    def feed() -> Iterator[Batch]:
        for batch in feeder:
            trainer.progress.drawn = max(trainer.progress.drawn, pool.loaded)
            yield batch

    def store(network: nn.Module, scores: loop.Scores, folder: Path) -> None:
        seen = {page.record: page.origin for page in held_out.pages}
        validated = f"{len(held_out.pages)} drawn pages of {summarize_origins(seen.values())}"
        write(trainer, network, scores, folder, summarize_origins(pool.origins.values()), validated)

    try:
        check = partial(validate, pages=held_out.pages, size=recipe.size)
        trainer.run(feed(), check, write=store, out=out)
    finally:
        feeder.close()


def write(
    trainer: Trainer, network: nn.Module, scores: loop.Scores, folder: Path, records: str, valid: str
) -> None:
    """Store the fused network in float16 and its card, which names the ``records`` of training and validation."""
    size = trainer.recipe.size
    seen = trainer.describe("pages", records)
    options = list_options(trainer.recipe, SETTINGS) + (" --start model" if trainer.before else "")
    card = Card(
        input=f"grey 0 to 1, letterboxed to {size} x {size} px, padded with {PAD_GREY}/255",
        output=(
            "at strides 8, 16, 32 and 3 anchors each: logits of x, y, width, height, objectness, 13 classes "
            "(12 leads, calibration pulse)"
        ),
        trained_on=f"{trainer.before}; then {seen}" if trainer.before else seen,
        command=f"python -m ecgpage.train.detector --pages DIR --valid VALID{options}",
        score=f"mAP50 {scores['mAP50']:.4f}, mAP50-95 {scores['mAP50-95']:.4f} on {valid}",
        settings={"network": trainer.config.settings(), "classes": list(CLASSES), "size": size},
    )
    save_tensors(folder, NAME, half_precision(network.state_dict()), card)


def main() -> None:
    parser = build_parser(__doc__, Recipe, SETTINGS, "runs/detector/first")
    parser.add_argument("--pages", type=Path, required=True, help="folder of training shards")
    parser.add_argument("--valid", type=Path, help="folder of validation shards")
    parser.add_argument("--start", type=Path, help="model folder whose weights are trained further")
    parser.add_argument("--anchors", action="store_true", help="only cluster the boxes of --pages to anchors")
    args = parser.parse_args()
    set_up(args)
    if args.anchors:
        boxes = np.concatenate([page.boxes for page in PageShards(args.pages)])
        log.info("anchors from %d boxes: %s", len(boxes), cluster_anchors(boxes))
        return
    if args.valid is None:
        parser.error("--valid is needed to train")
    recipe = read_recipe(args, Recipe, SETTINGS)
    how = {"resume": args.resume, "compiled": args.compile}
    train(args.pages, args.valid, args.out, args.work, recipe, **how, start=args.start)


if __name__ == "__main__":
    main()
