"""Truth of a device's page in plain numbers: scales, columns, leads, pulses, words, in image px, page mm and seconds.

Conventions:
    image positions   x right, y down, pixel centres at integers
    boxes             x0, y0, x1, y1 in image positions
    scales            px/mm at the middle of the page, along its x and y
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from ecgpage.synth.page.model import Box, Segment, Text
from ecgpage.synth.scene.page_map import PageMap
from ecgpage.synth.truth import bounds, rectangle
from ecgpage.synth.world.model import ColumnTimes, DevicePage, GridPanel, StripTimes
from ecgpage.synth.world.sheet import Scale, label_patch

REACH_MM: Final = (60.0, 40.0)
"""Farthest, mm, from the middle of a page that its scale is told over."""


@dataclass(frozen=True)
class GridFacts:
    """One panel of printed grid."""

    box: Box
    px_per_mm: tuple[float, float]
    """Pixels of a printed millimetre along the page's x and y."""
    crossing: tuple[float, float]
    """Image position of a crossing of two 5-mm lines."""
    minor_kind: str
    major_kind: str
    dropout: float


@dataclass(frozen=True)
class SegmentFacts:
    """One drawn piece of a lead."""

    lead: str
    row: int
    column: int | None
    """None for a rhythm strip."""
    x0_mm: float
    x1_mm: float
    baseline_mm: float
    start_px: tuple[float, float]
    """Image position of its start, on the 0-mV line."""
    end_px: tuple[float, float]
    t0: float
    """Time, s, of its first sample, from the start of the drawn record."""
    t1: float
    """One sample behind its last."""
    gain: float
    """mm/mV; negative where the lead is drawn upside down."""
    name: str | None
    """Printed name; None where it is not printed."""
    name_box: Box | None
    visible: float
    """Share of its samples that can be seen."""


@dataclass(frozen=True)
class PulseFacts:
    """One calibration pulse."""

    row: int
    box: Box
    width_mm: float
    """Width of its top."""
    height_mm: float


@dataclass(frozen=True)
class TextFacts:
    """One printed text that is not a lead's name."""

    kind: str
    text: str
    box: Box


@dataclass(frozen=True)
class WorldFacts:
    """All that a page shows."""

    layout: str
    speed: float
    """mm/s."""
    gain: float
    """mm/mV."""
    trace_px_per_mm: tuple[float, float]
    """Pixels of 1/25 s at 25 mm/s along x and of 0.1 mV at 10 mm/mV along y, in the mean around the page's middle."""
    column_times: ColumnTimes
    strip_times: StripTimes
    grids: tuple[GridFacts, ...]
    """Panels with a grid; none where the page has no grid."""
    segments: tuple[SegmentFacts, ...]
    pulses: tuple[PulseFacts, ...]
    texts: tuple[TextFacts, ...]
    shape: tuple[int, int]
    """Rows and columns of the picture."""
    middle_px: tuple[float, float]
    """Image position of the page's middle, where the scales are given."""
    corner_mm: tuple[float, float]
    """Page position of the picture's top-left pixel."""
    cut_mm: tuple[float, float]
    """How far the picture's left and right edges lie inside the traces; 0 where they are whole."""
    scene: str
    """How the picture was taken: "screen", "scan", "fax", "photo"."""
    choices: dict[str, str]
    """What was chosen of each kind of look."""

    def to_json(self) -> str:
        """The facts as JSON: dataclasses as objects, boxes as lists."""
        return json.dumps(asdict(self))


def world_facts(
    page: DevicePage,
    page_map: PageMap,
    visible: list[float],
    shape: tuple[int, int],
    scene: str,
    printed: Scale,
) -> WorldFacts:
    """Facts of ``page`` in a picture of ``shape`` (rows, columns).

    ``visible``: share of each segment's samples; ``printed``: scale, px/mm, at which the sheet was drawn, whose whole
    pixels letters advance by.
    """
    middle = page.paper.width / 2, page.paper.height / 2
    starts = [s.x0 for s in page.segments]
    ends = [_end(page, s) for s in page.segments]
    level = float(np.mean([s.baseline for s in page.segments]))
    edges = page_map.image_from_page(np.array([[min(starts), level], [max(ends), level]]))
    scale = scale_at(page_map, middle, usual_reach(page.paper.width, page.paper.height))
    cut = (
        max(-0.5 - float(edges[0, 0]), 0.0) / scale[0],
        max(float(edges[1, 0]) - shape[1] + 0.5, 0.0) / scale[0],
    )
    centre = page_map.image_from_page(np.array([middle]))[0]
    corner = page_map.page_from_image(np.zeros((1, 2)))[0]
    return WorldFacts(
        layout=page.layout,
        speed=page.speed,
        gain=page.gain,
        trace_px_per_mm=scale,
        column_times=page.column_times,
        strip_times=page.strip_times,
        grids=tuple(_grid(page_map, panel) for panel in page.panels if _has_grid(panel)),
        segments=tuple(_segments(page, page_map, visible, printed)),
        pulses=tuple(_pulses(page, page_map)),
        texts=tuple(
            TextFacts(getattr(text, "kind", "header"), text.text, _box(page_map, text_box(text, printed)))
            for text in page.texts
        ),
        shape=shape,
        middle_px=(float(centre[0]), float(centre[1])),
        corner_mm=(float(corner[0]), float(corner[1])),
        cut_mm=cut,
        scene=scene,
        choices=page.choices,
    )


