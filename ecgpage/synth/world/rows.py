"""Put the leads of a plan on the page: rows, names, pulses, separators. Lengths in mm, colours RGB."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Array, Rng
from ecgpage.layout.known_layouts import CHEST
from ecgpage.synth.page.model import Bar, Color, Pulse, Segment, Tick
from ecgpage.synth.world.model import Frame, Place
from ecgpage.synth.world.names import Spelling
from ecgpage.synth.world.plan import Plan, pick

PulsePlace = Literal["none", "left", "right", "left twice", "one below", "one in the middle", "boxed"]
NamePlace = Literal["above", "high", "middle", "baseline", "below", "margin", "end", "none"]

PULSE_SHARES: Final[dict[PulsePlace, float]] = {
    "none": 0.26, "left": 0.38, "right": 0.13, "left twice": 0.06, "one below": 0.06, "one in the middle": 0.05,
    "boxed": 0.06,
}  # fmt: skip
NAME_SHARES: Final[dict[NamePlace, float]] = {
    "above": 0.36, "high": 0.1, "middle": 0.1, "baseline": 0.1, "below": 0.14, "margin": 0.1, "end": 0.05, "none": 0.05,
}  # fmt: skip
P_OWN_LEVELS: Final = 0.08
"""Chance that each lead of a row has a level of its own."""
FLANK: Final = 0.02
"""Width, mm, of the flank of a pulse."""


@dataclass(frozen=True)
class PulseLook:
    """How pulses are printed."""

    place: PulsePlace
    top: float
    """Width of the top."""
    foot: float
    """Length of the flat line before and after it."""
    apart: float
    """Distance of the pulse from the trace."""

    @property
    def width(self) -> float:
        return self.top + 2 * self.foot

    @property
    def reach(self) -> float:
        """Room that the pulses of one row take."""
        if self.place in ("none",):
            return 0.0
        return self.width * (2 if self.place == "left twice" else 1) + self.apart


@dataclass(frozen=True)
class NameLook:
    """How names are printed."""

    place: NamePlace
    spelling: Spelling
    size: float
    font: str
    height: float
    """Distance of the name's baseline from the lead's."""
    inset: float
    """Distance of its start from the start of the lead."""


@dataclass(frozen=True)
class Body:
    """The leads on the page."""

    segments: tuple[Segment, ...]
    places: tuple[Place, ...]
    baselines: Array
    """Page y of each row's 0-mV line."""
    left: float
    """Page x of the first column."""
    step: float
    """Distance of two rows, on average."""
    name_size: float


def random_pulse(plan: Plan, rng: Rng) -> PulseLook:
    """Random pulse: mostly 0.2 s wide, on some devices half as wide or 5 mm at any speed."""
    place = pick(PULSE_SHARES, rng)
    top = 0.2 * plan.speed
    chance = rng.random()
    if chance < 0.15:
        top /= 2
    elif chance < 0.22:
        top = 5.0
    foot = float(rng.choice([0.0, rng.uniform(0.5, 1.5), rng.uniform(1.5, 3.0)], p=[0.15, 0.55, 0.3]))
    apart = 0.0 if rng.random() < 0.35 else float(rng.uniform(0.3, 6))
    return PulseLook(place, top, foot, apart)


def random_baselines(plan: Plan, rng: Rng) -> tuple[Array, str]:
    """Page y of the rows from 0 on, and how close they are: "close", "apart" or "uneven"."""
    height = float(rng.uniform(80, 200))
    step = float(np.clip(height / plan.rows, 6.5, 48))
    kind = "apart"
    if rng.random() < 0.15:
        step, kind = max(step * float(rng.uniform(0.45, 0.75)), 4.0), "close"
    steps = np.full(plan.rows, step)
    if rng.random() < 0.18:
        steps *= rng.uniform(0.6, 1.4, plan.rows)
        kind = "uneven"
    if plan.strips and rng.random() < 0.4:
        steps[len(plan.columns[0]) :] *= float(rng.uniform(0.7, 1.3))
    return np.concatenate([[0.0], np.cumsum(steps[1:])]), kind


