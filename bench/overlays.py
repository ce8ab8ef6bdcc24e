"""Draw the traces read from the real pages, and the references, over the flattened pages.

    python -m bench.overlays --data FOLDER [--sheet overlays.jpg] [--pages FOLDER] [--records 01226_hr ...]

FOLDER holds ``real/scans`` and ``real/photos``. Red is the trace that was read; blue is the reference, shifted in time by
the score's alignment and drawn at the level of the trace; beside each name stands the lead's SNR, dB, by
``evaluate_model``. ``--sheet`` puts all pages on one small picture, ``--pages`` writes each page large. Prints a line for
each page, its worst lead first.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.sheets import write_small
from ecgpage.challenge.habits import challenge_options
from ecgpage.core.types import Array

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from ecgpage.challenge.alignment import align
from ecgpage.challenge.scoring import score_lead
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.grid_map import flatten
from ecgpage.image.decode import read_image
from ecgpage.layout.types import Segment
from ecgpage.pipeline import Digitizer
from ecgpage.results import PageReading
from ecgpage.trace.reader import Trace
from helper_code import (
    find_records,
    get_image_files,
    get_num_samples,
    get_sampling_frequency,
    load_header,
    load_signals,
)

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
READ_COLOUR: Final = (215, 20, 20)
"""Colour of the traces read."""
TRUE_COLOUR: Final = (20, 70, 235)
"""Colour of the references."""
NAME_COLOUR: Final = (0, 110, 0)
"""Colour of names and SNR."""
PAPER: Final = 0.55
"""Weight of white, 0 to 1, by which the page is lightened."""
AROUND_MM: Final = 4.0
"""Margin, mm, left and right of the traces."""
ABOVE_MM: Final = 17.0
"""Margin, mm, above the first and below the last row."""
SHEET_PX_PER_MM: Final = 3.2
"""Resolution, px/mm, of pages on the sheet."""
PAGE_PX_PER_MM: Final = 9.0
"""Resolution, px/mm, of single pages."""
COLUMNS: Final = 3
"""Number of pages in a row of the sheet."""
SHIFT: Final = 4
"""Number of fractional bits of coordinates in drawing."""


@dataclass(frozen=True)
class ScoredPage:
    """One page with its reading and its reference."""

    record: str
    image: Image
    page: PageReading
    fs: float
    truth: Array
    """(n, 12) reference, mV, in the order of ``LEADS``; NaN outside the printed windows."""

    def snr(self) -> dict[str, float]:
        """SNR, dB, of each lead."""
        return score_leads(self.truth, self.page.signals.mv.astype(np.float64), self.fs)


@dataclass(frozen=True)
class RealRecord:
    """Picture of a record and its reference."""

    image: Image
    fs: float
    n_samples: int
    truth: Array
    """(n, 12) reference, mV, in the order of ``LEADS``; NaN outside the printed windows."""


def score_leads(truth: Array, mv: Array, fs: float) -> dict[str, float]:
    """SNR, dB, by the Challenge's rules, of each lead that has a reference (n, 12)."""
    return {
        lead: score_lead(truth[:, k], mv[:, k], fs).snr
        for k, lead in enumerate(LEADS)
        if np.isfinite(truth[:, k]).any()
    }


def open_record(source: Path, record: str) -> RealRecord:
    """The record's picture in ``source/input`` and its reference in ``source/reference``."""
    header = load_header(str(source / "input" / record))
    fs, n_samples = get_sampling_frequency(header) or 500.0, get_num_samples(header) or 5000
    signal, fields = load_signals(str(source / "reference" / record))
    if signal is None or fields is None:
        raise EcgPageError(f"{source / 'reference' / record}: no signals")
    order = [[str(name).lower() for name in fields["sig_name"]].index(lead.lower()) for lead in LEADS]
    image = read_image(source / "input" / get_image_files(str(source / "input" / record))[0])
    return RealRecord(image, fs, n_samples, np.asarray(signal, np.float64)[:, order])


def read_scored(digitizer: Digitizer, source: Path, record: str) -> ScoredPage:
    """Read the picture of a record of ``source``."""
    real = open_record(source, record)
    page = digitizer.read_page(real.image, real.fs, real.n_samples)
    return ScoredPage(record, real.image, page, real.fs, real.truth)


