"""Batches of drawn flat pages for the lead detector, from a growing folder, prepared in a thread."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.yolov7 import Letterbox, Targets, letterbox
from ecgpage.synth.flat_pages import DrawnFlatPage
from ecgpage.synth.page_shards import PageShards


@dataclass(frozen=True)
class Batch:
    """Batch of pages, each in the middle of its canvas."""

    images: Tensor
    """uint8 (b, size, size) canvases, grey."""
    sides: Tensor
    """float32 (b, 2) width and height of the page on its canvas, px."""
    targets: Targets

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> "Batch":
        images, sides = (part.to(device, non_blocking=True) for part in (self.images, self.sides))
        return Batch(images, sides, self.targets.to(device))

    def pinned(self) -> "Batch":
        """Copy of the batch in pinned memory, from which a GPU copies while it computes."""
        return Batch(self.images.pin_memory(), self.sides, self.targets)


def collate(pages: Sequence[DrawnFlatPage], size: int) -> Batch:
    """Batch of pages on square canvases of ``size`` px."""
    canvases, places = zip(*(letterbox(page.image, size) for page in pages), strict=True)
    boxes = [torch.from_numpy(place.to_canvas(page.boxes)) for page, place in zip(pages, places, strict=True)]
    sides = [_side_on_canvas(page.image.shape, place) for page, place in zip(pages, places, strict=True)]
    return Batch(
        torch.from_numpy(np.stack(canvases)),
        torch.tensor(sides, dtype=torch.float32),
        Targets.of(boxes, [torch.from_numpy(page.classes) for page in pages]),
    )


def _side_on_canvas(shape: tuple[int, ...], place: Letterbox) -> tuple[float, float]:
    return shape[1] * place.scale[0], shape[0] * place.scale[1]


class PagePool:
    """Pages of a folder to which shards are added meanwhile."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.pages: list[DrawnFlatPage] = []
        self.loaded = 0
        """Number of pages read from the start on."""
        self.origins: dict[int, str] = {}
        """Origin of each record on these pages."""
        self._known: set[Path] = set()

    def refresh(self) -> None:
        """Read the new shards, oldest first."""
        with suppress(EcgPageError):  # no shard yet
            shards = PageShards(self.folder)
            new = sorted(set(shards.paths) - self._known, key=lambda path: path.stat().st_mtime)
            for path in new:
                pages = shards.load(path)
                self.pages += pages
                self.loaded += len(pages)
                self.origins |= {page.record: page.origin for page in pages}
                self._known.add(path)
            self.pages = self.pages[-self.keep :]

    def wait(self, seconds: float) -> None:
        """Wait for the first page; ``EcgPageError`` when there is none after ``seconds``."""
        until = time.monotonic() + seconds
        self.refresh()
        while not self.pages:
            if time.monotonic() > until:
                PageShards(self.folder)
                raise EcgPageError(f"{self.folder}: its shards hold no page")
            time.sleep(0.5)
            self.refresh()

    def batches(self, batch: int, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Endless batches in passes of random order; new shards join in before each pass."""
        while True:
            self.refresh()
            pages = self.pages
            order = rng.permutation(len(pages))
            order = np.resize(order, max(len(order) // batch, 1) * batch)
            for part in order.reshape(-1, batch):
                yield collate([pages[k] for k in part], size)


class Feeder:
    """Thread that makes batches a few ahead of the training."""

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
            with suppress(queue.Full):
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
