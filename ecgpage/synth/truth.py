"""Exact truth of a drawn picture.

Conventions:
    image positions   x right, y down, pixel centres at integers
    boxes             x0, y0, x1, y1 in image positions
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.synth.page.model import Box, Page, Segment, Text, segment_path
from ecgpage.synth.page.rasterize import MM_PER_INCH, name_text, page_text_patch
from ecgpage.synth.scene.marks import Covered
from ecgpage.synth.scene.page_map import PageMap, Points

MIN_HALF_HEIGHT_MM = 5.0
"""Reach, mm, of a lead's box above and below its baseline, at least."""


@dataclass(frozen=True)
class SegmentTruth:
    """Drawn piece of a lead."""

    lead: str
    start: int
    """First drawn sample."""
    stop: int
    """One past the last drawn sample."""
    xy: Points
    """(stop - start, 2) image position of each sample; NaN where the signal is NaN."""
    box: Box
    """Box of the drawn time span and the range of the trace, at least 5 mm on both sides of the baseline."""
    polygon: Points
    """(4, 2) image positions of the corners of the box's rectangle on the page, from the top-left clockwise."""
    name_box: Box | None
    strip: bool
    baseline: Points
    """(2, 2) image positions of the ends of the 0-mV line."""
    gain: float
    """Gain, mm/mV; negative where the lead is drawn upside down."""
    visible: NDArray[np.bool_]
    """(stop - start,) whether each sample is drawn, within the picture, and not hidden by a hole or something opaque."""


@dataclass(frozen=True)
class PageTruth:
    """Truth of a drawn page."""

    segments: tuple[SegmentTruth, ...]
    pulses: tuple[Box, ...]
    px_per_mm: float
    """Resolution, px/mm, of the drawn page; at the centre of a warped picture."""
    layout: str
    speed: float
    """Paper speed, mm/s."""
    gain: float
    """Gain, mm/mV."""
    corners: Points
    """(4, 2) image positions of the paper's corners, from the page's top-left clockwise."""
    paper: tuple[float, float]
    """Width and height, mm, of the printed page."""
    sheet_corners: Points
    """(4, 2) image positions of the sheet's corners, outside the page's where it was printed with a margin.
    """
    page_map: PageMap
    """Map between image positions and page mm."""
    page: Page
    """Model that was drawn."""


def page_truth(
    page: Page,
    signal: NDArray[np.floating],
    page_map: PageMap,
    image_shape: tuple[int, int],
    covered: Covered | None = None,
) -> PageTruth:
    """Truth of ``page`` with ``signal`` (n_samples, n_channels) mV in a picture of ``image_shape`` (rows,
    columns), of which ``covered`` cannot be seen.
    """
    width, height, margin = page.paper.width, page.paper.height, page.paper.margin
    paths = [np.stack(segment_path(page, s, signal), axis=1) for s in page.segments]
    frames = [_frame(page, s, path) for s, path in zip(page.segments, paths, strict=True)]
    ends = [
        np.array([[f[0], s.baseline], [f[2], s.baseline]]) for s, f in zip(page.segments, frames, strict=True)
    ]
    texts = [name_text(page, s) for s in page.segments]
    names = [rectangle(text_box(text)) for text in texts if text is not None]
    pulses = [np.stack([p.x, p.y], axis=1) for p in page.pulses]
    sheet = (-margin, -margin, width + margin, height + margin)
    corners = [rectangle((0.0, 0.0, width, height)), rectangle(sheet)]
    # the map's iterations are slow for few points: one call for all of them
    hidden = [covered.at(path) if covered else np.zeros(len(path), np.bool_) for path in paths]
    groups = [paths, [rectangle(f) for f in frames], ends, names, pulses, corners]
    paths, polygons, ends, names, pulses, corners = _project_all(page_map, groups)
    name_boxes = iter([bounds(name) for name in names])
    return PageTruth(
        segments=tuple(
            SegmentTruth(
                lead=segment.lead,
                start=segment.start,
                stop=segment.stop,
                xy=xy,
                box=bounds(np.concatenate([polygon, xy[np.isfinite(xy[:, 1])]])),
                polygon=polygon,
                name_box=None if text is None else next(name_boxes),
                strip=segment.strip,
                baseline=end,
                gain=segment.gain,
                visible=_within(xy, image_shape) & ~under,
            )
            for segment, xy, polygon, text, end, under in zip(
                page.segments, paths, polygons, texts, ends, hidden, strict=True
            )
        ),
        pulses=tuple(bounds(pulse) for pulse in pulses),
        px_per_mm=page_map.px_per_mm((width / 2, height / 2)),
        layout=page.layout,
        speed=page.speed,
        gain=page.gain,
        corners=corners[0],
        paper=(width, height),
        sheet_corners=corners[1],
        page_map=page_map,
        page=page,
    )


def _project_all(page_map: PageMap, groups: list[list[Points]]) -> list[list[Points]]:
    """Image positions of lists of lists of page points, in one call of the map."""
    flat = [points for group in groups for points in group]
    seen = page_map.image_from_page(np.concatenate(flat))
    parts = iter(np.split(seen, np.cumsum([len(points) for points in flat])[:-1]))
    return [[next(parts) for _ in group] for group in groups]


def _frame(page: Page, segment: Segment, path: Points) -> Box:
    """A segment's box on the page, mm."""
    seen = path[np.isfinite(path[:, 1]), 1]
    top = min(float(seen.min(initial=np.inf)), segment.baseline - MIN_HALF_HEIGHT_MM)
    bottom = max(float(seen.max(initial=-np.inf)), segment.baseline + MIN_HALF_HEIGHT_MM)
    return segment.x0, top, segment.x0 + (segment.stop - segment.start) * page.speed / page.fs, bottom


def _within(xy: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether positions lie in a picture of ``shape`` (rows, columns); NaN does not."""
    with np.errstate(invalid="ignore"):
        inside = (xy >= -0.5) & (xy <= np.array(shape[::-1]) - 0.5)
    return np.asarray(inside.all(axis=1), np.bool_)


def text_box(text: Text) -> Box:
    """Inked rectangle of a text on the page, mm."""
    scale = 400 / MM_PER_INCH
    patch = page_text_patch(text, scale)
    rows, columns = patch.coverage.shape
    return (
        patch.col / scale, patch.row / scale, (patch.col + columns) / scale, (patch.row + rows) / scale,
    )  # fmt: skip


def rectangle(box: Box) -> Points:
    """Corners (4, 2) of a box, clockwise from the top-left."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def bounds(points: Points) -> Box:
    """Upright box around points (n, 2)."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


@dataclass(frozen=True)
class DrawnPage:
    """Picture of an ECG and its truth."""

    image: NDArray[np.uint8]
    """(H, W, 3) picture, RGB."""
    truth: PageTruth
    masked_signal: NDArray[np.float32]
    """(n_samples, 12) signals, mV, NaN outside the drawn windows."""
