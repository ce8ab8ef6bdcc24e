"""Invent a device's page: every kind of look is chosen by itself, and all of them are combined freely.

Lengths are mm of the page, see ``model``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import LEADS, canonical_lead
from ecgpage.core.types import Rng
from ecgpage.synth.page.looks import random_plotter
from ecgpage.synth.page.model import Box, Color, Paper
from ecgpage.synth.page.text import DEVICE_FONTS, FONTS
from ecgpage.synth.world import rows, surround, texts
from ecgpage.synth.world.extras import add_extras
from ecgpage.synth.world.grids import Palette, as_color, faxed, random_grid_style, random_palette
from ecgpage.synth.world.model import DevicePage, GridStyle, Place
from ecgpage.synth.world.names import random_spelling
from ecgpage.synth.world.plan import Plan, pick, random_plan
from ecgpage.synth.world.surround import Block, Surround, Writing

SCALES: Final = (
    72 / 25.4,
    96 / 25.4,
    100 / 25.4,
    120 / 25.4,
    150 / 25.4,
    200 / 25.4,
    300 / 25.4,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
)
"""Usual resolutions, px/mm."""
SCALE_RANGE: Final = (2.5, 16.0)
"""Resolutions, px/mm, that are drawn."""
MAX_SIDE_PX: Final = 5000
MIN_SIDE_PX: Final = 600
MIN_EM_PX: Final = 7.5
"""Size, px, of printed words, at least."""
MAX_STRETCH: Final = 0.02
"""Difference of the scales along x and y, at most."""
P_WIDE_GRID: Final = 0.15
P_STRETCH: Final = 0.25
WIDE_GRID: Final = 0.015
"""Part by which a grid is printed too wide or narrow, at most."""
SCALE_PLACES: Final = {"none": 0.3, "footer": 0.38, "header": 0.1, "above rows": 0.14, "beside strip": 0.08}
UNICODE_FONTS: Final = frozenset(name for name in FONTS if name.startswith("DejaVu"))
"""Fonts that know subscripts."""


@dataclass(frozen=True)
class _Looks:
    """Choices that do not depend on each other's places."""

    plan: Plan
    palette: Palette
    pulse: rows.PulseLook
    scale: float
    """Resolution, px/mm."""
    names: rows.NameLook
    writing: Writing
    grid_kind: str
    grid: GridStyle | None
    pitch: tuple[float, float]
    """Page mm per printed mm of the grid along x and y."""
    blocks: Sequence[Block]
    """Blocks of lines of the header."""
    scale_place: str

    @property
    def small(self) -> Writing:
        """Writing of numbers on axes."""
        return replace(self.writing, size=max(0.8 * self.writing.size, MIN_EM_PX / self.scale))


@dataclass(frozen=True)
class _Sheet:
    """Places of the parts of a page, and its leads."""

    paper: Box
    whole: Box
    """Box around all rows."""
    header: Box
    footer: Box
    body: rows.Body
    ends: tuple[Box, ...]
    """Box of each lead."""


def invent_device_page(
    n_samples: int,
    fs: float,
    rng: Rng,
    *,
    lead_names: Sequence[str] = LEADS,
    p_dark: float = 0.1,
    is_fax: bool = False,
) -> DevicePage:
    """Random page for a record of ``n_samples`` at ``fs`` Hz; it may draw samples beyond the record's end, where
    ``picture.lengthened`` goes on with it. ``is_fax``: on white paper, in black, with a grid that leaves room for traces.
    """
    looks = _choose_looks(n_samples, fs, p_dark, is_fax, rng)
    channel = {name: k for k, name in enumerate(map(canonical_lead, lead_names)) if name is not None}
    sheet, said = _place(looks, fs, channel, rng)
    around = Surround()
    boxes = _add_panels(looks, sheet, around, rng)
    said["axes"] = _add_axes(looks, sheet, boxes, around, rng)
    chance = {"sheet": 0.12, "below header": 0.3}.get(looks.plan.panel, 0.65)
    said["frame"] = surround.add_frames(around, boxes, looks.palette, chance, rng)
    _write(looks, sheet, around, rng)
    said["extras"] = add_extras(around, looks.plan, sheet.body, sheet.whole, looks.palette, looks.small, rng)
    return _as_page(looks, sheet, boxes, around, said, fs, rng)


