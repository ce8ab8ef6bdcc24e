"""Choose what a page shows: leads, columns, strips, their times, speed and gain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Rng
from ecgpage.layout.known_layouts import LAYOUT_OF, Names
from ecgpage.synth.world.model import ColumnTimes, StripTimes

Key = TypeVar("Key")
Interval = tuple[float, float]
"""Start and end, s, in the record that is drawn."""
PanelKind = Literal["sheet", "below header", "frame", "short frame", "rows", "cells", "columns"]
"""Where the grid is: everywhere; below the header; in a box around all rows, or one that the traces outrun; in a box
for each row, lead or column.
"""

LAYOUT_SHARES: Final = {
    "3x4": 0.50, "6x2": 0.22, "12x1": 0.07, "limb 6x1": 0.03, "chest 6x1": 0.03, "4x3": 0.025, "2x6": 0.02,
    "cabrera 3x4+1": 0.03, "cabrera 6x2": 0.025, "cabrera 12x1": 0.01, "limb 3x2": 0.01, "chest 3x2": 0.01,
    "3x4 by rows": 0.005, "6x2 by rows": 0.005, "limb 2x3": 0.005, "chest 2x3": 0.005,
}  # fmt: skip
"""Share of each layout; of strips, as many as ``STRIP_SHARES`` says are added."""
STRIP_SHARES: Final = {
    "3x4": (0.2, 0.5, 0.1, 0.2), "6x2": (0.68, 0.32), "cabrera 3x4+1": (0.3, 0.6, 0.0, 0.1), "cabrera 6x2": (0.8, 0.2),
    "4x3": (0.6, 0.4), "2x6": (0.6, 0.4),
}  # fmt: skip
PANEL_SHARES: Final[dict[PanelKind, float]] = {
    "sheet": 0.25, "below header": 0.14, "frame": 0.36, "short frame": 0.04, "rows": 0.05, "cells": 0.10, "columns": 0.06,
}  # fmt: skip
SPEEDS: Final = {25.0: 0.84, 50.0: 0.12, 12.5: 0.04}
GAINS: Final = {10.0: 0.78, 5.0: 0.12, 20.0: 0.10}
MIN_COLUMN_S: Final = 0.8


@dataclass(frozen=True)
class Plan:
    """What a page shows, and when; lengths in mm, from the start of the first column."""

    layout: str
    """Name in ``ecgpage.layout.known_layouts``, with the number of strips."""
    columns: tuple[Names, ...]
    strips: Names
    speed: float
    gain: float
    chest_gain: float | None
    panel: PanelKind
    times: tuple[Interval, ...]
    """Time of each column."""
    starts: tuple[float, ...]
    """Start of each column along x."""
    column_times: ColumnTimes
    strip_time: Interval | None
    strip_times: StripTimes
    gap: str
    """Kind of the gap between columns."""

    @property
    def rows(self) -> int:
        return len(self.columns[0]) + len(self.strips)

    @property
    def length(self) -> float:
        """Length of a row along x, mm."""
        ends = [x + (t1 - t0) * self.speed for x, (t0, t1) in zip(self.starts, self.times, strict=True)]
        if self.strip_time is not None:
            ends.append((self.strip_time[1] - self.strip_time[0]) * self.speed)
        return max(ends)

    @property
    def seconds(self) -> float:
        """End, s, of the latest time that is drawn."""
        return max(t1 for _, t1 in (*self.times, *([self.strip_time] if self.strip_time else [])))


def random_plan(n_samples: int, fs: float, rng: Rng) -> Plan:
    """Random plan of a page for a record of ``n_samples`` at ``fs`` Hz, at least 5 s; all times are whole samples."""
    seconds = n_samples / fs
    name = pick(LAYOUT_SHARES, rng)
    columns = LAYOUT_OF[name].columns
    shares = STRIP_SHARES.get(name, (1.0,))
    n_strips = int(rng.choice(len(shares), p=shares))
    panel: PanelKind = pick(PANEL_SHARES, rng)
    speed, gain = pick(SPEEDS, rng), pick(GAINS, rng)
    chest_gain = gain / 2 if rng.random() < 0.08 and gain > 5 else None
    kind = _column_times(len(columns), rng)
    times, starts, gap = _place_columns(len(columns), kind, speed, (n_samples, fs), panel, rng)
    end = starts[-1] + (times[-1][1] - times[-1][0]) * speed
    strip_time, strip_times = (
        (None, "none") if not n_strips else _strip_time(end / speed, times, seconds, rng)
    )
    base = name.removesuffix("+1")
    return Plan(
        layout=f"{base}+{n_strips}" if n_strips else base,
        columns=columns,
        strips=_strip_leads(n_strips, rng),
        speed=speed,
        gain=gain,
        chest_gain=chest_gain,
        panel=panel,
        times=times,
        starts=starts,
        column_times=kind,
        strip_time=strip_time,
        strip_times=strip_times,  # type: ignore[arg-type]
        gap=gap,
    )


def pick(shares: Mapping[Key, float], rng: Rng) -> Key:
    """One of the keys at random, by their shares."""
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _column_times(count: int, rng: Rng) -> ColumnTimes:
    if count == 1:
        return "consecutive"
    shares: dict[ColumnTimes, float] = {"consecutive": 0.72, "simultaneous": 0.28}
    if count == 2:
        shares = {"consecutive": 0.55, "simultaneous": 0.3, "whole record": 0.15}
    return pick(shares, rng)


def _place_columns(
    count: int, kind: ColumnTimes, speed: float, record: tuple[int, float], panel: PanelKind, rng: Rng
) -> tuple[tuple[Interval, ...], tuple[float, ...], str]:
    """Times and starts, mm, of the columns, and the kind of the gap between them; ``record``: samples and rate, Hz."""
    n_samples, fs = record
    seconds = n_samples / fs
    whole = kind == "whole record"
    lengths = np.full(count, seconds) if whole else _column_lengths(count, kind, speed, seconds, rng)
    lengths = np.floor(lengths * fs) / fs
    gap, blank, lost = "none", 0.0, 0.0
    chance = rng.random()
    if panel in ("cells", "columns"):
        gap, blank = "panels", float(rng.uniform(1.5, 14))
    elif chance < 0.17:
        gap, blank = "blank", float(rng.uniform(0.4, 8))
    elif chance < 0.37:
        gap, lost = (
            "drawn short",
            max(round(float(np.exp(rng.uniform(np.log(0.008), np.log(0.16)))) * fs), 1) / fs,
        )
    total = float(lengths.sum()) if kind == "consecutive" else float(lengths.max())
    slack = max(n_samples - round(total * fs), 0)
    first = float(rng.integers(slack + 1)) / fs if rng.random() < 0.25 else 0.0
    before = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    t0 = first + (before if kind == "consecutive" else np.zeros(count))
    x = before * speed + blank * np.arange(count)
    times = tuple((float(a), float(a + n - lost)) for a, n in zip(t0, lengths, strict=True))
    return times, tuple(float(v) for v in x), gap


def _column_lengths(count: int, kind: ColumnTimes, speed: float, seconds: float, rng: Rng) -> np.ndarray:
    """Seconds of each column."""
    each = seconds / count
    if count == 1 and rng.random() < 0.35:
        each *= float(rng.uniform(0.45, 1.0))
    if speed > 25 and rng.random() < 0.7:
        each /= 2
    if kind == "simultaneous" and count > 2 and rng.random() < 0.2:
        each = float(rng.uniform(1.5, 4.0))
    if rng.random() < 0.25:  # an odd width, such as 62 mm
        each *= float(rng.uniform(0.9, 1.0))
    each = max(each, MIN_COLUMN_S)
    lengths = np.full(count, each)
    chance = rng.random()
    if count > 1 and chance < 0.06:
        lengths *= rng.uniform(0.85, 1.0, count)
    elif count > 1 and chance < 0.11:  # the paper or the window ends before the last column does
        lengths[-1] *= float(rng.uniform(0.6, 0.98))
    return lengths


def _strip_time(
    length: float, times: tuple[Interval, ...], seconds: float, rng: Rng
) -> tuple[Interval, StripTimes]:
    """Time of strips ``length`` s long, at most: that of the columns, or one after them."""
    if rng.random() < 0.8:
        first = times[0][0]
        return (first, min(first + length, seconds)), "same"
    first = seconds + float(rng.uniform(0.3, 2.0))
    return (first, first + min(length, seconds)), "other"


def _strip_leads(count: int, rng: Rng) -> Names:
    if count == 1 and rng.random() < 0.6:
        return ("II",)
    if count == 1 and rng.random() < 0.5:
        return ("V1",)
    if count == 3 and rng.random() < 0.7:
        usual = ("V1", "II", "V5"), ("II", "V1", "V5"), ("II", "V2", "V5"), ("I", "II", "III")
        return usual[int(rng.integers(len(usual)))]
    return tuple(str(lead) for lead in rng.choice(np.array(LEADS), count, replace=False))
