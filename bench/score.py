"""Score the package by kind of page: real scans, real photos and drawn pages.

    python -m bench.score --data FOLDER [--kinds scans photos generator-clean] [--records 30] [--without STAGE] [--jobs 2]

FOLDER holds ``real/scans`` and ``real/photos`` (each with ``input`` and ``reference``) and ``hires500`` (a pack of 500-Hz
records with its table). Drawn kinds are the renderer's mixes over records of fold 9. Signals are scored by
``evaluate_model`` against references that are blank outside the printed windows. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core: more threads would slow each other down

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ecgpage.challenge.habits import challenge_options
from ecgpage.core.conventions import EcgPageError
from ecgpage.diagnosis.diagnoser import Diagnoser
from ecgpage.pipeline import Digitizer, ReaderOptions
from ecgpage.synth import MIXES, mixes_hash
from ecgpage.synth.folder import Task, write_record
from ecgpage.synth.sources import Pack
from evaluate_model import evaluate_model
from helper_code import find_records, load_header, load_signals, save_header, save_labels, save_signals
from team_code import answer, digitize_record, load_models

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
REPORT_FOLD = "9"
"""Fold of the records."""
REAL_KINDS = ("scans", "photos")
"""Kinds of real pages."""
ABLATIONS: Final[dict[str, Callable[[ReaderOptions], ReaderOptions]]] = {
    "refine": lambda o: replace(o, grid=replace(o.grid, refine=False)),
    "strokes": lambda o: replace(o, grid=replace(o.grid, close_strokes=False)),
    "text": lambda o: replace(o, layout=replace(o.layout, text=False)),
    "line": lambda o: replace(o, layout=replace(o.layout, line_ahead_mm=None)),
    "strips": lambda o: replace(o, signal=replace(o.signal, strips=False)),
    "constraints": lambda o: replace(o, signal=replace(o.signal, constraints=False)),
}
"""Changes of the options that leave one part of the reading out, to measure its worth, by name."""


@dataclass(frozen=True)
class PageScore:
    """Outcome of one record, without its SNR."""

    record: str
    seconds: float
    sources: tuple[str, ...]
    """Source of each lead: network or none."""
    finite: tuple[float, ...]
    """Share, 0 to 1, of each lead's reference samples at which the reading has a value."""
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class KindScore:
    """One row of the table."""

    kind: str
    pages: int
    snr: float
    snr_given: float
    """Mean SNR, dB, over the leads that are not all NaN."""
    worst: float
    """Mean SNR, dB, of the worst page."""
    coverage: float
    network: float
    nothing: float
    f_measure: float
    seconds: float


def draw_kind(kind: str, data: Path, folder: Path, n_records: int) -> None:
    """Draw ``n_records`` records of the report fold as pages of a kind; existing pages are kept."""
    pack = Pack(data / "hires500" / "signals.xz", data / "hires500" / "records.csv", fs=500.0)
    folds = [row.get("strat_fold") for row in pack.rows]
    task = Task(folder, mixes=(kind,), truth=False)
    for index in [k for k, fold in enumerate(folds) if fold == REPORT_FOLD][:n_records]:
        write_record(task, pack.read(index))


