"""A picture of a page with known truth, and its reading: a curved map, black traces, a header with letters."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array, Image
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import PageLayout, Pulse, Row, Segment
from ecgpage.results import LocatedEcg, PageReading
from ecgpage.signal.types import LeadReading, PageSignals
from ecgpage.trace.reader import Trace

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
LEVELS_MM = (40.0, 65.0, 90.0, 115.0)
"""Page y of the rows; the last is a strip of lead II."""
LEFT_MM, CELL_MM = 15.0, 62.5
HEADER_MM = (20.0, 6.0, 200.0, 18.0)
"""Left, upper, right, lower edge of the black header."""


@dataclass(frozen=True)
class Drawn:
    """Picture and reading."""

    image: Image
    page: PageReading


def turned_map(degrees: float, px_per_mm: float = 6.0) -> tuple[GridMap, tuple[int, int]]:
    """Map of a page of 280 x 130 mm that is bent by 2 mm and turned clockwise, and width and height of its picture."""
    x, y = np.meshgrid(5.0 * np.arange(57), 5.0 * np.arange(27))
    flat = np.stack([x, y + 2.0 * np.sin(np.pi * x / 280)], axis=-1) * px_per_mm
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    nodes = flat @ turn.T
    low = nodes.reshape(-1, 2).min(0)
    nodes = nodes - low + 10.0
    wide, high = np.ceil(nodes.reshape(-1, 2).max(0)).astype(int) + 11
    quality = np.ones(x.shape)
    return GridMap(nodes, (0.0, 0.0), quality, 0.1, "5 mm lines"), (int(wide), int(high))


def curve(x_mm: Array, seed: int) -> Array:
    """mV of a lead along x: beats every 20 mm on a wave."""
    beat = np.exp(-0.5 * ((np.mod(x_mm, 20.0) - 10.0) / 0.8) ** 2)
    return (0.3 + 0.05 * seed) * beat + 0.1 * np.sin(x_mm / 7 + seed)


def draw_page(
    degrees: float = 0.0,
    *,
    gaps: dict[str, tuple[float, float]] | None = None,
    unread: dict[str, str] | None = None,
    px_per_mm: float = 6.0,
    layout: dict[str, object] | None = None,
    noise: int | None = None,
) -> Drawn:
    """Page with 3 x 4 leads and a strip.

    Args:
        degrees: angle, clockwise, at which it lies in the picture.
        gaps: lead -> first and last page x, mm, of what was not found of its trace.
        unread: lead -> why it was not read.
        px_per_mm: resolution.
        layout: fields of the layout that are not as usual.
        noise: seed of a picture of noise instead of one of paper.
    """
    grid, (wide, high) = turned_map(degrees, px_per_mm)
    gaps, unread = gaps or {}, unread or {}
    image = np.full((high, wide, 3), 250, np.uint8)
    x0, y0, x1, y1 = HEADER_MM
    along = np.linspace(x0, x1, 50)
    edge = np.concatenate([along, along[::-1]]), np.repeat([y0, y1], 50)
    header = np.stack(grid.to_image(*edge), axis=1)
    cv2.fillPoly(image, [np.rint(header).astype(np.int32)], (0, 0, 0))
    cells = [
        (lead, r, LEFT_MM + CELL_MM * c, 2.5 * c, 2.5)
        for r, row in enumerate(ROWS)
        for c, lead in enumerate(row)
    ]
    cells.append(("II", 3, LEFT_MM, 0.0, 10.0))
    segments, traces = [], []
    for lead, row, left, start_s, seconds in cells:
        segment = Segment(
            lead, row, left, left + 25 * seconds, start_s, seconds, LEVELS_MM[row], is_strip=row == len(ROWS)
        )
        x_mm = np.arange(left, segment.x1_mm, 0.05)
        y_mm = LEVELS_MM[row] - 10 * curve(x_mm, LEADS.index(lead))
        points = np.stack(grid.to_image(x_mm, y_mm), axis=1)
        cv2.polylines(image, [np.rint(points * 16).astype(np.int32)], False, (20, 20, 20), 2, cv2.LINE_AA, 4)
        first, last = gaps.get(lead, (0.0, 0.0))
        found = np.where((x_mm >= first) & (x_mm <= last), np.nan, y_mm)
        segments.append(segment)
        traces.append(Trace(segment, x_mm, found, "network", np.full(len(x_mm), 0.05)))
    if noise is not None:
        image = np.random.default_rng(noise).integers(0, 256, image.shape, np.uint8)
    along = np.arange(LEFT_MM, LEFT_MM + 4 * CELL_MM + 1)
    rows = [Row(along, np.full(len(along), level), np.ones(len(along))) for level in LEVELS_MM]
    readings = [
        LeadReading(lead, "none", 0.0, unread[lead]) if lead in unread else LeadReading(lead, "network", 1.0)
        for lead in LEADS
    ]
    nothing = np.zeros((5000, 12), np.float32)
    page_layout = PageLayout(rows, segments, [Pulse(5.0, 40.0, 10.0, 1.0)], [], 25.0, 10.0, 0.9)
    page_layout = replace(page_layout, **(layout or {}))  # type: ignore[arg-type]
    signals = PageSignals(nothing, readings, segments, nothing)
    located = LocatedEcg(image, grid, segments, traces)
    return Drawn(image, PageReading(grid, page_layout, traces, signals, located))
