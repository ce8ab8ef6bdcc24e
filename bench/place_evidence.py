"""Measure, and estimate, the evidence for where columns and strips begin and end, on drawn pages.

    python -m bench.place_evidence --data FOLDER --work FILE.jsonl [--pages 160] [--devices 60] [--folds 1 2 3 4 5 6 7]

FOLDER holds ``hires500`` and ``ptbxl100``. Pages in the usual layouts are drawn by ``ecgpage.synth`` and read on their true
map, pages of other devices by ``ecgpage.synth.world`` and read as they come. FILE.jsonl gets a line for each page, with where
the layout, the network and the ink have each lead's ends and where they are, and is gone on with where it exists. Prints how
many pages have all ends within 0.5 mm by the layout and by ``ecgpage.trace.places``, and the rates and errors of
``ecgpage.trace.options`` as they are counted on the pages of usual layouts.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.layout_accuracy import ROOT, Options, draw, measure
from bench.page_comparison import TruePage, find_end_errors
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array
from ecgpage.layout.types import PageLayout, Pulse, Segment
from ecgpage.pipeline import Digitizer
from ecgpage.reader import Reader
from ecgpage.synth.page.layout import LAYOUTS
from ecgpage.synth.sources import Pack
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.truth_adapters import exact_grid, true_boxes
from ecgpage.synth.world import draw_world_page
from ecgpage.trace import reader as trace_reader
from ecgpage.trace.extents import Extent, group_segments, move_columns
from ecgpage.trace.options import TraceOptions

SEED: Final = 20_261_130
"""Seed of the pages; page k rests on it and on k."""
NEAR_MM: Final = 0.5
"""Error, mm, of an end that is right: 20 ms at 25 mm/s."""
FAR_MM: Final = 0.6
"""Error, mm, from which an end is wrong, for the counts."""
KINDS: Final = ("scan-color", "photo-clean")
"""Kinds of pages in the usual layouts."""


def main() -> int:
    """Draw, read, count."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    pages = [json.loads(line) for line in options.work.open()] if options.work.exists() else []
    done = {(page["kind"], page["number"]) for page in pages}
    for kind, count, read in (
        ("usual", options.pages, read_usual),
        ("device", options.devices, read_devices),
    ):
        numbers = [k for k in range(count) if (kind, k) not in done]
        for number, found in zip(numbers, read(options.data, set(options.folds), numbers), strict=True):
            page = {"kind": kind, "number": number, **(found or {})}
            with options.work.open("a") as file:
                file.write(json.dumps(page) + "\n")
            pages.append(page)
    read_pages = [page for page in pages if page.get("segments")]
    print("| pages | n | by the layout | as placed | median error, mm |\n|---|---|---|---|---|")
    for kind in ("usual", "device"):
        print(table_line(kind, [page for page in read_pages if page["kind"] == kind]))
    print("\n" + "\n".join(count_rates([page for page in read_pages if page["kind"] == "usual"])))
    return 0


# --- pages ----------------------------------------------------------------------------------------------------


@dataclass
class Caught:
    """What was known of the ends when places were sought, at each call."""

    calls: list[tuple[PageLayout, Sequence[Extent], Array]]

    def __call__(self, layout: PageLayout, extents: Sequence[Extent], ink: Array, *rest: Any) -> PageLayout:
        self.calls.append((layout, extents, ink))
        return move_columns(layout, extents, ink, *rest)


