"""Measure the grid's map against the exact page coordinates of drawn pages, kind by kind.

    python -m bench.grid_accuracy --data FOLDER [--kinds photo-clean ...] [--records 20] [--jobs 2] [--bridge-gaps]

FOLDER holds ``hires500``. Over the ECG area of each page (the rectangle around all drawn leads), the map is compared with
the page coordinate of the *trace* every 2.5 mm. A whole number of millimetres, the phase of the printed grid and the choice
among the four turns are free; every other difference counts:

    time, voltage   root mean square over the area, 200-dpi pixels (7.87 px/mm), constant offset included
    scale           deviation of the time scale, per cent: median over rows of 60 mm and more, by straight lines along them
    slips           pages on which any point is off by more than half a millimetre
    told            median of (expected residual / true residual, offset left out)

Prints a Markdown table.

    python -m bench.grid_accuracy --data FOLDER --sheet docs/lattices.jpg

draws the found 5-mm lattice over the real pages in FOLDER instead (``real/*/input`` and ``patient_images``): red where the
grid was followed, blue in the rest of the map.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from ecgpage.core.types import Array

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.image.decode import read_image
from ecgpage.synth import MIXES, DrawnPage, draw_picture, mixes_hash
from ecgpage.synth.page.model import Grid
from ecgpage.synth.sources import Pack

PX_PER_MM: Final = 200 / 25.4
"""Resolution, px/mm, of the table's pixels: 200 dpi."""
RASTER_MM: Final = 2.5
"""Distance, mm, of the points that are compared."""
SLIP_MM: Final = 0.5
"""Error, mm, of any point, above which the map has slipped."""
REPORT_FOLD: Final = "9"
"""Fold of the records."""


@dataclass(frozen=True)
class GridError:
    """Errors of the map of one page; NaN where no map was found."""

    record: str
    time_px: float
    voltage_px: float
    smooth_px: float
    """Error, 200-dpi px rms over both directions, without the constant offset."""
    scale_percent: float
    slipped: bool
    expected_px: float
    covered: float
    """Share, 0 to 1, of the ECG area within the map's followed part."""
    seconds: float
    reason: str = ""


def compare(grid: GridMap, drawn: DrawnPage) -> tuple[Array, Array, float]:
    """Compared points in the ECG area (n, 2), true page mm; map minus truth (n, 2), mm; share covered by the map."""
    truth = drawn.truth
    paths = np.concatenate([s.polygon for s in truth.segments])
    area = truth.page_map.page_from_image(paths)
    low, high = area.min(axis=0), area.max(axis=0)
    best: tuple[float, Array, Array] | None = None
    for turn in range(4):
        turned = grid.rotate(turn)
        x0, y0, x1, y1 = turned.extent_mm
        at = np.stack(
            np.meshgrid(np.arange(x0, x1 + 0.1, RASTER_MM), np.arange(y0, y1 + 0.1, RASTER_MM)), -1
        ).reshape(-1, 2)
        image = np.stack(turned.to_image(at[:, 0], at[:, 1]), axis=-1)
        page = truth.page_map.page_from_image(image)
        seen = ((page >= low) & (page <= high)).all(axis=1) & _followed(turned, at)
        if seen.sum() < 20:
            continue
        away = at[seen] - page[seen]
        spread = float(np.abs(away - np.median(away, axis=0)).mean())
        if best is None or spread < best[0]:
            best = spread, page[seen], away
    if best is None:
        return np.empty((0, 2)), np.empty((0, 2)), 0.0
    _, page, away = best
    covered = len(page) * RASTER_MM**2 / float(np.prod(high - low))
    return page, away - _phase(drawn, away), min(1.0, covered)


def _followed(grid: GridMap, at: Array) -> NDArray[np.bool_]:
    index = np.rint((at - grid.origin_mm) / SQUARE_MM).astype(int)
    ny, nx = grid.quality.shape
    return grid.quality[np.clip(index[:, 1], 0, ny - 1), np.clip(index[:, 0], 0, nx - 1)] > 0


def _phase(drawn: DrawnPage, away: Array) -> Array:
    """Page position (2,), mm, of the map's origin: the grid's printed phase plus a whole number of millimetres."""
    page = drawn.truth.page
    left, _, _, bottom = (page.grid or Grid()).area_on(page.paper)
    line = -np.array([left, bottom])
    offset = np.median(away, axis=0)
    return np.asarray(line + np.rint(offset - line), np.float64)


def measure(kind: str, data: Path, index: int, options: GridOptions) -> GridError:
    """Errors of the map of record ``index`` of the pack, drawn as a page of a kind."""
    cv2.setNumThreads(1)
    pack = Pack(data / "hires500" / "signals.xz", data / "hires500" / "records.csv", fs=500.0)
    record = pack.read(index)
    drawn = draw_picture(record.signal, record.fs, mix=kind, seed=(9, index))
    nan = float("nan")
    began = time.perf_counter()
    try:
        grid = lock_grid(drawn.image, find_grid_frequencies(drawn.image, options=options), options=options)
    except EcgPageError as error:
        took = time.perf_counter() - began
        return GridError(record.name, nan, nan, nan, nan, True, nan, 0.0, took, str(error))
    took = time.perf_counter() - began
    page, away, covered = compare(grid, drawn)
    if not len(page):
        return GridError(record.name, nan, nan, nan, nan, True, nan, 0.0, took, "beside the ECG")
    rms = np.sqrt((away**2).mean(axis=0)) * PX_PER_MM
    smooth = away - away.mean(axis=0)
    return GridError(
        record.name,
        float(rms[0]),
        float(rms[1]),
        float(np.sqrt((smooth**2).mean()) * PX_PER_MM),
        _scale(page, away[:, 0]),
        bool(np.abs(away).max() > SLIP_MM),
        grid.residual_px / grid.px_per_mm * PX_PER_MM,
        covered,
        took,
    )


