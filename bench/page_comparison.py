"""Compare what was read from a page with what was drawn: scale, layout, names, times.

The truth is the JSON of ``ecgpage.synth.world.WorldFacts``, or of a page of another package with the same keys. Everything is
compared in pixels of the picture, so that it does not matter where a reader puts the page's origin.

Conventions:
    image positions   x right, y down, pixel centres at integers
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecgpage.core.types import Array
from ecgpage.grid.grid_map import SQUARE_MM, GridMap
from ecgpage.image.decode import Source
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.reader import Reader
from ecgpage.synth.world.truth import REACH_MM

SCALE_OFF: Final = 0.005
"""Part by which a scale may be off."""
TIME_OFF_S: Final = 0.020
"""Time, s, by which a lead may be off."""
LEAST_OVERLAP: Final = 0.7
"""Share of a drawn lead that the lead read at its place covers, and the other way round."""


@dataclass(frozen=True)
class TrueSegment:
    """One drawn piece of a lead within the picture."""

    lead: str
    is_strip: bool
    start: Array
    """(2,) image position of its start, px, moved to the picture's edge where that cuts it."""
    end: Array
    t0: float
    t1: float
    gain: float
    """mm/mV."""

    @property
    def px_per_s(self) -> float:
        return float(np.hypot(*(self.end - self.start))) / (self.t1 - self.t0)

    def time_at(self, at: Array) -> float:
        """Time, s, that is drawn beside image positions (2,)."""
        along = (self.end - self.start) / np.hypot(*(self.end - self.start))
        return self.t0 + float((at - self.start) @ along) / self.px_per_s


@dataclass(frozen=True)
class TruePage:
    """What a page shows."""

    speed: float
    gain: float
    px_per_mm: tuple[float, float]
    """Pixels of 1/25 s at 25 mm/s, and of 0.1 mV at 10 mm/mV."""
    middle: Array
    """(2,) image position where ``px_per_mm`` holds."""
    segments: tuple[TrueSegment, ...]
    strips_of_another_time: bool

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "TruePage":
        """Page of the truth's JSON; pieces that the picture does not show are left out."""
        cut = [_cut(s, facts["shape"][1]) for s in facts["segments"]]
        return cls(
            facts["speed"],
            facts["gain"],
            tuple(facts["trace_px_per_mm"]),
            np.array(facts["middle_px"]),
            tuple(s for s in cut if s is not None),
            facts["strip_times"] == "other",
        )


def _cut(segment: Mapping[str, Any], width: int) -> TrueSegment | None:
    """Part of a piece between the picture's left and right edges; None where less than 0.2 s is left."""
    start, end = np.array(segment["start_px"]), np.array(segment["end_px"])
    span = end[0] - start[0]
    if abs(span) < 1:  # it runs up or down
        return TrueSegment(
            segment["lead"],
            segment["column"] is None,
            start,
            end,
            segment["t0"],
            segment["t1"],
            segment["gain"],
        )
    first, last = np.clip((np.array([-0.5, width - 0.5]) - start[0]) / span, 0, 1)
    t0, t1 = (segment["t0"] + f * (segment["t1"] - segment["t0"]) for f in (first, last))
    if t1 - t0 < 0.2:
        return None
    return TrueSegment(
        segment["lead"], segment["column"] is None, start + first * (end - start), start + last * (end - start), t0, t1,
        segment["gain"],
    )  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What of a page was read rightly."""

    is_read: bool
    x_scale: float
    """Pixels of a second as read, by the true ones; NaN where nothing was read."""
    y_scale: float
    """Pixels of a millivolt as read, by the true ones."""
    layout: bool
    """Whether exactly one lead is read at each drawn place, and none elsewhere."""
    names: bool
    """Whether the layout is right and each lead has its own name."""
    times: bool
    """Whether the layout is right and each lead's ends have their true times, after one shift of all."""
    time_off_s: float
    """Largest error of a time; NaN where the layout is wrong."""
    source: str
    """What the scale rests on; the reason where nothing was read."""

    @property
    def scale(self) -> bool:
        return bool(abs(self.x_scale - 1) <= SCALE_OFF and abs(self.y_scale - 1) <= SCALE_OFF)


def not_read(reason: str) -> Comparison:
    """Comparison of a page of which nothing was read."""
    nan = float("nan")
    return Comparison(False, nan, nan, False, False, False, nan, reason)