def _choose_looks(n_samples: int, fs: float, p_dark: float, is_fax: bool, rng: Rng) -> _Looks:
    plan = random_plan(n_samples, fs, rng)
    palette = random_palette(rng, p_dark=p_dark)
    if is_fax:
        palette = Palette("black ink", (255.0, 255.0, 255.0), (0.0, 0.0, 0.0))
    pulse = rows.random_pulse(plan, rng)
    scale = _random_scale(plan.length + 2 * pulse.reach + 20, rng)
    grid_kind, grid = random_grid_style(palette, scale, rng)
    if is_fax and grid is not None:
        grid = faxed(grid, rng)
    size = max(float(rng.uniform(1.8, 4.0)), MIN_EM_PX / scale)
    pitch = np.ones(2)
    if rng.random() < P_WIDE_GRID:
        pitch += rng.uniform(-WIDE_GRID, WIDE_GRID, 2) * (1.0, float(rng.random() < 0.7))
    return _Looks(
        plan,
        palette,
        pulse,
        scale,
        _random_names(rng, scale),
        Writing(str(rng.choice((*FONTS, *DEVICE_FONTS))), size),
        grid_kind,
        grid,
        (float(pitch[0]), float(pitch[1])),
        surround.header_blocks(texts.random_language(rng), rng) if rng.random() < 0.7 else (),
        pick(SCALE_PLACES, rng),
    )


def _place(looks: _Looks, fs: float, channel: dict[str, int], rng: Rng) -> tuple[_Sheet, dict[str, str]]:
    """Places of everything, and what was chosen."""
    plan, pulse, names, size = looks.plan, looks.pulse, looks.names, looks.writing.size
    baselines, closeness = rows.random_baselines(plan, rng)
    step = float(np.diff(baselines).mean()) if len(baselines) > 1 else 30.0
    names = replace(names, height=rows.name_height(names.place, step, names.size, rng))
    reach = 0.0 if pulse.place in ("right", "none") else pulse.reach
    reach += 3.5 * names.size if names.place == "margin" else 0.0
    margins = rng.uniform(0, (18, 18, 12, 12)) * (rng.random(4) < 0.75)
    inset = rng.uniform(0, (8, 8)) * (rng.random(2) < 0.7)
    left = float(margins[0] + inset[0] + reach)
    header = float(rng.uniform(8, 55)) if looks.blocks else float(rng.choice([0.0, rng.uniform(0, 8)]))
    above = names.height + names.size if names.place != "below" else 0.0
    head, foot = max(step * float(rng.uniform(0.35, 0.9)), above), step * float(rng.uniform(0.35, 0.8))
    baselines = baselines + float(margins[2] + header + head)
    top, bottom = float(baselines[0]) - head, float(baselines[-1]) + foot
    right = left + plan.length + (pulse.reach if pulse.place == "right" else 0.0) + float(inset[1])
    whole = (left - reach - float(inset[0]), top, right, bottom)
    width = right + float(margins[1])
    height = bottom + float(rng.uniform(2.2, 5)) * size + float(margins[3])
    segments, places, levels = rows.place_leads(plan, baselines, left, names, (fs, channel), rng)
    half, pad = 0.46 * step, float(rng.uniform(0, 1.0)) if rng.random() < 0.5 else 0.0
    return _Sheet(
        paper=(0.0, 0.0, width, height),
        whole=whole,
        header=(whole[0], float(margins[2]), right, top),
        footer=(whole[0], bottom, right, height),
        body=rows.Body(segments, places, baselines, left, step, names.size),
        ends=tuple(
            (
                s.x0 - pad,
                s.baseline - half,
                s.x0 + (s.stop - s.start) * plan.speed / fs + pad,
                s.baseline + half,
            )
            for s in segments
        ),
    ), {"rows": closeness, "levels": levels}


def _as_page(
    looks: _Looks,
    sheet: _Sheet,
    boxes: Sequence[Box],
    around: Surround,
    said: dict[str, str],
    fs: float,
    rng: Rng,
) -> DevicePage:
    """The model of the page: traces, pulses and separators, with all that stands around them."""
    plan, palette, body = looks.plan, looks.palette, sheet.body
    trace_width = _trace_width(looks.scale, rng)
    color = looks.grid.major if looks.grid else palette.ink
    line = trace_width * float(rng.uniform(0.8, 2.5))
    separator, ticks, bars = rows.draw_separators(
        plan, body, (sheet.whole[1], sheet.whole[3]), line, color, rng
    )
    pulses, pulse_boxes = rows.draw_pulses(plan, looks.pulse, body, trace_width)
    clips = _clips(plan, boxes, body.places, rng)
    crisp = bool(rng.random() < 0.6)
    stretch = np.ones(2)
    if rng.random() < P_STRETCH:
        stretch += rng.uniform(-MAX_STRETCH / 2, MAX_STRETCH / 2, 2)
    said |= {
        "separator": separator,
        "clipped": "yes" if any(clips) else "no",
        "crisp": "yes" if crisp else "no",
    }
    said |= {"stretch": "yes" if stretch[0] != 1 else "no"}
    return DevicePage(
        layout=plan.layout,
        fs=fs,
        speed=plan.speed,
        gain=plan.gain,
        paper=Paper(sheet.paper[2], sheet.paper[3], palette.paper),
        grid=None,
        ink=palette.ink,
        trace_width=trace_width,
        wear=float(rng.uniform(0.1, 0.7)) if rng.random() < 0.06 and not palette.is_dark else 0.0,
        plotter=random_plotter(rng) if rng.random() < 0.12 else None,
        name_size=looks.names.size,
        name_font=looks.names.font,
        segments=body.segments,
        pulses=pulses,
        separators=ticks,
        bars=(*around.bars, *bars),
        texts=tuple(around.labels),
        stamps=tuple(around.stamps),
        panels=tuple(around.panels),
        frames=(*around.frames, *pulse_boxes),
        places=_inked(body.places, clips, palette, rng),
        name_ink=_name_ink(palette, rng),
        crisp=crisp,
        jagged=bool(crisp and rng.random() < 0.25),
        stretch=(float(stretch[0]), float(stretch[1])),
        px_per_mm=looks.scale,
        column_times=plan.column_times,
        strip_times=plan.strip_times,
        choices={**_name_choices(looks), **said},
    )


