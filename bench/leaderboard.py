"""Draw the Challenge's kinds of page, read them by the command line, score, and compare with the published results.

    python -m bench.leaderboard --data FOLDER [--fold 9] [--records 150] [--minutes 8] [--jobs 1] [--out out/leaderboard]

FOLDER holds ``ptbxl100`` and ``hires500`` (packs with labels; records of ``--fold``, at 500 Hz where available), or WFDB
records with labels. Each record is drawn once, as the kind given by its number modulo ten: the eight kinds of the Challenge
and the two of its generator. Fewer than 20 records are drawn as every kind. ``run_model.py`` reads the pages, with headers
without labels; ``evaluate_model.py`` scores them. Predictions are kept, so a stopped run can be continued.

**Drawn pages are not the hidden pages of the Challenge**: paper, printers, cameras and patients differ, and this package
was trained on drawn pages of PTB-XL. The published figures are for orientation, not a ranking.

The folder of the run gets ``leaderboard.md``, ``leaderboard.png``, and ``answers.npz`` with the predictions of both
diagnostic branches (``ecgpage.train.stack``).
"""

import argparse
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core

import numpy as np
from tqdm import tqdm

from bench.leaderboard_report import CLEAN_SCANS, FEW, KINDS, PHOTOS, WEAK_DB, Score, describe, plot
from ecgpage.core.conventions import CLASSES, EcgPageError
from ecgpage.core.weights import TABLE
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.diagnosis.page_classifier import PageClassifier
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.diagnosis.types import Diagnosis
from ecgpage.synth import mixes_hash
from ecgpage.synth.folder import Task, write_record
from ecgpage.synth.sources import Pack, Recording, Source, WfdbFolder
from ecgpage.train.scores import macro_interval
from ecgpage.train.stack import Prediction, table_of
from evaluate_model import evaluate_model
from helper_code import find_records, load_labels, load_signals

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""


CHUNK: Final = 40
"""Number of pages that one run of the command line reads, at most: its start takes as long as a page."""


# --- records ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """One page to draw and read."""

    kind: str
    recording: Recording


def number_of(name: str) -> int:
    """Number of a record: the first digits of its name, else a checksum of the name."""
    digits = re.search(r"\d+", Path(name).name)
    return int(digits.group()) if digits else int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def choose_pages(recordings: Sequence[Recording]) -> list[Page]:
    """Each recording as the kind given by its number; fewer than ``FEW`` recordings as every kind."""
    if len(recordings) < FEW:
        return [Page(kind, recording) for kind in KINDS for recording in recordings]
    return [Page(KINDS[number_of(r.name) % len(KINDS)], r) for r in recordings]


def read_recordings(data: Path, fold: str, count: int | None) -> list[Recording]:
    """Labelled recordings of ``data`` in a fixed random order, ``count`` of them (None: all).

    Raises ``EcgPageError`` when there is none.
    """
    sources = _sources(data, fold)
    listed = [(source, k) for source in sources for k in range(len(source.names))]
    if sources and isinstance(sources[0], Pack):
        listed = _labelled_once(listed, fold)
    order = np.random.default_rng(0).permutation(len(listed))
    found: list[Recording] = []
    for place in order:
        if count is not None and len(found) == count:
            break
        source, k = listed[place]
        recording = source.read(k)
        if recording.labels:
            found.append(recording)
    if not found:
        raise EcgPageError(
            f"{data}: no records with labels; give --data a folder of packs or of WFDB records"
        )
    return found


def _sources(data: Path, fold: str) -> list[Source]:
    hires, low = data / "hires500", data / "ptbxl100"
    if not _holds_packs(data):
        return [WfdbFolder(data)]
    packs: list[Source] = []
    if hires.is_dir():
        packs.append(Pack(hires / "signals.xz", hires / "records.csv", fs=500.0))
    if (low / f"fold{fold}.xz").exists():
        packs.append(Pack(low / f"fold{fold}.xz", low / "labels.csv"))
    return packs


def _labelled_once(listed: Iterable[tuple[Source, int]], fold: str) -> list[tuple[Source, int]]:
    """Labelled PTB-XL records of a fold, by number, each from the first source that has it."""
    kept: dict[int, tuple[Source, int]] = {}
    for source, k in listed:
        assert isinstance(source, Pack)
        row = source.rows[k]
        if row.get("strat_fold") == fold and row.get("database", "ptbxl") == "ptbxl" and row.get("labels"):
            kept.setdefault(number_of(source.names[k]), (source, k))
    return [kept[number] for number in sorted(kept)]


