"""Measure whether one page is read alike in eight forms: sizes, turn, margin, colours, compression, another renderer.

    python -m bench.eight_forms --data FOLDER --out FILE.csv [--pages 12] [--first 0] [--fold 8]

FOLDER holds ``ptbxl100`` and ``hires500``. Pages are drawn in turn as other devices and viewers draw them
(``ecgpage.synth.world``), as the Challenge's generator and its mixes do, and by two plotting packages
(``bench.plotted_pages``, left out where they are missing). Each is read as it is, in seven forms, and where a package drew
it as PDFium renders its PDF. A form is right when it has the names of the page's best form, scales within 0.3 % of its, and
each lead's ends within 5 ms of its. The best form is the one that is nearest to what was drawn. FILE.csv gets a line for
each form and is gone on with where it exists. Prints Markdown tables by form and by kind of page.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.page_comparison import (
    Comparison,
    TruePage,
    add_rows,
    compare,
    find_time_errors,
    load_rows,
    not_read,
)
from ecgpage.core.types import Array, Image
from ecgpage.image.documents import read_pages
from ecgpage.reader import Reader
from ecgpage.synth import DrawnPage, draw_picture
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.world import draw_world_page
from ecgpage.synth.world.truth import scale_at, usual_reach

SEED: Final = 20_261_201
"""Seed of the pages; page k rests on it and on k."""
SAME_SCALE: Final = 0.003
"""Part by which scales of two forms may differ."""
SAME_S: Final = 0.005
"""Time, s, by which an end of a lead may differ."""
TURN_DEG: Final = 2.0
MARGIN: Final = 0.08
"""Width of the white margin as a share of the picture's longer side."""
MIXES: Final = ("generator-clean", "scan-color", "photo-clean")
"""Mixes of the Challenge's pages."""
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """One form of a page."""

    name: str
    image: Image
    facts: Facts


@dataclass(frozen=True)
class Seen:
    """What was read of one form."""

    comparison: Comparison
    names: tuple[str, ...]
    """Names of the leads read at the drawn places, "" for none."""
    errors: Array
    """(segments, 2) s, errors of the ends' times; NaN where no lead was read."""

    @property
    def miss(self) -> float:
        """How far from what was drawn."""
        seen = self.comparison
        if not seen.is_read:
            return 1e3
        off = abs(np.log([seen.x_scale, seen.y_scale])).max() / SAME_SCALE
        time = np.nan_to_num(seen.time_off_s, nan=1.0) / SAME_S
        return float(min(off, 50.0) + min(time, 50.0) + 100 * (not seen.names))