def draw_page(scored: ScoredPage, px_per_mm: float) -> Image:
    """Flattened page uint8 (h, w, 3) with the traces read and the references."""
    page = scored.page
    segments = _final_segments(page)
    levels = [segment.baseline(page.layout.rows) for segment in segments]
    x0, x1 = (
        min(s.x0_mm for s in segments) - AROUND_MM,
        max(t.x_mm[-1] for t in page.traces) + AROUND_MM,
    )
    y0, y1 = min(levels) - ABOVE_MM, max(levels) + ABOVE_MM
    step = 1 / px_per_mm
    x_mm, y_mm = np.arange(x0, x1, step), np.arange(y0, y1, step)
    flat = flatten(scored.image, page.grid, x_mm, y_mm).astype(np.float64)
    canvas = np.ascontiguousarray(np.rint(255 - (1 - PAPER) * (255 - flat)).astype(np.uint8))

    def polyline(x: Array, y: Array, colour: tuple[int, int, int]) -> None:
        known = np.isfinite(x) & np.isfinite(y)
        points = np.rint((np.stack([x - x0, y - y0], axis=1) / step) * 2**SHIFT)
        for run in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known.astype(int))) + 1):
            if known[run[0]]:
                cv2.polylines(canvas, [points[run].astype(np.int32)], False, colour, 1, cv2.LINE_AA, SHIFT)

    snr = scored.snr()
    for segment, trace, level in zip(segments, page.traces, levels, strict=True):
        polyline(*_true_line(scored, segment, trace), TRUE_COLOUR)
        polyline(trace.x_mm, trace.y_mm, READ_COLOUR)
        text = f"{segment.lead} {snr.get(segment.lead, float('nan')):.1f}"
        corner = (round((segment.x0_mm - x0) / step) + 2, round((level - ABOVE_MM + 5 - y0) / step))
        size = px_per_mm / 7
        cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size, NAME_COLOUR, 1, cv2.LINE_AA)
    title = f"{scored.record}  {np.mean(list(snr.values())):.1f} dB"
    top = np.full((round(6 * px_per_mm), canvas.shape[1], 3), 255, np.uint8)
    corner = (round(2 * px_per_mm), round(4.6 * px_per_mm))
    cv2.putText(top, title, corner, cv2.FONT_HERSHEY_SIMPLEX, px_per_mm / 6, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([top, canvas])


def _final_segments(page: PageReading) -> list[Segment]:
    """Segments of the traces with their final names and times."""
    final = {(s.row, s.x0_mm): s for s in page.signals.segments}
    return [final.get((t.segment.row, t.segment.x0_mm), t.segment) for t in page.traces]


def _true_line(scored: ScoredPage, segment: Segment, trace: Trace) -> tuple[Array, Array]:
    """Page x and y, mm, of the reference, at the level of the trace read there."""
    k = LEADS.index(segment.lead)
    truth, read = scored.truth[:, k], scored.page.signals.mv[:, k].astype(np.float64)
    if not (np.isfinite(truth).any() and np.isfinite(read).any()):
        return np.empty(0), np.empty(0)
    _, late, _ = align(truth, read)  # shift, samples, of the reading onto the reference
    known = np.flatnonzero(np.isfinite(truth))
    speed = scored.page.layout.speed_mm_per_s
    time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / speed + late / scored.fs
    inside = (time_s >= known[0] / scored.fs) & (time_s <= known[-1] / scored.fs)
    mv = np.where(inside, CubicSpline(known / scored.fs, truth[known])(time_s), np.nan)
    y = segment.zero_mm - mv * segment.gain_mm_per_mv
    return trace.x_mm, y + np.nanmedian(trace.y_mm - y)


def sheet(cells: Sequence[Image], columns: int) -> Image:
    """White picture with cells of different sizes, row by row."""
    width = max(cell.shape[1] for cell in cells)
    rows = []
    for k in range(0, len(cells), columns):
        row = cells[k : k + columns]
        high = max(cell.shape[0] for cell in row)
        framed = np.full((high + 6, columns * (width + 6), 3), 255, np.uint8)
        for place, cell in enumerate(row):
            left = place * (width + 6)
            framed[: cell.shape[0], left : left + cell.shape[1]] = cell
        rows.append(framed)
    return np.vstack(rows)


def summary(scored: ScoredPage) -> str:
    """Line with the leads' SNR, dB, from the worst to the best."""
    ranked = sorted(scored.snr().items(), key=lambda item: item[1])
    return f"{scored.record}: " + ", ".join(f"{lead} {value:.1f}" for lead, value in ranked)


def _write(path: Path, image: Image, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with real/")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="all pages on one picture, .jpg")
    parser.add_argument("--pages", type=Path, metavar="FOLDER", help="each page large, .jpg")
    parser.add_argument("--records", nargs="+", help="only these")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    digitizer = Digitizer.load(args.model, challenge_options())
    sources = [args.data / "real" / kind for kind in ("scans", "photos")]
    tasks = [(s, r) for s in sources for r in find_records(str(s / "input"))]
    tasks = [(s, r) for s, r in tasks if args.records is None or r in args.records]
    cells = []
    for source, record in tqdm(tasks, file=sys.stderr):
        try:
            scored = read_scored(digitizer, source, record)
        except EcgPageError as error:
            print(f"{record}: {error}")
            continue
        print(summary(scored))
        if args.pages:
            _write(args.pages / f"{record}.jpg", draw_page(scored, PAGE_PX_PER_MM), 85)
        if args.sheet:
            cells.append(draw_page(scored, SHEET_PX_PER_MM))
    if args.sheet and cells:
        write_small(args.sheet, sheet(cells, COLUMNS))


if __name__ == "__main__":
    main()
