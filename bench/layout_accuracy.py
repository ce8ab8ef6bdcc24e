"""Measure the layout of drawn pages of all layouts, and show that of real ones.

    python -m bench.layout_accuracy --data FOLDER [--pages 100] [--kinds scan-color photo-clean] [--boxes detector] [--exact]
    python -m bench.layout_accuracy --images FILE ... --out SHEET.webp [--verdicts FILE.csv]

FOLDER holds ``hires500``; records of fold 9 are drawn, every layout equally often, in the page styles that the renderer
invents for it. A layout is right when exactly the drawn leads are found, each under its name, with its ends within 1 mm and
upside down where it was drawn so. ``--boxes truth`` takes the true boxes with the faults of a detector instead of detecting
them; ``--exact`` takes the true map of the page instead of its grid; ``--shuffled`` draws the leads in random order;
``--unread`` reads no printed names. The sign of aVR follows from Einthoven's and Goldberger's constraints, as in the
pipeline. Prints a Markdown table; its last line leaves out the pages of which the picture's edge cuts off a lead's end or
its name.

``--images`` writes a sheet with the layouts of pictures instead: ends, name and row of each lead, and under each picture a
person's verdict (``--verdicts``: lines ``file,right`` or ``file,what is wrong``).
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.sheets import write_small
from ecgpage.core.conventions import EcgPageError, NoGridError
from ecgpage.core.types import Image, Rng
from ecgpage.grid.find_grids import find_grids
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.grid.grid_map import GridMap
from ecgpage.image.decode import read_image
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer, ReaderOptions
from ecgpage.signal.assembly import correct_sign
from ecgpage.synth import MIXES, DrawnPage
from ecgpage.synth.page.layout import LAYOUTS, build_page
from ecgpage.synth.page.looks import random_style, shuffled
from ecgpage.synth.picture import photograph
from ecgpage.synth.sources import Pack
from ecgpage.synth.truth_adapters import (
    PlanComparison,
    compare_plan,
    exact_grid,
    find_visible,
    fit_page_to_map,
    true_boxes,
)
from ecgpage.trace.crop_reader import CropReader
from ecgpage.trace.reader import read_traces

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
REPORT_FOLD: Final = "9"
"""Fold of the records."""
FS: Final = 500.0
"""Sampling frequency, Hz, at which traces are compared."""


@dataclass(frozen=True)
class PlanScore:
    """Comparison of the layout of one page with the drawn one."""

    layout: str
    look: str
    seen: PlanComparison
    is_cut: bool
    """Whether the picture's edge cuts off a lead's end or its name."""
    confidence: float
    seconds: float


def draw(
    layout: str,
    kind: str,
    signal: NDArray[np.floating[Any]],
    fs: float,
    seed: Sequence[int],
    *,
    in_any_order: bool = False,
) -> DrawnPage:
    """Picture of a kind of a page with this layout, in a random style that has it; ``in_any_order``: with printed names."""
    rng = np.random.default_rng(seed)
    while True:
        style = random_style(rng)
        if style.layout == layout and style.grid is not None:
            if not in_any_order:
                break
            if style.name_place != "none":
                style = shuffled(style, rng)
                break
    return photograph(build_page(style, len(signal), fs), signal, MIXES[kind], rng)


def is_cut(drawn: DrawnPage) -> bool:
    """Whether the picture's edge cuts off an end of a lead or the middle of its name."""
    points = [end for s in drawn.truth.segments for end in s.baseline]
    names = [np.array(s.name_box).reshape(2, 2).mean(axis=0) for s in drawn.truth.segments if s.name_box]
    return not bool(find_visible(drawn, np.array(points + names)).all())


@dataclass(frozen=True)
class Options:
    """Options of the reading of pages."""

    boxes: str
    exact: bool
    digitizer: Digitizer
    """Digitizer, with the text reader or without."""


