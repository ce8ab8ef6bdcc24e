"""Measure the loss of each stage, and of layouts beside the Challenge's, in decibels on drawn pages.

    python -m bench.stage_costs --data FOLDER [--kinds generator-clean scan-bw photo-clean] [--records 8]
    python -m bench.stage_costs --data FOLDER --layouts [--records 6]

FOLDER holds ``hires500``; records of fold 9 are drawn. The first form reads each page three times:

    full          the whole pipeline
    true grid     the exact map of the page instead of the grid found
    true layout   the exact map, and every lead cut out where it was drawn: the loss of the trace network alone

The second form reads clean pages of other layouts, speeds and gains. SNR is the Challenge's, mean over record x lead; leads
without a value count as 0 dB. Prints a Markdown table.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from bench.layout_accuracy import REPORT_FOLD
from ecgpage.challenge.habits import LINE_AHEAD_MM, challenge_options
from ecgpage.challenge.record_scores import score_leads
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.pipeline import Digitizer
from ecgpage.synth import MIXES, DrawnPage, draw_picture, mixes_hash
from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.model import Grid
from ecgpage.synth.picture import photograph
from ecgpage.synth.sources import Pack
from ecgpage.synth.truth_adapters import exact_grid
from ecgpage.trace.crop_reader import CropReader

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
N_SAMPLES: Final = 5000
"""Number of samples of a reading: 10 s."""
FS: Final = 500.0
"""Sampling frequency, Hz, of records and readings."""
OTHER_PAGES: Final[Mapping[str, PageStyle]] = {
    "6x2, columns run on": PageStyle(layout="6x2"),
    "12x1": PageStyle(layout="12x1", top=8.0, bottom=6.0),
    "3x4+3": PageStyle(layout="3x4+3", strip_leads=("II", "V1", "V5")),
    "3x4+1 at 50 mm/s": PageStyle(layout="3x4+1", speed=50.0),
    "3x4+1 at 5 mm/mV": PageStyle(layout="3x4+1", gain=5.0),
    "3x4+1 at 20 mm/mV": PageStyle(layout="3x4+1", gain=20.0),
    "3x4+1, columns start at 0": PageStyle(layout="3x4+1", continuous=False),
    "4x3": PageStyle(layout="4x3"),
    "2x6": PageStyle(layout="2x6"),
    "cabrera 3x4+1": PageStyle(layout="cabrera 3x4+1"),
    "cabrera 12x1": PageStyle(layout="cabrera 12x1", top=8.0, bottom=6.0),
    "limb 6x1": PageStyle(layout="limb 6x1"),
    "chest 6x1": PageStyle(layout="chest 6x1"),
}
"""Styles of the second form, by name."""


class TrueGrid(Digitizer):
    """Pipeline with the exact map of one page."""

    grid: GridMap

    def _grids(self, image: NDArray[np.uint8], failures: list[EcgPageError]) -> Any:
        yield self.grid


def _as_printed(grid: GridMap, drawn: DrawnPage) -> GridMap:
    """Exact map with its nodes on the printed lines, which stand half a pixel to the right on plotted pages."""
    page = drawn.truth.page
    if page.grid is None or not page.grid.snap:
        return grid
    ny, nx = grid.quality.shape
    x0, y0, _, _ = grid.extent_mm
    x, y = np.meshgrid(x0 + SQUARE_MM * np.arange(nx), y0 + SQUARE_MM * np.arange(ny))
    return replace(grid, nodes=np.stack(grid.to_image(x + LINE_AHEAD_MM, y), axis=-1))


def by_pipeline(digitizer: Digitizer, drawn: DrawnPage) -> list[float]:
    """SNR, dB, of each lead; 0 on a refused page."""
    try:
        return score_leads(
            drawn.masked_signal, digitizer.read_page(drawn.image, FS, N_SAMPLES).signals.mv, FS
        )
    except EcgPageError as error:
        print(f"{drawn.truth.layout}: {error}", file=sys.stderr)
        return score_leads(drawn.masked_signal, np.full((N_SAMPLES, len(LEADS)), np.nan), FS)


def by_true_plan(network: CropReader, drawn: DrawnPage) -> list[float]:
    """SNR, dB, of each lead when the network reads it where it was drawn."""
    page, grid = drawn.truth.page, exact_grid(drawn)
    left, _, _, bottom = (page.grid or Grid()).area_on(page.paper)
    mv = np.full((N_SAMPLES, len(LEADS)), np.nan)
    for segment in sorted(page.segments, key=lambda s: s.strip):
        signal = drawn.masked_signal[segment.start : segment.stop, segment.channel]
        level = segment.baseline - segment.gain * float(np.nanmedian(signal))
        x0 = segment.x0 - left % SQUARE_MM
        x1 = x0 + (segment.stop - segment.start) * page.speed / page.fs
        reading = network.read(drawn.image, grid, [(x0, x1, level - bottom % SQUARE_MM)])[0]
        volts = (segment.baseline - bottom % SQUARE_MM - reading.y_mm) / segment.gain
        known = np.isfinite(volts)
        if known.sum() < 2:
            continue
        at = segment.x0 - left % SQUARE_MM + np.arange(segment.stop - segment.start) * page.speed / page.fs
        mv[segment.start : segment.stop, segment.channel] = np.interp(at, reading.x_mm[known], volts[known])
    return score_leads(drawn.masked_signal, mv, FS)


def stage_table(records: Sequence[Any], kinds: Sequence[str], model: Path) -> str:
    """Markdown table: a line for each kind."""
    digitizer = Digitizer.load(model, challenge_options())
    exact = TrueGrid(digitizer.network, digitizer.detector)
    network = CropReader.load(model)
    lines = ["| pages | n | full | true grid | true layout |", "|---|---|---|---|---|"]
    for kind in kinds:
        scores: list[list[float]] = [[], [], []]
        for index, record in enumerate(tqdm(records, desc=kind, file=sys.stderr)):
            drawn = draw_picture(record.signal, record.fs, mix=kind, seed=(9, index))
            exact.grid = _as_printed(exact_grid(drawn), drawn)
            scores[0] += by_pipeline(digitizer, drawn)
            scores[1] += by_pipeline(exact, drawn)
            scores[2] += by_true_plan(network, drawn)
        cells = " | ".join(f"{np.mean(found):.2f}" for found in scores)
        lines.append(f"| {kind} | {len(records)} | {cells} |")
    return "\n".join(lines)


def layout_table(records: Sequence[Any], model: Path, names: Sequence[str]) -> str:
    """Markdown table: a line for each layout."""
    digitizer = Digitizer.load(model, challenge_options())
    lines = ["| clean pages | n | SNR dB | worst page | leads of 0 dB |", "|---|---|---|---|---|"]
    for name in names:
        style, pages = OTHER_PAGES[name], []
        for index, record in enumerate(tqdm(records, desc=name, file=sys.stderr)):
            rng = np.random.default_rng((9, index))
            page = build_page(style, len(record.signal), record.fs)
            pages.append(
                by_pipeline(digitizer, photograph(page, record.signal, MIXES["generator-clean"], rng))
            )
        every = [v for page in pages for v in page]
        worst = min(float(np.mean(page)) for page in pages)
        lines.append(f"| {name} | {len(pages)} | {np.mean(every):.2f} | {worst:.2f} | {every.count(0.0)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument(
        "--kinds", nargs="+", default=["generator-clean", "scan-bw", "photo-clean"], choices=list(MIXES)
    )
    parser.add_argument("--layouts", action="store_true", help="other layouts instead of the stages")
    parser.add_argument(
        "--only", nargs="+", default=list(OTHER_PAGES), choices=list(OTHER_PAGES), help="some of the layouts"
    )
    parser.add_argument("--records", type=int, default=6, help="pages of each kind")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    pack = Pack(args.data / "hires500" / "signals.xz", args.data / "hires500" / "records.csv", fs=FS)
    folds = [row.get("strat_fold") for row in pack.rows]
    chosen = [k for k, fold in enumerate(folds) if fold == REPORT_FOLD][: args.records]
    records = [pack.read(k) for k in chosen]
    print(f"page mixes {mixes_hash()}\n")
    print(
        layout_table(records, args.model, args.only)
        if args.layouts
        else stage_table(records, args.kinds, args.model)
    )


if __name__ == "__main__":
    main()