def compare(true: TruePage, grid: GridMap, layout: PageLayout) -> Comparison:
    """Compare a layout that was read on ``grid`` with the truth."""
    across, down = _scale_at(grid, true.middle)
    x_scale = across * layout.speed_mm_per_s / (true.px_per_mm[0] * true.speed)
    pairs = _pair(true, grid, layout)
    gains = [abs(s.gain_mm_per_mv) / abs(t.gain) for t, s in pairs] or [layout.gain_mm_per_mv / true.gain]
    y_scale = down / true.px_per_mm[1] * max(gains, key=lambda g: abs(g - 1))
    is_laid_out = len(pairs) == len(true.segments) == len(layout.segments)
    names = is_laid_out and all(t.lead == s.lead for t, s in pairs)
    errors = _time_errors(true, pairs, grid, layout) if is_laid_out else [np.full(2, np.nan)]
    off = float(np.abs(errors).max())
    return Comparison(True, x_scale, y_scale, is_laid_out, names, bool(off <= TIME_OFF_S), off, grid.source)


@dataclass(frozen=True)
class Given:
    """What is right of the leads that a reading gives, whatever it leaves out."""

    x_scale: float
    """Pixels of a second as read, by the true ones."""
    y_scale: float
    """Pixels of a millivolt as read, by the true ones: that of the lead that is worst."""
    names: bool
    """Whether each lead that is read stands at the place of a drawn one and has its name."""
    time_off_s: float
    """Largest error of a time, after one shift of all; NaN where places are wrong."""


def judge_given(true: TruePage, grid: GridMap, layout: PageLayout) -> Given:
    """Compare the leads of a layout that was read on ``grid`` with the truth; leads that it lacks are no fault."""
    whole = compare(true, grid, layout)
    pairs = _pair(true, grid, layout)
    is_placed = len(pairs) == len(layout.segments) > 0
    names = is_placed and all(t.lead == s.lead for t, s in pairs)
    errors = _time_errors(true, pairs, grid, layout) if is_placed else [np.full(2, np.nan)]
    return Given(whole.x_scale, whole.y_scale, names, float(np.abs(errors).max()))


def _scale_at(grid: GridMap, at: Array) -> tuple[float, float]:
    """Pixels of a page mm of the map along x and y around an image position (2,), as far as the truth looks."""
    shape = grid.quality.shape
    place = np.unravel_index(np.argmin(np.hypot(*np.moveaxis(grid.nodes - at, -1, 0))), shape)
    found = []
    for axis, reach_mm in ((1, REACH_MM[0]), (0, REACH_MM[1])):
        squares = max(1, min(round(reach_mm / SQUARE_MM), place[axis], shape[axis] - 1 - place[axis]))
        ends = [[int(v) for v in place] for _ in range(2)]
        ends[0][axis] = max(0, int(place[axis]) - int(squares))
        ends[1][axis] = min(shape[axis] - 1, int(place[axis]) + int(squares))
        apart = grid.nodes[tuple(ends[1])] - grid.nodes[tuple(ends[0])]
        found.append(float(np.hypot(*apart)) / (SQUARE_MM * (ends[1][axis] - ends[0][axis])))
    return found[0], found[1]


def _ends(segment: Segment, grid: GridMap, layout: PageLayout) -> tuple[Array, Array]:
    """Image positions (2,), (2,) of a read lead's ends."""
    level = segment.baseline(layout.rows)
    x, y = grid.to_image(np.array([segment.x0_mm, segment.x1_mm]), np.array([level, level]))
    return np.array([x[0], y[0]]), np.array([x[1], y[1]])


def _pair(true: TruePage, grid: GridMap, layout: PageLayout) -> list[tuple[TrueSegment, Segment]]:
    """Drawn and read leads that stand at the same place, each once."""
    px_per_mm = true.px_per_mm[1]
    pairs: list[tuple[TrueSegment, Segment]] = []
    for segment in layout.segments:
        start, end = _ends(segment, grid, layout)
        best, lowest = None, 12.0  # mm
        for t in true.segments:
            if any(t is other for other, _ in pairs):
                continue
            first, last = t.time_at(start), t.time_at(end)
            shared = min(last, t.t1) - max(first, t.t0)
            if shared < LEAST_OVERLAP * max(last - first, t.t1 - t.t0):
                continue
            along = (t.end - t.start) / np.hypot(*(t.end - t.start))
            middle = (start + end) / 2 - t.start
            apart = abs(float(along[0] * middle[1] - along[1] * middle[0])) / px_per_mm
            if apart < lowest:
                best, lowest = t, apart
        if best is not None:
            pairs.append((best, segment))
    return pairs


