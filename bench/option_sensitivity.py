"""Measure the sensitivity to each option of a stage: numbers halved and doubled, one at a time, on drawn pages.

    python -m bench.option_sensitivity grid --data FOLDER [--kinds monitor ...] [--pages 10] [--fields min_lock ...] [--log F]

FOLDER holds ``hires500``; records of fold 8 are drawn in turn as the kinds of page. A stage is read in steps. The options
that each step uses are recorded, so that only steps that an option can change are repeated. Prints a Markdown table: pages
on which anything changes, pages whose state changes, and the means of the figures before and after over pages that are
right both times. A log takes the outcomes, one JSON object a line; a stopped run continues from its log.

    grid   states: right, slipped (a point of the ECG area off by more than half a millimetre), beside the ECG, no map
           figures: map (root mean square, 200-dpi pixels, without its constant), ink (mean darkness on the traces minus that
           of the rest, typical strokes)
    layout states: right, wrong (a lead lost, misnamed, or off by a millimetre or more), scale wrong, refused; true map, every
           layout of the table in turn
           figures: ends (mean error of the ends of leads, mm), sure (confidence)
    trace, signal
           states: right, refused, fewer leads; true map and boxes, every layout of the table in turn
           figures: snr (mean over the drawn leads, dB)
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.grid_accuracy import PX_PER_MM, SLIP_MM, compare
from bench.layout_accuracy import draw
from ecgpage.challenge.record_scores import score_leads
from ecgpage.core.conventions import EcgPageError
from ecgpage.grid.candidates import lock_grid
from ecgpage.grid.flat_page import FlatPage, flatten_page
from ecgpage.grid.grid_map import GridMap, flatten
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import GridFrequency, find_grid_frequencies
from ecgpage.layout.boxes import PageBoxes
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer
from ecgpage.signal.assembly import assemble
from ecgpage.signal.consistency import find_contradiction
from ecgpage.signal.options import SignalOptions
from ecgpage.synth import MIXES, DrawnPage, draw_picture, mixes_hash
from ecgpage.synth.page.layout import LAYOUTS
from ecgpage.synth.sources import Pack, Recording
from ecgpage.synth.truth_adapters import compare_plan, exact_grid, true_boxes
from ecgpage.trace.options import TraceOptions
from ecgpage.trace.reader import Trace, read_traces

FOLD: Final = "8"
"""Fold of the records; fold 9 is for reports."""
FACTORS: Final = (0.5, 2.0)
"""Factors by which each number is changed."""
MODEL: Final = Path(__file__).resolve().parents[1] / "model"
"""Folder of the weights that ship."""
TRACE_MM: Final = 0.3
"""Width, mm, of the traces on which ink is measured."""


@dataclass
class Result:
    """Result of one step of a stage on a page."""

    digest: str
    """Hash that tells results apart bit by bit."""
    state: str
    """State of the page, "right" without a fault."""
    figures: dict[str, float] = field(default_factory=dict)
    """Figures measured against the truth, by name."""
    value: Any = None
    """Input of the next step; None ends the reading."""


Step = Callable[[DrawnPage, Any, Any], Result]
"""Function of one step: drawn page, value of the previous step, options."""


Draw = Callable[[Recording, str, int], DrawnPage]
"""Function that draws a recording as a kind of page, with a number as seed."""


def draw_kind(record: Recording, kind: str, number: int) -> DrawnPage:
    """Page of the Challenge's layout."""
    return draw_picture(record.signal, record.fs, mix=kind, seed=(int(FOLD), number))


@dataclass(frozen=True)
class Stage:
    """Stage whose options are changed."""

    options: Any
    """Default options, a dataclass."""
    steps: tuple[Step, ...]
    """Steps in their order."""
    draw: Draw = draw_kind