def _name_choices(looks: _Looks) -> dict[str, str]:
    """What was chosen, in words."""
    plan = looks.plan
    gain = f"{plan.gain:g}" if plan.chest_gain is None else f"{plan.gain:g}/{plan.chest_gain:g}"
    return {
        "layout": plan.layout,
        "columns": plan.column_times,
        "strip": plan.strip_times,
        "gap": plan.gap,
        "panel": plan.panel,
        "grid": looks.grid_kind,
        "palette": looks.palette.name,
        "names": looks.names.place,
        "spelling": looks.names.spelling.name,
        "strip name": looks.names.spelling.strip if plan.strips else "none",
        "pulse": looks.pulse.place,
        "scale text": looks.scale_place,
        "speed": f"{plan.speed:g}",
        "gain": gain,
        "wide grid": "yes" if looks.pitch != (1.0, 1.0) else "no",
    }


def _random_scale(width: float, rng: Rng) -> float:
    """Scale, px/mm, of a page of about ``width`` mm: a usual resolution, whole pixels, or any."""
    low, high = max(SCALE_RANGE[0], MIN_SIDE_PX / width), min(SCALE_RANGE[1], MAX_SIDE_PX / width)
    if rng.random() < 0.4:
        usual = [s for s in SCALES if low <= s <= high]
        if usual:
            return usual[int(rng.integers(len(usual)))]
    scale = float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))
    return float(round(scale)) if rng.random() < 0.25 and scale > 3 else scale


def _random_names(rng: Rng, scale: float) -> rows.NameLook:
    font = str(rng.choice((*FONTS, *DEVICE_FONTS)))
    size = max(float(rng.uniform(2.0, 5.0)), MIN_EM_PX / scale)
    place = pick(rows.NAME_SHARES, rng)
    spelling = random_spelling(rng, unicode=font in UNICODE_FONTS)
    return rows.NameLook(place, spelling, size, font, 0.0, float(rng.uniform(-1, 6)))


def _trace_width(scale: float, rng: Rng) -> float:
    """Random width, mm: a hairline, the usual, or a brush."""
    kind = rng.random()
    if kind < 0.25:
        return 1 / scale
    if kind < 0.9:
        return float(np.exp(rng.uniform(np.log(0.15), np.log(0.5))))
    return float(rng.uniform(0.5, 0.9))


def _add_panels(looks: _Looks, sheet: _Sheet, around: Surround, rng: Rng) -> list[Box]:
    """Add the panels; returns their boxes."""
    whole = sheet.whole
    if looks.plan.panel == "short frame":  # traces run out of the grid
        height, width = whole[3] - whole[1], whole[2] - whole[0]
        cut = rng.uniform(0, (0.03, 0.12, 0.03, 0.08)) * (width, height, width, height)
        whole = whole[0] + cut[0], whole[1] + cut[1], whole[2] - cut[2], whole[3] - cut[3]
    boxes = surround.panel_boxes(looks.plan, sheet.body, sheet.ends, sheet.paper, whole)
    at = sheet.body.left, float(sheet.body.baselines[0])
    around.panels += surround.grid_panels(boxes, looks.grid, looks.pitch, looks.palette, at, rng)
    return boxes