def read_one(task: tuple[str, str, str, str, str, Sequence[str]]) -> PageScore:
    """Read one record and write signals and labels in the form of ``run_model.py``."""
    name, source, reference, output, model, without = task
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if not _loaded:
        _loaded.append(load_models(model, False))
    loaded, classifier = _loaded[0]
    options = challenge_options()
    for stage in without:
        options = ABLATIONS[stage](options)
    digitizer = Digitizer(loaded.network, loaded.detector, loaded.reader, options)
    began = time.perf_counter()
    header = load_header(os.path.join(source, name))
    reading = digitize_record(os.path.join(source, name), header, digitizer)
    signal, labels = answer(header, reading, classifier)
    seconds = time.perf_counter() - began
    target = os.path.join(output, name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    save_header(target, header)
    finite: list[float] = []
    truth, _ = load_signals(os.path.join(reference, name))
    if signal is not None and truth is not None:
        save_signals(target, signal, [])
        save_labels(target, labels)
        finite = [_share(truth[:, k], signal[:, k]) for k in range(truth.shape[1])]
    return PageScore(
        name,
        seconds,
        tuple(r.source for r in reading.readings),
        tuple(finite),
        max((p.layout.confidence for p in reading.pages if p is not None), default=0.0),
        tuple(reading.reasons),
    )


_loaded: list[tuple[Digitizer, Diagnoser]] = []
"""Models of this process, loaded once."""


def _share(truth: np.ndarray, read: np.ndarray) -> float:
    known = np.isfinite(truth)
    return float((known & np.isfinite(read)).sum() / known.sum()) if known.any() else float("nan")


def score_kind(
    kind: str, source: Path, reference: Path, output: Path, model: Path, without: Sequence[str], jobs: int
) -> KindScore:
    """Read all records of ``source`` and score them against ``reference``."""
    names = find_records(str(reference))
    tasks = [(name, str(source), str(reference), str(output), str(model), tuple(without)) for name in names]
    # forked children would inherit locks of the drawing threads
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        pages = list(tqdm(pool.map(read_one, tasks), total=len(tasks), desc=kind, file=sys.stderr))
    scores = evaluate_model(str(reference), str(output), jobs=jobs)
    snr = scores[6]
    by_page = {name: np.nanmean([v for (r, _), v in snr.items() if r == name]) for name in names}
    given = [v for (r, _), v in snr.items() if v != 0.0]
    (output / "pages.json").write_text(
        json.dumps([asdict(p) | {"snr": float(by_page[p.record])} for p in pages], indent=1)
    )
    sources = [source for page in pages for source in page.sources]
    return KindScore(
        kind,
        len(pages),
        float(scores[0]),
        float(np.nanmean(given)) if given else float("nan"),
        float(min(by_page.values())),
        float(np.nanmean([f for page in pages for f in page.finite])),
        _part(sources, "network"),
        _part(sources, "none"),
        float(scores[5]),
        float(np.mean([page.seconds for page in pages])),
    )


def _part(sources: Iterable[str], wanted: str) -> float:
    listed = list(sources)
    return listed.count(wanted) / max(1, len(listed))


def table(rows: Iterable[KindScore]) -> str:
    """Markdown table."""
    lines = [
        "| pages | n | SNR dB | SNR of given leads | worst page | coverage | network | NaN | macro F | s a page |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.kind} | {r.pages} | {r.snr:.2f} | {r.snr_given:.2f} | {r.worst:.2f} | {r.coverage:.1%} "
            f"| {r.network:.0%} | {r.nothing:.1%} | {r.f_measure:.3f} | {r.seconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with real/ and hires500/")
    parser.add_argument("--out", type=Path, default=Path("out/score"), help="drawn pages and answers")
    kinds = (*REAL_KINDS, *MIXES)
    parser.add_argument("--kinds", nargs="+", default=["scans", "photos", "generator-clean"], choices=kinds)
    parser.add_argument("--records", type=int, default=30, help="drawn pages of each kind")
    parser.add_argument("--without", action="append", default=[], choices=ABLATIONS, help="leave a stage out")
    parser.add_argument("--model", type=Path, default=ROOT / "model", help="folder with the weights")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    rows = []
    for kind in args.kinds:
        if kind in REAL_KINDS:
            source, reference = (args.data / "real" / kind / part for part in ("input", "reference"))
        else:
            source = reference = args.out / "drawn" / f"{kind}-{mixes_hash()}-{args.records}"
            draw_kind(kind, args.data, source, args.records)
        if not find_records(str(reference)):
            raise EcgPageError(f"{reference}: no records; give --data a folder with real/{kind}")
        answers = args.out / "answers" / "-".join([kind, *(f"without-{s}" for s in args.without)])
        rows.append(score_kind(kind, source, reference, answers, args.model, args.without, args.jobs))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    print(
        f"commit {commit.stdout.strip() or 'unknown'}, page mixes {mixes_hash()}, without {args.without or 'nothing'}\n"
    )
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        sys.exit(str(error))
