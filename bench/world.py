"""Score pages of devices and viewers that the training pages do not resemble, page by page with what was assumed.

    python -m bench.world --data FOLDER [--sets world edan] [--edan 40] [--pages NAME ...] [--jobs 2] [--out out/world]

FOLDER holds ``world`` (``pages``, ``truth``, ``expected.csv``) and ``edan`` (pages of one device, ``pages.csv``), see its
README. Pages are read without a record's length. On ``world`` the leads that have a truth are scored: the offset is removed,
then one lag within 120 ms and one time scale within 0.5 % a page (or a lag of its own for each lead); printed samples
that are not read count as 0 mV. On ``edan`` the scale, the layout, the names, the time scale and the heart rate are
known. Prints a Markdown table; ``--out`` gets one JSON line a page.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process a core: more threads would slow each other down

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bench.heart_rate import heart_rate
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.grid_map import SQUARE_MM
from ecgpage.image.decode import read_image
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
FS: Final = 500
"""Rate, Hz, of truth and readings."""
MAX_LAG_S: Final = 0.12
"""Lag, s, that is forgiven a page."""
SCALES: Final = 1 + np.linspace(-0.005, 0.005, 21)
"""Time scales that are tried."""
EDAN_PX_PER_S: Final = 196.85
"""Time scale of the pages of ``edan``, px/s."""
EDAN_COLUMNS: Final = {"4*2.5s+1r": (4, 3, 1), "2*5s+1r": (2, 6, 1), "2*5s": (2, 6, 0)}
"""Columns, rows and strips of the layouts that these pages name."""


@dataclass(frozen=True)
class Task:
    """One page to read."""

    kind: str
    path: Path
    truth: Path | None
    facts: dict[str, str]


def list_tasks(data: Path, sets: Sequence[str], n_edan: int, names: Sequence[str]) -> list[Task]:
    """Pages of the sets; of ``edan`` every k-th of each group and layout so that about ``n_edan`` are read."""
    tasks: list[Task] = []
    if "world" in sets:
        with open(data / "world" / "expected.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                truth = data / "world" / "truth" / row["truth"] if row["truth"] else None
                tasks.append(Task("world", data / "world" / "pages" / row["page"], truth, row))
    if "edan" in sets:
        with open(data / "edan" / "pages.csv", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda r: (r["group"], r["layout"], r["file"]))
        places = np.unique(np.linspace(0, len(rows) - 1, min(n_edan, len(rows))).round().astype(int))
        tasks += [Task("edan", data / "edan" / rows[k]["file"], None, rows[k]) for k in places]
    return [t for t in tasks if not names or t.path.name in names]


def read_one(task: tuple[Task, str]) -> dict[str, Any]:
    """What was read of one page, as numbers for the table."""
    page, model = task
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if not _loaded:
        _loaded.append(Digitizer.load(model))
    began = time.perf_counter()
    row: dict[str, Any] = {"set": page.kind, "page": page.path.name, "known": page.facts}
    try:
        found = _loaded[0].read_page(read_image(page.path), float(FS), 10 * FS)
    except EcgPageError as error:
        row |= {"reason": str(error), "leads": [], "seconds": time.perf_counter() - began}
        if page.truth is not None:
            printed = np.atleast_1d(np.isfinite(load_truth(page.truth)).any(axis=0))
            row["snr"] = row["snr_own_lags"] = {n: 0.0 for n, p in zip(LEADS, printed, strict=True) if p}
        return row
    row |= describe(found) | {"seconds": time.perf_counter() - began}
    if page.truth is not None:
        row |= score_page(load_truth(page.truth), found.signals.mv)
    if page.kind == "edan":
        row |= judge_edan(page.facts, found)
    return row


_loaded: list[Digitizer] = []
"""Reader of this process, loaded once."""


def describe(found: PageReading) -> dict[str, Any]:
    """Layout and scale as numbers and words."""
    layout, grid = found.layout, found.grid
    leads = [r.lead for r in found.signals.readings if r.source != "none"]
    return {
        "px_per_mm": [round(pitch / SQUARE_MM, 4) for pitch in grid.pitch_px],
        "source": grid.source,
        "speed": layout.speed_mm_per_s,
        "gain": layout.gain_mm_per_mv,
        "shape": shape_of(found),
        "leads": leads,
        "times": {
            s.lead + "*" * s.is_strip: (round(s.start_s, 3), round(s.duration_s, 3)) for s in layout.segments
        },
        "px_per_s": time_scale(found),
        "confidence": round(layout.confidence, 3),
        "notes": [*layout.notes, *found.signals.notes],
    }


def shape_of(found: PageReading) -> tuple[int, int, int]:
    """Columns, rows and strips of a layout."""
    short = [s for s in found.signals.segments if not s.is_strip]
    columns = len({round(s.x0_mm) for s in short})
    return columns, len({s.row for s in short}), sum(s.is_strip for s in found.signals.segments)


def time_scale(found: PageReading) -> float:
    """Image pixels a second along the segments, median."""
    values = []
    for s in found.signals.segments:
        y = np.full(2, s.baseline(found.layout.rows))
        x, y = found.grid.to_image(np.array([s.x0_mm, s.x1_mm]), y)
        values.append(
            float(np.hypot(x[1] - x[0], y[1] - y[0]) * found.layout.speed_mm_per_s / (s.x1_mm - s.x0_mm))
        )
    return float(np.median(values)) if values else float("nan")


def judge_edan(facts: dict[str, str], found: PageReading) -> dict[str, Any]:
    """Which of the facts that are known of a page its reading has right."""
    columns = EDAN_COLUMNS[facts["layout"]]
    scale = time_scale(found) / EDAN_PX_PER_S - 1
    rate = heart_rate(found.signals.mv, FS)
    printed = float(facts["printed_bpm"]) if facts["printed_bpm"] else float("nan")
    order_right = all(
        [s.lead for s in found.signals.segments if not s.is_strip and s.row == row][:1] == [LEADS[row]]
        for row in range(columns[1])
    )
    right = {
        "speed": found.layout.speed_mm_per_s == 25.0,
        "gain": found.layout.gain_mm_per_mv == 10.0,
        "layout": shape_of(found) == columns and order_right,
        "names": len({s.lead for s in found.signals.segments}) == len(LEADS),
        "time": abs(scale) < 0.012,
    }
    is_rate_right = abs(rate - printed) < max(3.0, 0.04 * printed)
    return {
        "right": right,
        "all_right": all(right.values()),
        "scale_off": round(scale, 5),
        "bpm": None if np.isnan(rate) else round(rate, 1),
        "rate_right": None if np.isnan(printed) else bool(is_rate_right),
    }


def load_truth(path: Path) -> Array:
    """Signals (n, 12), mV, NaN where nothing is printed."""
    return np.genfromtxt(path, delimiter=",", skip_header=1, filling_values=np.nan)


def score_page(truth: Array, mv: NDArray[np.float32]) -> dict[str, Any]:
    """SNR, dB, of each lead that has a truth (n, 12): one lag and scale a page, and a lag for each lead."""
    n = max(len(truth), len(mv))
    reference, read = (
        np.pad(m[:n].astype(float), ((0, n - len(m)), (0, 0)), constant_values=np.nan) for m in (truth, mv)
    )
    printed = np.isfinite(reference).any(axis=0)
    lags = np.arange(-round(MAX_LAG_S * FS), round(MAX_LAG_S * FS) + 1)
    table = np.full((len(SCALES), len(lags), len(LEADS)), np.nan)
    for k, scale in enumerate(SCALES):
        moved = stretch(read, scale, 0.0)
        for j, lag in enumerate(lags):
            table[k, j] = snr_of_leads(reference, _shift(moved, int(lag)))
    means = table[..., printed].mean(axis=2)
    k, j = np.unravel_index(means.argmax(), means.shape)
    best, at = table[k, j], (float(SCALES[k]), float(lags[j]))
    own = table.max(axis=(0, 1))
    for part in np.arange(-0.8, 0.81, 0.2):
        fine = snr_of_leads(reference, stretch(read, float(SCALES[k]), float(lags[j] + part)))
        if fine[printed].mean() > best[printed].mean():
            best, at = fine, (float(SCALES[k]), float(lags[j] + part))
    names = [(LEADS[i], i) for i in np.flatnonzero(printed)]
    return {
        "snr": {name: round(float(best[i]), 2) for name, i in names},
        "snr_own_lags": {name: round(float(max(own[i], best[i])), 2) for name, i in names},
        "scale_and_lag_ms": (at[0], at[1] / FS * 1000),
    }


def stretch(mv: Array, scale: float, lag: float) -> Array:
    """Signals (n, leads) with the time axis stretched, ``lag`` samples later."""
    at = (np.arange(len(mv)) - lag) / scale
    return np.stack(
        [np.interp(at, np.arange(len(mv)), mv[:, k], np.nan, np.nan) for k in range(mv.shape[1])], axis=1
    )


def _shift(mv: Array, lag: int) -> Array:
    moved = np.full_like(mv, np.nan)
    if lag >= 0:
        moved[lag:] = mv[: len(mv) - lag]
    else:
        moved[:lag] = mv[-lag:]
    return moved


def snr_of_leads(reference: Array, read: Array) -> Array:
    """(12) SNR, dB, with offsets removed and unread samples at 0 mV."""
    known = np.isfinite(reference)
    both = known & np.isfinite(read)
    count = np.maximum(1, both.sum(axis=0))
    offset = np.where(both, np.nan_to_num(reference) - np.nan_to_num(read), 0).sum(axis=0) / count
    level = np.where(known, np.nan_to_num(reference), 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    centred = np.where(known, np.nan_to_num(reference) - level, 0)
    moved = np.where(both, np.nan_to_num(read) + offset - level, 0)
    noise = np.where(known, (centred - moved) ** 2, 0).sum(axis=0)
    return np.asarray(10 * np.log10(np.maximum((centred**2).sum(axis=0), 1e-9) / np.maximum(noise, 1e-9)))


def print_tables(rows: Iterable[dict[str, Any]]) -> None:
    """Markdown tables of the sets."""
    rows = list(rows)
    world = [r for r in rows if r["set"] == "world"]
    if world:
        print(
            "| page | read as | scale px/mm | mm/s, mm/mV | SNR dB | with own lags | said |\n|---|---|---|---|---|---|---|"
        )
        for r in world:
            snr, own = (
                np.mean(list(r[k].values())) if r.get(k) else float("nan") for k in ("snr", "snr_own_lags")
            )
            said = r.get("reason") or "; ".join(r["notes"])
            read = f"{r['shape']}: {' '.join(r['leads'])}" if r["leads"] else "-"
            scale = "{:.3f} {:.3f}".format(*r["px_per_mm"]) if r["leads"] else "-"
            units = f"{r['speed']:g}, {r['gain']:g}" if r["leads"] else "-"
            print(f"| {r['page']} | {read} | {scale} | {units} | {snr:.1f} | {own:.1f} | {said} |")
        for key, words in (("snr", "one lag and scale a page"), ("snr_own_lags", "a lag for each lead")):
            values = [v for r in world for v in r.get(key, {}).values()]
            print(
                f"\nworld, {words}: mean {np.mean(values):.2f}, median {np.median(values):.2f} dB, {len(values)} leads"
            )
    edan = [r for r in rows if r["set"] == "edan"]
    if edan:
        print(
            "\n| page | speed | gain | layout | names | time off | bpm (printed) | said |\n|---|---|---|---|---|---|---|---|"
        )
        for r in edan:
            if "right" not in r:
                print(f"| {r['page']} | - | - | - | - | - | - | {r['reason']} |")
                continue
            flags = " | ".join(
                "x" if r["right"][k] else "**no**" for k in ("speed", "gain", "layout", "names")
            )
            print(
                f"| {r['page']} | {flags} | {100 * r['scale_off']:.2f} % | {r['bpm']} ({r['known']['printed_bpm']}) "
                f"| {'; '.join(r['notes'])} |"
            )
        right = [r.get("all_right", False) for r in edan]
        close = [abs(r.get("scale_off", 1)) < 0.003 for r in edan]
        rates = [r.get("rate_right", False) for r in edan if r["known"]["printed_bpm"]]
        print(
            f"\nedan: {np.mean(right):.1%} right, time scale within 0.3 % on {np.mean(close):.1%}, "
            f"heart rate right on {np.mean([bool(x) for x in rates]):.1%} of {len(rates)}, {len(edan)} pages"
        )
    print(f"\n{np.mean([r['seconds'] for r in rows]):.2f} s a page")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with world/ and edan/")
    parser.add_argument("--sets", nargs="+", default=["world", "edan"], choices=("world", "edan"))
    parser.add_argument("--edan", type=int, default=40, help="pages of edan")
    parser.add_argument("--pages", nargs="+", default=[], help="names of the only pages to read")
    parser.add_argument("--model", type=Path, default=ROOT / "model", help="folder with the weights")
    parser.add_argument("--out", type=Path, default=Path("out/world"), help="folder of pages.jsonl")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    tasks = [(t, str(args.model)) for t in list_tasks(args.data, args.sets, args.edan, args.pages)]
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool,
        open(args.out / "pages.jsonl", "w", encoding="utf-8") as file,
    ):
        for row in tqdm(pool.map(read_one, tasks), total=len(tasks), file=sys.stderr):
            rows.append(row)
            file.write(json.dumps(row, default=float) + "\n")
            file.flush()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    print(f"commit {commit.stdout.strip() or 'unknown'}\n")
    print_tables(rows)


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        sys.exit(str(error))