def _scale(page: Array, away: Array) -> float:
    """Deviation of the time scale, per cent: median slope of the time error along 5-mm rows; NaN without a long row."""
    slopes = []
    for row in np.unique(np.rint(page[:, 1] / SQUARE_MM)):
        here = np.rint(page[:, 1] / SQUARE_MM) == row
        if np.ptp(page[here, 0]) >= 60:
            slopes.append(float(np.polyfit(page[here, 0], away[here], 1)[0]))
    return 100 * float(np.median(np.abs(slopes))) if slopes else float("nan")


def lattice_picture(image: Image, grid: GridMap, side: int) -> Image:
    """Picture, its longer side ``side`` px, with the lattice of the map."""
    scale = side / max(image.shape[:2])
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    x0, y0, x1, y1 = grid.extent_mm
    ny, nx = grid.quality.shape
    for k in range(nx + ny):
        along = np.arange(x0 if k >= nx else y0, (x1 if k >= nx else y1) + 0.1, 1.0)
        fixed = np.full(len(along), x0 + SQUARE_MM * k if k < nx else y0 + SQUARE_MM * (k - nx))
        at = np.stack([fixed, along] if k < nx else [along, fixed], axis=1)
        line = np.stack(grid.to_image(at[:, 0], at[:, 1]), axis=1)
        line = (line + 0.5) * scale - 0.5
        followed = _followed(grid, at)
        for start, end, seen in zip(line[:-1], line[1:], followed[:-1], strict=True):
            points = [tuple(int(v) for v in np.rint(p * 16)) for p in (start, end)]
            color = (230, 0, 0) if seen else (0, 90, 255)
            cv2.line(small, points[0], points[1], color, 1, cv2.LINE_AA, 4)
    return small


def draw_sheet(data: Path, target: Path, side: int = 640, columns: int = 6) -> None:
    """Draw one picture with the lattices of all real pages; those without a map get a red cross."""
    paths = [
        p for kind in ("scans", "photos") for p in sorted((data / "real" / kind / "input").glob("*-0.*"))
    ]
    paths += sorted((data / "patient_images").glob("*.*"))
    cells = []
    for path in tqdm(paths, file=sys.stderr):
        try:
            image = read_image(path)
        except EcgPageError:
            continue  # tables beside the pictures
        try:
            cell = lattice_picture(image, lock_grid(image, find_grid_frequencies(image)), side)
        except EcgPageError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            scale = side / max(image.shape[:2])
            cell = np.asarray(
                cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
            cv2.line(cell, (0, 0), (cell.shape[1], cell.shape[0]), (255, 0, 0), 4)
        cell = cell[: round(0.8 * side)]
        framed = np.full((round(0.8 * side) + 22, side + 6, 3), 255, np.uint8)
        framed[22 : 22 + cell.shape[0], : cell.shape[1]] = cell
        cv2.putText(framed, path.stem, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(framed)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(cells[k : k + columns]) for k in range(0, len(cells), columns)]
    cv2.imwrite(str(target), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])


def table(rows: Iterable[tuple[str, Sequence[GridError]]]) -> str:
    """Markdown table."""
    lines = [
        "| pages | n | time px, median / 90 % | voltage px | no offset | scale % | slips | no map | covered | told | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, errors in rows:
        found = [e for e in errors if np.isfinite(e.time_px)]
        told = np.median([e.expected_px / e.smooth_px for e in found]) if found else float("nan")
        cells = [_two([getattr(e, key) for e in found]) for key in ("time_px", "voltage_px", "smooth_px")]
        lines.append(
            f"| {kind} | {len(errors)} | {' | '.join(cells)} | {_two([e.scale_percent for e in found], 3)} "
            f"| {sum(e.slipped for e in found)} | {len(errors) - len(found)} "
            f"| {np.mean([e.covered for e in errors]):.1%} | {told:.2f} | {np.mean([e.seconds for e in errors]):.1f} |"
        )
    return "\n".join(lines)


def _two(values: Sequence[float], digits: int = 2) -> str:
    if not values:
        return "–"
    return f"{np.median(values):.{digits}f} / {np.quantile(values, 0.9):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument("--kinds", nargs="+", default=list(MIXES), choices=list(MIXES))
    parser.add_argument("--records", type=int, default=20, help="pages of each kind")
    parser.add_argument(
        "--bridge-gaps", action="store_true", help="look for the grid behind creases, as second attempts do"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw the lattices of the real pages instead"
    )
    args = parser.parse_args()
    options = GridOptions(bridge_gaps=args.bridge_gaps)
    if args.sheet:
        draw_sheet(args.data, args.sheet)
        return
    pack = Pack(args.data / "hires500" / "signals.xz", args.data / "hires500" / "records.csv", fs=500.0)
    folds = [row.get("strat_fold") for row in pack.rows]
    indices = [k for k, fold in enumerate(folds) if fold == REPORT_FOLD][: args.records]
    rows = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for kind in args.kinds:
            n = len(indices)
            tasks = ([kind] * n, [args.data] * n, indices, [options] * n)
            errors = list(tqdm(pool.map(measure, *tasks), total=n, desc=kind, file=sys.stderr))
            rows.append((kind, errors))
            for e in errors:
                print(kind, e, file=sys.stderr)
    print(f"page mixes {mixes_hash()}{', gaps bridged' if args.bridge_gaps else ''}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
