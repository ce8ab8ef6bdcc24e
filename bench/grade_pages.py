"""Read pages whose truth is known, and keep the readings: what ``bench.grade_evidence`` estimates and measures grades on.

    python -m bench.grade_pages --data FOLDER --work READINGS --sets device:3 ecg_plot:1 challenge:1 [--pages 300]
    python -m bench.grade_pages --data FOLDER --work READINGS --sets world edan:2 patients pmecg scans photos

Sets are read in turn, as many pages of each as its number says, until ``--pages`` are there or a set ends. Drawn are:
``device`` (``ecgpage.synth.world``), ``challenge`` (``ecgpage.synth``) and ``ecg_plot`` from records of fold 8, ``pmecg``
from fold 9 (``bench.plotted_pages`` says what to install); the others are pictures of FOLDER. Each page gets a file in
READINGS: it is gone on with where it was stopped. Files hold pickled readings of this very code: read no others.
"""

import argparse
import csv
import itertools
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from bench import overlays
from bench.page_comparison import Given, TruePage, judge_given
from bench.plotted_pages import SETTINGS, draw_plotted
from bench.world import FS, Task, judge_edan, list_tasks, load_truth, snr_of_leads, stretch
from ecgpage.challenge.habits import challenge_options
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.image.decode import read_image
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading
from ecgpage.synth import MIXES, draw_picture
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.truth_adapters import compare_plan
from ecgpage.synth.world import draw_world_page
from helper_code import find_records

SEED: Final = 20_261_129
"""Seed of the drawn pages, which no network was trained on and no other bench draws."""
SETS: Final = ("device", "ecg_plot", "challenge", "pmecg", "world", "edan", "patients", "scans", "photos")
DRAWN: Final = ("device", "ecg_plot", "challenge", "pmecg")
"""Sets without an end."""
MAX_LAG: Final = 100
"""Samples by which a page may begin earlier or later than its truth: pictures are cut."""
N_EDAN: Final = 304


@dataclass(frozen=True)
class Shown:
    """A picture and how a reading of it is judged."""

    name: str
    image: Image
    judge: Callable[[PageReading], tuple[Given | None, dict[str, float]]]
    """What is right of a reading, None where that is not known, and true SNR, dB, of its leads, as far as it is known."""
    fs: float = float(FS)
    n_samples: int = 10 * FS
    facts: dict[str, str] = field(default_factory=dict)
    """What else is known of the page."""
    is_challenge: bool = False
    """Whether it is read as the Challenge's pages are."""


@dataclass(frozen=True)
class KeptReading:
    """Reading of one page, and what of it is right."""

    kind: str
    name: str
    reading: PageReading | None
    """Without its picture; None where it was refused."""
    side_px: int
    """Longer side of the picture, px."""
    given: Given | None
    snr_db: dict[str, float]
    facts: dict[str, str]
    reason: str
    seconds: float


def main() -> int:
    """Read the pages."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    digitizers = load_digitizers(options.model)
    turns = split_sets(options.sets)
    sources = {kind: list_pages(kind, options.data, options.work / kind) for kind, _ in turns}
    read = 0
    while sources and read < options.pages:
        for kind, count in turns:
            for _ in range(count):
                draw = next(sources[kind], None) if kind in sources else None
                if draw is None:
                    sources.pop(kind, None)
                    break
                keep_page(kind, draw(), digitizers, options.work / kind)
                read += 1
    return 0


def load_digitizers(model: Path) -> tuple[Digitizer, Digitizer]:
    """Digitizer of any page, and that of the Challenge's."""
    digitizer = Digitizer.load(model)
    return digitizer, Digitizer(digitizer.network, digitizer.detector, digitizer.reader, challenge_options())


def split_sets(sets: Sequence[str]) -> list[tuple[str, int]]:
    """Name and number of pages of each set, as "edan:3" or "edan" for one."""
    return [(name, int(count or 1)) for name, _, count in (one.partition(":") for one in sets)]


def keep_page(kind: str, shown: Shown, digitizers: tuple[Digitizer, Digitizer], folder: Path) -> None:
    """Read a page, judge it and write its file; ``digitizers``: that of any page, and that of the Challenge's."""
    began = time.process_time()
    reading, reason = None, ""
    given: Given | None = None
    snr_db: dict[str, float] = {}
    try:
        reading = digitizers[shown.is_challenge].read_page(shown.image, shown.fs, shown.n_samples)
        seconds = time.process_time() - began
        given, snr_db = shown.judge(reading)
        reading = replace(reading, located=replace_image(reading))
    except EcgPageError as error:
        reason, seconds = str(error), time.process_time() - began
    kept = KeptReading(
        kind, shown.name, reading, max(shown.image.shape[:2]), given, snr_db, shown.facts, reason, seconds
    )
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{shown.name}.part"
    beside.write_bytes(pickle.dumps(vars(kept)))  # no class of a module that may be __main__
    beside.replace(folder / f"{shown.name}.pkl")
    print(f"{kind} {shown.name}: {given} {reason} {seconds:.1f} s", flush=True)


