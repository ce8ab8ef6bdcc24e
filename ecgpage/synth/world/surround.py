"""What stands around the leads: panels with grids, frames, axes, header and footer. Lengths in mm."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ecgpage.core.types import Rng
from ecgpage.synth.page.looks import code_stamp
from ecgpage.synth.page.model import Bar, Box, Color, Stamp
from ecgpage.synth.world import texts
from ecgpage.synth.world.grids import Palette, as_color
from ecgpage.synth.world.model import Frame, GridPanel, GridStyle, Label, LabelKind
from ecgpage.synth.world.plan import Plan
from ecgpage.synth.world.rows import Body

Block = tuple[LabelKind, list[str]]
"""Lines of one kind of words, which stand below each other."""
Level = tuple[Box, float, float]
"""Box of a row, page y of its 0 mV, gain, mm/mV."""
TICK_STEPS: Final = (0.2, 0.5, 1.0, 1.0, 2.0)
"""Distances, s, of the ticks of a time axis."""


@dataclass(frozen=True)
class Writing:
    """How words are printed."""

    font: str
    size: float
    color: Color | None = None


@dataclass
class Surround:
    """Things around the leads, in the order in which they were added."""

    panels: list[GridPanel] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)

    def write(
        self, text: str, x: float, y: float, writing: Writing, kind: LabelKind, *, turned: bool = False
    ) -> None:
        """Add a text whose baseline starts at (x, y)."""
        if text.strip():
            self.labels.append(
                Label(text, x, y, writing.size, writing.font, writing.color, kind=kind, turned=turned)
            )


# --- panels ---------------------------------------------------------------------------------------------------


def panel_boxes(plan: Plan, body: Body, ends: Sequence[Box], sheet: Box, whole: Box) -> list[Box]:
    """Boxes of the panels: ``ends`` are those of the segments, ``sheet`` the paper, ``whole`` that of all rows."""
    half = body.step / 2
    x0, _, x1, _ = whole
    if plan.panel == "sheet":
        return [sheet]
    if plan.panel == "below header":
        return [(sheet[0], whole[1], sheet[2], sheet[3])]
    if plan.panel in ("frame", "short frame"):
        return [whole]
    if plan.panel == "rows":
        return [(x0, float(y) - 0.46 * body.step, x1, float(y) + 0.46 * body.step) for y in body.baselines]
    if plan.panel == "cells":
        return list(ends)
    count = len(plan.columns)
    top, bottom = whole[1], float(body.baselines[len(plan.columns[0]) - 1]) + half
    boxes = [
        (ends[k * len(plan.columns[0])][0], top, ends[k * len(plan.columns[0])][2], bottom)
        for k in range(count)
    ]
    if plan.strips:
        boxes.append((x0, bottom + 0.06 * body.step, x1, whole[3]))
    return boxes


def grid_panels(
    boxes: Sequence[Box],
    style: GridStyle | None,
    pitch: tuple[float, float],
    palette: Palette,
    at: tuple[float, float],
    rng: Rng,
) -> list[GridPanel]:
    """Panels with one grid, counted from ``at``, from the corner of each box, or from anywhere."""
    fill: Color | None = None
    if rng.random() < 0.12 and not palette.is_dark:
        fill = as_color(rng.uniform(236, 255, 3))
    origin = str(rng.choice(["trace", "corner", "anywhere"], p=[0.3, 0.45, 0.25]))
    shift = rng.uniform(0, 5, 2)
    panels = []
    for box in boxes:
        corner = {"trace": at, "corner": (box[0], box[3]), "anywhere": (float(shift[0]), float(shift[1]))}[
            origin
        ]
        blank = replace(GridStyle(), major_kind="none", minor_kind="none")
        panels.append(GridPanel(box, corner, style or blank, pitch, fill))
    return panels


def add_frames(around: Surround, boxes: Sequence[Box], palette: Palette, chance: float, rng: Rng) -> str:
    """Frame the panels, or not; returns the kind of frame."""
    kind = str(rng.choice(["none", "ink", "coloured"], p=[1 - chance, 0.65 * chance, 0.35 * chance]))
    if kind != "none":
        color = None if kind == "ink" else _towards(palette, (220, 120, 120), float(rng.uniform(0, 0.5)))
        width = float(rng.uniform(0.1, 0.5))
        around.frames += [Frame(box, width, color) for box in boxes]
    return kind


def _towards(palette: Palette, color: Color, part: float) -> Color:
    red, green, blue = (c + (p - c) * part for c, p in zip(color, palette.paper, strict=True))
    return red, green, blue


# --- axes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """Axis of time below a panel."""

    box: Box
    x0: float
    """Page x of the time ``t0``."""
    x1: float
    t0: float
    speed: float


def add_axes(
    around: Surround,
    axes: Sequence[Axis],
    levels: Sequence[Level],
    writing: Writing,
    rng: Rng,
) -> None:
    """Ticks with numbers below the panels, and of mV beside them.

    ``levels``: for each row of a panel its box, the page y of 0 mV and the gain, mm/mV.
    """
    step = float(rng.choice(TICK_STEPS))
    form = str(rng.choice(["{:g}", "{:g}s", "{:g} s", "{:.1f}"]))
    out = bool(rng.random() < 0.7)
    length = float(rng.uniform(0.5, 1.5))
    numbers = rng.random() < 0.9
    for axis in axes:
        last = -1e9
        for k in range(int((axis.x1 - axis.x0) / axis.speed / step + 1e-6) + 1):
            x, y = axis.x0 + k * step * axis.speed, axis.box[3]
            around.bars.append(
                Bar((x - 0.06, y, x + 0.06, y + length) if out else (x - 0.06, y - length, x + 0.06, y))
            )
            text = form.format(axis.t0 + k * step)
            width = 0.6 * writing.size * len(text)
            if numbers and x - width / 2 > last:
                around.write(text, x - width / 2, y + length + 1.1 * writing.size, writing, "tick")
                last = x + width / 2 + 1.0
    if rng.random() < 0.4 and axes:
        word = str(rng.choice(["time (s)", "Time [s]", "seconds", "s", "t / s"]))
        middle = (axes[0].box[0] + axes[-1].box[2]) / 2
        around.write(word, middle, axes[-1].box[3] + length + 2.4 * writing.size, writing, "axis")
    if rng.random() < 0.45:
        _add_levels(around, levels, writing, length, rng)


def _add_levels(around: Surround, levels: Sequence[Level], writing: Writing, length: float, rng: Rng) -> None:
    step = float(rng.choice([0.5, 1.0]))
    for box, zero, gain in levels:
        lowest, highest = int(np.ceil((zero - box[3]) / gain / step)), int((zero - box[1]) / gain / step)
        if highest - lowest > 12:
            continue
        for k in range(lowest, highest + 1):
            y = zero - k * step * gain
            around.bars.append(Bar((box[0] - length, y - 0.06, box[0], y + 0.06)))
            text = f"{k * step:g}"
            x = box[0] - length - 0.6 * writing.size * len(text) - 0.4
            if step * gain > 1.2 * writing.size:
                around.write(text, x, y + 0.35 * writing.size, writing, "tick")
        if rng.random() < 0.4:
            word = str(rng.choice(["mV", "ECG (mV)", "Amplitude [mV]"]))
            around.write(
                word,
                box[0] - length - 4.5 * writing.size,
                (box[1] + box[3]) / 2,
                writing,
                "axis",
                turned=True,
            )


def add_ruler(around: Surround, x0: float, x1: float, y: float, step: float) -> None:
    """Row of small ticks along the paper's lower edge, every fifth of them longer."""
    for k in range(int((x1 - x0) / step) + 1):
        x = x0 + k * step
        around.bars.append(Bar((x - 0.06, y - (1.6 if k % 5 == 0 else 0.8), x + 0.06, y)))


