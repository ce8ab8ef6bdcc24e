"""Lay the leads out on a page: rows, columns, strips, pulses, separators, names.

Every layout is a row of ``ecgpage.layout.known_layouts``; ``PageStyle`` says how it is printed; ``build_page`` makes
the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from ecgpage.core.conventions import LEADS, EcgPageError, canonical_lead
from ecgpage.layout.known_layouts import CHEST, KNOWN_LAYOUTS
from ecgpage.synth.page.model import (
    BLACK,
    MM_PER_POINT,
    Axis,
    Color,
    Grid,
    Page,
    Paper,
    Pulse,
    Segment,
    Stamp,
    Text,
    Tick,
)


@dataclass(frozen=True)
class Layout:
    """Leads of each column, from the top; all columns have one number of rows."""

    columns: tuple[tuple[str, ...], ...]
    strips: int = 0
    """Number of rhythm strips below, over the full width."""


LAYOUTS: Final[dict[str, Layout]] = {
    known.name: Layout(known.columns, known.strips) for known in KNOWN_LAYOUTS if known.drawn
}
"""Layouts of drawn pages; "-aVR" is drawn upside down, as in the Cabrera order."""


@dataclass(frozen=True)
class PageStyle:
    """Style of a printed page; lengths in mm."""

    layout: str = "3x4+1"
    order: Layout | None = None
    """Leads in the places of the layout; None: those of the layout."""
    strip_leads: tuple[str, ...] = ("II", "V1", "V5")
    speed: float = 25.0
    gain: float = 10.0
    chest_gain: float | None = None
    """Gain, mm/mV, of V1 to V6 where it differs (half gain); None where not."""
    seconds: float = 10.0
    """Time, s, along a row, at most; less is drawn where the paper ends."""
    continuous: bool = True
    """Whether columns follow each other in time; otherwise each starts at 0."""
    paper: Paper = field(default_factory=Paper)
    grid: Grid | None = field(default_factory=Grid)
    left: float = 10.0
    right: float = 8.0
    top: float = 60.0
    """Height, mm, of the header space; rows share the rest."""
    bottom: float = 15.0
    snap_to_grid: bool = True
    """Whether baselines and the first sample sit on 5-mm lines, as on most devices' pages."""
    pulse: Literal["left", "right", "none"] = "left"
    pulse_foot: float = 1.0
    """Length, mm, of the flat line before and after the pulse."""
    pulse_span: float = 5.0
    """Width, mm, of the pulse's top at 25 mm/s: 0.2 s, or half of it; it grows with the speed."""
    separator: Literal["tick", "marks", "dotted", "gap", "none"] = "tick"
    separator_length: float = 6.25
    gap: float = 0.0
    """Width, mm, of the blank between columns."""
    name_place: Literal["below", "above", "left", "none"] = "below"
    name_offset: float = 7.0
    """Distance, mm, of the name's baseline from the lead's baseline."""
    name_size: float = 11 * MM_PER_POINT
    name_font: str = "DejaVuSans"
    ink: Color = BLACK
    trace_width: float = 0.75 * MM_PER_POINT
    texts: tuple[Text, ...] = ()
    stamps: tuple[Stamp, ...] = ()


def build_page(
    style: PageStyle, n_samples: int, fs: float, *, lead_names: Sequence[str] = LEADS, start: int = 0
) -> Page:
    """Model of a page in ``style`` for a record (n_samples, len(lead_names)) at ``fs`` Hz, drawn from
    ``start`` on.

    Raises EcgPageError when the record lacks a lead of the layout or the paper has no room for one second.
    """
    layout = style.order or LAYOUTS[style.layout]
    strips = style.strip_leads[: layout.strips]
    rows = len(layout.columns[0]) + len(strips)
    reach = _pulse_width(style) + 2 * style.pulse_foot
    left = (
        style.left + (reach if style.pulse == "left" else 0.0) + (8.0 if style.name_place == "left" else 0.0)
    )
    if style.snap_to_grid:
        left = np.ceil(left / 5) * 5
    room = style.paper.width - style.right - left - (reach if style.pulse == "right" else 0.0)
    room -= style.gap * (len(layout.columns) - 1)
    seconds = min(style.seconds, room / style.speed, (n_samples - start) / fs)
    if seconds < 1:
        raise EcgPageError(
            f"layout {style.layout}: no room for one second of a record of {n_samples} samples"
        )
    baselines = _baselines(style, rows)
    channel = _channels(lead_names)
    total = int(seconds * fs)
    segments: list[Segment] = []
    for column, leads in enumerate(layout.columns):
        window = _window(column, len(layout.columns), total, style.continuous)
        x0 = left + style.speed / fs * _drawn_before(column, len(layout.columns), total) + column * style.gap
        segments += [
            _segment(style, lead, channel, (start + window[0], start + window[1]), (x0, float(y)))
            for lead, y in zip(leads, baselines, strict=False)
        ]
    segments += [
        _segment(style, lead, channel, (start, start + total), (left, float(y)), strip=True)
        for lead, y in zip(strips, baselines[len(layout.columns[0]) :], strict=True)
    ]
    end = left + total * style.speed / fs + style.gap * (len(layout.columns) - 1)
    return Page(
        layout=style.layout,
        fs=fs,
        speed=style.speed,
        gain=style.gain,
        paper=style.paper,
        grid=style.grid,
        ink=style.ink,
        trace_width=style.trace_width,
        name_size=style.name_size,
        name_font=style.name_font,
        segments=tuple(segments),
        pulses=tuple(_pulses(style, segments, left, end)),
        separators=tuple(_separators(style, segments, left)),
        texts=style.texts,
        stamps=style.stamps,
    )


