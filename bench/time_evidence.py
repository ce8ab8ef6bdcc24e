"""Measure, and estimate, the evidence for the times of columns on drawn plans of pages, without pictures.

    python -m bench.time_evidence --data FOLDER [--pages 600] [--folds 8] [--speeds]
    python -m bench.time_evidence --data FOLDER --folds 1 2 3 4 5 6 7 --pages 300 --count
    python -m bench.time_evidence --data FOLDER --folds 1 2 3 4 5 6 7 --pages 3000 --estimate

Plans of ``ecgpage.synth.world`` give leads their places and times; the traces are the record's own, with places a little
off, as they are read. ``ecgpage.signal.times`` tells their times: right where each lead begins within 20 ms of its true time
after one shift of all. Prints a table by kind of columns, strip and gap; ``--speeds``: the paper speed is not known.
``--estimate`` prints ``time_weights`` of ``ecgpage.signal.options`` instead: those that make the true hypotheses of all pages
likeliest, at three speeds, each by its share among the plans. ``--count`` prints ``same_constraint`` and
``other_constraint`` of that file instead: by how much limb leads of columns of the same seconds, and of columns that follow
each other, miss the constraints, at the lag at which their beats agree best; and ``usual_width``, the time in which beats
rise and fall.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from ecgpage.core.conventions import LEADS
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal import times as page_times
from ecgpage.signal.beat_marks import find_beats, find_lag, mark_traces, measure_beats
from ecgpage.signal.limb_columns import miss_constraints
from ecgpage.signal.sampling import sample_from_start
from ecgpage.synth.page.model import segment_path
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.world.invent import invent_device_page
from ecgpage.synth.world.model import DevicePage
from ecgpage.synth.world.picture import lengthened
from ecgpage.synth.world.plan import SPEEDS
from ecgpage.trace.reader import Trace

SEED: Final = 20_261_129
"""Seed of the plans; page k rests on it and on k."""
STEP_MM: Final = 0.05
"""Distance, mm, of the points of a trace."""
START_ERROR_MM: Final = 0.1
"""Standard deviation, mm, of the beginnings of columns as they are read."""
END_ERROR_MM: Final = 0.15
"""The same of their ends."""
TRACE_ERROR_MM: Final = 0.05
"""Standard deviation, mm, of the line."""
MISNAMED: Final = 0.1
"""Share of the strips that are read under another name."""
FS: Final = 500.0
"""Samples per second at which traces are compared."""
BEAT_S: Final = 0.4
"""Largest lag, s, at which columns are laid over each other."""
RIGHT_S: Final = 0.02
"""Error, s, up to which the time of a lead is right."""
OF_LINES: Final = ("same samples", "limb leads")
"""Evidence of PDFs that hold their curves: no plan here is one."""
FAR_S: Final = 0.1
"""Error, s, from which no hypothesis of a page is true."""
LIKELIHOODS: Final = ("total", "rhythm", "lags", "rate", "width", "constraint")
"""Evidence that is a log likelihood already: its weight would be 1 if all were independent."""
PRIOR_SPREAD: Final = 3.0
"""Standard deviation of the weights around 1 or 0 before pages are seen."""
LINE_MM: Final = 0.5
"""Expected error, mm, told with a trace."""


@dataclass(frozen=True)
class TimedPage:
    """Traces of a page as if they were read, and their true times."""

    traces: list[Trace]
    layout: PageLayout
    starts_s: NDArray[np.float64]
    """Time, s, of the beginning of each trace."""
    kind: dict[str, str]
    """What was chosen of columns, strip and gap."""


def main() -> int:
    """Simulate, tell times, print."""
    options = _parser().parse_args()
    if options.estimate:
        print(estimate(pages(options.data, set(options.folds), options.pages, speed_known=False)))
        return 0
    if options.count:
        print(count_traces(pages(options.data, set(options.folds), options.pages)))
        return 0
    right: dict[tuple[str, ...], list[bool]] = defaultdict(list)
    for page in pages(options.data, set(options.folds), options.pages, speed_known=not options.speeds):
        found = page_times.find_times(page.traces, page.layout, 500.0)
        key = tuple(page.kind[name] for name in ("columns", "strip", "gap"))
        right[key].append(is_right(page, found))
    print("| columns | strip | gap | pages | right |\n|---|---|---|---|---|")
    for key in sorted(right):
        print(f"| {' | '.join(key)} | {len(right[key])} | {np.mean(right[key]):.0%} |")
    every = np.concatenate(list(right.values()))
    print(f"| all | | | {len(every)} | {every.mean():.1%} |")
    return 0


def pages(folder: Path, folds: set[str], count: int, *, speed_known: bool = True) -> Iterator[TimedPage]:
    """Pages of more than one column, from records of these folds in random order."""
    records = TrainingRecords(folder, folds)
    order = np.random.default_rng(SEED).permutation(len(records))
    made = 0
    for k in range(10**6):
        if made == count:
            return
        signal, fs = records.signal(int(order[k % len(order)]))
        rng = np.random.default_rng((SEED, k))
        page = invent_device_page(len(signal), fs, rng)
        if len({p.column for p in page.places if p.column is not None}) < 2:
            continue
        made += 1
        drawn = lengthened(np.asarray(signal, np.float32), fs, max(s.stop for s in page.segments), rng)
        yield _as_read(page, drawn, rng, speed_known=speed_known)


def _as_read(
    page: DevicePage, signal: NDArray[np.float32], rng: np.random.Generator, *, speed_known: bool
) -> TimedPage:
    columns = {p.column for p in page.places}
    moved = {c: (rng.normal(0, START_ERROR_MM), rng.normal(0, END_ERROR_MM)) for c in columns}
    traces, starts = [], []
    for segment, place in zip(page.segments, page.places, strict=True):
        x, y = segment_path(page, segment, signal)
        first, last = (
            float(v + m)
            for v, m in zip((x[0], x[-1] + page.speed / page.fs), moved[place.column], strict=True)
        )
        at = np.arange(first, last, STEP_MM)
        line = np.interp(at, x, y) + rng.normal(0, TRACE_ERROR_MM, len(at))
        seconds = (last - first) / page.speed
        lead = segment.lead
        if place.column is None and rng.random() < MISNAMED:
            lead = str(rng.choice(np.array(LEADS)))
        read = Segment(
            lead,
            place.row,
            first,
            last,
            0.0,
            seconds,
            segment.baseline,
            segment.gain,
            place.column is None,
        )
        traces.append(Trace(read, at, line, "network", np.full(len(at), LINE_MM)))
        starts.append(segment.start / page.fs + (first - x[0]) / page.speed)
    odds = {} if speed_known else {speed: float(np.log(share)) for speed, share in SPEEDS.items()}
    layout = PageLayout([], [t.segment for t in traces], [], [], page.speed, 10.0, 1.0, (), odds)
    kind = {**page.choices, "columns": page.column_times, "strip": page.strip_times}
    return TimedPage(traces, layout, np.array(starts), kind)


def is_right(page: TimedPage, found: page_times.PageTimes) -> bool:
    """Whether each column, and each strip of the columns' time, begins at its true time, after one shift of all."""
    if abs(found.speed_mm_per_s / page.layout.speed_mm_per_s - 1) > 0.01:
        return False
    speed = page.layout.speed_mm_per_s
    # a strip loses what stands before the columns: the time of one place is compared
    told = {_key(t): t.segment.start_s - t.segment.x0_mm / speed for t in (*found.columns, *found.strips)}
    wanted = {_key(t): s - t.segment.x0_mm / speed for t, s in zip(page.traces, page.starts_s, strict=True)}
    if page.kind["strip"] == "other":
        wanted = {k: s for k, s in wanted.items() if not k[-1]}
    if set(told) != set(wanted):
        return False
    off = np.array([told[k] - wanted[k] for k in wanted])
    return bool(np.abs(off - np.median(off)).max() < RIGHT_S)