class WatchedOptions:
    """Options that record which of them were used."""

    def __init__(self, options: Any) -> None:
        self._options = options
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self._options, name)


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading one page with one option changed."""

    page: str
    option: str
    """Name of the changed option; empty for the defaults."""
    factor: float
    changed: bool
    """Whether anything differs from the reading with the defaults."""
    state: str
    figures: dict[str, float]


# --- grid stage ---


def read_frequencies(drawn: DrawnPage, _: None, options: GridOptions) -> Result:
    """Grid frequencies of the picture."""
    found = find_grid_frequencies(drawn.image, options=options)
    numbers = [np.append([f.period_px, f.angle_rad, f.score], f.seeds) for f in found]
    return Result(digest_arrays(*numbers), "right", value=found)


def read_map(drawn: DrawnPage, frequencies: list[GridFrequency], options: GridOptions) -> Result:
    """Likeliest map of the grid, compared with the page coordinates of the traces."""
    try:
        grid = lock_grid(drawn.image, frequencies, options=options)
    except EcgPageError:
        return Result("", "no map")
    _, away, _ = compare(grid, drawn)
    if not len(away):
        return Result(digest_arrays(grid.nodes, grid.quality), "beside the ECG", value=grid)
    state = "slipped" if np.abs(away).max() > SLIP_MM else "right"
    error = float(np.sqrt(((away - away.mean(axis=0)) ** 2).mean()) * PX_PER_MM)
    return Result(digest_arrays(grid.nodes, grid.quality), state, {"map": error}, grid)


def read_flat_page(drawn: DrawnPage, grid: GridMap, options: GridOptions) -> Result:
    """Flat page, its ink compared with the places of the traces."""
    page = flatten_page(drawn.image, grid, options=options)
    on_trace = _find_traces(drawn, page)
    ink = float(page.ink[on_trace].mean() - page.ink[~on_trace].mean()) if on_trace.any() else float("nan")
    return Result(digest_arrays(page.ink, page.around.light), "right", {"ink": ink}, page)


def _find_traces(drawn: DrawnPage, page: FlatPage) -> np.ndarray:
    """(h, w) bool, pixels of the flat page on which a trace is drawn."""
    painted = np.zeros(drawn.image.shape[:2], np.uint8)
    width = max(1, round(TRACE_MM * page.grid.px_per_mm))
    for segment in drawn.truth.segments:
        points = segment.xy[np.isfinite(segment.xy).all(axis=1)]
        cv2.polylines(painted, [np.rint(points).astype(np.int32)], isClosed=False, color=255, thickness=width)
    rows, columns = (np.arange(n, dtype=np.float64) for n in page.ink.shape)
    return flatten(painted, page.grid, page.x_mm(columns), page.y_mm(rows), quick=True) > 127


# --- layout stage ---


@cache
def load_digitizer() -> Digitizer:
    """Digitizer with the networks that ship."""
    return Digitizer.load(MODEL)


def draw_layout(record: Recording, kind: str, number: int) -> DrawnPage:
    """Page of one known layout; the layouts are drawn in turn."""
    return draw(list(LAYOUTS)[number % len(LAYOUTS)], kind, record.signal, record.fs, (int(FOLD), number))


def read_boxes(drawn: DrawnPage, _: None, options: LayoutOptions) -> Result:
    """Leads, pulses and text found on the flat page of the true map."""
    networks = load_digitizer()
    page = flatten_page(drawn.image, exact_grid(drawn))
    boxes = find_boxes(page, networks.detector, networks.reader, options)
    printed = boxes.printed
    found = digest_arrays(
        boxes.leads, boxes.scores, boxes.names, boxes.pulses, printed.places, printed.chances
    )
    return Result(f"{found} {boxes.speed_mm_per_s} {boxes.gain_mm_per_mv}", "right", value=(page, boxes))


def read_page_layout(drawn: DrawnPage, seen: tuple[FlatPage, PageBoxes], options: LayoutOptions) -> Result:
    """Layout by these boxes, compared with the drawn one; aVR's sign, which signals tell, is the drawn one."""
    page, boxes = seen
    try:
        layout = read_layout(page, boxes, 10.0, options)
    except EcgPageError:
        return Result("", "refused")
    turned = {s.lead for s in drawn.truth.page.segments if s.gain < 0}
    signed = [
        replace(s, gain_mm_per_mv=abs(s.gain_mm_per_mv) * (-1 if s.lead in turned else 1))
        for s in layout.segments
    ]
    compared = compare_plan(drawn, page.grid, replace(layout, segments=signed))
    state = "wrong" if not compared.is_right else "right" if compared.is_scaled else "scale wrong"
    places = [(s.x0_mm, s.x1_mm, s.start_s, s.zero_mm, s.gain_mm_per_mv) for s in layout.segments]
    names = " ".join(s.lead for s in layout.segments)
    figures = {"ends": compared.edge_mm, "sure": layout.confidence}
    return Result(f"{names} {digest_arrays(np.array(places))}", state, figures, layout)


# --- trace and signal stages ---

