"""Retrain the whole system on a folder of records, within a time, to a model folder that is valid from the first minute.

The shipped weights are copied first. Then the records become packs (``ecgpage.train.prepare``), and stage after stage
(``ecgpage.train.stages``) is trained and compared with the shipped weights on patients that it has not seen; what is better
is taken over at once. Everything else lives in ``training`` in the model folder and goes when the work is done:
``training.json`` then says what each stage scored. Killed at any moment, the same command goes on where it was. Where a
model folder was finished from the same records, options and first weights, nothing is trained again; without its
``training.json`` it is.

``ECGPAGE_TRAIN_HOURS`` is the time of all starts together (20 by default), ``ECGPAGE_FROM_SCRATCH=1`` starts from random
weights, which then replace the shipped ones whatever they score.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.shipped_weights import TABLE
from ecgpage.core.weights import copy_weights
from ecgpage.train import several
from ecgpage.train.prepare import prepare, write_text
from ecgpage.train.record_lists import list_wfdb
from ecgpage.train.stage_task import VALID_FOLD, Outcome, Stage, Task
from ecgpage.train.stages import STAGES

log = logging.getLogger(__name__)

HOURS: Final = 20.0
"""Time, h, of a retraining by default."""
FOLDS: Final = (VALID_FOLD, 1, 2, 3, 4, 5, 6, 7)
"""Folds to which patients are dealt out: the first validates."""
LAST_SHARE: Final = 0.03
"""Share of the time that no stage gets: what validation takes beyond its training."""
TICK_S: Final = 10.0
"""Time, s, between two notes of the time that is used."""
WORK: Final = "training"
"""Folder of the work within the model folder."""
REPORT: Final = "training.json"
"""File of the model folder that says what each stage scored."""


@dataclass(frozen=True)
class Options:
    """Options of a retraining."""

    hours: float = HOURS
    scratch: bool = False

    @classmethod
    def from_environment(cls) -> "Options":
        """Options that the environment gives; EcgPageError for a time that is none."""
        text = os.environ.get("ECGPAGE_TRAIN_HOURS", str(HOURS))
        try:
            hours = float(text)
        except ValueError:
            hours = math.nan
        if not (math.isfinite(hours) and hours > 0):
            raise EcgPageError(f"ECGPAGE_TRAIN_HOURS={text!r}: give a positive number of hours, such as 2.5")
        return cls(hours, os.environ.get("ECGPAGE_FROM_SCRATCH", "") not in ("", "0"))


class Clock:
    """Time used by all starts of a retraining, noted in a file."""

    def __init__(self, path: Path, hours: float) -> None:
        self.path, self.seconds = path, 3600 * hours
        try:
            self.before = float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.before = 0.0
        self.began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    @property
    def used(self) -> float:
        """Time, s, used by this and all earlier starts."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Time, s, that is left."""
        return max(0.0, self.seconds - self.used)

    def stop(self) -> None:
        """Note the time for the last time."""
        self._over.set()
        self._thread.join()

    def _tick(self) -> None:
        while True:
            over = self._over.wait(TICK_S)
            write_text(self.path, f"{self.used:.1f}")
            if over:
                return