def estimate(drawn: Iterator[TimedPage]) -> dict[str, float]:
    """Weights of ``EVIDENCE`` that make the true hypotheses likeliest, held near 1 or 0 by a normal prior."""
    names = [name for name in page_times.EVIDENCE if name not in OF_LINES]
    evidence, offsets, true = [], [], []
    for page in drawn:
        odds = page.layout.speed_odds
        found = page_times.list_hypotheses(page.traces, page.layout, list(odds), 500.0)
        off = np.array([_miss(page, h) for h in found])
        if off.min() > FAR_S:
            continue
        true.append(int(off.argmin()))
        evidence.append(np.array([[h.evidence.get(name, 0.0) for name in names] for h in found]))
        offsets.append(np.array([odds[h.speed_mm_per_s] for h in found]))
    usual = np.array([1.0 if name in LIKELIHOODS else 0.0 for name in names])

    def cost(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value = 0.5 * float(((weights - usual) ** 2).sum()) / PRIOR_SPREAD**2
        slope = (weights - usual) / PRIOR_SPREAD**2
        for x, offset, k in zip(evidence, offsets, true, strict=True):
            score = x @ weights + offset
            chance = softmax(score)
            value -= float(np.log(chance[k] + 1e-12))
            slope += chance @ x - x[k]
        return value, slope

    # no likelihood counts more than once
    bounds = [(0.0, 1.0) if name in LIKELIHOODS else (None, None) for name in names]
    best = minimize(cost, usual, jac=True, method="L-BFGS-B", bounds=bounds)
    print(f"{len(true)} pages, {best.fun / len(true):.3f} nats a page", file=sys.stderr)
    return {name: round(float(v), 2) for name, v in zip(names, best.x, strict=True)}


def count_traces(drawn: Iterator[TimedPage]) -> str:
    """Mean and standard deviation of the natural log of what limb leads miss the constraints by, of both kinds of pages, and
    of the time, s, in which beats rise and fall.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    widths = []
    for page in drawn:
        columns = _columns_of(page)
        together = page.kind["columns"] != "consecutive"
        marks = [mark_traces(c, page.layout, FS) for c in columns]
        first = marks[0]
        for column, mark in zip(columns, marks, strict=True):
            signals = [sample_from_start(t, page.layout, FS) for t in column]
            width = measure_beats(signals, find_beats(mark, FS), FS)
            widths += [float(np.log(width))] if width > 0 else []
        lags = [find_lag(first, mark, FS, BEAT_S)[1] for mark in marks]
        missed = miss_constraints(columns, page.layout, FS, lags, page_times.NEAR_LAG_S)
        if missed > 0:
            found[together].append(float(np.log(missed)))
    lines = [
        f"{name}: {np.mean(found[key]):.2f}, {np.std(found[key]):.2f} ({len(found[key])} pages)"
        for name, key in (("same_constraint", True), ("other_constraint", False))
    ]
    lines.append(f"usual_widths: {fit_two(np.array(widths))} ({len(widths)} columns)")
    return "\n".join(lines)


def fit_two(values: NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    """Two log-normal distributions of ``exp(values)`` (n,) by expectation and maximization: median, spread, share of each."""
    middle, spread, share = np.quantile(values, [0.5, 0.97]), np.full(2, values.std()), np.array([0.9, 0.1])
    for _ in range(200):
        density = share * np.exp(-0.5 * ((values[:, None] - middle) / spread) ** 2) / spread
        part = density / density.sum(axis=1, keepdims=True)
        total = part.sum(axis=0)
        middle = (part * values[:, None]).sum(axis=0) / total
        spread = np.sqrt((part * (values[:, None] - middle) ** 2).sum(axis=0) / total) + 0.01
        share = total / len(values)
    table = np.stack([np.exp(middle), spread, share], axis=1)
    return tuple((round(float(m), 4), round(float(s), 2), round(float(p), 2)) for m, s, p in table)


def _columns_of(page: TimedPage) -> list[list[Trace]]:
    """Traces of the columns, from the left."""
    short = [t for t in page.traces if not t.segment.is_strip]
    places = sorted({t.segment.x0_mm for t in short})
    return [[t for t in short if t.segment.x0_mm == x] for x in places]


def _miss(page: TimedPage, hypothesis: page_times.Hypothesis) -> float:
    """Largest error, s, of the columns' beginnings; infinite where the speed or the strips are wrong."""
    if hypothesis.speed_mm_per_s != page.layout.speed_mm_per_s:
        return float("inf")
    if page.kind["strip"] != "none" and hypothesis.strips_too != (page.kind["strip"] == "same"):
        return float("inf")
    places = [t.segment.x0_mm for t in page.traces if not t.segment.is_strip]
    true = [s for t, s in zip(page.traces, page.starts_s, strict=True) if not t.segment.is_strip]
    columns = sorted(set(places))
    off = np.array([hypothesis.starts_s[columns.index(x)] - s for x, s in zip(places, true, strict=True)])
    return float(np.abs(off - np.median(off)).max())


def _key(trace: Trace) -> tuple[str, int, float, bool]:
    s = trace.segment
    return s.lead, s.row, 0.0 if s.is_strip else s.x0_mm, s.is_strip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Times of columns, told on drawn plans of pages.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument(
        "--folds", nargs="+", default=["8"], help="folds of the records: 1 to 7 train, 9 reports"
    )
    parser.add_argument("--estimate", action="store_true", help="estimate the weights")
    parser.add_argument("--count", action="store_true", help="count what limb leads of columns miss by")
    parser.add_argument("--speeds", action="store_true", help="leave the paper speed open")
    return parser


if __name__ == "__main__":
    sys.exit(main())
