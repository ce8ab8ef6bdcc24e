"""Clutter that some devices and viewers print between the rows. Lengths in mm."""

from typing import Final

import numpy as np

from ecgpage.core.types import Rng
from ecgpage.synth.page.model import Bar, Color
from ecgpage.synth.world.grids import Palette, as_color
from ecgpage.synth.world.model import Frame
from ecgpage.synth.world.plan import Plan
from ecgpage.synth.world.rows import Body
from ecgpage.synth.world.surround import Surround, Writing

CHANCES: Final = {
    "zero lines": 0.05, "row lines": 0.06, "beat marks": 0.05, "cursors": 0.03, "name boxes": 0.05, "selection": 0.03,
    "side table": 0.05, "crop marks": 0.03,
}  # fmt: skip
"""Chance of each kind on a page."""


def add_extras(
    around: Surround, plan: Plan, body: Body, whole: tuple[float, float, float, float], palette: Palette, writing: Writing,
    rng: Rng,
) -> str:  # fmt: skip
    """Add clutter within the box ``whole`` of all rows; returns its kinds."""
    chosen = [kind for kind, chance in CHANCES.items() if rng.random() < chance]
    faint = _faint(palette, rng)
    x0, y0, x1, y1 = whole
    middles = (body.baselines[:-1] + body.baselines[1:]) / 2
    for kind in chosen:
        if kind == "zero lines":
            around.bars += [Bar((x0, y - 0.05, x1, y + 0.05), faint) for y in body.baselines]
        elif kind == "row lines":
            some = middles if rng.random() < 0.5 else middles[-1:]
            around.bars += [Bar((x0, y - 0.1, x1, y + 0.1), faint) for y in some]
        elif kind == "beat marks":
            _add_beat_marks(around, plan, body, writing, rng)
        elif kind == "cursors":
            for x in rng.uniform(x0, x1, int(rng.integers(1, 4))):
                around.bars.append(Bar((x - 0.1, y0, x + 0.1, y1), as_color(rng.integers(0, 256, 3))))
        elif kind == "name boxes":
            _add_name_boxes(around, body, palette, rng)
        elif kind == "selection":
            a, b = np.sort(rng.uniform(x0, x1, 2))
            around.frames.append(Frame((float(a), y0, float(b), y1), 0.3, as_color(rng.integers(0, 256, 3))))
        elif kind == "side table":
            for k in range(int(rng.integers(3, 9))):
                text = f"{rng.choice(['J', 'ST', 'R', 'S', 'T', 'QTc'])} {rng.uniform(-2, 2):.2f}"
                around.write(text, x1 - 9 * writing.size, y0 + (k + 1) * 1.3 * writing.size, writing, "note")
        else:
            _add_crop_marks(around, whole)
    return ", ".join(chosen) or "none"


def _faint(palette: Palette, rng: Rng) -> Color:
    return _towards_paper(as_color(rng.integers(0, 200, 3)), palette, float(rng.uniform(0.3, 0.7)))


def _towards_paper(color: Color, palette: Palette, part: float) -> Color:
    red, green, blue = (c + (p - c) * part for c, p in zip(color, palette.paper, strict=True))
    return red, green, blue


def _add_beat_marks(around: Surround, plan: Plan, body: Body, writing: Writing, rng: Rng) -> None:
    """Letters and ticks of an annotation above one row, or its intervals in ms."""
    step = float(rng.uniform(0.5, 1.1)) * plan.speed
    y = float(body.baselines[int(rng.integers(len(body.baselines)))]) - 0.4 * body.step
    interval = rng.random() < 0.5
    for x in np.arange(body.left + step / 2, body.left + plan.length, step):
        around.bars.append(Bar((x - 0.08, y, x + 0.08, y + 1.5)))
        around.write(str(rng.integers(500, 1200)) if interval else "N", x + 0.5, y, writing, "note")


def _add_name_boxes(around: Surround, body: Body, palette: Palette, rng: Rng) -> None:
    """Filled boxes under the names."""
    fill = (
        palette.paper
        if rng.random() < 0.5
        else _towards_paper(as_color(rng.integers(0, 256, 3)), palette, 0.7)
    )
    size = body.name_size
    for s in body.segments:
        if s.name_at is not None:
            x, y = s.name_at
            box = (
                x - 0.3 * size,
                y - 0.95 * size,
                x + (0.68 * len(s.name or s.lead) + 0.3) * size,
                y + 0.3 * size,
            )
            around.bars.append(Bar(box, fill))
            if rng.random() < 0.3:
                around.frames.append(Frame(box, 0.15))


def _add_crop_marks(around: Surround, whole: tuple[float, float, float, float]) -> None:
    """Corner marks of printers outside the rows."""
    x0, y0, x1, y1 = whole
    for x in (x0 - 3, x1 + 3):
        for y in (y0 - 3, y1 + 3):
            around.bars += [Bar((x - 2, y - 0.1, x + 2, y + 0.1)), Bar((x - 0.1, y - 2, x + 0.1, y + 2))]
