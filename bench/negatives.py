"""Measure whether negatives of pages are read as well as the pages.

    python -m bench.negatives --data FOLDER --out FILE.csv [--sets challenge:10 ecg_plot:4 pmecg:4 scans:4 photos:4 world:4]

FOLDER and the sets are those of ``bench.grade_pages``; of each set, as many pages as its number says are read as they are and
with all colours inverted, as dark screens and some viewers show them. A page counts when both readings have the same leads
and the mean of their SNR differs by at most 0.5 dB; pages whose truth is not known count by the SNR of the one reading
against the other. Pages that are not read as they are do not count. FILE.csv gets a line for each page and is gone on with.
"""

import argparse
import csv
import os
import sys
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.grade_pages import Shown, list_pages, load_digitizers, score_leads, split_sets
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading

NEAR_DB: Final = 0.5
"""Loss, dB, up to which a negative counts as read as well."""
SAME_DB: Final = 12.0
"""SNR, dB, of a negative's reading against the page's, from which they are alike where no truth is known."""
SETS: Final = ("challenge:10", "ecg_plot:4", "pmecg:4", "scans:4", "photos:4", "world:4")
FIELDS: Final = ("set", "page", "positive_db", "negative_db", "is_near", "reason")


def main() -> int:
    """Read the pages and print how many negatives are read as well."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    digitizers = load_digitizers(options.model)
    done: set[tuple[str, str]] = set()
    if options.out.exists():
        with options.out.open(encoding="utf-8", newline="") as file:
            done = {(row["set"], row["page"]) for row in csv.DictReader(file)}
    with options.out.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not done:
            writer.writeheader()
        for kind, count in split_sets(options.sets):
            pages = list_pages(kind, options.data, options.out.parent / "none")
            for _, draw in zip(range(count), pages, strict=False):
                shown = draw()
                if (kind, shown.name) in done:
                    continue
                row = compare_page(shown, digitizers[shown.is_challenge])
                writer.writerow({"set": kind, "page": shown.name, **row})
                file.flush()
    print(report(options.out))
    return 0


def compare_page(shown: Shown, digitizer: Digitizer) -> dict[str, object]:
    """Fields of one page, both its readings compared."""
    positive, why_not = _read(shown, digitizer, shown.image)
    negative, reason = _read(shown, digitizer, np.asarray(255 - shown.image, np.uint8))
    row: dict[str, object] = {"positive_db": "", "negative_db": "", "is_near": 0, "reason": reason}
    if positive is None:
        return {**row, "is_near": "", "reason": f"not read as it is: {why_not}"}
    if negative is None:
        return row
    of_positive, of_negative = (shown.judge(r)[1] for r in (positive, negative))
    if not of_positive:  # no truth, or the page is misread as it is
        alike = score_leads(positive.signals.mv.astype(np.float64), negative.signals.mv)
        leads = np.isfinite(positive.signals.mv).any(axis=0).sum()
        db = float(np.median(list(alike.values()))) if alike else float("nan")
        is_near = len(alike) == leads and db >= SAME_DB
        return {**row, "negative_db": round(db, 2), "is_near": int(is_near), "reason": "against the positive"}
    mean = [
        float(np.mean(list(values.values()))) if values else float("nan")
        for values in (of_positive, of_negative)
    ]
    is_near = of_positive.keys() == of_negative.keys() and mean[1] >= mean[0] - NEAR_DB
    return {
        **row,
        "positive_db": round(mean[0], 2),
        "negative_db": round(mean[1], 2),
        "is_near": int(is_near),
    }


def report(path: Path) -> str:
    """Markdown table of a file of pages, by set."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| set | pages read as they are | negatives within 0.5 dB | mean dB, page | mean dB, negative |",
        "|---|---|---|---|---|",
    ]
    for kind in (*dict.fromkeys(row["set"] for row in rows), "all"):
        group = [row for row in rows if row["is_near"] and kind in (row["set"], "all")]
        both = [row for row in group if row["positive_db"] and row["negative_db"]]
        means = [np.mean([float(row[key]) for row in both]) if both else float("nan") for key in FIELDS[2:4]]
        near = sum(row["is_near"] == "1" for row in group)
        lines.append(f"| {kind} | {len(group)} | {near} | {means[0]:.1f} | {means[1]:.1f} |")
    return "\n".join(lines)


def _read(shown: Shown, digitizer: Digitizer, image: Image) -> tuple[PageReading | None, str]:
    """The reading, or why there is none."""
    try:
        return digitizer.read_page(image, shown.fs, shown.n_samples), ""
    except EcgPageError as error:
        return None, str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--out", type=Path, required=True, help="CSV, gone on with")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="sets, each with its number of pages")
    parser.add_argument("--model", type=Path, default=Path("model"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