def _add_axes(looks: _Looks, sheet: _Sheet, boxes: Sequence[Box], around: Surround, rng: Rng) -> str:
    """Axes of the panels, or none; returns their kind."""
    plan, body = looks.plan, sheet.body
    chance = {"cells": 0.75, "columns": 0.6, "rows": 0.5, "frame": 0.2}.get(plan.panel, 0.0)
    if rng.random() >= chance:
        return "none"
    from_zero, lowest_only = bool(rng.random() < 0.7), bool(rng.random() < 0.6)
    axes: list[surround.Axis] = []
    levels: list[surround.Level] = []
    lowest = len(plan.columns[0]) - 1
    for segment, place, end in zip(body.segments, body.places, sheet.ends, strict=True):
        box = end if plan.panel == "cells" else _box_at(boxes, segment.x0, segment.baseline)
        levels.append((box, segment.baseline, abs(segment.gain)))
        hidden = place.row != lowest and place.column is not None
        if (hidden and (plan.panel in ("columns", "frame") or (plan.panel == "cells" and lowest_only))) or (
            plan.panel == "rows" and place.column not in (0, None)
        ):
            continue
        t0, t1 = plan.times[place.column] if place.column is not None else plan.strip_time or (0.0, 0.0)
        x1 = segment.x0 + (plan.length if plan.panel == "rows" else (t1 - t0) * plan.speed)
        axes.append(surround.Axis(box, segment.x0, x1, 0.0 if from_zero else t0, plan.speed))
    surround.add_axes(around, axes, levels if plan.panel in ("cells", "rows") else (), looks.small, rng)
    return "from 0" if from_zero else "of the record"


def _box_at(boxes: Sequence[Box], x: float, y: float) -> Box:
    """The box that holds a point, or the first."""
    return next((b for b in boxes if b[0] - 1 <= x <= b[2] and b[1] <= y <= b[3]), boxes[0])


def _write(looks: _Looks, sheet: _Sheet, around: Surround, rng: Rng) -> None:
    """Write header, footer and the printed scale."""
    plan, body, writing, place = looks.plan, sheet.body, looks.writing, looks.scale_place
    seconds = round(plan.times[0][1] - plan.times[0][0], 1)
    words = texts.layout_words(len(plan.columns), len(plan.columns[0]), seconds, len(plan.strips), rng)
    scale = texts.scale_line(plan.speed, plan.gain, plan.chest_gain, rng, layout_words=words)
    blocks = [*looks.blocks]
    if place == "header":
        blocks.append(("scale", [scale]))
    if blocks:
        surround.add_header(around, blocks, sheet.header, writing, rng)
    if place == "footer" or rng.random() < 0.3:
        surround.add_footer(around, scale if place == "footer" else "", sheet.footer, writing, rng)
    x = body.left + float(rng.uniform(0, 0.3)) * plan.length
    if place == "above rows":
        y = sheet.whole[1] + (1.2 if rng.random() < 0.6 else -0.5) * writing.size
        around.write(scale, x, y, writing, "scale")
    elif place == "beside strip":
        y = float(body.baselines[-1]) - float(rng.uniform(0.25, 0.5)) * body.step
        around.write(scale, x, y, writing, "scale")
    if rng.random() < 0.06:
        brand = texts.brand_line(rng)
        around.write(brand, sheet.paper[2] - 1.2, sheet.whole[3] - 5, writing, "brand", turned=True)


def _clips(plan: Plan, boxes: Sequence[Box], places: Sequence[Place], rng: Rng) -> list[Box | None]:
    """Box that cuts each trace off; None where it may run out of its panel."""
    if plan.panel in ("sheet", "below header", "short frame") or rng.random() < 0.5:
        return [None] * len(places)
    if plan.panel == "cells":
        return list(boxes)
    if plan.panel == "rows":
        return [boxes[place.row] for place in places]
    if plan.panel == "columns":
        return [boxes[place.column] if place.column is not None else boxes[-1] for place in places]
    return [boxes[0]] * len(places)


def _inked(
    places: Sequence[Place], clips: Sequence[Box | None], palette: Palette, rng: Rng
) -> tuple[Place, ...]:
    """Places with clips and, on a few pages, traces of several colours."""
    inks: list[Color | None] = [None] * len(places)
    if rng.random() < 0.07:
        low, high = (120, 256) if palette.is_dark else (0, 170)
        colors = rng.integers(low, high, (6, 3))
        inks = [as_color(colors[place.row % 6]) for place in places]
    return tuple(replace(p, clip=c, ink=i) for p, c, i in zip(places, clips, inks, strict=True))


def _name_ink(palette: Palette, rng: Rng) -> Color | None:
    if rng.random() < 0.8:
        return None
    colors = (
        ((255, 255, 255), (255, 255, 0))
        if palette.is_dark
        else ((0, 0, 0), (180, 0, 0), (0, 0, 150), (90, 90, 90))
    )
    return as_color(colors[int(rng.integers(len(colors)))])