def usual_reach(width: float, height: float) -> tuple[float, float]:
    """How far, mm, from a page's middle its scale is told: paper that a scanner feeds unevenly has another at each mm."""
    return min(REACH_MM[0], 0.4 * width), min(REACH_MM[1], 0.4 * height)


def scale_at(
    page_map: PageMap, page: tuple[float, float], reach: tuple[float, float] = (0.5, 0.5)
) -> tuple[float, float]:
    """Pixels of a page millimetre along the page's x and y, in the mean ``reach`` mm to each side of a page position."""
    x, y = page
    along, down = reach
    around = np.array([[x - along, y], [x + along, y], [x, y - down], [x, y + down]], np.float64)
    seen = page_map.image_from_page(around)
    across = float(np.hypot(*(seen[1] - seen[0]))) / (2 * along)
    return across, float(np.hypot(*(seen[3] - seen[2]))) / (2 * down)


def text_box(text: Text, printed: Scale) -> Box:
    """Inked rectangle, page mm, of a text on a sheet drawn at ``printed`` px/mm."""
    patch, (sx, sy) = label_patch(text, printed), printed
    rows, columns = patch.coverage.shape
    return patch.col / sx, patch.row / sy, (patch.col + columns) / sx, (patch.row + rows) / sy


def _box(page_map: PageMap, box: Box) -> Box:
    return bounds(page_map.image_from_page(rectangle(box)))


def _end(page: DevicePage, segment: Segment) -> float:
    return segment.x0 + (segment.stop - segment.start) * page.speed / page.fs


def _grid(page_map: PageMap, panel: GridPanel) -> GridFacts:
    x0, y0, x1, y1 = panel.box
    scale = scale_at(page_map, ((x0 + x1) / 2, (y0 + y1) / 2), usual_reach(x1 - x0, y1 - y0))
    crossing = page_map.image_from_page(np.array([panel.origin]))[0]
    return GridFacts(
        box=_box(page_map, panel.box),
        px_per_mm=(scale[0] * panel.pitch[0], scale[1] * panel.pitch[1]),
        crossing=(float(crossing[0]), float(crossing[1])),
        minor_kind=panel.style.minor_kind,
        major_kind=panel.style.major_kind,
        dropout=panel.style.dropout,
    )


def _segments(
    page: DevicePage, page_map: PageMap, visible: list[float], printed: Scale
) -> list[SegmentFacts]:
    facts = []
    for segment, place, share in zip(page.segments, page.places, visible, strict=True):
        end = _end(page, segment)
        at = page_map.image_from_page(np.array([[segment.x0, segment.baseline], [end, segment.baseline]]))
        name = page.printed_name(segment)
        facts.append(
            SegmentFacts(
                lead=segment.lead,
                row=place.row,
                column=place.column,
                x0_mm=segment.x0,
                x1_mm=end,
                baseline_mm=segment.baseline,
                start_px=(float(at[0, 0]), float(at[0, 1])),
                end_px=(float(at[1, 0]), float(at[1, 1])),
                t0=segment.start / page.fs,
                t1=segment.stop / page.fs,
                gain=segment.gain,
                name=None if name is None else name.text,
                name_box=None if name is None else _box(page_map, text_box(name, printed)),
                visible=share,
            )
        )
    return facts


def _pulses(page: DevicePage, page_map: PageMap) -> list[PulseFacts]:
    facts = []
    baselines = {s.baseline: place.row for s, place in zip(page.segments, page.places, strict=True)}
    for pulse in page.pulses:
        foot, top = float(pulse.y.max()), float(pulse.y.min())
        row = baselines[min(baselines, key=lambda y: abs(y - foot))]
        box = _box(page_map, (float(pulse.x[0]), top, float(pulse.x[-1]), foot))
        facts.append(PulseFacts(row, box, float(pulse.x[3] - pulse.x[2]), foot - top))
    return facts


def _has_grid(panel: GridPanel) -> bool:
    return (panel.style.minor_kind, panel.style.major_kind) != ("none", "none")
