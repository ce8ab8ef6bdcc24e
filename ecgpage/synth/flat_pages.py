"""Draw flattened training pages for the lead detector and the page classifier, and keep them in shards.

    OMP_NUM_THREADS=1 python -m ecgpage.synth.flat_pages --data FOLDER --folds 1234567 --out DIR --workers 16 --minutes 10
    OMP_NUM_THREADS=1 python -m ecgpage.synth.flat_pages --data FOLDER --folds 8 --out DIR --workers 16 --count 2176 --seed 8

FOLDER holds ``ptbxl100/fold<k>.xz`` with ``ptbxl100/labels.csv``, ``hires500/signals.xz`` with
``hires500/records.csv`` (see ``ecgpage.core.signal_packs``), or some of these. Where a record is there in both forms, the
500-Hz one is drawn. Records without a fold are drawn with the training folds 1-7.

A page is what the grid stage hands on: upright, its longer side 640 px, grey. Half of the pages show only the
ECG and a little around it, as a flattened grid does; some have the residues of flattening: no picture beyond a
slanted edge, blur, JPEG. Page k of a seed is always the same page, whichever worker draws it. One core at 2 GHz
draws some 14 pages a second.

Conventions:
    boxes   x0, y0, x1, y1 in px, edge coordinates: pixel i spans [i, i + 1]
    class   0-11 in the order of ``ecg.LEADS``, rhythm strips with their lead's number; 12 a calibration pulse
"""

import argparse
import csv
import logging
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.signal_packs import load_pack, twelve_leads
from ecgpage.core.types import Image, Rng
from ecgpage.synth.mixes import DETERIORATED, Mix, small_page
from ecgpage.synth.origins import name_origin
from ecgpage.synth.picture import draw_picture
from ecgpage.synth.truth import PageTruth

log = logging.getLogger(__name__)

Boxes = NDArray[np.float32]

LONG_SIDE: Final = 640
"""Pixels of the longer side of a page."""
PULSE_CLASS: Final = len(LEADS)
"""Class of a calibration pulse."""
SHARD_PAGES: Final = 256
TRAINING_FOLDS: Final = frozenset("1234567")

P_CUT: Final = 0.5
"""Chance that a page is cut to the ECG."""
P_WHOLE_SIDE: Final = 0.15
"""Chance that a side of a cut page is left where it was."""
MOST_MARGIN_MM: Final = 15.0
"""Widest margin around the ECG of a cut page."""
P_TURNED: Final = 0.25
"""Chance that the page is not quite upright."""
MOST_TURN: Final = 0.7
"""Degrees."""
P_SCREEN: Final = 0.04
"""Chance that a photo is one of a screen."""
P_OUTSIDE: Final = 0.25
"""Chance that the picture did not cover all of the page."""
OUTSIDE_DEPTH: Final = 0.08
"""How far a side without picture reaches into the page, as a part of its size."""
LEAST_SEEN: Final = 0.4
"""Part of a box that has to be on the page; less is no box."""
LEAST_SIDE: Final = 3.0
"""Pixels; boxes that are narrower on the page are left out."""

MIX_ODDS: Final[dict[str, float]] = {"photo": 0.5, "scan": 0.2, "worn": 0.18, "clean": 0.12}


@dataclass(frozen=True)
class DrawnFlatPage:
    """A flattened page with its truth."""

    image: Image
    """(h, w) grey, longer side 640 px."""
    boxes: Boxes
    """(k, 4) edge coordinates, within the image."""
    classes: NDArray[np.int64]
    """(k,) 0 to 12."""
    labels: NDArray[np.bool_]
    """(11,) diagnoses in the order of ``ecg.CLASSES``; all False where ``labelled`` is."""
    labelled: bool
    """Whether the diagnoses are known."""
    record: int
    """PTB-XL's ``ecg_id``; of other databases -1 - the row in ``records.csv``."""
    layout: str
    """Name in ``ecgpage.synth.page.layout.LAYOUTS``."""
    mix: str
    """``photo``, ``scan``, ``worn`` or ``clean``, with `` cut`` behind where only the ECG was kept."""
    origin: str = ""
    """Pack, database and fold of the record (``ecgpage.synth.origins``); "" where they are not known."""


# --- records ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Records:
    """Recorded ECGs of one pack."""

    microvolts: NDArray[np.int16]
    """(n, 8, n_samples)."""
    labels: list[str]
    """Separated by ';'."""
    numbers: NDArray[np.int64]
    origins: list[str]
    """Pack, database and fold of each."""