Laid = tuple[FlatPage, PageLayout]
"""Flat page and its layout."""


def lay_out(drawn: DrawnPage, _: None, options: Any) -> Result:
    """Layout on the true map, by the true boxes."""
    page = flatten_page(drawn.image, exact_grid(drawn))
    return Result("", "right", value=(page, read_layout(page, true_boxes(drawn, page.grid), 10.0)))


def read_lines(drawn: DrawnPage, laid: Laid, options: TraceOptions) -> Result:
    """Traces of all segments, and the signals assembled from them by default."""
    page, layout = laid
    traces = read_traces(drawn.image, page, layout, load_digitizer().network, options)
    result = _score_signals(drawn, traces, layout, SignalOptions())
    return replace(result, digest=digest_arrays(*(t.y_mm for t in traces), *(t.sigma_mm for t in traces)))


def read_default_lines(drawn: DrawnPage, laid: Laid, options: Any) -> Result:
    """Traces of all segments, read with the default options."""
    page, layout = laid
    traces = read_traces(drawn.image, page, layout, load_digitizer().network)
    return Result("", "right", value=(traces, layout))


def put_together(drawn: DrawnPage, read: tuple[list[Trace], PageLayout], options: SignalOptions) -> Result:
    """Signals assembled from these traces."""
    return _score_signals(drawn, *read, options)


def _score_signals(
    drawn: DrawnPage, traces: list[Trace], layout: PageLayout, options: SignalOptions
) -> Result:
    signals = assemble(traces, layout, drawn.truth.page.fs, len(drawn.masked_signal), options)
    found = digest_arrays(signals.mv)
    if find_contradiction(signals.as_read, drawn.truth.page.fs, options):
        return Result(found, "refused", value=signals)
    drawn_leads = {s.lead for s in drawn.truth.segments}
    missing = [r.lead for r in signals.readings if r.source == "none" and r.lead in drawn_leads]
    state = f"without {' '.join(missing)}" if missing else "right"
    return Result(
        found,
        state,
        {"snr": float(np.mean(score_leads(drawn.masked_signal, signals.mv, drawn.truth.page.fs)))},
        signals,
    )


STAGES: Final[Mapping[str, Stage]] = {
    "grid": Stage(GridOptions(), (read_frequencies, read_map, read_flat_page)),
    "layout": Stage(LayoutOptions(), (read_boxes, read_page_layout), draw_layout),
    "trace": Stage(TraceOptions(), (lay_out, read_lines), draw_layout),
    "signal": Stage(SignalOptions(), (lay_out, read_default_lines, put_together), draw_layout),
}
"""Stages by name; a further stage needs its options and its steps."""


# --- any stage ---


def digest_arrays(*arrays: np.ndarray) -> str:
    """Hash of the arrays' bytes."""
    together = hashlib.sha256()
    for array in arrays:
        together.update(np.ascontiguousarray(array).tobytes())
    return together.hexdigest()[:16]


class PageReader:
    """Reader of one page with the defaults, then with one option changed, which repeats only steps that use it."""

    def __init__(self, stage: Stage, drawn: DrawnPage) -> None:
        self.stage = stage
        self.drawn = drawn
        self.results: list[Result] = []
        self.asked: list[set[str]] = []
        value = None
        for step in stage.steps:
            options = WatchedOptions(stage.options)
            self.results.append(step(drawn, value, options))
            self.asked.append(options.asked)
            value = self.results[-1].value
            if value is None:
                break

    def read(self, options: Any, name: str) -> list[Result]:
        """Results of the steps with ``options``, which differ from the defaults in ``name``."""
        results: list[Result] = []
        same = True
        for k, step in enumerate(self.stage.steps):
            if same and k < len(self.results) and name not in self.asked[k]:
                results.append(self.results[k])
            else:
                results.append(step(self.drawn, results[-1].value if results else None, options))
                same = same and k < len(self.results) and results[k].digest == self.results[k].digest
            if results[-1].value is None:
                break
        return results

    def summarize(self, page: str, name: str, factor: float, results: Sequence[Result]) -> Outcome:
        """Outcome of some results: the first state that is not right, and all figures."""
        changed = [r.digest for r in results] != [r.digest for r in self.results]
        state = next((r.state for r in results if r.state != "right"), "right")
        return Outcome(
            page, name, factor, changed, state, {k: v for r in results for k, v in r.figures.items()}
        )


