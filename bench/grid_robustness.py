"""Test whether the page is found in a picture, and the right way up, in any position and beside other things.

    python -m bench.grid_robustness --data FOLDER [--cases turned cropped ...] [--pages 40] [--log FILE] [--pictures FOLDER]

FOLDER holds ``hires500``; records of fold 9 are drawn in turn as the ten kinds of page. Pictures are read up to the layout
(map of the grid, orientation, place of the leads); traces are read on pages without a grid only.

    turned    the picture turned by 0, 90, 180 and 270 degrees
    cropped   the picture cut 3 mm around the leads: no border of the sheet is left
    pairs     a second, smaller page beside or below the page
    sizes     600 to 12,000 px along the longer side (flat kinds and photos)
    blank     pages printed without a grid
    level     pages printed without a grid on paper without folds, photographed from aside

Verdicts: ``right``; ``turned``: another way up; ``bent``: some point of the ECG area is off by more than half a millimetre;
``slipped``: by more than 0.9 mm, a line or more miscounted (without a grid: the scale off by more than 2 %); ``elsewhere``:
not on the page; ``refused``: with the reason. Prints Markdown. A log takes the outcomes, one JSON object a line; a stopped
run continues from its log. ``--pictures`` keeps the pictures that are not right.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from ecgpage.core.types import Array

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage
from tqdm import tqdm

from bench.grid_accuracy import RASTER_MM, SLIP_MM, lattice_picture
from ecgpage.challenge.record_scores import score_leads
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Image
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.decode import read_image
from ecgpage.pipeline import Digitizer
from ecgpage.synth import MIXES, DrawnPage, Mix
from ecgpage.synth.picture import invent_page, photograph
from ecgpage.synth.scene.background import background
from ecgpage.synth.sources import Pack

ROOT: Final = Path(__file__).resolve().parent.parent
"""Folder of the repository."""
KINDS: Final = tuple(MIXES)
"""Kinds of page."""
REPORT_FOLD: Final = "9"
"""Fold of the records."""
FS: Final = 500.0
"""Sampling frequency, Hz, of records and readings."""
N_SAMPLES: Final = 5000
"""Number of samples of a reading: 10 s."""
SIDES_PX: Final = (600, 900, 1400, 2200, 4000, 8000, 12000)
"""Longer sides, px, of the pictures of case ``sizes``."""
LARGEST_DRAWN_PX: Final = 4000
"""Longer side, px, of drawn pictures, at most; larger ones are enlarged."""
CROP_MM: Final = 3.0
"""Distance, mm, of the picture's edge from the leads in case ``cropped``."""
LINE_MM: Final = 0.9
"""Error, mm, of any point, above which a line of the grid was miscounted."""
LEVEL: Final = replace(
    MIXES["photo-clean"], folds=0, crumples=(0.0, 0.0), crumple_slope=(0.0, 0.0), curl=(-1.0, 1.0), wave=(0.0, 0.3),
    p_book=0.0, fill=(0.75, 0.95),
)  # fmt: skip
"""Mix of case ``level``: paper without folds, usually seen as a whole."""
MAX_SCALE_ERROR: Final = 0.02
"""Relative error of the scale without a grid, at most."""
SIDE_PX: Final = 1400
"""Longer side, px, of the pictures that are kept."""


@dataclass(frozen=True)
class Case:
    """One picture to be read."""

    image: Image
    drawn: DrawnPage
    to_drawn: Array
    """(2, 3) affine map from the picture's pixels to those of the drawn page."""
    sort: str
    """Kind of picture, a line of the table."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading one picture."""

    case: str
    sort: str
    kind: str
    index: int
    verdict: str
    reason: str
    away_mm: float
    """Largest error, mm, in the ECG area, without the constant offset; NaN when refused."""
    scale_percent: float
    seconds: float
    db: float = float("nan")
    """SNR, dB, of pages without a grid: mean over the drawn leads; 0 when refused."""