class TrainingRecords:
    """All records of some folds, each once; signals stay packed until they are drawn."""

    def __init__(self, data: Path, folds: set[str]) -> None:
        """Read what ``data`` holds of ``folds``; EcgPageError when that is nothing."""
        self.parts: list[_Records] = []
        hires = data / "hires500" / "signals.xz"
        if hires.exists():
            self.parts.append(_read_hires(hires, folds))
        sharper = {int(k) for part in self.parts for k in part.numbers}
        for fold in sorted(folds - {""}):
            path = data / "ptbxl100" / f"fold{fold}.xz"
            if path.exists():
                self.parts.append(_read_fold(path, fold, sharper))
        self.numbers = np.concatenate([part.numbers for part in self.parts] or [np.zeros(0, np.int64)])
        if len(self.numbers) == 0:
            raise EcgPageError(
                f"{data}: no records of the folds {sorted(folds)}; it needs ptbxl100/fold<k>.xz with "
                "labels.csv beside it, or hires500/signals.xz with records.csv"
            )
        self.starts = np.cumsum([0, *(len(part.numbers) for part in self.parts)])
        texts = [text for part in self.parts for text in part.labels]
        self.labels = np.array([[c in text.split(";") for c in CLASSES] for text in texts], np.bool_)
        self.labelled = np.array([bool(text) for text in texts], np.bool_)
        self.origins = [origin for part in self.parts for origin in part.origins]

    def __len__(self) -> int:
        return len(self.numbers)

    def signal(self, index: int) -> tuple[NDArray[np.float32], float]:
        """(n_samples, 12) mV and its rate in Hz."""
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        microvolts = self.parts[part].microvolts[index - self.starts[part]]
        return twelve_leads(microvolts).T, microvolts.shape[1] / 10.0


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_hires(path: Path, folds: set[str]) -> _Records:
    """The 500-Hz records of ``folds``; labels that were mapped from another coding than PTB-XL's count as none."""
    rows = _table(path.with_name("records.csv"))
    kept = [k for k, row in enumerate(rows) if row["strat_fold"] in folds]
    ours = [rows[k]["database"] == "ptbxl" for k in kept]
    numbers = [
        int(rows[k]["record"].split("_")[0]) if own else -1 - k for k, own in zip(kept, ours, strict=True)
    ]
    return _Records(
        load_pack(path)[kept],
        [rows[k]["labels"] if own else "" for k, own in zip(kept, ours, strict=True)],
        np.array(numbers, np.int64),
        [name_origin(path.parent.name, rows[k]["strat_fold"], rows[k]["database"]) for k in kept],
    )


def _read_fold(path: Path, fold: str, known: set[int]) -> _Records:
    """The records of a fold without those whose numbers are ``known``."""
    rows = [row for row in _table(path.with_name("labels.csv")) if row["strat_fold"] == fold]
    microvolts = load_pack(path)
    if len(rows) != len(microvolts):
        raise EcgPageError(f"{path}: {len(microvolts)} records, but {len(rows)} rows in labels.csv")
    kept = [k for k, row in enumerate(rows) if int(row["ecg_id"]) not in known]
    numbers = np.array([int(rows[k]["ecg_id"]) for k in kept], np.int64)
    origins = [name_origin(path.parent.name, fold)] * len(kept)
    return _Records(microvolts[kept], [rows[k]["labels"] for k in kept], numbers, origins)


# --- one page -----------------------------------------------------------------------------------------------


def page_mix(name: str, width: int, rng: Rng, any_look: float) -> Mix:
    """Pages of ``width`` px as they are before the residues of flattening are added."""
    turn = float(rng.uniform(-MOST_TURN, MOST_TURN)) if rng.random() < P_TURNED else 0.0
    photo = replace(
        small_page(width, chance_of_any_look=any_look),
        rotation=(turn, turn),
        tilt=(0.0, 1.0),
        fill=(0.92, 1.04),
        p_screen=float(rng.random() < P_SCREEN),  # any chance above 0 puts the screen's moire on all pages
        p_threshold=0.0,
    )
    if name == "photo":
        return photo
    if name == "worn":
        return replace(
            photo,
            p_screen=0.0,
            marks=DETERIORATED,
            crumples=(0.0, 60.0),
            crumple_slope=(0.0, 0.1),
            crease_lines=4,
        )
    scan = replace(
        photo,
        folds=0,
        crumples=(0.0, 0.0),
        curl=(0.0, 0.0),
        wave=(0.0, 0.2),
        tilt=(0.0, 0.0),
        lens=(0.0, 0.0),
        p_screen=0.0,
        p_gray=0.3,
        backgrounds=("white", "black"),
        shading=(0.0, 0.2),
        gradient=(0.0, 0.03),
        vignette=(0.0, 0.0),
        shadows=0,
        p_glare=0.0,
        mixed_light=0.0,
        brightness=(0.9, 1.02),
        cast=0.015,
        p_motion=0.0,
        p_hdr=0.0,
        p_fax=0.04,
        noise=(0.0, 5.0),
        p_threshold=0.12,
        p_dither=0.02,
    )
    if name == "scan":
        return scan
    return replace(
        scan, marks=(), crease_lines=0, wave=(0.0, 0.0), brightness=(1.0, 1.0), shading=(0.0, 0.0),
        gradient=(0.0, 0.0), cast=0.0, blur=(0.0, 0.4), sharpen=(0.0, 0.0), noise=(0.0, 1.0), gamma=(1.0, 1.0),
        p_resample=0.0, p_threshold=0.05, p_fax=0.0, backgrounds=("white",),
    )  # fmt: skip