def replace_image(reading: PageReading) -> Any:
    """Place of the ECG without its picture."""
    located = reading.located
    return None if located is None else replace(located, image=np.zeros((1, 1, 3), np.uint8), traces=())


def load_kept(work: Path, kinds: tuple[str, ...] = SETS) -> list[KeptReading]:
    """Readings of some sets, in the order of their names."""
    paths = [path for kind in kinds for path in sorted((work / kind).glob("*.pkl"))]
    return [KeptReading(**pickle.loads(path.read_bytes())) for path in paths]


# --- pages ----------------------------------------------------------------------------------------------------


def list_pages(kind: str, data: Path, done: Path) -> Iterator[Callable[[], Shown]]:
    """Pages of a set that are not in the folder ``done``, each as a function that draws or opens it."""
    for name, draw in _SOURCES[kind](kind, data):
        if not (done / f"{name}.pkl").exists():
            yield draw


Signal = NDArray[np.float32]
"""(n_samples, 12) mV."""
Source = Iterator[tuple[str, Callable[[], Shown]]]


@cache
def _load_records(data: Path, fold: str) -> TrainingRecords:
    return TrainingRecords(data, {fold})


def _draw_pages(kind: str, data: Path) -> Source:
    fold = "9" if kind == "pmecg" else "8"
    records = _load_records(data, fold)
    hires = sum("hires" in origin for origin in records.origins)
    rng = np.random.default_rng(SEED)
    for k in itertools.count():
        # sharp records half of the time
        index = int(rng.integers(hires if k % 2 else len(records)))
        yield f"{k:05d}", partial(_draw_one, kind, k, records, index)


def _draw_one(kind: str, number: int, records: TrainingRecords, index: int) -> Shown:
    return _DRAWERS[kind](number, f"{number:05d}", *records.signal(index))


def _draw_device(k: int, name: str, signal: Signal, fs: float) -> Shown:
    drawn = draw_world_page(signal, fs, mix="world", seed=(SEED, k))
    facts = json.loads(drawn.facts.to_json())
    truth = drawn.masked_signal.astype(np.float64)
    is_known = fs == FS and facts["strip_times"] != "other"
    return Shown(name, drawn.image, _judge_by(facts, truth if is_known else None))


def _draw_plotted(package: str, k: int, name: str, signal: Signal, fs: float) -> Shown:
    settings = [s for s in SETTINGS if s.package == package]
    image, facts = draw_plotted(settings[k % len(settings)], signal.T, fs)
    truth = None
    if fs == FS:
        truth = np.full((len(signal), len(LEADS)), np.nan)
        for s in facts["segments"]:
            part = slice(round(s["t0"] * fs), round(s["t1"] * fs))
            truth[part, LEADS.index(s["lead"])] = signal[part, LEADS.index(s["lead"])]
    return Shown(name, image, _judge_by(facts, truth), facts={"setting": facts["setting"]})


def _draw_challenge(k: int, name: str, signal: Signal, fs: float) -> Shown:
    mix = list(MIXES)[k % len(MIXES)]
    drawn = draw_picture(signal, fs, mix=mix, seed=(SEED, k))

    def judge(reading: PageReading) -> tuple[Given | None, dict[str, float]]:
        layout = replace(reading.layout, segments=reading.signals.segments)
        seen = compare_plan(drawn, reading.grid, layout)
        given = Given(1.0 if seen.is_scaled else 2.0, 1.0, seen.is_named, seen.late_s)
        truth = drawn.masked_signal.astype(np.float64)
        return given, (
            score_leads(truth, reading.signals.mv) if fs == FS and seen.is_named and seen.is_scaled else {}
        )

    return Shown(name, drawn.image, judge, facts={"setting": mix}, is_challenge=True)


_DRAWERS: Final[dict[str, Callable[[int, str, Signal, float], Shown]]] = {
    "device": _draw_device,
    "challenge": _draw_challenge,
    "ecg_plot": partial(_draw_plotted, "ecg_plot"),
    "pmecg": partial(_draw_plotted, "pmecg"),
}