def read_usual(data: Path, folds: set[str], numbers: Sequence[int]) -> Iterator[dict[str, Any] | None]:
    """Pages in the usual layouts, a third of them in orders of their own."""
    pack = Pack(data / "hires500" / "signals.xz", data / "hires500" / "records.csv", fs=500.0)
    indices = [k for k, row in enumerate(pack.rows) if row.get("strat_fold") in folds]
    order = np.random.default_rng(SEED).permutation(indices)
    options = Options("detector", True, Digitizer.load(ROOT / "model"))
    names = list(LAYOUTS)
    for k in numbers:
        record = pack.read(int(order[k % len(order)]))
        layout, kind = names[k % len(names)], KINDS[k // len(names) % 2]
        drawn = draw(layout, kind, record.signal, record.fs, [SEED, k], in_any_order=k % 3 == 2)
        caught = Caught([])
        with patch.object(trace_reader, "move_columns", caught):
            measure(drawn, kind, options, np.random.default_rng([SEED, k, 1]))
        if not caught.calls:
            yield None
            continue
        seen, extents, ink = caught.calls[-1]
        truth = [_nearest(true_boxes(drawn, exact_grid(drawn)).leads, s, seen) for s in seen.segments]
        yield pack_page(seen, extents, ink, truth)


def _nearest(boxes: Array, segment: Segment, layout: PageLayout) -> list[float] | None:
    """Ends, page mm, of the drawn lead (x0, y0, x1, y1) that stands where a lead was read; None without one."""
    level, found, nearest = segment.baseline(layout.rows), None, 6.0
    for x0, y0, x1, y1 in boxes:
        shared = min(x1, segment.x1_mm) - max(x0, segment.x0_mm)
        away = max(y0 - level, level - y1, 0) + 0.1 * abs((y0 + y1) / 2 - level)
        if shared > 0.6 * max(x1 - x0, segment.x1_mm - segment.x0_mm) and away < nearest:
            found, nearest = [float(x0), float(x1)], away
    return found


def read_devices(data: Path, folds: set[str], numbers: Sequence[int]) -> Iterator[dict[str, Any] | None]:
    """Pages of other devices, on the grid that was read."""
    records = TrainingRecords(data, folds)
    order = np.random.default_rng(SEED).permutation(len(records))
    reader = Reader()
    for k in numbers:
        signal, fs = records.signal(int(order[k % len(order)]))
        drawn = draw_world_page(signal, fs, mix="world", seed=(SEED, k))
        caught = Caught([])
        with patch.object(trace_reader, "move_columns", caught):
            try:
                found = reader.digitize(drawn.image)
            except EcgPageError:
                found = None
        if found is None or found.layout is None or found.grid is None:
            yield None
            continue
        of_page = [call for call in caught.calls if _is_same(call[0], found.layout)]
        if not of_page:
            yield None
            continue
        seen, extents, ink = of_page[-1]
        true = TruePage.from_facts(json.loads(drawn.facts.to_json()))
        off = find_end_errors(true, found.grid, seen)
        truth = [
            None if np.isnan(o).any() else [s.x0_mm - float(o[0]), s.x1_mm - float(o[1])]
            for s, o in zip(seen.segments, off, strict=True)
        ]
        yield pack_page(seen, extents, ink, truth)


def _is_same(one: PageLayout, other: PageLayout) -> bool:
    """Whether two layouts have the same leads on the same lines."""
    a, b = ([(s.lead, s.row, float(s.zero_mm)) for s in layout.segments] for layout in (one, other))
    return a == b


def pack_page(
    layout: PageLayout, extents: Sequence[Extent], ink: Array, truth: Sequence[list[float] | None]
) -> dict[str, Any]:
    """What is kept of a page."""
    return {
        "speed": layout.speed_mm_per_s,
        "ticks": [float(x) for x in layout.ticks_mm],
        "numbered": list(layout.numbered_s),
        "pulses": [[float(p.x_mm), float(p.width_mm)] for p in layout.pulses],
        "segments": [
            {
                "lead": s.lead, "row": s.row, "strip": s.is_strip, "usual": [float(s.x0_mm), float(s.x1_mm)],
                "truth": true, "network": [float(e.start_mm), float(e.end_mm), bool(e.runs_left), bool(e.runs_right)],
                "ink": [float(x) for x in i],
            }
            for s, e, i, true in zip(layout.segments, extents, ink, truth, strict=True)
        ],
    }  # fmt: skip


# --- tables ---------------------------------------------------------------------------------------------------


def unpack(page: dict[str, Any]) -> tuple[PageLayout, list[Extent], Array, Array]:
    """Layout, extents, ends of ink (n, 2) and true ends (n, 2), NaN for none, of a page as it was kept."""
    segments = [
        Segment(s["lead"], s["row"], s["usual"][0], s["usual"][1], 0.0, 1.0, 0.0, is_strip=s["strip"])
        for s in page["segments"]
    ]
    pulses = [Pulse(x, 0.0, 10.0, 1.0, width) for x, width in page["pulses"]]
    layout = PageLayout(
        [], segments, pulses, page["ticks"], page["speed"], 10.0, 0.9, numbered_s=tuple(page["numbered"])
    )
    extents = [Extent(*s["network"]) for s in page["segments"]]
    ink = np.array([s["ink"] for s in page["segments"]], float)
    truth = np.array([s["truth"] or [np.nan] * 2 for s in page["segments"]], float)
    return layout, extents, ink, truth


def find_error(layout: PageLayout, truth: Array) -> float:
    """Largest error, mm, of an end; where there is one column, nothing depends on where it stands."""
    off = np.array([[s.x0_mm, s.x1_mm] for s in layout.segments]) - truth
    if len({round(s.x0_mm, 2) for s in layout.segments}) == 1:
        off -= np.nanmedian(off[:, 0])
    return float(np.nanmax(np.abs(off)))


def table_line(kind: str, pages: Sequence[dict[str, Any]]) -> str:
    """Line of the table for pages of a kind."""
    before, after = [], []
    for page in pages:
        layout, extents, ink, truth = unpack(page)
        if np.isfinite(truth).any():
            before.append(find_error(layout, truth))
            after.append(find_error(move_columns(layout, extents, ink), truth))
    a, b = (np.array(errors or [np.nan]) for errors in (before, after))
    return f"| {kind} | {len(before)} | {(a < NEAR_MM).mean():.0%} | {(b < NEAR_MM).mean():.0%} | {np.median(b):.2f} |"


def count_rates(pages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Options with the rates and errors that were counted."""
    single: dict[str, list[float]] = defaultdict(list)
    sides: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    shapes: dict[str, list[bool]] = defaultdict(list)
    for page in pages:
        layout, extents, ink, truth = unpack(page)
        network = np.array([e.ends_mm for e in extents])
        groups = group_segments(layout)
        columns = sorted(key for key in groups if not key[1])
        placed = [
            np.nanmedian(truth[groups[key]], axis=0)
            for key in columns
            if np.isfinite(truth[groups[key]]).any()
        ]
        if columns and len(placed) == len(columns):
            _count_shape(np.array(placed), layout, [groups[key] for key in columns], shapes, right)
        for key, members in groups.items():
            if not np.isfinite(truth[members]).any():
                continue
            true = np.nanmedian(truth[members], axis=0)
            for side in (0, 1):
                if not np.isfinite(true[side]):
                    continue
                outer = key[1] or key == columns[-side]
                pulsed = outer and any(
                    abs(p.x_mm + p.width_mm * (side == 0) - true[side]) < 6.0 for p in layout.pulses
                )
                for name, of in (("network", network), ("ink", ink)):
                    off = of[members, side] - true[side]
                    off = off[np.isfinite(off)]
                    if len(off):
                        single[name] += list(off)
                        where = f"{'outer' if outer else name}{' by pulses' if pulsed else ''}"
                        sides[where].append(bool(abs(np.median(off)) > FAR_MM))
                if key[1]:
                    right["strip"].append(abs(layout.segments[members[0]].x0_mm - true[0]) < FAR_MM)
    for name, values in single.items():
        off = np.array(values)
        near = off[np.abs(off) < FAR_MM]
        yield f"{name}_end_mm: {1.48 * np.median(np.abs(near - np.median(near))):.2f} (median {np.median(near):+.2f})"
        yield f"{name}_wrong: {np.mean(np.abs(off) > FAR_MM):.2f}"
    for name, flags in sorted({**sides, **{f"right: {k}": v for k, v in right.items()}, **shapes}.items()):
        yield f"{name}: {np.mean(flags):.3f} of {len(flags)}"


def _count_shape(
    placed: Array,
    layout: PageLayout,
    members: Sequence[Sequence[int]],
    shapes: dict[str, list[bool]],
    right: dict[str, list[bool]],
) -> None:
    """Count what true columns (n, 2) look like, and whether the layout has them."""
    own = np.array([[layout.segments[m[0]].x0_mm, layout.segments[m[0]].x1_mm] for m in members])
    right["separators" if layout.ticks_mm else "layout"].append(bool(np.abs(own - placed).max() < FAR_MM))
    widths = np.diff(placed, axis=1)[:, 0]
    shapes["unequal columns"].append(bool(np.ptp(widths) > FAR_MM))
    seconds = widths.sum() / layout.speed_mm_per_s
    shapes["a usual time together"].append(
        bool(min(abs(seconds - s) for s in TraceOptions.record_s) < TraceOptions.usual_error_s)
    )
    if len(placed) > 1:
        shapes["columns apart"].append(bool(np.mean(placed[1:, 0] - placed[:-1, 1]) > FAR_MM))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Evidence for the ends of columns and strips.")
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500 and ptbxl100")
    parser.add_argument(
        "--work", type=Path, required=True, help="JSON lines of pages, gone on with where they exist"
    )
    parser.add_argument("--pages", type=int, default=160, help="pages in usual layouts")
    parser.add_argument("--devices", type=int, default=60, help="pages of other devices")
    parser.add_argument("--folds", nargs="+", default=[str(k) for k in range(1, 8)])
    return parser


if __name__ == "__main__":
    sys.exit(main())
