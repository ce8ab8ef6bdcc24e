"""Draw pages of every kind, read them, and estimate how the kind of a page is told.

    python -m bench.page_kinds read --data FOLDER --out FILE.jsonl [--kinds device ...] [--pages 200] [--first 0]
    python -m bench.page_kinds estimate --rows FILE.jsonl ... [--out ecgpage/signal/page_kind_weights.py]
    python -m bench.page_kinds check --data FOLDER --out FILE.jsonl [--fold 8] [--pages 60]

``read`` keeps the evidence of each page that gets as far as signals on its true grid, whatever the present weights say of
it; a picture that is no page is read on some grid of a page's size. ``estimate``
fits the weights to it. ``check`` reads pages by the present weights and prints, by kind, how many give leads or labels that
the page does not show. FOLDER holds ``ptbxl100`` and ``hires500``; ``train`` means folds 1 to 7.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.other_pictures import OTHERS, draw_other
from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array, Image, Rng
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.layout.known_layouts import CHEST, LIMB
from ecgpage.pipeline import Digitizer
from ecgpage.reader import Reader
from ecgpage.signal.beat_marks import find_beats, mark_beats
from ecgpage.signal.grade_evidence import PageEvidence
from ecgpage.signal.page_kind import KIND_EVIDENCE, KINDS, Kind, KindEvidence, kind_row, weigh_kinds
from ecgpage.synth import MIXES
from ecgpage.synth.page.layout import Layout, PageStyle, build_page
from ecgpage.synth.page.looks import random_style
from ecgpage.synth.page.model import Page, Text, Tick
from ecgpage.synth.picture import photograph
from ecgpage.synth.training_records import TRAINING_FOLDS, TrainingRecords
from ecgpage.synth.truth_adapters import exact_grid
from ecgpage.synth.world import draw_world_page
from ecgpage.synth.world.picture import lengthened

SEED: Final = 20_261_201
"""Seed of the pages; page k of a kind rests on it, the kind and k."""
PICTURES: Final = ("generator-clean", "scan-color", "scan-bw", "photo-clean", "monitor")
BEAT_S: Final = (0.35, 0.5)
"""Time, s, before and after its mark that an averaged beat is drawn."""
P_NEGATIVE: Final = 0.12
PRIOR_SPREAD: Final = 0.7
"""Standard deviation of the weights before any page is seen."""
PRIOR_KINDS: Final[Mapping[str, float]] = {"leads": 8.0, "averaged beats": 1.0, "one lead": 1.0, "other": 1.0}
"""How often pages of a kind are taken to be read, relative to each other."""
PARTS: Final = (
    ("V1", "V2", "V3"), ("aVR", "aVL", "aVF"), ("I", "II", "III"), ("V4", "V5", "V6"), ("II", "V1", "V5"), ("V1", "II"),
)  # fmt: skip
"""Leads of pages that show a part of them."""

Signal = NDArray[np.float32]
"""(n_samples, 12) mV."""


@dataclass(frozen=True)
class DrawnKind:
    """Picture of a known kind of page."""

    image: Image
    grid: GridMap
    """Map of the page, or some map of a picture that is none: reading on it needs no search."""
    kind: Kind
    leads: frozenset[str]
    """Leads that a reading may give."""
    sort: str
    """What was drawn, finer than the kind."""


# --- pages ----------------------------------------------------------------------------------------------------


def draw_device(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """Any device's page of twelve leads."""
    page = draw_world_page(signal, fs, mix="world", seed=int(rng.integers(1 << 31)))
    return DrawnKind(page.image, exact_grid(page), "leads", frozenset(LEADS), "device")


