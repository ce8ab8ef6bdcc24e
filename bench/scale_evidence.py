"""Estimate how much words, pulses, lengths and beats tell of a page's scale, on drawn pages of devices.

    python -m bench.scale_evidence --data FOLDER [--pages 160] [--model model]

FOLDER holds ``ptbxl100`` and ``hires500``. Pages of fold 8, which chooses, are drawn as by ``bench.device_pages``, and their
layouts read on their true grids. Prints the constants in the form in which ``ecgpage.layout.options`` holds them; the plans
of 20,000 more pages, which need not be drawn, give the shares of times that pages show.
"""

import argparse
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from bench.device_pages import SEED
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array
from ecgpage.grid.flat_page import flatten_page
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.polarity import as_positive
from ecgpage.layout.find_boxes import find_boxes
from ecgpage.layout.options import LayoutOptions
from ecgpage.layout.page_layout import read_layout
from ecgpage.layout.printed_scales import LEAST_WORD
from ecgpage.layout.scales import PULSE_S
from ecgpage.layout.shown_time import shown_seconds
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, SPEEDS, RecognisedText
from ecgpage.layout.types import PageLayout
from ecgpage.pipeline import Digitizer
from ecgpage.synth.training_records import TrainingRecords
from ecgpage.synth.world import WorldPage, draw_world_page
from ecgpage.synth.world.plan import random_plan

OPTIONS: Final = LayoutOptions()
PRINTED: Final = re.compile(r"mm\s*/\s*(s|mv)", re.IGNORECASE)
"""A printed scale."""
AROUND_MM: Final = 4.0
"""Distance, mm, of a word from the line of the printed scales that it belongs to, at most."""
SAME_PULSE: Final = 0.3
"""Natural log of the ratio of two widths, or heights, that are one pulse's, read and drawn."""
PLANS: Final = 20_000
"""Number of pages that are planned only."""


@dataclass
class Tally:
    """What was counted on the pages."""

    pages: int = 0
    scales: int = 0
    """Number of printed speeds and gains."""
    true: list[float] = field(default_factory=list)
    """Probability of the word of each that was read."""
    wrong: int = 0
    """Number of them that were read as another one."""
    false: list[float] = field(default_factory=list)
    """Probability of each word where no scale is printed."""
    vague: list[int] = field(default_factory=list)
    """Number of vague words of each page."""
    pulse_errors: list[float] = field(default_factory=list)
    """Natural log of read over drawn width and height of pulses."""
    lost_pulses: int = 0
    """Number of pages with pulses of which none is read."""
    pulses: list[list[int]] = field(default_factory=lambda: [[0, 0] for _ in OPTIONS.wrong_pulses])
    """Number of pages with pulses in the ink, and of those where they are none, for each level of their score."""
    drawn_pulses: int = 0
    beats: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Sizes of beats."""


def main() -> int:
    """Draw, read, and print the constants."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    records = TrainingRecords(options.data, {options.fold})
    order = np.random.default_rng(SEED).permutation(len(records))
    digitizer = Digitizer.load(options.model)
    tally = Tally()
    for number in range(options.pages):
        signal, fs = records.signal(int(order[number % len(order)]))
        page = draw_world_page(signal, fs, seed=(SEED, number))
        count_page(tally, page, digitizer)
        print(f"\r{number + 1} pages", end="", file=sys.stderr)
    print(file=sys.stderr)
    print("\n".join([*tell_words(tally), *tell_pulses(tally), *tell_beats(tally), *tell_times()]))
    return 0


