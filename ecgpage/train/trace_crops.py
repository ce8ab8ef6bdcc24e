"""Training crops of the trace network: drawn by workers, kept on the device, seen several times.

A crop has an image uint8 (ROWS, W), the truth float32 (2 W,) in mm above the level, and a mask bool (2 W,) of the steps at
which the lead is drawn.
"""

import csv
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from ecgpage.core.conventions import Y_PX_PER_MM, EcgPageError
from ecgpage.core.signal_packs import load_rows, twelve_leads
from ecgpage.synth.crops import MM_PER_MV, Crop, draw_crop
from ecgpage.synth.origins import name_origin
from ecgpage.trace.decoding import BIN_MM, BINS

Packed = NDArray[np.int16]
"""(n, 8, 5000) signals, uV at 500 Hz, as packs hold them: a sixth of the memory of twelve leads in mV."""
Batch = tuple[Tensor, Tensor, Tensor]
"""Images uint8 (b, ROWS, W), truth float32 (b, 2 W) in mm above the level, drawn bool (b, 2 W)."""
Example = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]
"""One crop of a batch."""

FS: Final = 500.0
"""Sampling frequency, Hz, of the records."""
MIN_STEPS: Final = 100
"""Number of 2-ms steps of its lead that a crop shows, at least, to be scored: 0.2 s."""
DRAWN_AT_ONCE: Final = 8
"""Number of crops that a worker hands over together."""


@dataclass(frozen=True)
class Variation:
    """Variation of the drawn crops beyond that of the drawing."""

    width: int = 512
    """Width, columns, of a crop: 2 s."""
    shifted: float = 0.5
    """Share of crops whose level is off, like a level taken from the ink."""
    shift_mm: float = 1.2
    """Standard deviation, mm, of that error of the level."""
    gain_spread: float = 0.3
    """Standard deviation of the log of a factor on the drawn signals."""


def load_signals(data: Path, folds: set[str]) -> tuple[Packed, list[str]]:
    """Packed signals, at 500 Hz, of the records whose ``strat_fold`` ("" for none) is among ``folds``, and their origins.

    Raises EcgPageError when there is none.
    """
    path = data / "hires500" / "records.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [k for k, row in enumerate(rows) if row["strat_fold"] in folds]
    if not kept:
        raise EcgPageError(f"{path}: no record of the folds {sorted(folds)}")
    origins = [name_origin(path.parent.name, rows[k]["strat_fold"], rows[k]["database"]) for k in kept]
    return load_rows(path.parent, rows, kept), origins


def to_example(crop: Crop, rows: int) -> Example:
    """Image (ROWS, W), truth (2 W,) mm and mask (2 W,) of a crop moved down the page by ``rows`` pixels."""
    table = np.clip(np.arange(len(crop.image)) + rows, 0, len(crop.image) - 1)
    height = crop.target * np.float32(MM_PER_MV) + np.float32(rows / Y_PX_PER_MM)
    return crop.image[table], height, crop.visible & (np.abs(height) < BINS * BIN_MM / 2)


def stack_examples(parts: list[Example]) -> Batch:
    """Batch of single crops."""
    image, height, drawn = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
    return image, height, drawn


class DrawnCrops(IterableDataset[Batch]):
    """Endless batches of drawn crops, other ones in each worker and each start of the run."""

    def __init__(self, signals: Packed, variation: Variation, seed: tuple[int, ...]) -> None:
        """``seed``: seeds of the training, of this start and of this process."""
        self.signals, self.variation, self.seed = signals, variation, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([*self.seed[:2], worker.id if worker else 0, *self.seed[2:]])
        while True:
            yield stack_examples([self._draw(rng) for _ in range(DRAWN_AT_ONCE)])

    def _draw(self, rng: np.random.Generator) -> Example:
        variation = self.variation
        signal = twelve_leads(self.signals[rng.integers(len(self.signals))]).T
        gain = np.float32(np.exp(rng.normal(0, variation.gain_spread)))
        crop = draw_crop(signal * gain, FS, rng, width=variation.width)
        shifted = rng.random() < variation.shifted
        return to_example(crop, round(rng.normal(0, variation.shift_mm) * Y_PX_PER_MM) if shifted else 0)


class Pool:
    """Newest drawn crops, kept on the device; batches are drawn among them."""

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


def gather_batches(loader: Iterable[Batch], batch: int, device: torch.device) -> Iterator[tuple[Batch, int]]:
    """Endless batches of at least ``batch`` crops on the device, each crop once, and the number of crops drawn for each."""
    parts: list[Batch] = []
    for drawn in loader:
        parts.append(drawn)
        if sum(len(part[0]) for part in parts) >= batch:
            image, height, seen = (torch.cat(part).to(device) for part in zip(*parts, strict=True))
            yield (image, height, seen), len(image)
            parts = []


def repeat_batches(
    loader: Iterable[Batch], batch: int, device: torch.device, *, repeat: int, pool_size: int
) -> Iterator[tuple[Batch, int]]:
    """Endless batches of ``batch`` crops on the device, each crop about ``repeat`` times, and the number newly drawn.

    Up to ``pool_size`` crops stay on the device, and batches are drawn among them.
    """
    waiting: queue.Queue[Batch] = queue.Queue(64)

    def draw() -> None:
        for drawn in loader:
            waiting.put(drawn)

    threading.Thread(target=draw, daemon=True).start()
    pool = Pool(pool_size, device)
    credit = 0
    while True:
        new = 0
        while credit < batch or pool.held < 16 * batch or not waiting.empty():
            drawn = waiting.get()
            pool.add(drawn)
            new += len(drawn[0])
            credit += repeat * len(drawn[0])
        credit -= batch
        yield pool.take(batch), new


def draw_fixed_crops(signals: Packed, count: int, width: int, seed: int = 8) -> Batch:
    """Batch of ``count`` crops, fixed by ``seed``, record by record, with at least ``MIN_STEPS`` steps of their lead."""
    parts: list[Example] = []
    k = 0
    while len(parts) < count:
        rng = np.random.default_rng([seed, k])
        signal = twelve_leads(signals[k % len(signals)]).T
        part = to_example(draw_crop(signal, FS, rng, width=width), 0)
        k += 1
        if part[2].sum() >= MIN_STEPS:
            parts.append(part)
    return stack_examples(parts)
