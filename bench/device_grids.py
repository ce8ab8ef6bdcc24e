"""Measure how the grids of drawn device pages are found: the grid stage alone, against the grid as it is printed.

    python -m bench.device_grids --data FOLDER --out FILE.csv [--pages 200] [--first 0] [--only 3 17 ...] [--fold 8]

Pages are those of ``bench.device_pages``. FILE.csv gets a line a page: what was drawn, the scale of the first grid along x
and y over the printed one's, the number of the first grid that is right, the first one's log odds, the time. Prints shares.
"""

import argparse
import csv
import itertools
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.device_pages import SEED
from bench.page_comparison import SCALE_OFF
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array, Image
from ecgpage.grid.find_grids import find_grids
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.polarity import as_positive
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.world import draw_world_page

MOST: Final = 4
"""Tracked grids that are asked for, as by the reader."""
LOOKS: Final = ("grid", "panel", "scene", "stretch", "wide grid")
"""What is told of how a page was drawn."""


def main() -> int:
    """Draw, look for grids, print."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    records = TrainingRecords(options.data, {options.fold})
    order = np.random.default_rng(SEED).permutation(len(records))
    rows = []
    for k in options.only or range(options.first, options.first + options.pages):
        signal, fs = records.signal(int(order[k % len(order)]))
        drawn = draw_world_page(signal, fs, mix=options.mix, seed=(SEED, k))
        row = {"page": str(k), **look_at(drawn.image, json.loads(drawn.facts.to_json()))}
        rows.append(row)
        print(" ".join(row.values()), flush=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(summary(rows))
    return 0


def look_at(image: Image, facts: Mapping[str, Any]) -> dict[str, str]:
    """Result line of one page."""
    failures: list[EcgPageError] = []
    began = time.process_time()
    positive = as_positive(image)
    grids = find_grids(positive, MOST, failures)
    first = next(grids, None)
    seconds = time.process_time() - began
    row = {
        "kind": facts["choices"]["grid"],
        "lines": "+".join(sorted({f"{g['minor_kind']}-{g['major_kind']}" for g in facts["grids"]})),
        **{look: facts["choices"][look] for look in LOOKS[1:]},
        "px/mm": f"{facts['trace_px_per_mm'][0]:.2f}",
        "side": str(max(facts["shape"])),
    }
    if not facts["grids"]:
        source = "-" if first is None else first.source
        told = {"rank": "no grid", "odds": _odds(first), "seconds": f"{seconds:.1f}", "source": source}
        return {**row, "x": "nan", "y": "nan", **told}
    offs = [] if first is None else [off_by(first, facts)]
    rank = next(
        (
            k
            for k, grid in enumerate(itertools.chain([] if first is None else [first], grids))
            if is_right(off_by(grid, facts))
        ),
        -1,
    )
    return {
        **row,
        "x": f"{offs[0][0]:.4f}" if offs else "nan",
        "y": f"{offs[0][1]:.4f}" if offs else "nan",
        "rank": str(rank),
        "odds": _odds(first),
        "seconds": f"{seconds:.1f}",
        "source": first.source if first is not None else str(failures[0])[:60],
    }


def off_by(grid: GridMap, facts: Mapping[str, Any]) -> tuple[float, float]:
    """Scale of a map along x and y over that of the printed grid, over the leads' lengths and from row to row.

    A scanner's feed stutters: over a millimetre, where the truth tells it, the scale is another than along a row.
    """
    segments, pitch = facts["segments"], _printed_mm(facts)
    starts, ends = (np.array([s[key] for s in segments]) for key in ("start_px", "end_px"))
    first, last = _to_page(grid, starts), _to_page(grid, ends)
    drawn = np.array([s["x1_mm"] - s["x0_mm"] for s in segments]) / pitch[0]
    x = float(np.median(drawn / np.maximum(np.linalg.norm(last - first, axis=1), 1e-9)))
    along = np.median(last - first, axis=0)
    along /= np.hypot(*along)
    level = first @ np.array([-along[1], along[0]])
    known = np.stack(
        [[s["x0_mm"] for s in segments], [s["baseline_mm"] for s in segments], np.ones(len(segments))], axis=1
    )
    down = float(np.linalg.lstsq(known / (pitch[0], pitch[1], 1), level, rcond=None)[0][1])
    return x, 1 / abs(down) if down else float("inf")


def _printed_mm(facts: Mapping[str, Any]) -> Array:
    """(2,) page mm of a printed mm of the grid along x and y."""
    if facts["choices"]["wide grid"] == "no":
        return np.ones(2)
    return np.array(max(facts["grids"], key=_area)["px_per_mm"]) / facts["trace_px_per_mm"]


def _area(panel: Mapping[str, Any]) -> float:
    x0, y0, x1, y1 = panel["box"]
    return float((x1 - x0) * (y1 - y0))


def _to_page(grid: GridMap, image: Array) -> Array:
    """(n, 2) page mm of image positions (n, 2), by Newton's method."""
    nx = grid.quality.shape[1]
    x0, y0, _, _ = grid.extent_mm
    nearest = (
        np.linalg.norm(grid.nodes[None] - image[:, None, None], axis=-1)
        .reshape(len(image), -1)
        .argmin(axis=1)
    )
    page = np.stack([x0 + SQUARE_MM * (nearest % nx), y0 + SQUARE_MM * (nearest // nx)], axis=1)
    for _ in range(8):
        at, right, below = (
            np.stack(grid.to_image(page[:, 0] + dx, page[:, 1] + dy), axis=1)
            for dx, dy in ((0, 0), (0.5, 0), (0, 0.5))
        )
        slope = np.stack([right - at, below - at], axis=2) / 0.5
        page = page + np.linalg.solve(slope, (image - at)[..., None])[..., 0]
    return page


def is_right(off: tuple[float, float], limit: float = SCALE_OFF) -> bool:
    """Whether a scale is right along both axes."""
    return max(abs(o - 1) for o in off) <= limit


def summary(rows: Sequence[Mapping[str, str]]) -> str:
    """Shares of the pages with a grid, in words."""
    drawn = [row for row in rows if row["rank"] != "no grid"]
    off = np.array([[float(row["x"]), float(row["y"])] for row in drawn])
    worst = np.abs(off - 1).max(axis=1)
    spent = np.array([float(row["seconds"]) for row in rows])
    shares = [f"{np.mean(worst <= limit):.1%} within {limit:.1%}" for limit in (0.002, SCALE_OFF, 0.02)]
    found = np.mean([int(row["rank"]) >= 0 for row in drawn])
    return (
        f"{len(drawn)} pages with a grid: first grid {', '.join(shares)}; right among all {found:.1%}; "
        f"none {np.isnan(worst).mean():.1%}; {np.median(spent):.1f} s, slowest {spent.max():.1f} s"
    )


def _odds(grid: GridMap | None) -> str:
    return "nan" if grid is None else f"{grid.log_odds:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Grids of drawn device pages.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    parser.add_argument("--out", type=Path, required=True, help="CSV of results")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the pages instead")
    parser.add_argument("--mix", default="world")
    parser.add_argument("--fold", default="8", help="fold of the records: 9 reports, 8 chooses")
    return parser


if __name__ == "__main__":
    sys.exit(main())