def change_options(options: Any, names: Sequence[str]) -> Iterator[tuple[str, float, Any]]:
    """Name, factor and options, with each number changed in turn; whole numbers stay whole and at least one."""
    for one in fields(options):
        value = getattr(options, one.name)
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (names and one.name not in names)
        ):
            continue
        for factor in FACTORS:
            changed = max(1, round(factor * value)) if isinstance(value, int) else factor * value
            yield one.name, factor, replace(options, **{one.name: changed})


def read_all(
    stage: Stage, data: Path, kinds: Sequence[str], count: int, names: Sequence[str], log: Path | None
) -> list[Outcome]:
    """Outcomes on ``count`` pages, with those of the defaults; pages in the log are not read again."""
    outcomes = (
        [Outcome(**json.loads(line)) for line in log.read_text().splitlines()] if log and log.exists() else []
    )
    done = {(o.page, o.option, o.factor) for o in outcomes}
    pack = Pack(data / "hires500" / "signals.xz", data / "hires500" / "records.csv", fs=500.0)
    indices = [k for k, row in enumerate(pack.rows) if row.get("strat_fold") == FOLD][:count]
    for number, index in enumerate(indices):
        kind = kinds[number % len(kinds)]
        page = f"{kind} {index}"
        variants = [("", 1.0, stage.options), *change_options(stage.options, names)]
        missing = [variant for variant in variants if (page, *variant[:2]) not in done]
        if not missing:
            continue
        record = pack.read(index)
        reader = PageReader(stage, stage.draw(record, kind, index if stage.draw is draw_kind else number))
        began = time.perf_counter()
        for name, factor, options in missing:
            results = reader.read(options, name) if name else reader.results
            outcomes.append(reader.summarize(page, name, factor, results))
            if log:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcomes[-1])) + "\n")
        print(
            f"{page}: {len(missing)} readings, {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return outcomes


def write_table(options: Any, outcomes: Sequence[Outcome]) -> str:
    """Markdown table: a row for each option and factor; options that change nothing have one row."""
    defaults = {o.page: o for o in outcomes if not o.option}
    lines = [
        "| option | value | pages | changed | other state | figures, mean |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(o.option for o in outcomes if o.option):
        for factor in FACTORS:
            here = [o for o in outcomes if (o.option, o.factor) == (name, factor) and o.page in defaults]
            cells = [
                f"{name} {'halved' if factor < 1 else 'doubled'}",
                str(getattr(options, name)),
                str(len(here)),
                str(sum(o.changed for o in here)),
                _list_states(here, defaults),
                _compare_figures(here, defaults),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _list_states(outcomes: Sequence[Outcome], defaults: Mapping[str, Outcome]) -> str:
    """Pages whose state differs from that with the defaults, with both states."""
    found = [
        f"{o.page}: {defaults[o.page].state} → {o.state}"
        for o in outcomes
        if o.state != defaults[o.page].state
    ]
    return "; ".join(found) or "–"


def _compare_figures(outcomes: Sequence[Outcome], defaults: Mapping[str, Outcome]) -> str:
    """Means of the figures before and after over pages that are right both times, where these differ."""
    both = [(defaults[o.page], o) for o in outcomes if o.state == defaults[o.page].state == "right"]
    texts = []
    for name in dict.fromkeys(key for _, after in both for key in after.figures):
        measured = [pair for pair in both if all(name in outcome.figures for outcome in pair)]
        before, after = (np.mean([pair[k].figures[name] for pair in measured]) for k in (0, 1))
        if f"{before:.3f}" != f"{after:.3f}":
            texts.append(f"{name} {before:.3f} → {after:.3f}")
    return ", ".join(texts) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stage", choices=list(STAGES))
    parser.add_argument("--data", type=Path, required=True, help="folder with hires500/")
    parser.add_argument("--kinds", nargs="+", default=list(MIXES), choices=list(MIXES))
    parser.add_argument("--pages", type=int, default=10, help="number of pages, kinds in turn")
    parser.add_argument(
        "--fields", nargs="+", default=[], help="options that are changed; default all numbers"
    )
    parser.add_argument("--log", type=Path, help="JSON lines to go on with")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    stage = STAGES[args.stage]
    outcomes = read_all(stage, args.data, args.kinds, args.pages, args.fields, args.log)
    print(f"{args.stage} stage, page mixes {mixes_hash()}\n\n{write_table(stage.options, outcomes)}")


if __name__ == "__main__":
    main()