def measure(drawn: DrawnPage, look: str, options: Options, rng: Rng) -> PlanScore:
    """Read the layout of a drawn page and compare it with the drawn one."""
    name = drawn.truth.layout
    began = time.perf_counter()
    try:
        grid = exact_grid(drawn) if options.exact else _find_grid(drawn.image)
        grid = _upright(drawn, grid)
        page = flatten_page(drawn.image, grid)
        began = time.perf_counter()
        layout = read_layout(page, _boxes(drawn, page, options, rng), 10.0)
    except EcgPageError as error:
        refused = PlanComparison(False, False, False, float("nan"), float("nan"), str(error))
        return PlanScore(name, look, refused, is_cut(drawn), 0.0, time.perf_counter() - began)
    took = time.perf_counter() - began
    seen = compare_plan(drawn, grid, give_sign(drawn, page, layout, options.digitizer.network))
    return PlanScore(name, look, seen, is_cut(drawn), layout.confidence, took)


def _find_grid(image: Image) -> GridMap:
    """The likeliest grid of a picture, as the pipeline lists them."""
    failures: list[EcgPageError] = []
    for grid in find_grids(image, 1, failures):
        return grid
    raise failures[0] if failures else NoGridError("no grid found")


def give_sign(drawn: DrawnPage, page: FlatPage, layout: PageLayout, network: CropReader) -> PageLayout:
    """Layout with the ends of leads that their traces give, as in the pipeline, and the sign of aVR that limb leads give."""
    traces, _ = correct_sign(read_traces(drawn.image, page, layout, network), layout, FS)
    return replace(layout, segments=[t.segment for t in traces])


def _upright(drawn: DrawnPage, grid: GridMap) -> GridMap:
    """Map turned upright by the truth: the layout is measured here, not the orientation."""
    for turn in range(4):
        to_map = fit_page_to_map(drawn, grid.rotate(turn))
        if to_map[0, 0] > 0.5:
            return grid.rotate(turn)
    return grid


def _boxes(drawn: DrawnPage, page: FlatPage, options: Options, rng: Rng) -> PageBoxes:
    if options.boxes == "truth":
        return true_boxes(drawn, page.grid, rng)
    return find_boxes(page, options.digitizer.detector, options.digitizer.reader)


