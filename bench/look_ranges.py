"""Compare the variety of drawn pages with that of real ones, by one estimator on both.

    python -m bench.look_ranges --data FOLDER [--count 60]

FOLDER holds ``real/scans/input``, ``real/photos/input``, ``patient_images`` and ``hires500``. Real pages are
measured only; nothing is fitted to them. Prints a Markdown table: for each quantity the range on the real pages
(smallest to largest) and on drawn ones (smallest, 5 %, 95 %, largest); a star marks real values outside the drawn
range by more than a hundredth of it.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.grid_map import SQUARE_MM, GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import find_grid_frequencies
from ecgpage.image.decode import read_image
from ecgpage.synth import any_look, draw_picture, mixes_hash
from ecgpage.synth.mixes import MIXES
from ecgpage.synth.sources import Pack, usable

log = logging.getLogger("bench.look_ranges")

Cells = NDArray[np.float32]

FLAT_PX_PER_MM = 10
"""Resolution, px/mm, of the flat 5-mm squares."""
CELL = round(SQUARE_MM * FLAT_PX_PER_MM)
"""Side, px, of a flat 5-mm square."""
GROUPS = {
    "photos": ("photo-clean", "photo-stained", "photo-deteriorated"),
    "scans": ("scan-color", "scan-bw", "scan-color-deteriorated", "scan-bw-deteriorated"),
}
"""Mixes that stand for each kind of real pages; patients' images are of both kinds."""
LABELS = {
    "px_per_mm": "resolution, px/mm",
    "blur": "blur: ink contrast over steepest slope, px",
    "major": "contrast of 5-mm lines",
    "minor": "contrast of 1-mm lines",
    "ink": "contrast of the ink",
    "ink_width": "width of the trace, mm",
    "turn": "rotation, degrees",
    "tilt": "largest over smallest scale",
    "shading": "paper, (95 % − 5 %) / median",
    "brightness": "paper, median grey",
    "noise": "noise, grey levels",
}


@dataclass(frozen=True)
class Measures:
    """Measures of the look of one page; contrasts are 1 - grey / paper around it."""

    px_per_mm: float
    blur: float
    major: float
    minor: float
    ink: float
    ink_width: float
    turn: float
    tilt: float
    shading: float
    brightness: float
    noise: float


def measure(image: Image) -> Measures:
    """Measures of a page uint8 (H, W, 3); raises ``EcgPageError`` where no grid is found."""
    frequencies = find_grid_frequencies(image)
    try:
        grid = lock_grid(image, frequencies, options=GridOptions(refine=False))
    except EcgPageError:
        grid = lock_grid(image, frequencies, options=GridOptions(refine=False, bridge_gaps=True))
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    cells, known = _cells(gray, grid)
    paper = np.percentile(cells, 85, axis=(2, 3)).astype(np.float32)
    seen = cells[known] / np.maximum(paper[known], 1)[:, None, None]
    across, down = (np.median(np.median(seen, axis=axis), axis=0) for axis in (1, 2))
    major, minor = (np.mean([c[k] for c in (_contrasts(across), _contrasts(down))]) for k in (0, 1))
    dark = float(np.percentile(seen, 0.7))
    contrast = float(np.median(paper[known])) * (1 - dark)
    tilt, turn = _pose(grid)
    low, middle, high = np.percentile(paper[known], [5, 50, 95])
    return Measures(
        px_per_mm=grid.px_per_mm,
        blur=contrast / max(_steepest(gray, grid), 1e-6),
        major=float(major),
        minor=float(minor),
        ink=1 - dark,
        ink_width=_ink_width(seen, (dark + 1 - float(major)) / 2),
        turn=turn,
        tilt=tilt,
        shading=float((high - low) / middle),
        brightness=float(middle),
        noise=_noise(gray, grid),
    )


