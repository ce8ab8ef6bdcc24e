"""Train the lead detector on drawn flattened pages.

    python -m ecgpage.synth.page_shards --data FOLDER --folds 1234567 --out DIR --workers 12 --minutes 10 &
    python -m ecgpage.synth.page_shards --data FOLDER --folds 8 --out VALID --workers 2 --count 512 --seed 8
    python -m ecgpage.train.detector --pages DIR --valid VALID --out model --minutes 9

DIR and VALID hold shards of pages (``ecgpage.synth.page_shards``). Pages are kept in memory; before each pass through
them the folder is listed again, so shards that are drawn meanwhile join in. The drawing varies everything but
where the page lies on the network's canvas and its final brightness: those, and some noise, are varied on the
device. ``--work`` holds checkpoint and log; with ``--resume`` the run goes on where it stopped, within the same
time; ``--start model --lr 3e-4`` trains weights further. On a CPU, ``--batch 16 --threads 2`` fits; a rehearsal fits with
``--size 320`` besides.
"""

import argparse
import copy
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress as ignore
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.weights import Card, half_precision, save_tensors
from ecgpage.core.yolov7 import (
    PAD_GREY,
    Config,
    Detections,
    Letterbox,
    Targets,
    YoloV7,
    average_precision,
    detection_loss,
    letterbox,
    suppress,
)
from ecgpage.layout.detector import CLASSES, CONFIG, NAME, SIZE, load_network
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import PageShards
from ecgpage.train.loop import cosine, is_matrix, parameter_groups, update_average, write_checkpoint

log = logging.getLogger(__name__)

VALID_SCORE: Final = 0.01
"""Detections that are less certain hardly count in the mAP."""
VALID_OVERLAP: Final = 0.6
VALID_BATCH: Final = 32
SHARDS_WITHIN: Final = 300.0
"""Seconds to wait for the first shard."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    minutes: float = 60.0
    """Time from the first batch on, validation included, all resumed runs together."""
    batch: int = 64
    size: int = SIZE
    """Side of the canvas, px; a multiple of 32."""
    peak_lr: float = 2e-3
    last_lr: float = 0.02
    """Of the peak, at the end."""
    weight_decay: float = 0.03
    warmup: int = 200
    """Steps of linear warm-up."""
    warm_share: float = 0.05
    """Part of the time after which it is over in any case."""
    ema: float = 0.999
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    scaled: float = 0.3
    """Share of pages that are made smaller, down to ``least_scale``."""
    least_scale: float = 0.85
    contrast: float = 0.2
    """Largest change of the contrast, as a part."""
    brightness: float = 0.12
    """Largest change of the brightness, of white."""
    noise: float = 0.03
    """Largest standard deviation of noise, of white."""
    keep: int = 60_000
    """Most pages in memory (0.3 MB each); the oldest go first."""
    valid_pages: int = 512
    checkpoint_minutes: float = 2.0
    seed: int = 1


# --- pages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Pages in the middle of their canvases."""

    images: Tensor
    """uint8 (b, size, size)."""
    sides: Tensor
    """float32 (b, 2) width and height of the page on its canvas, px."""
    targets: Targets

    def to(self, device: torch.device) -> "Batch":
        images, sides = (part.to(device, non_blocking=True) for part in (self.images, self.sides))
        return Batch(images, sides, self.targets.to(device))

    def pinned(self) -> "Batch":
        """In memory from which a GPU copies while it works."""
        return Batch(self.images.pin_memory(), self.sides, self.targets)


def collate(pages: Sequence[DrawnFlatPage], size: int) -> Batch:
    """A batch of pages on canvases of ``size``."""
    canvases, places = zip(*(letterbox(page.image, size) for page in pages), strict=True)
    boxes = [torch.from_numpy(place.to_canvas(page.boxes)) for page, place in zip(pages, places, strict=True)]
    sides = [_side(page.image.shape, place) for page, place in zip(pages, places, strict=True)]
    return Batch(
        torch.from_numpy(np.stack(canvases)),
        torch.tensor(sides, dtype=torch.float32),
        Targets.of(boxes, [torch.from_numpy(page.classes) for page in pages]),
    )


def _side(shape: tuple[int, ...], place: Letterbox) -> tuple[float, float]:
    return shape[1] * place.scale[0], shape[0] * place.scale[1]


