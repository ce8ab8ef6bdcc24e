"""Measure how well the diagnoses rank: on a fold's table, on records of other sources, on another device's print-outs.

    python -m bench.diagnosis_reach table --table FOLD9.npz [--model model] [--beside OLD.npz OLD_MODEL]
    python -m bench.diagnosis_reach outside --data FOLDER [--model model]
    python -m bench.diagnosis_reach edan --data FOLDER --out PAGES.jsonl [--model model]

``table``: area under the ROC curve and average precision of each class by the stack, with 95 % intervals of a bootstrap over
records; ``--beside``: what macro F and mean average precision gain over another table of the same pages with its own model,
by a paired bootstrap. ``outside``: the signal branch on the printed windows of the records in ``outside100``, by source; the
labels there are mapped and weaker. ``edan``: pages of acute infarction against normal ones of the same layout
(``edan/pages.csv``), read from the picture to the diagnosis; PAGES.jsonl gets a line for each page and is gone on with where
it exists. Prints Markdown.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypedDict

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ecgpage.core.conventions import CLASSES, LEADS, EcgPageError
from ecgpage.core.logistic import sigmoid
from ecgpage.core.types import Array
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_classifier import SignalClassifier
from ecgpage.diagnosis.stack import Stack
from ecgpage.reader import Reader
from ecgpage.synth.simulated_digitization import mask_as_page
from ecgpage.train.scores import average_precisions, bootstrap_interval, f_measures, roc_areas
from ecgpage.train.stack import Table, labels_of, probabilities_of

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
LEAST: Final = 5
"""Number of records with a class, and without it, at least, for an area."""
LAYOUT: Final = "4*2.5s+1r"
"""Layout, as printed, of which there are both pages of infarctions and normal ones."""
NOT_COMPARED: Final = {("LUDB", "HYP")}
"""Sources and classes whose labels mean something else there."""
Bools = NDArray[np.bool_]


class PageRow(TypedDict):
    """What was read of one page."""

    file: str
    group: str
    status: str
    p: dict[str, float]
    """Class -> probability, NaN where there was nothing to diagnose."""


def area_text(truth: Bools, p: Array) -> str:
    """Area under the ROC curve of one class, ``truth`` and ``p`` (n,), with its 95 % interval."""
    column, values = truth[:, None], p[:, None]
    low, high = bootstrap_interval(len(truth), lambda rows: roc_areas(column[rows], values[rows]))
    return f"{roc_areas(column, values)[0]:.3f} ({low[0]:.3f}–{high[0]:.3f})"


def rank_table(truth: Bools, p: Array, names: Sequence[str] = CLASSES) -> str:
    """Markdown table of each class's records, area under the ROC curve and average precision, with intervals and means."""
    measures: tuple[Callable[[Bools, Array], Array], ...] = (roc_areas, average_precisions)
    found = []
    for measure in measures:

        def with_mean(rows: NDArray[np.intp], measure: Callable[[Bools, Array], Array] = measure) -> Array:
            each = measure(truth[rows], p[rows])
            return np.append(each, np.nanmean(each))

        found.append((with_mean(np.arange(len(truth))), *bootstrap_interval(len(truth), with_mean)))
    lines = ["| class | records | AUROC (95 %) | average precision (95 %) |", "|---|---|---|---|"]
    for c, name in enumerate([*names, "**mean**"]):
        count = int(truth[:, c].sum()) if c < len(names) else len(truth)
        cells = [f"{value[c]:.3f} ({low[c]:.3f}–{high[c]:.3f})" for value, low, high in found]
        lines.append(f"| {name} | {count} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def compare(new: Table, stack: Stack, old: Table, old_stack: Stack) -> str:
    """What macro F and mean average precision gain over another table of the same records, with 95 % intervals.

    Raises ``EcgPageError`` when the tables hold other records.
    """
    if not np.array_equal(new.record, old.record) or not np.array_equal(new.truth, old.truth):
        raise EcgPageError("the tables hold other records: no paired comparison")
    labels = [labels_of(s, t) for s, t in ((stack, new), (old_stack, old))]
    p = [np.nan_to_num(probabilities_of(s, t)) for s, t in ((stack, new), (old_stack, old))]

    def gains(rows: NDArray[np.intp]) -> Array:
        truth = new.truth[rows]
        macro = [np.nanmean(f_measures(truth, one[rows])) for one in labels]
        mean = [np.nanmean(average_precisions(truth, one[rows])) for one in p]
        return np.array([macro[0] - macro[1], mean[0] - mean[1]])

    value = gains(np.arange(len(new.record)))
    low, high = bootstrap_interval(len(new.record), gains)
    return "\n".join(
        f"{what}: {value[k]:+.4f} ({low[k]:+.4f} to {high[k]:+.4f})"
        for k, what in enumerate(("macro F", "mean average precision"))
    )


def outside(data: Path, model: Path) -> str:
    """Markdown table of the areas under the ROC curves of the signal branch on the printed windows of other sources."""
    with (data / "outside100" / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with np.load(data / "outside100" / "signals.npz", allow_pickle=False) as file:
        microvolts = file["x"]  # int16 (n, 12, 1000), 100 Hz
    branch = SignalClassifier.load(model)
    order = [branch.classes.index(c) for c in CLASSES]
    windows = np.concatenate([to_windows(x.T / 1000, 100.0, LEADS)[:1] for x in microvolts])
    printed = mask_as_page(torch.from_numpy(windows).half()).float().numpy()
    parts = np.array_split(printed, max(1, len(printed) // 128))
    p = sigmoid(np.concatenate([branch.network(part)[0] for part in parts]))[:, order]
    truth = np.array([[c in row["labels"].split(";") for c in CLASSES] for row in rows])
    source = np.array([row["source"] for row in rows])
    names = sorted(set(source.tolist()))
    lines = ["| class | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for c, label in enumerate(CLASSES):
        cells = []
        for name in names:
            own = (source == name) & np.array([bool(row["labels"]) for row in rows])
            t, q = truth[own, c], p[own, c]
            if (name, label) in NOT_COMPARED or not LEAST <= t.sum() <= len(t) - LEAST:
                cells.append("–")
                continue
            cells.append(f"{area_text(t, q)}, {int(t.sum())} of {len(t)}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read_edan(data: Path, model: Path, out: Path) -> list[PageRow]:
    """Probabilities of the pages of infarctions and of normal ones in ``LAYOUT``, read one after the other into ``out``."""
    with (data / "edan" / "pages.csv").open(encoding="utf-8", newline="") as file:
        pages = [row for row in csv.DictReader(file) if row["layout"] == LAYOUT]
    pages = [row for row in pages if row["group"] in ("mi", "normal")]
    done: dict[str, PageRow] = {}
    if out.exists():
        lines = out.read_text(encoding="utf-8").splitlines()
        done = {row["file"]: row for row in map(json.loads, lines)}
    out.parent.mkdir(parents=True, exist_ok=True)
    reader = Reader(device="cpu", model=model)
    with out.open("a", encoding="utf-8") as file:
        for page in tqdm([p for p in pages if p["file"] not in done], disable=not sys.stderr.isatty()):
            read = reader.digitize(data / "edan" / page["file"])
            p = {name: float(value) for name, value in read.probabilities.items()}
            row: PageRow = {"file": page["file"], "group": page["group"], "status": read.status, "p": p}
            file.write(json.dumps(row) + "\n")
            file.flush()
            done[page["file"]] = row
    return [done[page["file"]] for page in pages]


def report_edan(rows: Sequence[PageRow]) -> str:
    """Areas under the ROC curves by which acute infarction is told from normal; pages without an answer count as 0.5."""
    sick = np.array([row["group"] == "mi" for row in rows])
    value = {c: np.array([row["p"].get(c, np.nan) for row in rows]) for c in CLASSES}
    ways = {
        "Acute MI": value["Acute MI"],
        "Acute MI or Old MI": 1 - (1 - value["Acute MI"]) * (1 - value["Old MI"]),
        "not NORM": 1 - value["NORM"],
    }
    answered = np.isfinite(value["NORM"])
    lines = [
        f"{int(sick.sum())} pages of infarctions, {int((~sick).sum())} normal, {int((~answered).sum())} without answer"
    ]
    lines += ["| probability of | AUROC (95 %) |", "|---|---|"]
    for name, p in ways.items():
        lines.append(f"| {name} | {area_text(sick, np.where(np.isfinite(p), p, 0.5))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("table", "outside", "edan"):
        own = commands.add_parser(name)
        own.add_argument("--model", type=Path, default=ROOT / "model", help="model folder")
        if name == "table":
            own.add_argument("--table", type=Path, required=True, help="answers of both branches")
            own.add_argument(
                "--beside", type=Path, nargs=2, metavar=("TABLE", "MODEL"), help="to compare with"
            )
        else:
            own.add_argument("--data", type=Path, required=True, help=f"folder with {name}")
        if name == "edan":
            own.add_argument("--out", type=Path, required=True, help="pages read, .jsonl")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command == "table":
        table, stack = Table.load(args.table), Stack.load(args.model)
        print(rank_table(table.truth, np.nan_to_num(probabilities_of(stack, table))))
        if args.beside:
            print(compare(table, stack, Table.load(args.beside[0]), Stack.load(args.beside[1])))
    elif args.command == "outside":
        print(outside(args.data, args.model))
    else:
        print(report_edan(read_edan(args.data, args.model, args.out)))


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        raise SystemExit(str(error)) from None