def _cells(gray: Image, grid: GridMap) -> tuple[Cells, NDArray[np.bool_]]:
    """Flat squares (rows, columns, CELL, CELL), each with a crossing of 5-mm lines in the middle, and which are known."""
    x0, y0, x1, y1 = grid.extent_mm
    x, y = (
        np.arange(round((b - a) * FLAT_PX_PER_MM), dtype=np.float64) / FLAT_PX_PER_MM
        + a
        + 0.5 / FLAT_PX_PER_MM
        + SQUARE_MM / 2
        for a, b in ((x0, x1 - SQUARE_MM), (y0, y1 - SQUARE_MM))
    )
    flat = flatten(gray, grid, x, y)
    rows, columns = len(y) // CELL, len(x) // CELL
    cells = flat[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    good = grid.quality > 0
    return cells.astype(np.float32), good[1 : rows + 1, 1 : columns + 1]


def _contrasts(profile: NDArray[np.floating]) -> tuple[float, float]:
    """Contrast of the 5-mm line, and of the 1-mm lines beside it, in a profile (CELL,) through a square."""
    mm = FLAT_PX_PER_MM
    middle = CELL // 2
    # a map may be off by some millimetres: the darkest of the lines is the 5-mm one
    darkest = min(range(-2, 3), key=lambda k: profile[middle + k * mm - 3 : middle + k * mm + 4].min())
    profile = np.roll(profile, -darkest * mm)
    between = np.median(
        [profile[middle + k * mm + mm // 2 - 2 : middle + k * mm + mm // 2 + 2] for k in (-2, -1, 0, 1)]
    )
    lines = [profile[middle + k * mm - 2 : middle + k * mm + 3].min() for k in (-2, -1, 1, 2)]
    line = profile[middle - 3 : middle + 4].min()
    return float(1 - line / between), float(max(1 - np.median(lines) / between, 0))


def _ink_width(seen: NDArray[np.floating], level: float) -> float:
    """Median length, mm, of vertical runs darker than ``level`` away from the 5-mm lines' own rows."""
    dark = np.pad(seen < level, ((0, 0), (1, 1), (0, 0)))
    change = np.diff(dark.astype(np.int8), axis=1).swapaxes(1, 2).reshape(-1, CELL + 1)
    start, stop = np.nonzero(change == 1), np.nonzero(change == -1)
    length, centre = stop[1] - start[1], (stop[1] + start[1]) / 2
    inner = (start[1] > 0) & (stop[1] < CELL) & (np.abs(centre - CELL / 2) > 5)
    keep = inner & (length <= 2 * FLAT_PX_PER_MM)
    return float(np.median(length[keep]) / FLAT_PX_PER_MM) if keep.any() else float("nan")


def _steepest(gray: Image, grid: GridMap) -> float:
    """Slope of the steepest edges of the page, grey levels a pixel: the 99.7th percentile."""
    smooth = cv2.GaussianBlur(gray, (0, 0), 0.7).astype(np.float32)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 8
    return float(np.percentile(slope[_inside(gray, grid)], 99.7))


def _inside(gray: Image, grid: GridMap) -> NDArray[np.bool_]:
    """Pixels of the picture in which the grid was followed."""
    mask = np.zeros(gray.shape, np.uint8)
    points = grid.nodes[grid.quality > 0].astype(np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points).astype(np.int32), 1)
    return mask > 0


def _noise(gray: Image, grid: GridMap) -> float:
    """Noise, grey levels: spread of the finest detail in the flattest tenth of the page's 8 x 8 px blocks."""
    fine = gray.astype(np.float32) - cv2.GaussianBlur(gray, (0, 0), 1.5).astype(np.float32)
    rows, columns = (n // 8 for n in gray.shape)
    blocks = fine[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    inside = _inside(gray, grid)[4::8, 4::8][:rows, :columns]
    return float(np.percentile(blocks.std(axis=(1, 3))[inside], 10))


def _pose(grid: GridMap) -> tuple[float, float]:
    """Largest over smallest scale on the page, by a plane through the squares' scales, and rotation, degrees."""
    right, down = np.diff(grid.nodes, axis=1)[:-1], np.diff(grid.nodes, axis=0)[:, :-1]
    good = (grid.quality[:-1, :-1] > 0) & (grid.quality[1:, 1:] > 0)
    area = np.abs(right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0])[good]
    row, column = np.nonzero(good)
    design = np.stack([np.ones(len(row)), row, column], axis=1)
    plane = design @ np.linalg.lstsq(design, np.log(np.maximum(area, 1e-6)) / 2, rcond=None)[0]
    angle = np.degrees(np.arctan2(right[..., 1][good], right[..., 0][good]))
    turn = (float(np.median(angle)) + 45) % 90 - 45
    return float(np.exp(np.ptp(plane))), turn


def real_pages(data: Path, group: str) -> Iterator[tuple[str, Image]]:
    """Name and image of each real page of a group: photos, scans, patients."""
    folder = data / "patient_images" if group == "patients" else data / "real" / group / "input"
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg"}):
        yield path.stem, read_image(path)


def drawn_pages(data: Path, mixes: Sequence[str], count: int) -> Iterator[tuple[str, Image]]:
    """Name and image of ``count`` drawn pages, the mixes in turn, half of them in any page style."""
    pack = Pack(data / "hires500" / "signals.xz", fs=500.0)
    for k, recording in enumerate(islice(usable(pack), count)):
        mix = mixes[k % len(mixes)]
        chance = 0.5 if k // len(mixes) % 2 else 0.0
        yield (
            f"{mix} {k}",
            draw_picture(recording.signal, 500.0, mix=any_look(MIXES[mix], chance), seed=k).image,
        )


def table_of(pages: Iterator[tuple[str, Image]]) -> NDArray[np.float64]:
    """Measures (n, quantities) of all pages whose grid is found; the others are logged."""
    rows = []
    for name, image in pages:
        try:
            found = measure(image)
        except EcgPageError as error:
            log.info("%s: %s", name, error)
            continue
        log.info("%s: %s", name, " ".join(f"{f.name} {getattr(found, f.name):.3g}" for f in fields(found)))
        rows.append(astuple(found))
    return np.array(rows, np.float64).reshape(-1, len(fields(Measures)))


def lines_of(group: str, real: NDArray[np.float64], drawn: NDArray[np.float64]) -> Iterator[str]:
    """Rows of the Markdown table."""
    for k, name in enumerate(f.name for f in fields(Measures)):
        low, high = np.nanmin(real[:, k]), np.nanmax(real[:, k])
        least, few, many, most = np.nanpercentile(drawn[:, k], [0, 5, 95, 100])
        slack = 0.01 * (most - least)
        beyond = " *" if low < least - slack or high > most + slack else ""
        yield (
            f"| {group} | {LABELS[name]} | {low:.3g} to {high:.3g}{beyond} | {least:.3g} to {most:.3g} "
            f"| {few:.3g} to {many:.3g} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60, help="drawn pages of each group")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    cv2.setNumThreads(1)
    drawn = {
        group: table_of(drawn_pages(options.data, mixes, options.count)) for group, mixes in GROUPS.items()
    }
    drawn["patients"] = np.concatenate(list(drawn.values()))
    lines = ["| pages | quantity | real | drawn | drawn, 5 to 95 % |", "|---|---|---|---|---|"]
    for group, pages in drawn.items():
        real = table_of(real_pages(options.data, group))
        log.info("%s: %d real pages measured, %d drawn", group, len(real), len(pages))
        lines += lines_of(group, real, pages)
    print(f"mixes {mixes_hash()}\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
