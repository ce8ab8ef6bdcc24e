"""Draw a part of a page without drawing the rest."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecgpage.synth.page.model import Box, Grid, Page, Paper, Pulse, Segment, Stamp, Text, Tick
from ecgpage.synth.page.rasterize import draw_page


def draw_region(
    page: Page, signal: NDArray[np.floating], box: Box, scale: float
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Draw the part of ``page`` within ``box``, mm, at ``scale`` px/mm.

    Returns uint8 (h, w, 3) and the page position, mm, of its corner, which lies on a whole pixel of the page
    drawn at that scale, so that lines fall on identical pixels. The paper's colour extends beyond it.
    """
    x0, y0 = np.floor(box[0] * scale) / scale, np.floor(box[1] * scale) / scale
    x1, y1 = np.ceil(box[2] * scale) / scale, np.ceil(box[3] * scale) / scale
    paper = Paper(float(x1 - x0), float(y1 - y0), page.paper.color)
    near = (float(x0), float(y0), float(x1), float(y1))
    part = replace(
        page,
        paper=paper,
        grid=_moved_grid(page, near),
        segments=tuple(_segments(page, near)),
        pulses=tuple(_pulses(page, near)),
        separators=tuple(_ticks(page, near)),
        bars=(),
        texts=tuple(_texts(page, near)),
        stamps=tuple(_stamps(page, near)),
    )
    return draw_page(part, signal, scale * 25.4), near[:2]


def _moved_grid(page: Page, near: Box) -> Grid | None:
    if page.grid is None:
        return None
    area = page.grid.area_on(page.paper)
    moved = (area[0] - near[0], area[1] - near[1], area[2] - near[0], area[3] - near[1])
    return replace(page.grid, area=moved)


def _segments(page: Page, near: Box) -> Iterator[Segment]:
    """Segments that can reach into the box: rows within 60 mm (6 mV at 10 mm/mV)."""
    for s in page.segments:
        end = s.x0 + (s.stop - s.start) * page.speed / page.fs
        if s.x0 > near[2] + 1 or end < near[0] - 1 or not near[1] - 60 < s.baseline < near[3] + 60:
            continue
        name_at = s.name_at
        if name_at is not None:
            name_at = (name_at[0] - near[0], name_at[1] - near[1]) if _text_near(name_at, near) else None
        yield replace(s, x0=s.x0 - near[0], baseline=s.baseline - near[1], name_at=name_at)


def _pulses(page: Page, near: Box) -> Iterator[Pulse]:
    for p in page.pulses:
        if (
            p.x[0] < near[2] + 1
            and p.x[-1] > near[0] - 1
            and p.y.min() < near[3] + 1
            and p.y.max() > near[1] - 1
        ):
            yield replace(p, x=p.x - near[0], y=p.y - near[1])


def _ticks(page: Page, near: Box) -> Iterator[Tick]:
    for t in page.separators:
        if near[0] - 2 < t.x < near[2] + 2 and t.y0 < near[3] + 2 and t.y1 > near[1] - 2:
            yield replace(t, x=t.x - near[0], y0=t.y0 - near[1], y1=t.y1 - near[1])


def _texts(page: Page, near: Box) -> Iterator[Text]:
    for t in page.texts:
        if _text_near((t.x, t.y), near, reach=100):
            yield replace(t, x=t.x - near[0], y=t.y - near[1])


def _stamps(page: Page, near: Box) -> Iterator[Stamp]:
    for s in page.stamps:
        if s.box[0] < near[2] and s.box[2] > near[0] and s.box[1] < near[3] and s.box[3] > near[1]:
            moved = (s.box[0] - near[0], s.box[1] - near[1], s.box[2] - near[0], s.box[3] - near[1])
            yield replace(s, box=moved)


def _text_near(at: tuple[float, float], near: Box, reach: float = 25) -> bool:
    """Whether a text that starts here may show within the box."""
    return near[0] - reach < at[0] < near[2] and near[1] - 2 < at[1] < near[3] + 8