# --- answers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Folders of one run."""

    folder: Path
    model: Path

    @property
    def reference(self) -> Path:
        """Folder of the true headers with labels and signals, ``<kind>/<record>``."""
        return self.folder / "reference"

    @property
    def answers(self) -> Path:
        """Folder of the output of ``run_model.py``."""
        return self.folder / "answers"

    @property
    def reports(self) -> Path:
        """Folder of the reports, JSON: probabilities and reasons."""
        return self.folder / "reports"

    def answered(self, page: Page) -> bool:
        """Whether reference, output and report of a page are complete."""
        name = f"{page.kind}/{page.recording.name}"
        answer = self.answers / f"{name}.hea"
        there = (self.reference / f"{name}.hea").exists() and (self.reports / f"{name}.json").exists()
        return there and answer.exists() and "# Labels:" in answer.read_text()


def run_folder(out: Path, data: Path, fold: str, model: Path) -> Path:
    """Folder of a run, which depends on the weights, the page mixes and the records."""
    weights = hashlib.sha256((model / TABLE).read_bytes()).hexdigest()[:8]
    records = f"fold{fold}" if _holds_packs(data) else data.resolve().name
    return out / f"{records}-pages-{mixes_hash()[:8]}-weights-{weights}"


def _holds_packs(data: Path) -> bool:
    return (data / "hires500").is_dir() or (data / "ptbxl100").is_dir()


def answer_chunk(run: Run, pages: Sequence[Page], deadline: float | None = None) -> int:
    """Draw some pages and read them by the command line; outputs and references are kept, pictures dropped.

    Returns the number of pages read: 0 after ``deadline`` (``time.time``). Raises ``EcgPageError`` when the command fails.
    """
    if deadline is not None and time.time() > deadline:
        return 0
    run.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.folder, prefix="chunk-") as name:
        drawn, hidden = Path(name) / "drawn", Path(name) / "hidden"
        for page in pages:
            _draw(page, drawn / page.kind, hidden / page.kind)
        command = [
            sys.executable,
            str(ROOT / "run_model.py"),
            "-d",
            str(hidden),
            "-m",
            str(run.model.resolve()),
        ]
        command += ["-o", str(run.answers.resolve()), "-f"]
        settings = os.environ | {"ECGPAGE_REPORT": str(run.reports.resolve()), "OPENCV_FOR_THREADS_NUM": "1"}
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EcgPageError(f"run_model.py failed: {done.stderr.strip()[-2000:]}")
        for file in (f for suffix in (".dat", ".hea") for f in sorted(drawn.rglob(f"*{suffix}"))):
            target = run.reference / file.relative_to(drawn)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, target)
    return len(pages)


def _draw(page: Page, drawn: Path, hidden: Path) -> None:
    """Draw a page and copy its picture and its header without labels to ``hidden``."""
    write_record(Task(drawn, mixes=(page.kind,), truth=False), page.recording)
    header = drawn / f"{page.recording.name}.hea"
    target = hidden / f"{page.recording.name}.hea"
    target.parent.mkdir(parents=True, exist_ok=True)
    for picture in header.parent.glob(f"{header.stem}-*.png"):
        shutil.move(picture, target.parent / picture.name)
    lines = [line for line in header.read_text().splitlines() if not line.startswith("# Labels:")]
    target.write_text("\n".join(lines) + "\n")


