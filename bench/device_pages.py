"""Measure how drawn pages of other devices and viewers are read, by each kind of look.

    python -m bench.device_pages --data FOLDER --out FILE.csv [--pages 200] [--first 0] [--mix world] [--fold 9]
        [--by grid panel ...]
    python -m bench.device_pages --data FOLDER --sheet FILE.webp [--pages 40]

FOLDER holds ``ptbxl100`` and ``hires500``; records of a fold are drawn by ``ecgpage.synth.world`` and digitized by
``ecgpage.Reader`` as it comes, without the record's length. FILE.csv gets a line for each page, with what was chosen of each
kind of look, and is gone on with where it exists. Prints a Markdown table for each key of ``--by``. ``--sheet`` shows pages
instead, beside each other.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.page_comparison import Comparison, add_rows, load_rows, read_one, tabulate
from bench.sheets import write_small
from ecgpage.core.types import Image
from ecgpage.reader import Reader
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.world import draw_world_page, world_hash

SEED: Final = 20_260_101
"""Seed of the pages; page k rests on it and on k."""
TILE: Final = (440, 320)
"""Width and height, px, of a page on the sheet."""
COLUMNS: Final = 5


def main() -> int:
    """Draw, read, and print the tables."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    if options.sheet is not None:
        write_small(options.sheet, sheet(options))
        return 0
    rows = load_rows(options.out) if options.out.exists() else []
    records = TrainingRecords(options.data, {options.fold})
    order = np.random.default_rng(SEED).permutation(len(records))
    reader = Reader(model=options.model)
    for k in range(options.first + len(rows), options.first + options.pages):
        row = read_page(reader, records, int(order[k % len(order)]), options.mix, k)
        add_rows(options.out, [row], is_first=not rows)
        rows.append(row)
    print(f"mix {options.mix} (world {world_hash()}), fold {options.fold}\n")
    for key in options.by:
        print(tabulate(rows, [key]) + "\n")
    return 0


def read_page(reader: Reader, records: TrainingRecords, index: int, mix: str, number: int) -> dict[str, str]:
    """Result line of page ``number``, drawn from record ``index``."""
    signal, fs = records.signal(index)
    drawn = draw_world_page(signal, fs, mix=mix, seed=(SEED, number))
    began = time.process_time()
    seen = read_one(reader, drawn.image, json.loads(drawn.facts.to_json()))
    seconds = f"{time.process_time() - began:.2f}"
    told = {field.name: str(getattr(seen, field.name)) for field in fields(Comparison)}
    return {"page": str(number), **drawn.facts.choices, "seconds": seconds, **told}


def sheet(options: argparse.Namespace) -> Image:
    """Pages beside each other, uint8 (h, w, 3)."""
    records = TrainingRecords(options.data, {options.fold})
    order = np.random.default_rng(SEED).permutation(len(records))
    tiles = []
    for k in range(options.pages):
        signal, fs = records.signal(int(order[k % len(order)]))
        picture = draw_world_page(signal, fs, mix=options.mix, seed=(SEED, k)).image
        scale = min(TILE[0] / picture.shape[1], TILE[1] / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[
            : TILE[1], : TILE[0]
        ]
        tile: Image = np.full((TILE[1] + 4, TILE[0] + 4, 3), 110, np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 110)] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[k : k + COLUMNS]) for k in range(0, len(tiles), COLUMNS)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Drawn pages of other devices and viewers, read.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="CSV of results, gone on with where it exists")
    what.add_argument("--sheet", type=Path, help="picture of pages to write")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first page")
    parser.add_argument("--model", type=Path, default=None, help="folder with the weights")
    parser.add_argument("--mix", default="world")
    parser.add_argument("--fold", default="9", help="fold of the records: 9 reports, 8 chooses")
    parser.add_argument("--by", nargs="+", default=["scene", "grid", "columns"], help="kinds of look")
    return parser


if __name__ == "__main__":
    sys.exit(main())