def place_leads(
    plan: Plan, baselines: Array, left: float, names: NameLook, record: tuple[float, dict[str, int]], rng: Rng
) -> tuple[tuple[Segment, ...], tuple[Place, ...], str]:
    """Segments of the plan with their names, their places, and whether the leads of a row share one level.

    ``record``: its sampling frequency, Hz, and the column of each lead.
    """
    segments: list[Segment] = []
    places: list[Place] = []
    step = float(np.diff(baselines).mean()) if len(baselines) > 1 else 30.0
    shift = 0.25 * step if rng.random() < P_OWN_LEVELS and len(plan.columns) > 1 else 0.0
    for column, leads in enumerate(plan.columns):
        for row, lead in enumerate(leads):
            at = left + plan.starts[column], float(baselines[row] + shift * rng.uniform(-1, 1))
            segments.append(_segment(plan, lead, column, at, names, record))
            places.append(Place(row, column))
    for k, lead in enumerate(plan.strips):
        row = len(plan.columns[0]) + k
        segments.append(_segment(plan, lead, None, (left, float(baselines[row])), names, record))
        places.append(Place(row, None))
    return tuple(segments), tuple(places), "of each lead" if shift else "of the row"


def _segment(
    plan: Plan,
    lead: str,
    column: int | None,
    at: tuple[float, float],
    names: NameLook,
    record: tuple[float, dict[str, int]],
) -> Segment:
    fs, channel = record
    strip = column is None
    time = plan.strip_time if column is None else plan.times[column]
    assert time is not None
    name = lead.removeprefix("-")
    if name not in channel:
        raise EcgPageError(f"lead {name} is not in the record: choose another layout than {plan.layout}")
    gain = plan.chest_gain if plan.chest_gain is not None and name in CHEST else plan.gain
    start, stop = round(time[0] * fs), round(time[1] * fs)
    x0, baseline = at
    printed = names.spelling.of(lead, strip=strip)
    return Segment(
        lead=name,
        channel=channel[name],
        start=start,
        stop=stop,
        x0=x0,
        baseline=baseline,
        gain=-gain if lead.startswith("-") else gain,
        strip=strip,
        name_at=_name_at(names, printed, at, (stop - start) / fs * plan.speed, is_first=not column),
        name=printed,
    )


def _name_at(
    look: NameLook, name: str, at: tuple[float, float], length: float, *, is_first: bool
) -> tuple[float, float] | None:
    """Start of a name's baseline; None where it is not printed; ``is_first``: whether the margin is beside the lead."""
    x0, y = at
    width = 0.62 * look.size * len(name)  # roughly
    above, beside = y - look.height, y + 0.35 * look.size
    start = x0 + look.inset
    places = {
        "above": (start, above),
        "high": (start, above),
        "below": (start, y + look.height),
        "middle": (x0 + (length - width) / 2, above),
        "baseline": (start, beside),
        "end": (x0 + length - width - look.inset, above),
        "margin": (x0 - width - 1.0, beside) if is_first else (start, above),
    }
    return places.get(look.place)


def name_height(place: NamePlace, step: float, size: float, rng: Rng) -> float:
    """Random distance of a name's baseline from the lead's."""
    most = max(0.85 * step - size, 1.0)
    if place in ("high", "middle"):
        return float(rng.uniform(0.3, 0.85)) * step
    return min(float(rng.uniform(1.5, 11)), most)


# --- pulses ---------------------------------------------------------------------------------------------------