def _judge_by(
    facts: dict[str, Any], truth: Array | None
) -> Callable[[PageReading], tuple[Given, dict[str, float]]]:
    """Judge by the truth of a drawn page; ``truth`` (n, 12): mV, None where it is not at the readings' rate."""

    def judge(reading: PageReading) -> tuple[Given, dict[str, float]]:
        layout = replace(reading.layout, segments=reading.signals.segments)
        given = judge_given(TruePage.from_facts(facts), reading.grid, layout)
        return given, {} if truth is None or not given.names else score_leads(truth, reading.signals.mv)

    return judge


def score_leads(truth: Array, mv: NDArray[np.float32]) -> dict[str, float]:
    """True SNR, dB, of the leads that are drawn and read: one lag, and one time scale within 0.5 %, for the page."""
    n = max(len(truth), len(mv))
    reference: Array = np.pad(truth, ((0, n - len(truth)), (0, 0)), constant_values=np.nan)
    read: Array = np.pad(mv.astype(np.float64), ((0, n - len(mv)), (0, 0)), constant_values=np.nan)
    both = np.isfinite(reference).any(axis=0) & np.isfinite(read).any(axis=0)
    reference, read = reference[:, both], read[:, both]
    if not both.any():
        return {}
    best: tuple[float, Array] = (-np.inf, np.zeros(0))
    at = (1.0, 0.0)
    for scales, lags in (
        ((0.0,), np.arange(-MAX_LAG, MAX_LAG + 1, 4.0)),
        (np.linspace(-0.005, 0.005, 11), np.arange(-4.0, 5.0, 2.0)),
        ((-0.0005, 0.0, 0.0005), np.arange(-1.0, 1.1, 0.25)),
    ):
        first = at
        for scale, lag in itertools.product(scales, lags):
            there = first[0] + scale, first[1] + lag
            snr = snr_of_leads(reference, stretch(read, *there))
            if snr.mean() > best[0]:
                best, at = (float(snr.mean()), snr), there
    return {LEADS[k]: float(v) for k, v in zip(np.flatnonzero(both), best[1], strict=True)}


def _open_tasks(kind: str, data: Path) -> Source:
    """Pages of ``world`` and ``edan``; those of ``edan`` so spread that any first part holds all groups."""
    tasks = list_tasks(data, [kind], N_EDAN, [])
    order = np.random.default_rng(SEED).permutation(len(tasks)) if kind == "edan" else np.arange(len(tasks))
    for k in order:
        task = tasks[int(k)]
        yield task.path.stem, partial(_open_task, task)


def _open_task(task: Task) -> Shown:
    def judge(reading: PageReading) -> tuple[Given | None, dict[str, float]]:
        if task.kind == "edan":
            seen = judge_edan(task.facts, reading)
            right = seen["right"]
            is_scaled = right["speed"] and right["gain"] and right["time"]
            is_named = right["layout"] and right["names"]
            return Given(
                1 + seen["scale_off"] if is_scaled else 2.0, 1.0, is_named, 0.0 if is_named else np.nan
            ), {}
        if task.truth is None:
            return None, {}
        return None, score_leads(load_truth(task.truth), reading.signals.mv)

    return Shown(task.path.stem, read_image(task.path), judge, facts=task.facts)


def _open_patients(kind: str, data: Path) -> Source:
    with (Path(__file__).parents[1] / "docs" / "patient_images.csv").open(encoding="utf-8") as file:
        for row in csv.reader(file):
            path = data / "patient_images" / row[0]
            yield path.stem, partial(_open_patient, path, row[1])


def _open_patient(path: Path, verdict: str) -> Shown:
    return Shown(path.stem, read_image(path), lambda _: (None, {}), facts={"verdict": verdict})


def _open_real(kind: str, data: Path) -> Source:
    for record in find_records(str(data / "real" / kind / "input")):
        yield Path(record).name, partial(_open_record, data / "real" / kind, record)


def _open_record(source: Path, record: str) -> Shown:
    real = overlays.open_record(source, record)

    def judge(reading: PageReading) -> tuple[Given | None, dict[str, float]]:
        read = reading.signals.mv[: len(real.truth)].astype(np.float64)
        snr = overlays.score_leads(real.truth, read, real.fs)
        return None, {lead: db for lead, db in snr.items() if np.isfinite(read[:, LEADS.index(lead)]).any()}

    return Shown(Path(record).name, real.image, judge, real.fs, real.n_samples, is_challenge=True)


_SOURCES: Final[dict[str, Callable[[str, Path], Source]]] = {
    **dict.fromkeys(DRAWN, _draw_pages),
    "world": _open_tasks,
    "edan": _open_tasks,
    "patients": _open_patients,
    "scans": _open_real,
    "photos": _open_real,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--work", type=Path, required=True, help="folder of readings, gone on with")
    parser.add_argument("--sets", nargs="+", required=True, help="sets, each with the number of pages a turn")
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--model", type=Path, default=Path("model"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