class PagePool:
    """Pages of a folder that grows."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.pages: list[DrawnFlatPage] = []
        self.loaded = 0
        """Pages that were ever read."""
        self._known: set[Path] = set()

    def refresh(self) -> None:
        """Read the shards that are new, the oldest of them first."""
        with ignore(EcgPageError):  # no shard yet
            shards = PageShards(self.folder)
            new = sorted(set(shards.paths) - self._known, key=lambda path: path.stat().st_mtime)
            for path in new:
                pages = shards.load(path)
                self.pages += pages
                self.loaded += len(pages)
                self._known.add(path)
            self.pages = self.pages[-self.keep :]

    def wait(self, seconds: float) -> None:
        """Until there is a page; EcgPageError when there is none after ``seconds``."""
        until = time.monotonic() + seconds
        self.refresh()
        while not self.pages:
            if time.monotonic() > until:
                PageShards(self.folder)
                raise EcgPageError(f"{self.folder}: its shards hold no page")
            time.sleep(0.5)
            self.refresh()

    def batches(self, batch: int, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Endless batches, pass after pass in random order; new shards join in before each pass."""
        while True:
            self.refresh()
            pages = self.pages
            order = rng.permutation(len(pages))
            order = np.resize(order, max(len(order) // batch, 1) * batch)
            for part in order.reshape(-1, batch):
                yield collate([pages[k] for k in part], size)


class Feeder:
    """Makes batches in a thread, a few ahead of the training."""

    def __init__(self, batches: Iterator[Batch], *, ahead: int = 4, pinned: bool) -> None:
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(batches, pinned), daemon=True)
        self._thread.start()

    def _run(self, batches: Iterator[Batch], pinned: bool) -> None:
        try:
            for batch in batches:
                self._put(batch.pinned() if pinned else batch)
                if self._stop.is_set():
                    return
        except BaseException as error:  # handed over: a thread's own error would pass unseen
            self._put(error)

    def _put(self, item: "Batch | BaseException") -> None:
        while not self._stop.is_set():
            with ignore(queue.Full):
                self._queue.put(item, timeout=0.5)
                return

    def __iter__(self) -> Iterator[Batch]:
        while True:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def disturb(batch: Batch, recipe: Recipe) -> tuple[Tensor, Targets]:
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
    way = torch.zeros(b, 2, 3, device=device)
    way[:, 0, 0] = way[:, 1, 1] = 1 / scale[:, 0]
    way[:, :, 2] = -shift / scale * 2 / size
    pad = PAD_GREY / 255
    x = images[:, None].float() / 255 - pad  # (b, 1, size, size)
    x = F.grid_sample(x, F.affine_grid(way, list(x.shape), align_corners=False), align_corners=False) + pad
    contrast = 1 + (2 * uniform(b, 1, 1, 1) - 1) * recipe.contrast
    brightness = (2 * uniform(b, 1, 1, 1) - 1) * recipe.brightness
    noise = torch.randn_like(x) * (uniform(b, 1, 1, 1) * recipe.noise)
    x = ((x - 0.5) * contrast + 0.5 + brightness + noise).clamp(0, 1)
    boxes = (targets.boxes - size / 2) * scale[:, None] + size / 2 + shift.repeat(1, 2)[:, None]
    return x, Targets(boxes, targets.classes, targets.valid)


def cluster_anchors(boxes: NDArray[np.floating], count: int = 9, seed: int = 0) -> list[tuple[float, float]]:
    """(width, height) of ``count`` clusters of the logs of the sides of boxes (n, 4), by area."""
    sides = np.log(boxes[:, 2:] - boxes[:, :2])
    centres = np.exp(KMeans(count, n_init=10, random_state=seed).fit(sides).cluster_centers_)
    centres = centres[np.argsort(centres.prod(1))]
    return [(round(float(w)), round(float(h))) for w, h in centres]


def config_of(size: int) -> Config:
    """The network that ships, its anchors in px of a canvas of ``size``."""
    share = size / SIZE
    anchors = tuple(tuple((w * share, h * share) for w, h in level) for level in CONFIG.anchors)
    return replace(CONFIG, anchors=anchors)


# --- training -----------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """What has been done so far, over all resumed runs."""

    seconds: float = 0.0
    pages: int = 0
    """Seen by the network, repeats included."""
    drawn: int = 0
    """Different pages among them."""
    starts: int = 0
    history: list[tuple[float, int, float, float]] = field(default_factory=list)
    """(minutes, pages, mAP50, mAP50-95)."""


class Trainer:
    """Network in training, its running average, and what is needed to go on after a stop."""

    KEPT: Final = ("network", "averaged", "optimizer")

    def __init__(
        self, recipe: Recipe, device: torch.device, *, compiled: bool, start: Path | None = None
    ) -> None:
        """``start``: model folder whose weights are trained further, without batch norms, as they are stored."""
        self.recipe, self.device = recipe, device
        self.before = ""
        """How the weights were made that it began with."""
        network = YoloV7(config_of(recipe.size))
        if start is not None:
            network, card = load_network(start)
            self.before = card.trained_on
        self.config = network.config
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).eval()
        self.forward = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, recipe.weight_decay, _decays), lr=recipe.peak_lr, fused=True
        )
        self.progress = Progress()
        self.steps = 0

    @property
    def share(self) -> float:
        """Part of the time that is over."""
        return min(1.0, self.progress.seconds / (60 * self.recipe.minutes))

    def rate(self) -> float:
        """Learning rate: linear warm-up, then a cosine over the time."""
        recipe = self.recipe
        warm = min(1.0, max((self.steps + 1) / recipe.warmup, self.share / recipe.warm_share))
        return recipe.peak_lr * warm * cosine(self.share, recipe.last_lr)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One step; returns the parts of the loss."""
        images, targets = disturb(batch.to(self.device), self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            raw = self.forward(images.contiguous(memory_format=torch.channels_last))
        parts = detection_loss(raw, self.config, targets)
        loss = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.steps)
        self.steps += 1
        self.progress.pages += len(images)
        return {key: value.detach() for key, value in parts.items()}

    def shipped(self) -> YoloV7:
        """The averaged network as it is stored: fused, in float16's precision."""
        network = copy.deepcopy(self.averaged).fuse()
        rounded = half_precision(network.state_dict())
        network.load_state_dict({key: value.float() for key, value in rounded.items()})
        return network

    def save(self, path: Path) -> None:
        saved = {key: getattr(self, key).state_dict() for key in self.KEPT}
        write_checkpoint(saved | {"steps": self.steps, "progress": asdict(self.progress)}, path)

    def resume(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for key in self.KEPT:
            getattr(self, key).load_state_dict(saved[key])
        self.steps, self.progress = saved["steps"], Progress(**saved["progress"])


def validate(network: YoloV7, pages: Sequence[DrawnFlatPage], size: int) -> Tensor:
    """Average precision (10, 13) at IoU 0.5, 0.55, ... 0.95 of each class on pages."""
    device = next(network.parameters()).device
    found: list[Detections] = []
    boxes: list[Tensor] = []
    classes: list[Tensor] = []
    network.eval()
    for start in range(0, len(pages), VALID_BATCH):
        batch = collate(pages[start : start + VALID_BATCH], size)
        images = batch.images.to(device)[:, None].float() / 255
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            predictions = network.predict(images.contiguous(memory_format=torch.channels_last))
        found += suppress(predictions, score=VALID_SCORE, overlap=VALID_OVERLAP)
        for own, names, valid in zip(
            batch.targets.boxes, batch.targets.classes, batch.targets.valid, strict=True
        ):
            boxes.append(own[valid])
            classes.append(names[valid])
    return average_precision(found, boxes, classes, len(CLASSES))


def train(
    pages: Path,
    valid: Path,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    resume: bool,
    compiled: bool,
    start: Path | None = None,
) -> None:
    """Train for ``recipe.minutes``, from the weights of the model folder ``start`` on or anew; writes weights and card to
    ``out`` at the end.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    torch.backends.cudnn.benchmark = True
    trainer = Trainer(recipe, device, compiled=compiled, start=start)
    checkpoint = work / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.resume(checkpoint)
        progress = trainer.progress
        log.info("goes on after %.1f minutes, %d pages", progress.seconds / 60, progress.pages)
    progress = trainer.progress
    progress.starts += 1
    torch.manual_seed(recipe.seed + progress.starts)
    pool, held_out = PagePool(pages, recipe.keep), PagePool(valid, recipe.valid_pages)
    pool.wait(SHARDS_WITHIN)
    held_out.wait(SHARDS_WITHIN)
    log.info("%d pages so far; %d validation pages; %s", pool.loaded, len(held_out.pages), device)
    rng = np.random.default_rng([recipe.seed, progress.starts])
    feeder = Feeder(pool.batches(recipe.batch, recipe.size, rng), pinned=device.type == "cuda")
    try:
        _train(trainer, feeder, pool, held_out.pages, out, work)
    finally:
        feeder.close()


def _train(
    trainer: Trainer, feeder: Feeder, pool: PagePool, held_out: list[DrawnFlatPage], out: Path, work: Path
) -> None:
    """The loop over batches, with reports and checkpoints in between."""
    progress, recipe = trainer.progress, trainer.recipe
    last = began = time.monotonic()
    first_page, parts = progress.pages, []
    for batch in feeder:
        parts.append(trainer.step(batch))
        now = time.monotonic()
        progress.seconds += now - last
        last = now
        over = trainer.share >= 1
        if over or now - began > 60 * recipe.checkpoint_minutes:
            speed = (progress.pages - first_page) / (now - began)
            progress.drawn = max(progress.drawn, pool.loaded)
            network = trainer.shipped()
            report(trainer, network, held_out, parts, speed)
            trainer.save(work / "checkpoint.pt")
            write(trainer, network, len(held_out), out if over else work / "model")
            began = time.monotonic()
            first_page, parts = progress.pages, []
        if over:
            break


def report(
    trainer: Trainer,
    network: YoloV7,
    held_out: list[DrawnFlatPage],
    parts: list[dict[str, Tensor]],
    speed: float,
) -> None:
    """Validate and log one line."""
    precision = validate(network, held_out, trainer.recipe.size)
    progress = trainer.progress
    map50, map_all = float(precision[0].nanmean()), float(precision.nanmean())
    progress.history.append((progress.seconds / 60, progress.pages, map50, map_all))
    losses = {key: float(torch.stack([p[key] for p in parts]).mean()) for key in parts[-1]}
    shown = [k for k in range(len(CLASSES)) if not bool(precision[0, k].isnan())]
    worst = min(shown, key=lambda k: float(precision[:, k].mean()))
    log.info(
        "%.1f min %d pages (%.1f/s, %d drawn) lr %.1e | %s | mAP50 %.4f mAP50-95 %.4f, worst %s %.4f %.4f",
        progress.seconds / 60,
        progress.pages,
        speed,
        progress.drawn,
        trainer.rate(),
        " ".join(f"{key} {value:.3f}" for key, value in losses.items()),
        map50,
        map_all,
        CLASSES[worst],
        float(precision[0, worst]),
        float(precision[:, worst].mean()),
    )


def write(trainer: Trainer, network: YoloV7, valid_pages: int, folder: Path) -> None:
    """Store the fused network in float16 and its card."""
    progress, recipe = trainer.progress, trainer.recipe
    _, _, map50, map_all = progress.history[-1]
    kind = "a GPU" if trainer.device.type == "cuda" else "a CPU"
    seen = (
        f"{progress.pages} pages seen, {progress.drawn} different ones drawn from records of PTB-XL folds "
        f"1-7 and records without a fold, in {progress.seconds / 3600:.3f} hours on {kind}"
    )
    card = Card(
        input=f"grey 0 to 1, letterboxed to {recipe.size} x {recipe.size} px, padded with {PAD_GREY}/255",
        output=(
            "at strides 8, 16, 32 and 3 anchors each: logits of x, y, width, height, objectness, 13 classes "
            "(12 leads, calibration pulse)"
        ),
        trained_on=f"{trainer.before}; then {seen}" if trainer.before else seen,
        command=(
            f"python -m ecgpage.train.detector --pages DIR --valid VALID --minutes {recipe.minutes:g} "
            f"--batch {recipe.batch} --size {recipe.size} --lr {recipe.peak_lr:g}"
            + (" --start model" if trainer.before else "")
        ),
        score=f"mAP50 {map50:.4f}, mAP50-95 {map_all:.4f} on {valid_pages} drawn pages of fold 8",
        settings={"network": network.config.settings(), "classes": list(CLASSES), "size": recipe.size},
    )
    save_tensors(folder, NAME, half_precision(network.state_dict()), card)


def _decays(name: str, parameter: torch.nn.Parameter) -> bool:
    """Implicit knowledge is no kernel."""
    return is_matrix(name, parameter) and name.endswith("weight")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, help="folder of training shards")
    parser.add_argument("--valid", type=Path, help="folder of validation shards")
    parser.add_argument("--out", type=Path, default=Path("model"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("runs/detector/first"), help="checkpoint and log")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of the canvas, a multiple of 32")
    parser.add_argument("--lr", type=float, default=Recipe.peak_lr)
    parser.add_argument("--keep", type=int, default=Recipe.keep, help="most pages in memory")
    parser.add_argument("--valid-pages", type=int, default=Recipe.valid_pages)
    parser.add_argument("--checkpoint-minutes", type=float, default=Recipe.checkpoint_minutes)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--start", type=Path, help="model folder whose weights are trained further")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument(
        "--compile", action="store_true", help="fuse with torch.compile (needs a C++ compiler)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--anchors", action="store_true", help="only cluster the boxes of --pages to anchors")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    if args.anchors:
        boxes = np.concatenate([page.boxes for page in PageShards(args.pages)])
        log.info("anchors from %d boxes: %s", len(boxes), cluster_anchors(boxes))
        return
    if args.valid is None:
        parser.error("--valid is needed to train")
    recipe = Recipe(
        minutes=args.minutes,
        batch=args.batch,
        size=args.size,
        peak_lr=args.lr,
        keep=args.keep,
        valid_pages=args.valid_pages,
        checkpoint_minutes=args.checkpoint_minutes,
        seed=args.seed,
    )
    train(
        args.pages,
        args.valid,
        args.out,
        args.work,
        recipe,
        resume=args.resume,
        compiled=args.compile,
        start=args.start,
    )


if __name__ == "__main__":
    main()