def main() -> int:
    """Draw, read, print the tables."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    rows = load_rows(options.out) if options.out.exists() else []
    done = {row["page"] for row in rows}
    reader = Reader()
    records = TrainingRecords(options.data, {options.fold})
    order = np.random.default_rng(SEED).permutation(len(records))
    for k in range(options.first, options.first + options.pages):
        if str(k) in done:
            continue
        signal, fs = records.signal(int(order[k % len(order)]))
        kind, forms = draw_forms(np.asarray(signal, np.float32), fs, k)
        lines = judge(k, kind, forms, [read_form(reader, form) for form in forms])
        add_rows(options.out, lines, is_first=not rows)
        rows += lines
    for key in ("form", "kind"):
        print(table(rows, key) + "\n")
    return 0


# --- pages ----------------------------------------------------------------------------------------------------


def draw_forms(signal: Any, fs: float, number: int) -> tuple[str, list[Form]]:
    """Kind of page ``number`` and its forms."""
    plotted = find_spec("ecg_plot") is not None and find_spec("pmecg") is not None
    kinds: list[Callable[[], tuple[str, Image, Facts, list[Form]]]] = [
        lambda: _device(signal, fs, number),
        lambda: _challenge(signal, fs, number),
    ]
    if plotted:
        kinds.append(lambda: _plotted(signal, fs, number // 3))
    name, image, facts, more = kinds[number % len(kinds)]()
    return name, [*list_forms(image, {**facts, "segments": _visible(facts)}), *more]


def _visible(facts: Facts) -> list[dict[str, Any]]:
    """What the picture shows of the drawn leads: a margin added to it shows no more."""
    return [
        {
            "lead": s.lead, "column": None if s.is_strip else 0, "start_px": s.start, "end_px": s.end, "t0": s.t0,
            "t1": s.t1, "gain": s.gain,
        }
        for s in TruePage.from_facts(facts).segments
    ]  # fmt: skip


def _device(signal: Any, fs: float, number: int) -> tuple[str, Image, Facts, list[Form]]:
    drawn = draw_world_page(signal, fs, mix="world", seed=(SEED, number))
    return "device", drawn.image, json.loads(drawn.facts.to_json()), []


def _challenge(signal: Any, fs: float, number: int) -> tuple[str, Image, Facts, list[Form]]:
    mix = MIXES[number // 3 % len(MIXES)]
    drawn = draw_picture(signal, fs, mix=mix, seed=(SEED, number))
    return mix, drawn.image, _facts_of(drawn, fs), []


def _facts_of(drawn: DrawnPage, fs: float) -> Facts:
    """Truth of a Challenge's page with the keys that ``TruePage`` reads."""
    truth = drawn.truth
    width, height = truth.paper
    middle = width / 2, height / 2
    segments = [
        {
            "lead": s.lead, "column": None if s.strip else 0, "start_px": s.baseline[0], "end_px": s.baseline[1],
            "t0": s.start / fs, "t1": s.stop / fs, "gain": s.gain,
        }
        for s in truth.segments
    ]  # fmt: skip
    return {
        "speed": truth.speed,
        "gain": truth.gain,
        "trace_px_per_mm": scale_at(truth.page_map, middle, usual_reach(width, height)),
        "middle_px": truth.page_map.image_from_page(np.array([middle]))[0],
        "strip_times": "same",
        "shape": drawn.image.shape[:2],
        "segments": segments,
    }


def _plotted(signal: Any, fs: float, number: int) -> tuple[str, Image, Facts, list[Form]]:
    from bench.plotted_pages import SETTINGS, draw_plotted  # noqa: PLC0415 - Matplotlib is only needed here

    setting = SETTINGS[number * 5 % len(SETTINGS)]
    pdf = io.BytesIO()
    image, facts = draw_plotted(setting, signal.T, fs, pdf)
    page = next(read_pages(pdf.getvalue()))
    scale = page.image.shape[1] / image.shape[1]
    other = Form("PDFium", page.image, move_facts(facts, _stretch(scale), page.image.shape))
    return setting.package, image, facts, [other]


# --- forms ----------------------------------------------------------------------------------------------------


def list_forms(image: Image, facts: Facts) -> Iterator[Form]:
    """The page as it is, and its forms that any picture has."""
    yield Form("as drawn", image, facts)
    code = cv2.imencode(".jpg", _swap(image), [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    yield Form("JPEG 50", _swap(cv2.imdecode(code, cv2.IMREAD_COLOR)), facts)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    yield Form("grey", np.repeat(grey[..., None], 3, axis=2), facts)
    for scale in (0.7, 1.4):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        shape = tuple(round(n * scale) for n in image.shape[:2])
        small = np.asarray(cv2.resize(image, shape[::-1], interpolation=method), np.uint8)
        # a resize has its own scale along each side
        matrix = _stretch(shape[1] / image.shape[1], shape[0] / image.shape[0])
        yield Form(f"{scale:g} times", small, move_facts(facts, matrix, small.shape))
    edge = round(MARGIN * max(image.shape))
    wide = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
    yield Form("margin", wide, move_facts(facts, np.array([[1.0, 0, edge], [0, 1, edge]]), wide.shape))
    yield Form("turned", *_turn(image, facts))
    yield Form("half contrast", (127.5 + image / 2).astype(np.uint8), facts)


def _swap(image: Any) -> Image:
    """Picture with red and blue exchanged."""
    return np.ascontiguousarray(image[..., ::-1])


def _stretch(x: float, y: float | None = None) -> Array:
    """Map (2, 3) of pixel centres under a resize."""
    y = x if y is None else y
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])