def draw_flat_page(
    signal: NDArray[np.floating[Any]],
    fs: float,
    seed: list[int],
    *,
    any_look: float = 0.6,
    in_any_order: float = 0.0,
) -> tuple[Image, Boxes, NDArray[np.int64], str, str]:
    """Draw ``signal`` (n_samples, 12) mV as a flattened page; ``any_look`` of the pages are not the Challenge's,
    and ``in_any_order`` of those have their leads exchanged.

    Returns image, boxes, classes, layout and mix as in ``DrawnFlatPage``.
    """
    rng = np.random.default_rng(seed)
    mix = str(rng.choice(list(MIX_ODDS), p=list(MIX_ODDS.values())))
    cut = bool(rng.random() < P_CUT)
    width = round(LONG_SIDE * rng.uniform(1.15, 1.6) if cut else LONG_SIDE * rng.uniform(1.0, 1.35))
    drawn = draw_picture(
        signal,
        fs,
        mix=page_mix(mix, width, rng, any_look),
        seed=[*seed, 1],
        in_any_order=bool(np.random.default_rng([*seed, 2]).random() < in_any_order),
    )
    boxes, classes = _edge_boxes(drawn.truth)
    image = drawn.image
    if cut:
        x0, y0, x1, y1 = _window(image.shape[:2], boxes, drawn.truth.px_per_mm, rng)
        image = image[y0:y1, x0:x1]
        boxes = boxes - np.array([x0, y0, x0, y0], np.float32)
    scale = LONG_SIDE / max(image.shape[:2])
    rows, columns = (max(1, round(n * scale)) for n in image.shape[:2])
    stretch = np.array([columns / image.shape[1], rows / image.shape[0]] * 2, np.float32)
    image = np.asarray(
        cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR),
        np.uint8,
    )
    boxes, seen = _on_page(boxes * stretch, (rows, columns))
    image = _residues(_grey(image, rng), boxes, rng)
    return image, boxes, classes[seen], drawn.truth.layout, f"{mix} cut" if cut else mix


def _edge_boxes(truth: PageTruth) -> tuple[Boxes, NDArray[np.int64]]:
    """All boxes of a page in edge coordinates, and their classes."""
    boxes = [s.box for s in truth.segments] + list(truth.pulses)
    classes = [LEADS.index(s.lead) for s in truth.segments] + [PULSE_CLASS] * len(truth.pulses)
    return np.array(boxes, np.float32).reshape(-1, 4) + np.float32(0.5), np.array(classes, np.int64)


def _window(shape: tuple[int, ...], boxes: Boxes, px_per_mm: float, rng: Rng) -> tuple[int, int, int, int]:
    """Pixels x0, y0, x1, y1 of the ECG with a random margin on each side."""
    rows, columns = shape[:2]
    margin = rng.uniform(0, MOST_MARGIN_MM, 4) * px_per_mm
    margin[rng.random(4) < P_WHOLE_SIDE] = max(rows, columns)
    x0, y0 = np.maximum(np.floor(boxes[:, :2].min(axis=0) - margin[:2]), 0)
    x1, y1 = np.minimum(np.ceil(boxes[:, 2:].max(axis=0) + margin[2:]), (columns, rows))
    return int(x0), int(y0), int(x1), int(y1)


def _on_page(boxes: Boxes, shape: tuple[int, int]) -> tuple[Boxes, NDArray[np.bool_]]:
    """The parts of the boxes within an image of ``shape`` (rows, columns), and which boxes are left."""
    rows, columns = shape
    inside = np.clip(boxes, 0, np.array([columns, rows, columns, rows], np.float32)).astype(np.float32)
    size, whole = inside[:, 2:] - inside[:, :2], boxes[:, 2:] - boxes[:, :2]
    seen = (size.min(axis=1) >= LEAST_SIDE) & (size.prod(axis=1) >= LEAST_SEEN * whole.prod(axis=1))
    return inside[seen], np.asarray(seen, np.bool_)