def draw_twelve(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """A page of any known layout."""
    style = random_style(rng)
    page = build_page(style, len(signal), fs)
    shown = frozenset(s.lead for s in page.segments)
    return DrawnKind(*_picture(page, signal, rng), "leads", shown, "known layout")


def draw_group(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """Limb leads or chest leads alone."""
    group = (LIMB, CHEST)[int(rng.integers(2))]
    rows = int(rng.choice([6, 3]))
    columns = tuple(tuple(group[k : k + rows]) for k in range(0, 6, rows))
    page = build_page(replace(_style(rng), order=Layout(columns)), len(signal), fs)
    return DrawnKind(*_picture(page, signal, rng), "leads", frozenset(group), "group")


def draw_part(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """Two or three leads over each other."""
    leads = PARTS[int(rng.integers(len(PARTS)))]
    style = replace(_style(rng), order=Layout((leads,)))
    page = build_page(style, len(signal), fs)
    return DrawnKind(*_picture(page, signal, rng), "leads", frozenset(leads), "part")


def draw_averaged(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """The mean beat of each lead in its cell, above a rhythm strip or none."""
    style = _style(rng)
    rows = int(rng.choice([3, 6, 4]))
    columns = tuple(LEADS[k : k + rows] for k in range(0, 12, rows))
    strips = int(rng.random() < 0.7)
    style = replace(style, order=Layout(columns, strips), separator="none", seconds=10.0)
    page = build_page(style, len(signal), fs)
    beats = mean_beats(signal, fs)
    channels = np.full((len(signal), 24), np.nan, np.float32)
    channels[:, :12] = signal
    count = len(beats)
    margin = round(rng.uniform(0, 0.3) * fs) * int(rng.random() < 0.4)
    channels[margin : margin + count, 12:] = beats
    if margin:  # a flat line before and after
        channels[:margin, 12:] = beats[0]
        channels[margin + count : 2 * margin + count, 12:] = beats[-1]
    width_mm = (count + 2 * margin) / fs * style.speed
    cells = sorted({s.x0 for s in page.segments if not s.strip})
    room = (cells[1] - cells[0]) if len(cells) > 1 else 60.0
    pitch = room if rng.random() < 0.5 else min(room, width_mm + rng.uniform(2, 10))
    inside = rng.uniform(0, max(0.0, min(pitch - width_mm, 25.0)))
    segments, ticks = [], []
    for s in page.segments:
        if s.strip:
            segments.append(s)
            continue
        column = cells.index(s.x0)
        x0 = cells[0] + column * pitch + inside
        name_at = None if s.name_at is None else (s.name_at[0] + x0 - s.x0 - inside, s.name_at[1])
        stop = min(count + 2 * margin, int(pitch / style.speed * fs))
        segments.append(replace(s, channel=12 + s.channel, start=0, stop=stop, x0=x0, name_at=name_at))
        at = x0 + margin / fs * style.speed + np.array([0.12, 0.2, 0.3, 0.42, 0.75]) * style.speed
        ticks += [Tick(float(x), s.baseline - 3, s.baseline + 3, style.trace_width) for x in at]
    page = replace(page, segments=tuple(segments))
    if rng.random() < 0.4:
        page = replace(page, separators=tuple(ticks))
    shown = frozenset(s.lead for s in page.segments if s.strip)
    return DrawnKind(*_picture(page, channels, rng), "averaged beats", shown, "averaged beats")


def mean_beats(signal: Signal, fs: float) -> Signal:
    """(m, 12) mean of the beats of a record, mV."""
    mark = np.sum([mark_beats(signal[:, k], fs) for k in range(signal.shape[1])], axis=0)
    before, after = (round(s * fs) for s in BEAT_S)
    at = [int(t * fs) for t in find_beats(mark.astype(np.float32), fs)]
    inside = [k for k in at if before <= k < len(signal) - after] or [len(signal) // 2]
    return np.mean([signal[k - before : k + after] for k in inside], axis=0).astype(np.float32)


def draw_one_lead(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """One lead over several rows, as watches and event recorders print it."""
    lead = str(rng.choice(["I", "II", "V1", "V5"], p=[0.5, 0.3, 0.1, 0.1]))
    rows = int(rng.integers(2, 7))
    style = replace(
        _style(rng), order=Layout(((lead,) * rows,)), seconds=float(rng.choice([6.0, 10.0, 10.0, 8.0]))
    )
    long = lengthened(signal, fs, int(rows * 10.5 * fs), rng)
    page = build_page(style, len(long), fs)
    length = page.segments[0].stop
    naming = str(rng.choice(["first", "all", "none", "below"], p=[0.25, 0.15, 0.2, 0.4]))
    segments = [
        replace(
            s,
            start=k * length,
            stop=(k + 1) * length,
            name_at=s.name_at if naming == "all" or (naming == "first" and k == 0) else None,
        )
        for k, s in enumerate(page.segments)
    ]
    texts = page.texts
    if naming == "below":
        texts += (Text(f"Lead {lead}, 512 Hz, 30 s", style.left, style.paper.height - 2, 2.8),)
    pulses = page.pulses[: 1 if rng.random() < 0.7 else len(page.pulses)]
    page = replace(page, segments=tuple(segments), texts=texts, pulses=pulses, separators=())
    return DrawnKind(*_picture(page, long, rng), "one lead", frozenset((lead,)), "one lead")


def draw_no_ecg(signal: Signal, fs: float, rng: Rng) -> DrawnKind:
    """Any picture that is no ECG."""
    sort = list(OTHERS)[int(rng.integers(len(OTHERS)))]
    image = draw_other(sort, rng)
    return DrawnKind(image, _any_grid(image, rng), "other", frozenset(), sort)


def _any_grid(image: Image, rng: Rng) -> GridMap:
    """Map of a picture in which one could see a page."""
    square = SQUARE_MM * max(image.shape[:2]) / rng.uniform(200, 330)
    ny, nx = (int(side / square) + 1 for side in image.shape[:2])
    nodes = np.stack(np.meshgrid(np.arange(nx), np.arange(ny)), axis=-1) * square
    return GridMap(nodes, (0.0, 0.0), np.ones((ny, nx)), 0.0, "drawn")


def _style(rng: Rng) -> PageStyle:
    """Style of a page whose layout is set; names are printed beside leads as a rule."""
    style = random_style(rng)
    place = style.name_place if style.name_place != "none" or rng.random() < 0.2 else "above"
    return replace(style, name_place=place, top=min(style.top, 60.0), speed=25.0)


def _picture(page: Page, signal: NDArray[np.floating], rng: Rng) -> tuple[Image, GridMap]:
    kind = str(rng.choice(PICTURES, p=[0.3, 0.25, 0.15, 0.15, 0.15]))
    drawn = photograph(page, signal, MIXES[kind], rng)
    is_negative = kind != "photo-clean" and rng.random() < P_NEGATIVE
    return np.asarray(255 - drawn.image if is_negative else drawn.image, np.uint8), exact_grid(drawn)


DRAWERS: Final[dict[str, Callable[[Signal, float, Rng], DrawnKind]]] = {
    "device": draw_device,
    "twelve": draw_twelve,
    "group": draw_group,
    "part": draw_part,
    "averaged": draw_averaged,
    "one lead": draw_one_lead,
    "other": draw_no_ecg,
}
"""What is drawn, in turn."""
SHARES: Final = (
    "device", "averaged", "other", "twelve", "one lead", "other", "device", "part", "averaged", "other", "one lead", "group",
    "other",
)  # fmt: skip
"""Sequence in which pages are drawn."""


def draw_pages(
    data: Path, fold: str, numbers: range, sorts: Sequence[str]
) -> Iterator[tuple[int, DrawnKind]]:
    """Pages of these numbers, each of the next sort."""
    folds = set(TRAINING_FOLDS) if fold == "train" else {fold}
    records = TrainingRecords(data, folds)
    for k in numbers:
        sort = sorts[k % len(sorts)]
        rng = np.random.default_rng((SEED, list(DRAWERS).index(sort), k, int(fold == "train")))
        signal, fs = records.signal(int(rng.integers(len(records))))
        try:
            yield k, DRAWERS[sort](signal, fs, rng)
        except EcgPageError as error:  # no room for this layout in this style
            print(f"{k} {sort}: {error}", file=sys.stderr)


# --- reading --------------------------------------------------------------------------------------------------


class EvidenceKeeper(Digitizer):
    """Digitizer that takes every page for one of leads, and keeps the evidence of its kind."""

    rows: list[Array]

    def weigh_kinds(self, page: PageEvidence, beats: KindEvidence) -> dict[Kind, float]:
        self.rows.append(kind_row(page, beats))
        return {kind: float(kind == "leads") for kind in KINDS}


def read_evidence(options: argparse.Namespace) -> None:
    """Draw, read and keep the evidence of pages."""
    keeper = EvidenceKeeper.load(options.model)
    assert isinstance(keeper, EvidenceKeeper)
    done = len(options.out.read_text(encoding="utf-8").splitlines()) if options.out.exists() else 0
    numbers = range(options.first + done, options.first + options.pages)
    with options.out.open("a", encoding="utf-8") as file:
        for k, drawn in draw_pages(options.data, options.fold, numbers, options.kinds):
            keeper.rows = []
            began = time.process_time()
            leads: list[str] = []
            reason = ""
            try:
                found = keeper.read_page(drawn.image, 500.0, 5000, grid=drawn.grid)
                leads = [r.lead for r in found.signals.readings if r.source != "none"]
            except EcgPageError as error:
                reason = str(error)
            row = {
                "page": k, "kind": drawn.kind, "sort": drawn.sort, "leads": leads, "reason": reason,
                "allowed": sorted(drawn.leads), "seconds": round(time.process_time() - began, 1),
                "evidence": [[round(float(v), 4) for v in e] for e in keeper.rows],
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
            file.flush()


# --- weights --------------------------------------------------------------------------------------------------


def collect(rows: Sequence[dict[str, Any]]) -> tuple[Array, NDArray[np.intp], list[str]]:
    """Evidence (n, d), kinds (n) and sorts of readings.

    Of pages of leads only readings whose leads are those drawn count: others are misread, not of another kind, unless a part
    of the leads was read as more of them, which counts as another kind.
    """
    values, kinds, sorts = [], [], []
    for row in rows:
        evidence = row["evidence"]
        is_right = bool(row["leads"]) and set(row["leads"]) <= set(row["allowed"])
        kind = row["kind"]
        if kind == "leads" and not is_right:
            if row["sort"] != "part" or not evidence:
                continue
            kind = "other"
        for e in evidence[-1:] if row["kind"] == "leads" else evidence:
            values.append(e)
            kinds.append(KINDS.index(kind))
            sorts.append(row["sort"])
    return np.array(values), np.array(kinds), sorts


def fit_kinds(values: Array, kinds: NDArray[np.intp]) -> Array:
    """Weights (kinds, d + 1) of the multinomial logistic model, the first kind's 0, with a Gaussian prior; kinds count by
    ``PRIOR_KINDS``, however many readings of them there are.
    """
    x = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    share = np.array([PRIOR_KINDS[kind] for kind in KINDS])
    count = np.maximum(np.bincount(kinds, minlength=len(KINDS)), 1)
    weight = (share / share.sum())[kinds] / (count / len(kinds))[kinds]
    spread = np.append(np.full(values.shape[1], PRIOR_SPREAD), 5.0)

    def loss(flat: Array) -> tuple[float, Array]:
        w = np.concatenate([np.zeros((1, x.shape[1])), flat.reshape(len(KINDS) - 1, -1)])
        odds = x @ w.T
        odds -= odds.max(axis=1, keepdims=True)
        p = np.exp(odds)
        p /= p.sum(axis=1, keepdims=True)
        right = p[np.arange(len(kinds)), kinds]
        value = -(weight * np.log(right + 1e-12)).sum() + 0.5 * ((w[1:] / spread) ** 2).sum()
        slope = (p - np.eye(len(KINDS))[kinds]) * weight[:, None]
        return float(value), (slope.T @ x)[1:].ravel() + (w[1:] / spread**2).ravel()

    start = np.zeros((len(KINDS) - 1) * x.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    return np.concatenate([np.zeros((1, x.shape[1])), found.x.reshape(len(KINDS) - 1, -1)])


def as_tables(weights: Array) -> dict[str, dict[str, float]]:
    """Weights by kind and evidence; "" is the constant."""
    names = (*KIND_EVIDENCE, "")
    return {
        kind: {n: round(float(w), 3) for n, w in zip(names, row, strict=True) if abs(w) >= 0.005}
        for kind, row in zip(KINDS[1:], weights[1:], strict=True)
    }


def estimate(options: argparse.Namespace) -> None:
    """Fit, cross-validate and write the weights."""
    rows = [json.loads(line) for path in options.rows for line in path.open(encoding="utf-8")]
    values, kinds, sorts = collect(rows)
    part = np.random.default_rng(0).permutation(len(kinds)) % 5
    told = np.zeros(len(kinds), np.intp)
    for k in range(5):
        tables = as_tables(fit_kinds(values[part != k], kinds[part != k]))
        for i in np.flatnonzero(part == k):
            found = weigh_kinds(values[i], tables)
            told[i] = KINDS.index(max(found, key=lambda kind: found[kind]))
    for kind in range(len(KINDS)):
        own = kinds == kind
        print(
            KINDS[kind],
            own.sum(),
            dict(zip(KINDS, np.bincount(told[own], minlength=4).tolist(), strict=True)),
        )
    for i in np.flatnonzero(told != kinds):
        print("  ", sorts[i], KINDS[kinds[i]], "->", KINDS[told[i]])
    if options.out is not None:
        counts = ", ".join(f"{(kinds == k).sum()} {kind}" for k, kind in enumerate(KINDS))
        options.out.write_text(_module(as_tables(fit_kinds(values, kinds)), counts), encoding="utf-8")


def _module(tables: Mapping[str, Mapping[str, float]], counts: str) -> str:
    lines = [
        '"""Weights of kinds of page: written by ``python -m bench.page_kinds estimate``, not by hand.',
        "",
        f"Readings: {counts}.",
        '"""',
        "",
        "from collections.abc import Mapping",
        "from typing import Final",
        "",
        "KIND_WEIGHTS: Final[Mapping[str, Mapping[str, float]]] = {",
    ]
    for kind, table in tables.items():
        lines += [f'    "{kind}": {{', *(f'        "{n}": {w},' for n, w in table.items()), "    },"]
    lines += [
        "}",
        '"""Kind -> name of evidence -> log odds, by one of it, of this kind over "leads"; "": constant."""',
    ]
    return "\n".join(lines) + "\n"


# --- check ----------------------------------------------------------------------------------------------------


def check(options: argparse.Namespace) -> None:
    """Read pages by the present weights, and print what they give that the page does not show."""
    reader = Reader(model=options.model)
    rows: list[dict[str, Any]] = []
    with options.out.open("w", encoding="utf-8") as file:
        for k, drawn in draw_pages(
            options.data, options.fold, range(options.first, options.first + options.pages), options.kinds
        ):
            began = time.process_time()
            found = reader.digitize(drawn.image)
            leads = [lead for lead, r in found.readings.items() if r.source != "none"]
            row = {
                "page": k, "kind": drawn.kind, "sort": drawn.sort, "leads": leads, "labels": found.labels,
                "allowed": sorted(drawn.leads), "reasons": found.reasons, "seconds": round(time.process_time() - began, 1),
            }  # fmt: skip
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    print("| drawn | pages | give leads | give others than shown | labels | s |\n|---|---|---|---|---|---|")
    for sort in sorted({row["sort"] for row in rows}):
        own = [row for row in rows if row["sort"] == sort]
        given = [row for row in own if row["leads"]]
        wrong = [row for row in given if not set(row["leads"]) <= set(row["allowed"])]
        labelled = sum(bool(row["labels"]) for row in own)
        seconds = np.mean([row["seconds"] for row in own])
        print(f"| {sort} | {len(own)} | {len(given)} | {len(wrong)} | {labelled} | {seconds:.1f} |")


def main() -> int:
    """Run one of the commands."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    {"read": read_evidence, "estimate": estimate, "check": check}[options.command](options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, fold, pages in (("read", "train", 200), ("check", "8", 60)):
        one = commands.add_parser(name)
        one.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
        one.add_argument("--out", type=Path, required=True, help="file of lines")
        one.add_argument(
            "--kinds", nargs="+", default=SHARES, choices=tuple(DRAWERS), help="what is drawn, in turn"
        )
        one.add_argument("--fold", default=fold)
        one.add_argument("--pages", type=int, default=pages)
        one.add_argument("--first", type=int, default=0)
        one.add_argument("--model", type=Path, default=Path("model"))
    fit = commands.add_parser("estimate")
    fit.add_argument("--rows", type=Path, nargs="+", required=True)
    fit.add_argument("--out", type=Path, help="module to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