def find_time_errors(true: TruePage, grid: GridMap, layout: PageLayout) -> tuple[tuple[str, ...], Array]:
    """Name of the lead read at each drawn place, "" for none, and the errors (segments, 2), s, of its ends; NaN for none."""
    pairs = _pair(true, grid, layout)
    found = {id(t): k for k, (t, _) in enumerate(pairs)}
    places = [found.get(id(t)) for t in true.segments]
    names = tuple("" if k is None else pairs[k][1].lead for k in places)
    off = _time_errors(true, pairs, grid, layout)
    lost = np.full(2, np.nan)
    return names, np.array([lost if k is None else off[k] for k in places])


def find_end_errors(true: TruePage, grid: GridMap, layout: PageLayout) -> Array:
    """(segments, 2) true mm by which each lead that is read ends too far right; NaN where none is drawn."""
    off = np.full((len(layout.segments), 2), np.nan)
    drawn = {id(s): t for t, s in _pair(true, grid, layout)}
    for k, segment in enumerate(layout.segments):
        t = drawn.get(id(segment))
        if t is not None:
            start, end = _ends(segment, grid, layout)
            off[k] = (t.time_at(start) - t.t0) * true.speed, (t.time_at(end) - t.t1) * true.speed
    return off


def _time_errors(
    true: TruePage, pairs: list[tuple[TrueSegment, Segment]], grid: GridMap, layout: PageLayout
) -> list[Array]:
    """Errors (2,), s, of the times of each lead's ends, after one shift of all: no page says when it began."""
    offs = []
    for t, s in pairs:
        start, end = _ends(s, grid, layout)
        off = np.array([s.start_s - t.time_at(start), s.start_s + s.duration_s - t.time_at(end)])
        # when such a strip began cannot be seen, but how long it lasts can
        offs.append(off - off.mean() if t.is_strip and true.strips_of_another_time else off)
    known = [
        off
        for off, (t, _) in zip(offs, pairs, strict=True)
        if not (t.is_strip and true.strips_of_another_time)
    ]
    shift = float(np.median(np.concatenate(known or [np.zeros(1)])))
    return [
        off if t.is_strip and true.strips_of_another_time else off - shift
        for off, (t, _) in zip(offs, pairs, strict=True)
    ]


# --- pages and tables -----------------------------------------------------------------------------------------


def read_one(reader: Reader, picture: Source, facts: Mapping[str, Any]) -> Comparison:
    """Read a picture, without the record's length, and compare it with its truth."""
    found = reader.digitize(picture)
    if found.grid is None or found.layout is None:
        return not_read("; ".join(found.reasons))
    return compare(TruePage.from_facts(facts), found.grid, found.layout)


def load_rows(path: Path) -> list[dict[str, str]]:
    """Lines of a result file: the fields of ``Comparison``, and ``seconds``, of each page."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_rows(path: Path, rows: Sequence[Mapping[str, str]], *, is_first: bool) -> None:
    """Lines added to a result file, below its head with the first ones."""
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if is_first:
            writer.writeheader()
        writer.writerows(rows)


def tabulate(rows: Sequence[Mapping[str, str]], keys: Sequence[str]) -> str:
    """Markdown table of result lines: a line for each combination of ``keys``, and one for all."""
    heads = [
        *keys,
        "pages",
        "read",
        "scale",
        "scale x",
        "scale y",
        "layout",
        "names",
        "times",
        "all",
        "s a page",
    ]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for group in sorted({tuple(row[key] for key in keys) for row in rows}):
        lines.append(_line(group, [row for row in rows if tuple(row[key] for key in keys) == group]))
    return "\n".join([*lines, _line(("all", *[""] * (len(keys) - 1)), rows)])


def _line(group: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    x, y = ([abs(float(row[f"{axis}_scale"]) - 1) <= SCALE_OFF for row in rows] for axis in "xy")
    read, layout, names, times = (
        [row[key] == "True" for row in rows] for key in ("is_read", "layout", "names", "times")
    )
    scale = np.logical_and(x, y)
    every = scale & np.array(names) & np.array(times)
    shares = " | ".join(f"{np.mean(part):.0%}" for part in (read, scale, x, y, layout, names, times, every))
    seconds = np.mean([float(row["seconds"]) for row in rows])
    return f"| {' | '.join(group)} | {len(rows)} | {shares} | {seconds:.1f} |"