def _grey(image: Image, rng: Rng) -> Image:
    """(h, w, 3) RGB to (h, w): mostly luma, sometimes the brightest channel, in which coloured grids fade."""
    if rng.random() < 0.3:
        return np.asarray(image.max(axis=2), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _residues(image: Image, boxes: Boxes, rng: Rng) -> Image:
    """What flattening leaves: no picture beyond some edges, blur, the file's JPEG."""
    if rng.random() < P_OUTSIDE:
        for _ in range(int(rng.integers(1, 3))):
            image = _without_edge(image, boxes, rng)
    if rng.random() < 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.8))), np.uint8)
    if rng.random() < 0.35:
        quality = int(rng.integers(40, 96))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.ascontiguousarray(image)


def _without_edge(image: Image, boxes: Boxes, rng: Rng) -> Image:
    """A side of the page of which the picture shows nothing: white, black, or its border's pixels repeated.

    The edge runs at a slant and stays outside the boxes.
    """
    quarter = int(rng.integers(4))
    turned = np.rot90(image, quarter)  # the side (upper, right, lower or left) is now the upper one
    rows, columns = turned.shape
    room = OUTSIDE_DEPTH * rows
    if len(boxes):
        (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        room = min(room, float((y0, image.shape[1] - x1, image.shape[0] - y1, x0)[quarter]))
    first, last = rng.uniform(0, max(room, 0.0), 2)
    depth = np.linspace(float(first), float(last), columns).astype(np.intp)  # (columns,)
    row = np.arange(rows)[:, None]
    kind = rng.choice(["white", "border", "black"], p=[0.3, 0.6, 0.1])
    if kind == "border":
        filled = turned[np.maximum(row, depth[None]), np.arange(columns)[None]]
    else:
        filled = np.where(row < depth[None], np.uint8(255 if kind == "white" else 0), turned)
    return np.asarray(np.rot90(filled, -quarter), np.uint8)


# --- shards -------------------------------------------------------------------------------------------------


class PageDrawer:
    """Page k of a seed, over and over through all records in random order."""

    def __init__(
        self, records: TrainingRecords, seed: int, any_look: float, in_any_order: float = 0.0
    ) -> None:
        self.records, self.seed, self.any_look, self.in_any_order = records, seed, any_look, in_any_order
        self._pass, self._order = -1, np.zeros(0, np.intp)

    def draw(self, number: int) -> DrawnFlatPage:
        """Page ``number`` from 0; the same at each call."""
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
    """The shards of a folder; iterating yields their pages, shard by shard in the order of the names."""

    def __init__(self, folder: str | Path) -> None:
        """Raises EcgPageError when the folder holds no shard."""
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("shard_*.npz"))
        if not self.paths:
            raise EcgPageError(
                f"{folder}: no shard_*.npz; draw pages with python -m ecgpage.synth.flat_pages"
            )

    def load(self, path: Path) -> list[DrawnFlatPage]:
        """All pages of one shard."""
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        shapes = data["shapes"].astype(np.int64)
        pixels = np.split(data["images"], np.cumsum(shapes.prod(axis=1))[:-1])
        ends = np.cumsum(data["counts"])[:-1]
        origins = data.get("origin", np.full(len(shapes), ""))  # older shards name none
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
    """What the workers are to draw."""

    out: Path
    seed: int
    workers: int
    any_look: float
    in_any_order: float = 0.0
    count: int | None = None
    """Pages of all workers together."""
    seconds: float | None = None
    """Time of each worker."""


def draw_shards(records: TrainingRecords, order: Order, worker: int) -> int:
    """Draw the share of ``worker``: pages worker, worker + workers, ...; returns how many."""
    cv2.setNumThreads(1)
    drawer = PageDrawer(records, order.seed, order.any_look, order.in_any_order)
    began, done, shard = time.monotonic(), 0, 0
    pages: list[DrawnFlatPage] = []
    number = worker
    while True:
        late = order.seconds is not None and time.monotonic() - began >= order.seconds
        over = late or (order.count is not None and number >= order.count)
        if pages and (over or len(pages) == SHARD_PAGES):
            save_shard(order.out / f"shard_{order.seed}_{worker}_{shard}.npz", pages)
            done, shard, pages = done + len(pages), shard + 1, []
            log.info("worker %d: %d pages, %.1f/s", worker, done, done / (time.monotonic() - began))
        if over:
            return done
        pages.append(drawer.draw(number))
        number += order.workers


def draw_all(records: TrainingRecords, order: Order) -> None:
    """Let all workers draw; raises EcgPageError when one of them fails."""
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