class Run:
    """Retraining in a model folder, from its first start to its end."""

    def __init__(self, data: Path, model: Path, shipped: Path | None, options: Options) -> None:
        """``shipped``: model folder of the first weights, which may be ``model`` itself; None where there is none."""
        self.data, self.model, self.options, self.first = data, model, options, shipped
        self.own = shipped is not None and shipped.resolve() == model.resolve()
        if shipped is not None and not (model / TABLE).exists():
            copy_weights(shipped, model)  # valid already while many records are listed
        self.entries = list_wfdb(data, FOLDS)
        self.made_from = self._made_from()
        self.work = model / WORK
        self.state_path = self.work / "state.json"

    def _made_from(self) -> str:
        weights = "" if self.first is None or self.own else _digest(self.first / TABLE)
        text = "\n".join([str(self.options.scratch), weights, *(repr(entry) for entry in self.entries)])
        return hashlib.sha256(text.encode()).hexdigest()

    def finished(self) -> dict[str, Any] | None:
        """What the stages scored where the model folder was finished from the same records and options; else None."""
        report = _read(self.model / REPORT)
        wanted = {"made_from": self.made_from, "most_hours": self.options.hours}
        wanted["weights"] = _digest(self.model / TABLE)
        return report if all(report.get(key) == value for key, value in wanted.items()) else None

    def begin(self) -> None:
        """Go on where a start with the same records and options was stopped, or begin anew with the shipped weights."""
        self.state: dict[str, Any] = _read(self.state_path)
        if self.state.get("made_from") != self.made_from:
            self._begin_anew()
        else:
            log.info("goes on with %d stages done", len(self.state["stages"]))
        kept = self.work / "shipped"
        self.shipped = kept if (kept / TABLE).exists() else None
        self.clock = Clock(self.work / "seconds", self.options.hours)

    def _begin_anew(self) -> None:
        """Make the model folder valid, and an empty folder for the work in it."""
        self.model.mkdir(parents=True, exist_ok=True)
        (self.model / REPORT).unlink(missing_ok=True)
        if self.first is not None and not self.own:
            copy_weights(self.first, self.model)
        shutil.rmtree(self.work, ignore_errors=True)
        if self.first is not None:
            copy_weights(self.first, self.work / "shipped")
        self.state = {"made_from": self.made_from, "stages": {}}
        self.save()

    def save(self) -> None:
        """Note what is done."""
        write_text(self.state_path, json.dumps(self.state, indent=2))

    def run(self, stages: Sequence[Stage]) -> dict[str, Any]:
        """Run the stages that are not done; returns what each of all scored."""
        try:
            prepare(self.data, self.work / "packs", folds=FOLDS)
        except EcgPageError as error:
            log.warning("no packs, so nothing can be drawn: %s", error)
        for place, stage in enumerate(stages):
            if stage.name not in self.state["stages"]:
                self._run_stage(stage, sum(other.share for other in stages[place:]))
        self.clock.stop()
        found: dict[str, Any] = {"hours": self.clock.used / 3600, "stages": self.state["stages"]}
        found |= {"made_from": self.made_from, "most_hours": self.options.hours}
        found["weights"] = _digest(self.model / TABLE)
        write_text(self.model / REPORT, json.dumps(found, indent=2))
        shutil.rmtree(self.work)
        return found

    def _run_stage(self, stage: Stage, shares: float) -> None:
        """Train a stage in its part of the time that is left; the shipped weights stay where that fails."""
        began = self.state.setdefault("began", {})
        # what an earlier start of this stage used is its own, not taken from its part again
        used = self.clock.used - began.setdefault(stage.name, self.clock.used)
        part = (1 - LAST_SHARE) * (self.clock.left + used) * stage.share / shares
        self.save()
        log.info("%s: %.1f min", stage.name, part / 60)
        work = self.work / stage.name.replace(" ", "_")
        work.mkdir(parents=True, exist_ok=True)
        task = Task(
            self.data, self.entries, self.work / "packs", work, self.work / "drawn", self.model, self.shipped,
            self.options.scratch, part / 60, os.cpu_count() or 1,
        )  # fmt: skip
        try:
            if part <= 0:
                raise EcgPageError("no time left")
            result = self._adopt(stage, stage.run(task))
        except Exception as error:  # one stage must not end the others
            known = isinstance(error, EcgPageError)
            log.warning("%s: the shipped weights stay (%s)", stage.name, error, exc_info=not known)
            result = {"taken": False, "reason": str(error) if known else repr(error)}
        self.state["stages"][stage.name] = result
        self.save()
        shutil.rmtree(work, ignore_errors=True)

    def _adopt(self, stage: Stage, outcome: Outcome) -> dict[str, Any]:
        """Take a stage's weights over where they are better, or where there are no others that could stay."""
        better = outcome.enough and outcome.retrained > outcome.shipped
        incomparable = outcome.kept is None and math.isnan(outcome.shipped)
        taken = better or incomparable or self.options.scratch
        if taken:
            copy_weights(outcome.folder, self.model, outcome.names)
        elif outcome.kept is not None:
            copy_weights(outcome.kept, self.model, outcome.names)
        verdict = "taken" if taken else "the shipped weights stay"
        if not outcome.enough:
            verdict += " (too few records validate)"
        figures = outcome.metric, outcome.shipped, outcome.retrained, verdict
        log.info("%s: %s: shipped %.4g, retrained %.4g: %s", stage.name, *figures)
        scores = {"shipped": _number(outcome.shipped), "retrained": _number(outcome.retrained)}
        return {"taken": taken, "metric": outcome.metric, **scores}


def retrain(
    data: Path,
    model: Path,
    shipped: Path | None,
    options: Options | None = None,
    stages: Sequence[Stage] = STAGES,
) -> dict[str, Any]:
    """Retrain the system on the WFDB records in ``data`` into ``model``; returns what each stage scored.

    Where ``model`` was finished from the same records, options and shipped weights, it stays as it is.
    Raises EcgPageError when ``data`` holds no record or nothing could be trained where there are no shipped weights.
    """
    if several.started_rank() > 0:
        log.warning("one process retrains all; torchrun starts several for the commands of single networks")
        return {}
    cv2.setNumThreads(1)  # before workers fork: OpenCV's threads do not survive it
    run = Run(data, model, shipped, options or Options.from_environment())
    finished = run.finished()
    if finished is not None:
        log.warning(
            "%s was finished from these records and options; to train again, delete its %s", model, REPORT
        )
        shutil.rmtree(run.work, ignore_errors=True)  # left by a kill after the report
        return finished
    run.begin()
    found = run.run(stages)
    if not (model / TABLE).exists():
        reasons = "; ".join(f"{name}: {one.get('reason')}" for name, one in found["stages"].items())
        raise EcgPageError(f"{data}: nothing could be trained ({reasons})")
    return found


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _digest(path: Path) -> str:
    """Digest of a file; "" when there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _read(path: Path) -> dict[str, Any]:
    """Content of a JSON file; empty when it is missing or cut off."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