def _channels(lead_names: Sequence[str]) -> dict[str, int]:
    found = ((canonical_lead(name), k) for k, name in enumerate(lead_names))
    return {name: k for name, k in found if name is not None}


def _baselines(style: PageStyle, rows: int) -> Axis:
    """Page y, mm, of each row's baseline: the middle of its share of the page."""
    step = (style.paper.height - style.top - style.bottom) / rows
    y: Axis = style.top + step * (np.arange(rows, dtype=np.float64) + 0.5)
    if style.snap_to_grid:
        # counted from the bottom edge, like the grid's lines
        bottom = style.grid.area[3] if style.grid and style.grid.area else style.paper.height
        y = bottom - np.round((bottom - y) / 5) * 5
    return y


def _drawn_before(column: int, columns: int, total: int) -> int:
    return round(total * column / columns)


def _window(column: int, columns: int, total: int, continuous: bool) -> tuple[int, int]:
    """First and one past the last sample of a column."""
    first, last = _drawn_before(column, columns, total), _drawn_before(column + 1, columns, total)
    return (first, last) if continuous else (0, last - first)


def _segment(
    style: PageStyle,
    lead: str,
    channel: dict[str, int],
    window: tuple[int, int],
    place: tuple[float, float],
    *,
    strip: bool = False,
) -> Segment:
    """Segment of a lead with its first sample and 0-mV line at ``place``."""
    x0, baseline = place
    name = lead.removeprefix("-")
    if name not in channel:
        raise EcgPageError(f"lead {name} is not in the record: choose another layout than {style.layout}")
    gain = style.chest_gain if style.chest_gain is not None and name in CHEST else style.gain
    offset = {"below": style.name_offset, "above": -style.name_offset, "left": 1.0, "none": 0.0}
    x_name = style.left - 2.0 if style.name_place == "left" and x0 < style.left + 30 else x0 + 0.5
    return Segment(
        lead=name,
        channel=channel[name],
        start=window[0],
        stop=window[1],
        x0=x0,
        baseline=baseline,
        gain=-gain if lead.startswith("-") else gain,
        strip=strip,
        name_at=None if style.name_place == "none" else (x_name, baseline + offset[style.name_place]),
        name=lead,
    )


def _pulse_width(style: PageStyle) -> float:
    """Width, mm, of the pulse's top at the style's speed."""
    return style.pulse_span * style.speed / 25


def _pulses(style: PageStyle, segments: Sequence[Segment], left: float, end: float) -> list[Pulse]:
    """Pulses, one a row, beside its first or last segment."""
    if style.pulse == "none":
        return []
    foot = style.pulse_foot
    span = _pulse_width(style)
    x0 = left - span - 2 * foot if style.pulse == "left" else end
    x = x0 + np.array([0.0, foot, foot + 0.02, foot + span - 0.02, foot + span, span + 2 * foot])
    if foot == 0:
        x += np.array([0.0, 0.01, 0.02, -0.02, -0.01, 0.0])
    height = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    edge = (
        min(s.x0 for s in segments) if style.pulse == "left" else max(s.x0 for s in segments if not s.strip)
    )
    rows = [s for s in segments if s.strip or s.x0 == edge]
    return [Pulse(x, s.baseline - height * abs(s.gain), width=style.trace_width, lead=s.lead) for s in rows]


def _separators(style: PageStyle, segments: Sequence[Segment], left: float) -> list[Tick]:
    half = style.separator_length / 2
    # long lines are as thin as the trace
    width = (3 if style.separator_length < 15 else 1) * style.trace_width
    ticks: list[Tick] = []
    for s in (s for s in segments if s.x0 > left + 1 and not s.strip):
        x, y = s.x0 - style.gap / 2, s.baseline
        if style.separator == "tick":
            ticks.append(Tick(x, y - half, y + half, width, style.snap_to_grid))
        elif style.separator == "marks":
            ticks += [
                Tick(x, y - half - 2, y - half, style.trace_width),
                Tick(x, y + half, y + half + 2, style.trace_width),
            ]
        elif style.separator == "dotted":
            ticks += [
                Tick(x, d, d + 0.3, style.trace_width, False) for d in np.arange(y - half, y + half, 1.0)
            ]
    return ticks