def table(scores: Iterable[PlanScore]) -> str:
    """Markdown table: a line for each layout, one for all, and one for the pages that are not cut off."""
    listed = list(scores)
    groups = [(name, [s for s in listed if s.layout == name]) for name in LAYOUTS]
    lines = [
        "| layout | pages | layout right | leads named | speed and gain | ends, mm | confidence | s a page |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in [*groups, ("all", listed), ("all but cut ones", [s for s in listed if not s.is_cut])]:
        if not group:
            continue
        right, named, scaled = (
            np.mean([getattr(s.seen, key) for s in group]) for key in ("is_right", "is_named", "is_scaled")
        )
        edges = [s.seen.edge_mm for s in group if np.isfinite(s.seen.edge_mm)]
        lines.append(
            f"| {name} | {len(group)} | {right:.0%} | {named:.0%} | {scaled:.0%} "
            f"| {np.median(edges) if edges else float('nan'):.2f} "
            f"| {np.mean([s.confidence for s in group]):.2f} | {np.mean([s.seconds for s in group]):.2f} |"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------- pictures


TILE: Final = (640, 420)
"""Width and height, px, of a picture on the sheet."""
CAPTION_PX: Final = 40
"""Height, px, of the caption under a picture."""
ROW_COLOURS: Final = ((220, 30, 30), (20, 90, 220), (10, 140, 60), (200, 90, 0), (140, 40, 160))


def show(path: Path, digitizer: Digitizer, verdict: str) -> NDArray[np.uint8]:
    """Tile (height, width, 3) with one picture and its layout."""
    image = read_image(path)
    scale = min(TILE[0] / image.shape[1], TILE[1] / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile: NDArray[np.uint8] = np.full((TILE[1] + CAPTION_PX, TILE[0], 3), 255, np.uint8)
    try:
        page, layout = digitizer.read_layout(image, 10.0)
    except EcgPageError as error:
        said = f"refused: {error}"
    else:
        _draw_plan(small, page, layout, scale)
        leads = sum(not s.is_strip for s in layout.segments)
        strips = " ".join(s.lead for s in layout.segments if s.is_strip) or "none"
        said = f"{leads} leads, strips {strips}, {layout.speed_mm_per_s:g} mm/s {layout.gain_mm_per_mv:g} mm/mV, "
        said += f"confidence {layout.confidence:.2f}"
    tile[: small.shape[0], : small.shape[1]] = small
    colour = (0, 110, 40) if verdict.startswith("right") else (190, 0, 0)
    for k, (text, ink) in enumerate(((f"{path.stem}: {said}", (0, 0, 0)), (verdict, colour))):
        place = (4, TILE[1] + 14 + 18 * k)
        cv2.putText(tile, text[:95], place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
    return tile


def _draw_plan(canvas: NDArray[Any], page: FlatPage, layout: PageLayout, scale: float) -> None:
    """Draw a bracket around each lead, in the colour of its row, with the name at its beginning."""
    for s in layout.segments:
        level = s.baseline(layout.rows)
        x_mm = np.array([s.x0_mm, s.x0_mm, s.x1_mm, s.x1_mm])
        x, y = page.grid.to_image(x_mm, level + np.array([-4.0, 4.0, 4.0, -4.0]))
        corners = np.rint((np.stack([x, y], axis=1) + 0.5) * scale - 0.5).astype(np.int32)
        colour = ROW_COLOURS[s.row % len(ROW_COLOURS)]
        cv2.polylines(canvas, [corners], False, colour, 1, cv2.LINE_AA)
        name = ("-" if s.gain_mm_per_mv < 0 else "") + s.lead
        place = (int(corners[0, 0]) + 2, int(corners[0, 1]) + 2)
        cv2.putText(canvas, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def write_sheet(
    images: Sequence[Path], model: Path, verdicts: Path | None, out: Path, across: int = 4
) -> None:
    """Write the tiles of all pictures as one sheet, WebP or JPEG by the ending of its name."""
    given: dict[str, str] = {}
    if verdicts is not None:
        with verdicts.open(encoding="utf-8", newline="") as file:
            given = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
    digitizer = Digitizer.load(model)
    tiles = [show(path, digitizer, given.get(path.name, "")) for path in images]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % across)
    rows = [np.concatenate(tiles[k : k + across], axis=1) for k in range(0, len(tiles), across)]
    write_small(out, np.concatenate(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with hires500/")
    parser.add_argument("--images", nargs="+", type=Path, help="pictures for a sheet")
    parser.add_argument("--out", type=Path, default=Path("out/layouts.jpg"), help="the sheet")
    parser.add_argument("--verdicts", type=Path, help="CSV: file, verdict")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", default=["scan-color", "photo-clean"], choices=list(MIXES))
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=list(LAYOUTS))
    parser.add_argument("--boxes", default="detector", choices=["detector", "truth"])
    parser.add_argument("--exact", action="store_true", help="the true map instead of the grid's")
    parser.add_argument("--shuffled", action="store_true", help="leads in an order of their own")
    parser.add_argument("--unread", action="store_true", help="printed words are not read")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--seed", type=int, default=9)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if args.images:
        write_sheet(args.images, args.model, args.verdicts, args.out)
        return
    if args.data is None:
        parser.error("give --data or --images")
    read = ReaderOptions(layout=LayoutOptions(text=not args.unread))
    options = Options(args.boxes, args.exact, Digitizer.load(args.model, read))
    pack = Pack(args.data / "hires500" / "signals.xz", args.data / "hires500" / "records.csv", fs=500.0)
    indices = [k for k, row in enumerate(pack.rows) if row.get("strat_fold") == REPORT_FOLD]
    scores = []
    for k in range(args.pages):
        layout, kind = (
            args.layouts[k % len(args.layouts)],
            args.kinds[k // len(args.layouts) % len(args.kinds)],
        )
        record = pack.read(indices[k % len(indices)])
        seed = [args.seed, k]
        drawn = draw(layout, kind, record.signal, record.fs, seed, in_any_order=args.shuffled)
        scores.append(measure(drawn, kind, options, np.random.default_rng([args.seed, k, 1])))
        if scores[-1].seen.wrong:
            print(f"{k} {layout}, {kind}: {scores[-1].seen.wrong}", file=sys.stderr)
    print(table(scores))


if __name__ == "__main__":
    try:
        main()
    except EcgPageError as error:
        sys.exit(str(error))
