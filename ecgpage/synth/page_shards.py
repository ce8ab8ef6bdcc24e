"""Draw flattened training pages for the lead detector and the page classifier, and keep them in shards.

    OMP_NUM_THREADS=1 python -m ecgpage.synth.page_shards --data FOLDER --folds 1234567 --out DIR --workers 16 --minutes 10
    OMP_NUM_THREADS=1 python -m ecgpage.synth.page_shards --data FOLDER --folds 8 --out DIR --workers 16 --count 2176 --seed 8

FOLDER as in ``ecgpage.synth.training_records``, pages as in ``ecgpage.synth.flat_pages``. Seed and number decide a page,
whichever worker draws it. One core at 2 GHz draws some 14 pages a second.
"""

import argparse
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ecgpage.core.conventions import EcgPageError
from ecgpage.synth.flat_pages import DrawnFlatPage, draw_flat_page
from ecgpage.synth.training_records import TRAINING_FOLDS, TrainingRecords

log = logging.getLogger(__name__)

SHARD_PAGES: Final = 256
"""Number of pages in a full shard."""


class PageDrawer:
    """Drawer of page k of a seed, in endless passes of random order through all records."""

    def __init__(
        self, records: TrainingRecords, seed: int, any_look: float, in_any_order: float = 0.0
    ) -> None:
        self.records, self.seed, self.any_look, self.in_any_order = records, seed, any_look, in_any_order
        self._pass, self._order = -1, np.zeros(0, np.intp)

    def draw(self, number: int) -> DrawnFlatPage:
        """Page ``number``, from 0, which depends on seed and number alone."""
        turn, place = divmod(number, len(self.records))
        if turn != self._pass:
            self._order = np.random.default_rng([self.seed, turn]).permutation(len(self.records))
            self._pass = turn
        k = int(self._order[place])
        signal, fs = self.records.signal(k)
        image, boxes, classes, layout, mix = draw_flat_page(
            signal, fs, [self.seed, 1, number], any_look=self.any_look, in_any_order=self.in_any_order
        )
        return DrawnFlatPage(
            image, boxes, classes, self.records.labels[k], bool(self.records.labelled[k]),
            int(self.records.numbers[k]), layout, mix, self.records.origins[k],
        )  # fmt: skip


def save_shard(path: Path, pages: list[DrawnFlatPage]) -> None:
    """Write pages to an uncompressed npz file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        np.savez(
            file,
            images=np.concatenate([page.image.ravel() for page in pages]),  # (sum of h w,)
            shapes=np.array([page.image.shape for page in pages], np.int32),  # (n, 2)
            boxes=np.concatenate([page.boxes for page in pages]),  # (sum of k, 4)
            classes=np.concatenate([page.classes for page in pages]),  # (sum of k,)
            counts=np.array([len(page.classes) for page in pages], np.int32),  # (n,) the k of each page
            labels=np.stack([page.labels for page in pages]),  # (n, 11)
            labelled=np.array([page.labelled for page in pages]),
            record=np.array([page.record for page in pages], np.int64),
            layout=np.array([page.layout for page in pages]),
            mix=np.array([page.mix for page in pages]),
            origin=np.array([page.origin for page in pages]),
        )
    temporary.replace(path)


class PageShards:
    """Shards of a folder; iterating yields their pages, shard by shard in the order of the names."""

    def __init__(self, folder: str | Path) -> None:
        """List the shards; raises ``EcgPageError`` when the folder holds none."""
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("shard_*.npz"))
        if not self.paths:
            raise EcgPageError(
                f"{folder}: no shard_*.npz; draw pages with python -m ecgpage.synth.page_shards"
            )

    def load(self, path: Path) -> list[DrawnFlatPage]:
        """Pages of one shard."""
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        shapes = data["shapes"].astype(np.int64)
        pixels = np.split(data["images"], np.cumsum(shapes.prod(axis=1))[:-1])
        ends = np.cumsum(data["counts"])[:-1]
        origins = data.get("origin", np.full(len(shapes), ""))  # older shards lack it
        boxes, classes = np.split(data["boxes"], ends), np.split(data["classes"], ends)
        return [
            DrawnFlatPage(
                pixels[k].reshape(int(rows), int(columns)), boxes[k], classes[k], data["labels"][k],
                bool(data["labelled"][k]), int(data["record"][k]), str(data["layout"][k]), str(data["mix"][k]),
                str(origins[k]),
            )
            for k, (rows, columns) in enumerate(shapes)
        ]  # fmt: skip

    def __iter__(self) -> Iterator[DrawnFlatPage]:
        for path in self.paths:
            yield from self.load(path)


@dataclass(frozen=True)
class Order:
    """Options of the workers' drawing."""

    out: Path
    seed: int
    workers: int
    any_look: float
    in_any_order: float = 0.0
    count: int | None = None
    """Number of pages of all workers together."""
    seconds: float | None = None
    """Time, s, of each worker."""
    shard_pages: int = SHARD_PAGES
    """Number of pages in a full shard."""


def draw_shards(records: TrainingRecords, order: Order, worker: int) -> int:
    """Draw the pages of ``worker``: worker, worker + workers, ...; returns their number."""
    cv2.setNumThreads(1)
    drawer = PageDrawer(records, order.seed, order.any_look, order.in_any_order)
    parent = os.getppid()
    began, done, shard = time.monotonic(), 0, 0
    pages: list[DrawnFlatPage] = []
    number = worker
    while True:
        late = order.seconds is not None and time.monotonic() - began >= order.seconds
        if os.getppid() != parent:  # whoever wanted the pages was killed
            return done
        over = late or (order.count is not None and number >= order.count)
        if pages and (over or len(pages) == order.shard_pages):
            save_shard(order.out / f"shard_{order.seed}_{worker}_{shard}.npz", pages)
            done, shard, pages = done + len(pages), shard + 1, []
            log.info("worker %d: %d pages, %.1f/s", worker, done, done / (time.monotonic() - began))
        if over:
            return done
        pages.append(drawer.draw(number))
        number += order.workers


def draw_all(records: TrainingRecords, order: Order) -> None:
    """Draw with all workers; raises ``EcgPageError`` when one of them fails."""
    order.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # before the workers fork: OpenCV's threads do not survive it
    fork = multiprocessing.get_context("fork")  # the records are shared, not copied
    workers = [
        fork.Process(target=draw_shards, args=(records, order, worker)) for worker in range(order.workers)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    failed = [k for k, process in enumerate(workers) if process.exitcode != 0]
    if failed:
        raise EcgPageError(f"workers {failed} failed; the shards that {order.out} holds are whole")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100/ or hires500/ or both")
    parser.add_argument("--folds", required=True, help="digits: 1234567 to train, 8 to validate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw")
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--minutes", type=float)
    until.add_argument("--count", type=int, help="pages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--any-look", type=float, default=0.6, help="share of pages unlike the Challenge's")
    parser.add_argument("--in-any-order", type=float, default=0.0, help="share of those with leads exchanged")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folds = set(args.folds)
    if folds <= TRAINING_FOLDS:
        folds.add("")
    records = TrainingRecords(args.data, folds)
    log.info("%d records, %d of them labelled", len(records), int(records.labelled.sum()))
    seconds = None if args.minutes is None else 60 * args.minutes
    order = Order(args.out, args.seed, args.workers, args.any_look, args.in_any_order, args.count, seconds)
    draw_all(records, order)


if __name__ == "__main__":
    main()
