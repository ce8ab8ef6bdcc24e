"""What the stages of a retraining share: their task and outcome, the records and drawn pages that they train on."""

import csv
import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.synth import page_shards
from ecgpage.synth.sources import read_leads
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.train.devices import choose_device
from ecgpage.train.record_lists import Entry
from ecgpage.train.signal_examples import Record

log = logging.getLogger(__name__)

VALID_FOLD: Final = 8
"""Fold that validates; the others train."""
TRAIN_FOLDS: Final = "1234567"
"""Folds that train, a digit each."""
MIN_VALID: Final = 10
"""Number of records that validate, at least, for shipped weights to be replaced: a few would choose by chance."""
MIN_DIAGNOSED: Final = 50
"""Number of records that validate, at least, for weights of a diagnosis to be replaced: a record has few of the classes."""


@dataclass(frozen=True)
class Task:
    """What a stage has to work with."""

    records: Path
    """Folder of the WFDB records."""
    entries: list[Entry]
    """Records of that folder with their folds."""
    packs: Path
    """Folder of the packs made from them (``ecgpage.train.prepare``)."""
    work: Path
    """Folder of this stage, for checkpoints and results."""
    shared: Path
    """Folder that stages share, for drawn pages."""
    model: Path
    """Model folder as it is by now."""
    shipped: Path | None
    """Model folder of the shipped weights; None where there are none."""
    scratch: bool
    """Whether weights start at random."""
    minutes: float
    """Time, min, of the stage."""
    workers: int
    """Number of processes that draw."""

    @property
    def out(self) -> Path:
        """Model folder of what is trained."""
        return self.work / "out"

    @property
    def start(self) -> Path | None:
        """Model folder of the first weights; None for random ones."""
        return None if self.scratch else self.shipped

    @property
    def checkpoint_minutes(self) -> float:
        """Time, min, between two checkpoints: the most that a kill loses."""
        return float(np.clip(self.minutes / 4, 0.02, 4.0))

    def common(self, peak_lr: float, further_lr: float, minutes: float | None = None) -> dict[str, Any]:
        """Numbers of a recipe: ``peak_lr`` from random weights, ``further_lr`` from given ones."""
        return {
            "minutes": max(self.minutes if minutes is None else minutes, 0.01),
            "peak_lr": peak_lr if self.start is None else further_lr,
            "checkpoint_minutes": self.checkpoint_minutes,
        }


@dataclass(frozen=True)
class Outcome:
    """Result of a stage."""

    metric: str
    """Name and unit of the score, the larger the better."""
    shipped: float
    """Score of the shipped weights; NaN where there are none that can be compared."""
    retrained: float
    names: tuple[str, ...]
    """Entries of ``folder`` that the model folder is to take over."""
    folder: Path
    """Model folder with the retrained weights."""
    kept: Path | None = None
    """Model folder with the shipped weights where they follow the data otherwise (classes, thresholds)."""
    enough: bool = True
    """Whether enough records validated to tell which weights are better."""


@dataclass(frozen=True)
class Stage:
    """Part of the system that is trained."""

    name: str
    share: float
    """Part of the time, by what the stage gains."""
    run: Callable[[Task], Outcome]


# --- data ---------------------------------------------------------------------------------------------------


def count_records(packs: Path, table: str) -> tuple[int, int]:
    """Number of records of a table of the packs, such as "hires500/records.csv", that train and that validate."""
    path = packs / table
    if not path.exists():
        return 0, 0
    with path.open(encoding="utf-8", newline="") as file:
        folds = [int(row["strat_fold"]) for row in csv.DictReader(file)]
    valid = folds.count(VALID_FOLD)
    return len(folds) - valid, valid


def need_records(task: Task, table: str, what: str, least: int = MIN_VALID) -> int:
    """Number of records that train; EcgPageError when none does or fewer than ``least`` validate, from scratch than one."""
    train, valid = count_records(task.packs, table)
    least = 1 if task.scratch or task.shipped is None else least
    if train == 0 or valid < least:
        raise EcgPageError(f"{train} records {what} to train and {valid} to validate, {least} are needed")
    return train


def draw_pages(
    task: Task, name: str, folds: str, *, count: int, any_look: float, seed: int, seconds: float
) -> Path:
    """Folder of drawn pages, drawn once: ``count`` pages, or those of ``seconds`` where that is less, at least one."""
    folder = task.shared / name
    done = folder / "done"
    if not done.exists():
        drawn = len(list(folder.glob("shard_*.npz")))
        order = page_shards.Order(
            folder, seed + 100 * drawn, task.workers, any_look,
            count=count, seconds=seconds, shard_pages=min(256, max(1, count // task.workers)),
        )  # fmt: skip
        records = TrainingRecords(task.packs, set(folds))
        if task.workers == 1:
            page_shards.draw_shards(records, order, 0)
        else:
            page_shards.draw_all(records, order)
        if not list(folder.glob("shard_*.npz")):  # the time was too short for a page
            page_shards.draw_shards(records, replace(order, workers=1, seconds=None, count=1), 0)
        done.touch()
    return folder


def draw_training_pages(task: Task) -> Path:
    """Pages of the training folds, of all looks, for page classifier and detector."""
    train, _ = count_records(task.packs, "ptbxl100/labels.csv")
    most = 40_000 if choose_device().type == "cuda" else 12_000  # 0.3 MB of memory each
    return draw_pages(
        task, "pages", TRAIN_FOLDS, count=min(most, 40 * train), any_look=0.6, seed=1, seconds=20 * task.minutes
    )  # fmt: skip


def draw_valid_pages(task: Task, name: str, any_look: float, most: int) -> Path:
    """Pages of the validating fold, at most one a record."""
    _, valid = count_records(task.packs, "ptbxl100/labels.csv")
    return draw_pages(
        task, name, str(VALID_FOLD), count=min(most, valid), any_look=any_look, seed=8, seconds=max(5 * task.minutes, 10.0)
    )  # fmt: skip


def read_records(task: Task, validating: set[int]) -> Iterator[Record]:
    """Labelled records, of whatever leads and gaps; ``validating`` gets the numbers of those that validate.

    What cannot be read is logged and left out. Records of the same signal are on one side, that of the first.
    """
    number = 0
    sides: dict[bytes, bool] = {}
    for entry in task.entries:
        try:
            found = read_leads(task.records, entry.files[1])
        except EcgPageError as error:
            log.info("left out: %s", error)
            continue
        if not found.labels:
            continue
        own = hashlib.sha256(np.ascontiguousarray(found.signal).tobytes()).digest()
        if sides.setdefault(own, entry.fold == VALID_FOLD):
            validating.add(number)
        number += 1
        yield found.signal, found.fs, found.leads, list(found.labels)


def need_challenge_classes(task: Task) -> None:
    """EcgPageError unless the records' classes are the eleven, which the page branch and the stack know."""
    with (task.packs / "ptbxl100/labels.csv").open(encoding="utf-8", newline="") as file:
        found = {label for row in csv.DictReader(file) for label in row["labels"].split(";") if label}
    if found != set(CLASSES):
        other = ", ".join(sorted(found ^ set(CLASSES)))
        raise EcgPageError(f"the classes are not the Challenge's ({other}): the signal branch answers alone")


def compare(task: Task, metric: str, score: Callable[[Path], float], name: str) -> Outcome:
    """Outcome of a stage of one network, which ``score`` scores in a model folder."""
    shipped = math.nan if task.shipped is None else score(task.shipped)
    return Outcome(metric, shipped, score(task.out), (name,), task.out)
