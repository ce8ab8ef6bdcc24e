"""Measure how pages of two plotting packages are read: a look that nobody here designed.

    python -m bench.plotting_packages draw --data FOLDER --out PAGES [--pages 100]
    python -m bench.plotting_packages read --pages PAGES --out FILE.csv [--only TEXT]
    python -m bench.plotting_packages report --out FILE.csv

FOLDER holds ``ptbxl100`` and ``hires500``; records of fold 9 are drawn in the six settings of each package
(``bench.plotted_pages``, which says what to install). ``draw`` writes PNG pictures with their truth as JSON beside them;
``read`` digitizes them by ``ecgpage.Reader`` as it comes, without the record's length, goes on where it was stopped, and
prints a Markdown table, as ``report`` does: the share of pages whose scale is within 0.5 %, whose layout and names are right,
and whose times are right within 20 ms.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.page_comparison import Comparison, load_rows, read_one, tabulate
from bench.plotted_pages import SETTINGS, check_packages, draw_plotted
from ecgpage.core.conventions import EcgPageError
from ecgpage.reader import Reader
from ecgpage.synth.training_records import TrainingRecords

REPORT_FOLD = "9"
"""Fold of the records."""
GROUP = ("package", "setting")
"""Keys of the truth by which pages are counted."""


def main() -> int:
    """Run one of the commands; the exit status is 2 where something is missing."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    try:
        if options.command == "draw":
            check_packages()
            draw_pages(options.data, options.out, options.pages)
        elif options.command == "read":
            read_pages(_truths(options.pages, options.only), options.out)
    except EcgPageError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command != "draw":
        print(tabulate(load_rows(options.out), GROUP))
    return 0


def draw_pages(data: Path, out: Path, count: int) -> None:
    """Draw ``count`` records of fold 9 in every setting; pages that exist are kept."""
    records = TrainingRecords(data, {REPORT_FOLD})
    chosen = np.random.default_rng(9).permutation(len(records))[:count]
    out.mkdir(parents=True, exist_ok=True)
    for index in chosen:
        signal, fs = records.signal(int(index))
        for number, setting in enumerate(SETTINGS):
            target = out / f"{setting.package}-{number:02d}-{index:05d}.png"
            if target.with_suffix(".json").exists():
                continue
            image, facts = draw_plotted(setting, signal.T, fs)
            cv2.imwrite(str(target), image[..., ::-1])
            target.with_suffix(".json").write_text(json.dumps(facts))


def _truths(pages: Path, only: str) -> list[Path]:
    """Truths of pages whose names hold ``only``, record by record: any part of the list holds all settings."""
    found = (path for path in pages.glob("*.json") if only in path.name)
    return sorted(found, key=lambda path: (path.stem[-5:], path.stem))


def read_pages(truths: Iterable[Path], out: Path) -> None:
    """Read the pictures beside the truths; add a line for each to ``out``, where those that it holds are skipped."""
    done = {row["page"] for row in load_rows(out)} if out.exists() else set()
    reader = Reader()
    names = ["page", *GROUP, "seconds", *(f.name for f in fields(Comparison))]
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, names)
        if not done:
            writer.writeheader()
        for path in truths:
            if path.stem in done:
                continue
            facts = json.loads(path.read_text())
            began = time.process_time()
            seen = read_one(reader, path.with_suffix(".png"), facts)
            seconds = time.process_time() - began
            line = {
                "page": path.stem,
                **{key: facts[key] for key in GROUP},
                "seconds": f"{seconds:.2f}",
                **asdict(seen),
            }
            writer.writerow(line)
            file.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Pages of two plotting packages, read.")
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="draw pages with their truth")
    draw.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    draw.add_argument("--out", type=Path, required=True, help="folder of pages to write")
    draw.add_argument("--pages", type=int, default=100, help="pages a setting")
    read = commands.add_parser("read", help="read pages and compare")
    read.add_argument("--pages", type=Path, required=True, help="folder of drawn pages")
    read.add_argument("--out", type=Path, required=True, help="CSV of results, gone on with where it exists")
    read.add_argument("--only", default="", help="text that names of pages must hold")
    report = commands.add_parser("report", help="print the table of a CSV")
    report.add_argument("--out", type=Path, required=True, help="CSV of results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