def true_grid(page: WorldPage) -> GridMap:
    """Map of a page, mm of its traces, with nodes on the lines of its first panel of grid."""
    truth = page.truth
    panels = getattr(truth.page, "panels", ())
    origin = panels[0].origin if panels else (0.0, 0.0)
    x, y = (np.arange(o % SQUARE_MM, side, SQUARE_MM) for o, side in zip(origin, truth.paper, strict=True))
    places = np.stack(np.meshgrid(x, y), -1)
    nodes = truth.page_map.image_from_page(places.reshape(-1, 2)).reshape(places.shape)
    height, width = page.image.shape[:2]
    low, high = nodes.min(axis=-1), (nodes - (width, height)).max(axis=-1)
    seen = np.asarray((low >= -0.5) & (high < -0.5))
    rows, columns = (np.flatnonzero(seen.sum(axis=k)) for k in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    first = float(x[columns[0]]), float(y[rows[0]])
    return GridMap(nodes[part], first, seen[part].astype(float), 0.0, "drawn")


def count_page(tally: Tally, page: WorldPage, digitizer: Digitizer) -> None:
    """Add one page."""
    facts = json.loads(page.facts.to_json())
    flat = flatten_page(as_positive(page.image), true_grid(page))
    boxes = find_boxes(flat, digitizer.detector, digitizer.reader, OPTIONS)
    tally.pages += 1
    if boxes.words is not None:
        count_words(tally, boxes.words, facts)
    try:
        layout = read_layout(flat, boxes, shown_seconds(flat, 10.0, OPTIONS), OPTIONS)
    except EcgPageError:
        return
    count_pulses(tally, layout, facts)
    count_beats(tally, layout, facts)


def count_words(tally: Tally, words: RecognisedText, facts: dict[str, Any]) -> None:
    """Add the words of a page: those on the line that prints its scales, and all others."""
    scale, corner = np.array(facts["trace_px_per_mm"]), np.array(facts["corner_mm"])
    lines = [
        np.concatenate([np.array(t["box"][:2]) / scale + corner, np.array(t["box"][2:]) / scale + corner])
        for t in facts["texts"]
        if PRINTED.search(t["text"])
    ]
    told = words.chances[:, len(LEAD_WORDS) :] * words.scores[:, None]
    kinds = ((SPEEDS, told[:, : len(SPEEDS)]), (GAINS, told[:, len(SPEEDS) :]))
    tally.vague.append(int(((told.sum(axis=1) > LEAST_WORD) & (told.max(axis=1) < OPTIONS.clear_word)).sum()))
    gains = {float(g) for g in facts["choices"]["gain"].split("/")}
    for (values, chances), true in zip(kinds, ({facts["speed"]}, gains), strict=True):
        tally.scales += bool(lines)
        best, wrong = 0.0, False
        for place, chance in zip(words.places, chances, strict=True):
            clear = float(chance.sum())
            if clear <= LEAST_WORD:
                continue
            on_line = any(_is_within(place, line) for line in lines)
            right = on_line and values[int(chance.argmax())] in true
            if right:
                best = max(best, clear)
            elif not on_line:
                tally.false.append(clear)
            else:
                wrong |= clear > OPTIONS.clear_word
        tally.wrong += wrong and not best
        if best:
            tally.true.append(best)


def _is_within(place: Array, box: Array) -> bool:
    return bool((place > box[:2] - AROUND_MM).all() and (place < box[2:] + AROUND_MM).all())


def count_pulses(tally: Tally, layout: PageLayout, facts: dict[str, Any]) -> None:
    """Add the pulses of a page."""
    drawn = np.log([(p["width_mm"], p["height_mm"]) for p in facts["pulses"]]).reshape(-1, 2)
    read = layout.scale_evidence.inked_pulses
    tally.drawn_pulses += bool(len(drawn))
    tally.lost_pulses += bool(len(drawn)) and not read
    for pulse in read[:1]:
        level = next(k for k, (least, _) in enumerate(OPTIONS.wrong_pulses) if pulse.score > least)
        size = np.log([pulse.width_mm, pulse.height_mm])
        off = np.abs(drawn - size).max(axis=1)
        is_pulse = bool(len(off) and off.min() < SAME_PULSE)
        tally.pulses[level][0] += 1
        tally.pulses[level][1] += not is_pulse
        if is_pulse:
            tally.pulse_errors += list(size - drawn[int(off.argmin())])


def count_beats(tally: Tally, layout: PageLayout, facts: dict[str, Any]) -> None:
    """Add the beats of a page."""
    beats, speed = layout.scale_evidence.beats, facts["speed"]
    limb, chest = (float(g) for g in (facts["choices"]["gain"].split("/") * 2)[:2])
    tally.beats["beat_s"].append(beats.apart_mm / speed)
    tally.beats[f"width {speed:g}"].append(beats.width_mm)
    tally.beats["limb_beat_mv"].append(beats.limb_mm / limb)
    tally.beats["chest_beat_mv"].append(beats.chest_mm / chest)
    tally.beats["chest_to_limb"].append(beats.chest_mm / beats.limb_mm * limb / chest)


def tell_words(tally: Tally) -> Iterable[str]:
    """Constants of printed scales."""
    levels = [*OPTIONS.word_levels, np.inf]
    true = np.histogram(tally.true, levels)[0] / max(tally.scales, 1)
    false = np.histogram(tally.false, levels)[0] / (2 * tally.pages)
    yield f"true_words = {_tuple(true)}"
    yield f"false_words = {_tuple(np.maximum(false, 0.5 / tally.pages))}"
    yield f"missed_scale = {1 - true.sum():.2f}"
    yield f"misread_scale = {tally.wrong / max(tally.scales, 1):.3f}"
    yield f"usual_vague_words = {np.mean(tally.vague):.1f}"
    yield f"printed_share = {tally.scales / (2 * tally.pages):.2f}"


def tell_pulses(tally: Tally) -> Iterable[str]:
    """Constants of pulses."""
    yield f"pulse_error = {_spread(np.array(tally.pulse_errors)):.3f}  # with pulse_error_mm"
    for (least, _), (pages, none) in zip(OPTIONS.wrong_pulses, tally.pulses, strict=True):
        yield f"# of pulses of score above {least:g} {none / max(pages, 1):.3f} are none ({pages} pages)"
    yield f"# pulses of {tally.lost_pulses} of {tally.drawn_pulses} pages are not read; usual width {PULSE_S} s"


def tell_beats(tally: Tally) -> Iterable[str]:
    """Constants of beats: median and spread of the natural log."""
    spreads = []
    for name, values in sorted(tally.beats.items()):
        logs = np.log([v for v in values if v > 0])
        if not len(logs):
            continue
        spreads += [_spread(logs)] * name.startswith("width")
        yield f"{name} = ({np.exp(np.median(logs)):.3g}, {_spread(logs):.2f})  # {len(logs)} pages"
    yield f"# beat_width_mm[0.0] = {np.mean(spreads):.2f}"


def tell_times() -> Iterable[str]:
    """Shares of the times that pages show."""
    rng = np.random.default_rng(SEED)
    parts: dict[tuple[float, int], list[float]] = defaultdict(list)
    for _ in range(PLANS):
        plan = random_plan(5000, 500.0, rng)
        shown = sum(t1 - t0 for t0, t1 in plan.times) / 10.0
        parts[plan.speed, min(len(plan.columns), 3)].append(shown)
    for key, values in sorted(parts.items()):
        yield f"shown_shares[{key}] = {_tuple(np.histogram(values, OPTIONS.shown_parts)[0] / len(values))}"


def _spread(values: Array) -> float:
    """Standard deviation without the outermost 2 % at each end."""
    low, high = np.quantile(values, [0.02, 0.98]) if len(values) else (0.0, 0.0)
    return float(values[(values >= low) & (values <= high)].std())


def _tuple(values: Sequence[float] | Array) -> str:
    return f"({', '.join(f'{v:.3g}' for v in values)})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100 and hires500")
    parser.add_argument("--pages", type=int, default=160)
    parser.add_argument("--fold", default="8", help="fold of the records: 9 reports, 8 chooses")
    parser.add_argument("--model", type=Path, default=Path("model"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