# --- header and footer ----------------------------------------------------------------------------------------


def header_blocks(language: str, rng: Rng) -> list[Block]:
    """Blocks of lines that stand beside each other above the rows."""
    blocks: list[Block] = []
    if rng.random() < 0.85:
        blocks.append(("header", texts.patient_lines(language, rng)))
    if rng.random() < 0.7:
        blocks.append(("measurement", texts.measurement_lines(language, rng)))
    if rng.random() < 0.6:
        blocks.append(("interpretation", texts.interpretation_lines(language, rng)))
    return blocks


def add_header(around: Surround, blocks: Sequence[Block], box: Box, writing: Writing, rng: Rng) -> None:
    """Write a title and the blocks into a box above the rows."""
    x0, y0, x1, y1 = box
    line = writing.size * float(rng.uniform(1.15, 1.5))
    top = y0 + writing.size * 1.2
    if rng.random() < 0.5:
        title = replace(writing, size=writing.size * float(rng.uniform(1.0, 1.8)))
        top += title.size * 0.4
        around.write(
            str(rng.choice(texts.TITLES)), x0 + float(rng.uniform(0, 0.6)) * (x1 - x0), top, title, "header"
        )
        top += line
        if rng.random() < 0.3:
            around.bars.append(
                Bar((x0, top - 0.6 * line, x1, top - 0.6 * line + float(rng.uniform(0.1, 1.0))))
            )
    at = x0 + float(rng.uniform(0, 5))
    for kind, lines in blocks:
        room = max(int((y1 - top) / line) + 1, 1)
        for k, text in enumerate(lines[:room]):
            around.write(text, at, top + k * line, writing, kind)
        widest = max(len(text) for text in lines[:room])
        at += 0.55 * writing.size * widest + float(rng.uniform(5, 30))
    if rng.random() < 0.1 and y1 - y0 > 12:
        around.stamps.append(code_stamp(x1 - 25, y0 + 1, min(18.0, y1 - y0 - 2), rng))
    if rng.random() < 0.12 and y1 - y0 > 14:
        around.bars += list(_logo(x1 - float(rng.uniform(20, 60)), y0 + 2, rng))


def _logo(x: float, y: float, rng: Rng) -> Iterator[Bar]:
    """Coloured blocks, as makers' signs."""
    for k in range(int(rng.integers(1, 4))):
        color = as_color(rng.integers(0, 256, 3))
        yield Bar((x + 7 * k, y, x + 7 * k + 6, y + 8), color)


def add_footer(around: Surround, scale: str, box: Box, writing: Writing, rng: Rng) -> None:
    """Write a line below the rows, with ``scale`` in it."""
    x = box[0] + float(rng.uniform(0, 0.4)) * (box[2] - box[0])
    y = box[1] + writing.size * float(rng.uniform(1.1, 1.8))
    around.write(scale, x, y, writing, "scale")
    if rng.random() < 0.2:
        around.write(f"Page {rng.integers(1, 3)} of 2", box[2] - 6 * writing.size, y, writing, "footer")
    if rng.random() < 0.2:
        around.write(texts.invent_date(rng), box[0], y + 1.4 * writing.size, writing, "footer")
    if rng.random() < 0.1:
        around.write(
            texts.brand_line(rng), box[0] + 0.4 * (box[2] - box[0]), y + 1.4 * writing.size, writing, "brand"
        )