class Pages:
    """Drawn pages of fold 9; each number gives a fixed page."""

    def __init__(self, data: Path) -> None:
        self.pack = Pack(data / "hires500" / "signals.xz", data / "hires500" / "records.csv", fs=FS)
        folds = [row.get("strat_fold") for row in self.pack.rows]
        self.rows = [k for k, fold in enumerate(folds) if fold == REPORT_FOLD]

    def draw(
        self, number: int, kind: str | Mix, *, side: int | None = None, blank: bool = False
    ) -> DrawnPage:
        """Draw a page; ``side``: longer side, px; ``blank``: without a grid."""
        record = self.pack.read(self.rows[number % len(self.rows)])
        rng = np.random.default_rng((29, number))
        mix = MIXES[kind] if isinstance(kind, str) else kind
        if side is not None and mix.long_side is not None:
            mix = replace(mix, long_side=(side, side + 1))
        page = invent_page(mix, record.signal.shape[0], record.fs, rng)
        if blank:
            page = replace(page, grid=None)
        return photograph(page, record.signal, mix, rng)


def turned(pages: Pages, number: int) -> Case:
    drawn = pages.draw(number, KINDS[number % len(KINDS)])
    quarters = number // len(KINDS) % 4
    height, width = drawn.image.shape[:2]
    back = {
        0: [[1, 0, 0], [0, 1, 0]],
        1: [[0, -1, width - 1], [1, 0, 0]],
        2: [[-1, 0, width - 1], [0, -1, height - 1]],
        3: [[0, 1, 0], [-1, 0, height - 1]],
    }[quarters]
    image = np.ascontiguousarray(np.rot90(drawn.image, quarters))
    return Case(image, drawn, np.array(back, float), KINDS[number % len(KINDS)])


def cropped(pages: Pages, number: int) -> Case:
    drawn = pages.draw(number, KINDS[number % len(KINDS)])
    corners = np.concatenate([s.polygon for s in drawn.truth.segments])
    around = CROP_MM * drawn.truth.px_per_mm
    height, width = drawn.image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(axis=0) - around), 0, None).astype(int)
    x1, y1 = np.ceil(corners.max(axis=0) + around).astype(int)
    image = np.ascontiguousarray(drawn.image[y0 : min(y1, height), x0 : min(x1, width)])
    return Case(image, drawn, np.array([[1, 0, x0], [0, 1, y0]], float), KINDS[number % len(KINDS)])