def draw_pulses(
    plan: Plan, look: PulseLook, body: Body, trace_width: float
) -> tuple[tuple[Pulse, ...], tuple[Frame, ...]]:
    """Pulses of the page, and the boxes around them."""
    if look.place == "none":
        return (), ()
    first = [s for s, p in zip(body.segments, body.places, strict=True) if p.column in (0, None)]
    last = [
        s
        for s, p in zip(body.segments, body.places, strict=True)
        if p.column in (len(plan.columns) - 1, None)
    ]
    if look.place in ("one below", "one in the middle"):
        chosen = [first[-1] if look.place == "one below" else first[len(first) // 2]]
    else:
        chosen = last if look.place == "right" else first
    pulses: list[Pulse] = []
    for s in chosen:
        if look.place == "right":
            starts = [_end(plan, body) + look.apart]
        elif look.place == "left twice":
            starts = [body.left - look.apart - 2 * look.width, body.left - look.apart - look.width]
        else:
            starts = [body.left - look.apart - look.width]
        height = abs(s.gain if look.place == "right" or s.strip else plan.gain)
        pulses += [_pulse(look, x, s.baseline, height, trace_width, s.lead) for x in starts]
    frames = [_around(p) for p in pulses] if look.place == "boxed" else []
    return tuple(pulses), tuple(frames)


def _end(plan: Plan, body: Body) -> float:
    return body.left + plan.length


def _pulse(look: PulseLook, x0: float, y: float, height: float, width: float, lead: str) -> Pulse:
    foot = max(look.foot, 2 * FLANK)
    rise = foot + FLANK
    x = x0 + np.array([0.0, foot, rise, look.width - rise, look.width - foot, look.width])
    return Pulse(x, y - height * np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]), width=width, lead=lead)


def _around(pulse: Pulse) -> Frame:
    return Frame(
        (pulse.x[0] - 1.5, float(pulse.y.min()) - 2, pulse.x[-1] + 1.5, float(pulse.y.max()) + 2), 0.2
    )


# --- separators -----------------------------------------------------------------------------------------------


def draw_separators(
    plan: Plan, body: Body, span: tuple[float, float], width: float, color: Color, rng: Rng
) -> tuple[str, tuple[Tick, ...], tuple[Bar, ...]]:
    """Kind of the separators between columns, those in ink, and coloured lines; ``span``: page y of the rows' ends."""
    top, bottom = span
    if len(plan.columns) == 1:
        return "none", (), ()
    kind = str(
        rng.choice(
            ["none", "tick", "marks", "dotted", "full height", "coloured"],
            p=[0.42, 0.16, 0.12, 0.06, 0.16, 0.08],
        )
    )
    half, gap = float(rng.uniform(1.5, 6)), float(rng.uniform(0.5, 3))
    starts = [body.left + x - min(plan_gap(plan, k), 8) / 2 for k, x in enumerate(plan.starts) if k]
    last = float(body.baselines[len(plan.columns[0]) - 1])
    ticks: list[Tick] = []
    bars: list[Bar] = []
    for x in starts:
        if kind == "full height":
            ticks.append(Tick(x, top, min(last + half, bottom), width))
        elif kind == "coloured":
            bars.append(Bar((x - width / 2, top, x + width / 2, bottom), color))
        for y in body.baselines[: len(plan.columns[0])]:
            ticks += _short_separators(kind, x, float(y), half, gap, width)
    return kind, tuple(ticks), tuple(bars)


def plan_gap(plan: Plan, column: int) -> float:
    """Blank, mm, before a column."""
    t0, t1 = plan.times[column - 1]
    return plan.starts[column] - plan.starts[column - 1] - (t1 - t0) * plan.speed


def _short_separators(kind: str, x: float, y: float, half: float, gap: float, width: float) -> Sequence[Tick]:
    if kind == "tick":
        return [Tick(x, y - half, y + half, width)]
    if kind == "marks":
        return [Tick(x, y - gap - half, y - gap, width), Tick(x, y + gap, y + gap + half, width)]
    if kind == "dotted":
        return [Tick(x, d, d + 0.3, width) for d in np.arange(y - half, y + half, 0.9)]
    return []