def _turn(image: Image, facts: Facts) -> tuple[Image, Facts]:
    """The page turned about its middle, on white, whole."""
    rows, columns = image.shape[:2]
    middle = (columns - 1) / 2, (rows - 1) / 2
    matrix: Array = np.asarray(cv2.getRotationMatrix2D(middle, TURN_DEG, 1.0), np.float64)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    width, height = int(np.ceil(columns * c + rows * s)), int(np.ceil(columns * s + rows * c))
    matrix[:, 2] += (width - columns) / 2, (height - rows) / 2
    turned = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255)
    )
    return np.asarray(turned, np.uint8), move_facts(facts, matrix, (height, width))


def move_facts(facts: Facts, matrix: Array, shape: Sequence[int]) -> Facts:
    """Truth of a page whose picture was moved by ``matrix`` (2, 3) to ``shape`` (rows, columns)."""

    def place(at: Any) -> Array:
        return np.asarray(matrix[:, :2] @ np.asarray(at, np.float64) + matrix[:, 2])

    x, y = facts["trace_px_per_mm"]
    segments = [
        {**s, "start_px": place(s["start_px"]), "end_px": place(s["end_px"])} for s in facts["segments"]
    ]
    scale = x * np.hypot(*matrix[:, 0]), y * np.hypot(*matrix[:, 1])
    moved = {"segments": segments, "trace_px_per_mm": scale, "middle_px": place(facts["middle_px"])}
    return {**facts, **moved, "shape": tuple(shape[:2])}


# --- comparison -----------------------------------------------------------------------------------------------


def read_form(reader: Reader, form: Form) -> Seen:
    """Read one form, without the record's length."""
    true = TruePage.from_facts(form.facts)
    found = reader.digitize(form.image)
    if found.grid is None or found.layout is None:
        lost = np.full((len(true.segments), 2), np.nan)
        return Seen(not_read("; ".join(found.reasons)), ("",) * len(true.segments), lost)
    names, errors = find_time_errors(true, found.grid, found.layout)
    return Seen(compare(true, found.grid, found.layout), names, errors)


def judge(number: int, kind: str, forms: Sequence[Form], seen: Sequence[Seen]) -> list[dict[str, str]]:
    """Result line of each form, beside the best one."""
    best = min(seen, key=lambda s: s.miss)
    lines = []
    for form, one in zip(forms, seen, strict=True):
        ratios = [
            getattr(one.comparison, key) / getattr(best.comparison, key) for key in ("x_scale", "y_scale")
        ]
        off = float(np.nanmax(np.abs(one.errors - best.errors), initial=0.0))
        names = one.names == best.names and one.comparison.is_read
        scale, times = max(abs(r - 1) for r in ratios) <= SAME_SCALE, names and not off > SAME_S
        lines.append(
            {
                "page": str(number), "kind": kind, "form": form.name, "names": str(names), "scale": str(scale),
                "times": str(times), "right": str(names and scale and times), "x": f"{ratios[0]:.5f}",
                "y": f"{ratios[1]:.5f}", "off_s": f"{off:.4f}", "best_miss": f"{best.miss:.2f}",
                "source": one.comparison.source,
            }
        )  # fmt: skip
    return lines


def table(rows: Sequence[Mapping[str, str]], key: str) -> str:
    """Markdown table of result lines by form or kind."""
    keys = ("names", "scale", "times", "right")
    lines = [f"| {key} | readings | {' | '.join(keys)} |", f"|{'---|' * (len(keys) + 2)}"]
    for group in [*dict.fromkeys(row[key] for row in rows), "all"]:
        own = [row for row in rows if group in (row[key], "all")]
        shares = [np.mean([row[name] == "True" for row in own]) for name in keys]
        lines.append(f"| {group} | {len(own)} | {' | '.join(f'{v:.0%}' for v in shares)} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="One page in eight forms.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    parser.add_argument(
        "--out", type=Path, required=True, help="CSV of results, gone on with where it exists"
    )
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="number of the first page")
    parser.add_argument("--fold", default="8", help="fold of the records: 9 reports, 8 chooses")
    return parser


if __name__ == "__main__":
    sys.exit(main())