def pairs(pages: Pages, number: int) -> Case:
    kind = KINDS[number % len(KINDS)]
    rng = np.random.default_rng((31, number))
    drawn, other = pages.draw(number, kind, side=1800), pages.draw(number + 1, kind, side=1800)
    share = float(rng.uniform(0.5, 0.8)) * drawn.truth.px_per_mm / other.truth.px_per_mm
    second = cv2.resize(other.image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    beside, gap, edge = bool(rng.random() < 0.5), 60, 40
    (h, w), (h2, w2) = drawn.image.shape[:2], second.shape[:2]
    size = (max(h, h2), w + gap + w2) if beside else (h + gap + h2, max(w, w2))
    canvas = background(
        str(rng.choice(["wood", "plain"])), (size[0] + 2 * edge, size[1] + 2 * edge), rng
    ).copy()
    first = rng.random() < 0.5
    x, y = (0, 0) if first else ((w2 + gap, 0) if beside else (0, h2 + gap))
    x2, y2 = ((w + gap, 0) if beside else (0, h + gap)) if first else (0, 0)
    canvas[edge + y : edge + y + h, edge + x : edge + x + w] = drawn.image
    canvas[edge + y2 : edge + y2 + h2, edge + x2 : edge + x2 + w2] = second
    return Case(canvas, drawn, np.array([[1, 0, -edge - x], [0, 1, -edge - y]], float), kind)


def sizes(pages: Pages, number: int) -> Case:
    """Case of one of ``SIDES_PX``, read from a file because large pictures are averaged at decoding."""
    side = SIDES_PX[number % len(SIDES_PX)]
    kind = KINDS[number // len(SIDES_PX) % len(KINDS)]
    drawn = pages.draw(number, kind, side=min(side, LARGEST_DRAWN_PX))
    scale = side / max(drawn.image.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(drawn.image, None, fx=scale, fy=scale, interpolation=how)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.jpg"
        PilImage.fromarray(image).save(path, quality=92)
        image = read_image(path)
    back = np.array(drawn.image.shape[1::-1]) / image.shape[1::-1]
    return Case(image, drawn, np.column_stack([np.diag(back), (back - 1) / 2]), f"{side} px")


def blank(pages: Pages, number: int) -> Case:
    drawn = pages.draw(number, KINDS[number % len(KINDS)], blank=True)
    return Case(drawn.image, drawn, np.eye(2, 3), KINDS[number % len(KINDS)])


def level(pages: Pages, number: int) -> Case:
    drawn = pages.draw(number, LEVEL, side=2200, blank=True)
    return Case(drawn.image, drawn, np.eye(2, 3), "photo of level paper")


CASES: Final[Mapping[str, Callable[[Pages, int], Case]]] = {
    "turned": turned,
    "cropped": cropped,
    "pairs": pairs,
    "sizes": sizes,
    "blank": blank,
    "level": level,
}


def judge(case: Case, grid: GridMap) -> tuple[str, float, float]:
    """Verdict on an upright map, its largest error, mm, and its error of scale, per cent."""
    truth = case.drawn.truth
    area = truth.page_map.page_from_image(np.concatenate([s.polygon for s in truth.segments]))
    low, high = area.min(axis=0), area.max(axis=0)
    x0, y0, x1, y1 = grid.extent_mm
    steps = [np.arange(a, b + 0.1, RASTER_MM) for a, b in ((x0, x1), (y0, y1))]
    at = np.stack(np.meshgrid(*steps), -1).reshape(-1, 2)
    seen = np.stack(grid.to_image(at[:, 0], at[:, 1]), axis=-1) @ case.to_drawn[:, :2].T + case.to_drawn[:, 2]
    page = truth.page_map.page_from_image(seen)
    inside = ((page >= low) & (page <= high)).all(axis=1) & _followed(grid, at)
    if inside.mean() < 0.05:
        return "elsewhere", float("nan"), float("nan")
    at, page = at[inside], page[inside]
    linear = np.linalg.lstsq(np.column_stack([at, np.ones(len(at))]), page, rcond=None)[0][:2].T
    scale = float(np.sqrt(abs(np.linalg.det(linear)))) - 1
    away = np.abs(at - page - np.median(at - page, axis=0)).max()
    if linear[0, 0] < abs(linear[1, 0]) or np.linalg.det(linear) < 0:
        return "turned", float(away), 100 * scale
    if not grid.is_printed:
        return "slipped" if abs(scale) > MAX_SCALE_ERROR else "right", float(away), 100 * scale
    verdict = "slipped" if away > LINE_MM else "bent" if away > SLIP_MM else "right"
    return verdict, float(away), 100 * scale


def _followed(grid: GridMap, at: Array) -> NDArray[np.bool_]:
    index = np.rint((at - grid.origin_mm) / SQUARE_MM).astype(int)
    ny, nx = grid.quality.shape
    return grid.quality[np.clip(index[:, 1], 0, ny - 1), np.clip(index[:, 0], 0, nx - 1)] > 0


def look(digitizer: Digitizer, name: str, case: Case, number: int) -> tuple[Outcome, GridMap | None]:
    """Read one picture."""
    nan = float("nan")
    began = time.perf_counter()
    kind = KINDS[number % len(KINDS)] if name != "sizes" else KINDS[number // len(SIDES_PX) % len(KINDS)]
    db, without_grid = nan, name in ("blank", "level")
    try:
        if without_grid:
            reading = digitizer.read_page(case.image, FS, N_SAMPLES)
            grid, db = (
                reading.grid,
                float(np.mean(score_leads(case.drawn.masked_signal, reading.signals.mv, FS))),
            )
        else:
            grid = digitizer.read_layout(case.image)[0].grid
    except EcgPageError as error:
        took = time.perf_counter() - began
        db = 0.0 if without_grid else nan
        return Outcome(name, case.sort, kind, number, "refused", str(error), nan, nan, took, db), None
    took = time.perf_counter() - began
    verdict, away, scale = judge(case, grid)
    return Outcome(name, case.sort, kind, number, verdict, grid.source, away, scale, took, db), grid


def keep(folder: Path, case: Case, outcome: Outcome, grid: GridMap | None) -> None:
    """Save the picture with the lattice that was found."""
    folder.mkdir(parents=True, exist_ok=True)
    if grid is not None:
        shown = lattice_picture(case.image, grid, SIDE_PX)
    else:
        scale = SIDE_PX / max(case.image.shape)
        shown = np.asarray(cv2.resize(case.image, None, fx=scale, fy=scale), np.uint8)
    name = f"{outcome.case}_{outcome.index:03d}_{outcome.sort.replace(' ', '')}_{outcome.verdict}.jpg"
    cv2.imwrite(str(folder / name), shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])


def outcomes(args: argparse.Namespace) -> Iterator[Outcome]:
    """Outcomes of all requested cases, those of the log first."""
    done: dict[tuple[str, int], Outcome] = {}
    if args.log and args.log.exists():
        known = [Outcome(**json.loads(line)) for line in args.log.read_text().splitlines()]
        done = {(o.case, o.index): o for o in known}
    digitizer, pages = Digitizer.load(args.model), Pages(args.data)
    for name in args.cases:
        for number in tqdm(range(args.first, args.first + args.pages), desc=name, file=sys.stderr):
            if (name, number) in done:
                yield done[name, number]
                continue
            case = CASES[name](pages, number)
            outcome, grid = look(digitizer, name, case, number)
            if args.pictures and outcome.verdict != "right":
                keep(args.pictures, case, outcome, grid)
            if args.log:
                with args.log.open("a") as log:
                    log.write(json.dumps(asdict(outcome)) + "\n")
            yield outcome


def table(found: Sequence[Outcome]) -> str:
    """Markdown table: a line for each case and kind of picture, and one for each case."""
    lines = [
        "| case | pages | n | right | turned | bent | slipped | elsewhere | refused | worst error mm, median | s | dB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in dict.fromkeys(o.case for o in found):
        mine = [o for o in found if o.case == case]
        sorts = list(dict.fromkeys(o.sort for o in mine))
        for sort in [*sorts, "all"]:
            group = [o for o in mine if sort in (o.sort, "all")]
            count = Counter(o.verdict for o in group)
            away = [o.away_mm for o in group if np.isfinite(o.away_mm)]
            db = [o.db for o in group if np.isfinite(o.db)]
            lines.append(
                f"| {case} | {sort} | {len(group)} | {count['right']} ({count['right'] / len(group):.0%}) "
                f"| {count['turned']} | {count['bent']} | {count['slipped']} | {count['elsewhere']} | {count['refused']} "
                f"| {np.median(away) if away else float('nan'):.2f} | {np.mean([o.seconds for o in group]):.1f} "
                f"| {f'{np.mean(db):.1f}' if db else '–'} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--pages", type=int, default=40, help="pictures of each case")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--log", type=Path, metavar="FILE", help="outcomes; goes on where it stands")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="keep what is not right")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    found = list(outcomes(args))
    print(table(found) + "\n")
    for o in found:
        if o.verdict != "right":
            print(
                f"{o.case} {o.index} {o.sort}: {o.verdict}, {o.reason}, {o.away_mm:.2f} mm, {o.scale_percent:.2f} %"
            )


if __name__ == "__main__":
    main()