def answer_all(run: Run, pages: Sequence[Page], *, jobs: int, minutes: float | None) -> None:
    """Read the pages not read yet; chunks that have not begun after ``minutes`` are left for the next run."""
    deadline = None if minutes is None else time.time() + 60 * minutes
    left = [page for page in pages if not run.answered(page)]
    size = max(1, min(CHUNK, -(-len(left) // jobs)))
    chunks = [left[k : k + size] for k in range(0, len(left), size)]
    progress = tqdm(total=len(pages), initial=len(pages) - len(left), unit="page", file=sys.stderr)
    # forked children would inherit the locks of this process's threads
    with progress, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(answer_chunk, run, chunk, deadline) for chunk in chunks]:
            progress.update(future.result())


def score_all(run: Run, *, jobs: int) -> dict[str, Score]:
    """Scores of each kind with predictions, and of the groups ``scans``, ``photos`` and ``all``."""
    kinds = [kind for kind in KINDS if (run.reference / kind).is_dir()]
    snr: dict[str, list[float]] = {}
    found: dict[str, Score] = {}
    for kind in kinds:
        scores = evaluate_model(str(run.reference / kind), str(run.answers / kind), jobs=jobs)
        snr[kind] = list(scores[6].values())
        found[kind] = _score(run, kind, [kind], snr)
    for name, wanted in (("scans", CLEAN_SCANS), ("photos", PHOTOS), ("all", KINDS)):
        group = [kind for kind in wanted if kind in kinds]
        if group:
            found[name] = _score(run, name, group, snr)
    return found


def _score(run: Run, name: str, kinds: Sequence[str], snr: dict[str, list[float]]) -> Score:
    records = [f"{kind}/{r}" for kind in kinds for r in find_records(str(run.reference / kind))]
    reports = [json.loads((run.reports / f"{r}.json").read_text()) for r in records]
    truth = [load_labels(str(run.reference / r)) for r in records]
    guess = [report["labels"] for report in reports]
    classes = sorted({label for labels in truth for label in labels})
    f, low, high = macro_interval(_held(truth, classes), _held(guess, classes))
    leads = np.array([v for kind in kinds for v in snr[kind]])
    leads = leads[~np.isnan(leads)]
    return Score(
        name,
        len(records),
        sum(report["leads_read"] == 0 for report in reports),
        float(leads.mean()),
        float((leads < WEAK_DB).mean()),
        float((leads < 0).mean()),
        f,
        low,
        high,
        float(np.mean([report["seconds"] for report in reports])),
    )


def _held(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    return np.array([[c in row for c in classes] for row in labels], np.bool_).reshape(-1, len(classes))


def read_predictions(run: Run) -> list[Prediction]:
    """Predictions of both branches for every page read."""

    def branch(p: dict[str, float | None] | None) -> Diagnosis | None:
        known = None if p is None else {c: math.nan if v is None else v for c, v in p.items()}
        return None if known is None else Diagnosis([], known)

    found = []
    for name in find_records(str(run.reference)):
        report = json.loads((run.reports / f"{name}.json").read_text())
        kind, record = name.split("/", 1)
        found.append(
            Prediction(
                number_of(record),
                kind,
                load_labels(str(run.reference / name)),
                branch(report["signal"]),
                branch(report["page"]),
                report["leads_read"],
                math.nan if report["snr_db"] is None else report["snr_db"],
            )
        )
    return found


def branch_scores(run: Run) -> dict[str, tuple[float, float, float]]:
    """Macro F over all pages read, with its 95 % interval, for each way to predict.

    ``true signals`` is the signal branch on the drawn signals, without digitization; the branches use the thresholds stored
    with their weights.
    """
    diagnoser = Diagnoser.load(run.model, ask_page=True)
    names = find_records(str(run.reference))
    truth = _held([load_labels(str(run.reference / name)) for name in names], CLASSES)
    ways: dict[str, list[list[str]]] = {
        "true signals": [],
        "signal branch": [],
        "page branch": [],
        "answer": [],
    }
    for name, said in zip(names, read_predictions(run), strict=True):
        signal, fields = load_signals(str(run.reference / name))
        if signal is None or fields is None:
            raise EcgPageError(
                f"{run.reference / name}: its signal is gone; delete the folder and draw it again"
            )
        ways["true signals"].append(diagnoser.signal.predict(signal, fields["fs"], fields["sig_name"]).labels)
        ways["signal branch"].append(_labels(said.signal, diagnoser.signal))
        ways["page branch"].append(_labels(said.page, diagnoser.page))
        ways["answer"].append(json.loads((run.reports / f"{name}.json").read_text())["labels"])
    if diagnoser.page is None:
        del ways["page branch"]
    return {way: macro_interval(truth, _held(labels, CLASSES)) for way, labels in ways.items()}


def _labels(said: Diagnosis | None, branch: SignalClassifier | PageClassifier | None) -> list[str]:
    if said is None or branch is None:
        return []
    return [c for c, t in zip(branch.classes, branch.thresholds, strict=True) if said.probabilities[c] >= t]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="packs or WFDB records with labels; default: the shipped examples"
    )
    parser.add_argument("--fold", default="9", help="of packs: 9 to report, 8 to fit on")
    parser.add_argument("--records", type=int, help="records to draw (default: all; of packs 100)")
    parser.add_argument("--minutes", type=float, help="begin no further pages after this time")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--model", type=Path, default=ROOT / "model", help="folder with the weights")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "leaderboard")
    args = parser.parse_args()
    data = args.data if args.data is not None and args.data.is_dir() else ROOT / "examples" / "reference"
    if data != args.data:
        print(f"no folder {args.data}: the shipped examples are drawn", file=sys.stderr)
    count = args.records or (100 if _holds_packs(data) else None)
    run = Run(run_folder(args.out, data, args.fold, args.model), args.model)
    pages = choose_pages(read_recordings(data, args.fold, count))
    answer_all(run, pages, jobs=args.jobs, minutes=args.minutes)
    scores = score_all(run, jobs=args.jobs)
    if not scores:
        raise EcgPageError("no page was answered in this time; give more --minutes")
    text = describe(run.folder.name, scores, branch_scores(run))
    (run.folder / "leaderboard.md").write_text(text + "\n", encoding="utf-8")
    plot(scores, run.folder / "leaderboard.png")
    table_of(read_predictions(run)).save(run.folder / "answers.npz")
    print(text)
    print(f"\n{run.folder}: leaderboard.md, leaderboard.png, answers.npz", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        sys.exit(str(error))
