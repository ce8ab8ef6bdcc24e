"""What a drawn picture shows, exactly.

Conventions:
    image positions   x right, y down, pixel centres at integers
    boxes             x0, y0, x1, y1 in image positions
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.render.model import Box, Page, Segment, Text, segment_path
from ecgpage.render.raster import MM_PER_INCH, name_text, page_text_patch
from ecgpage.render.sheet import PageMap, Points

MIN_HALF_HEIGHT_MM = 5.0
"""A lead's box reaches at least this far above and below its baseline."""


@dataclass(frozen=True)
class SegmentTruth:
    """A drawn piece of a lead."""

    lead: str
    start: int
    """First sample that is drawn."""
    stop: int
    """One past the last."""
    xy: Points
    """(stop - start, 2) image position of each sample; NaN where the signal is NaN."""
    box: Box
    """Drawn time span x range of the trace, at least 5 mm on both sides of the baseline."""
    polygon: Points
    """(4, 2) the corners of the box's rectangle on the page, from the top-left one clockwise."""
    name_box: Box | None
    strip: bool
    baseline: Points
    """(2, 2) the ends of the 0-mV line."""
    gain: float
    """mm/mV; negative where the lead is drawn upside down."""
    visible: NDArray[np.bool_]
    """(stop - start,) drawn and within the picture."""


@dataclass(frozen=True)
class PageTruth:
    """All that is known about a drawn page."""

    segments: tuple[SegmentTruth, ...]
    pulses: tuple[Box, ...]
    px_per_mm: float
    """Resolution of the drawn page; in a warped picture the value at its centre."""
    layout: str
    speed: float
    """mm/s."""
    gain: float
    """mm/mV."""
    corners: Points
    """(4, 2) image positions of the paper's corners, from the page's top-left clockwise."""
    paper: tuple[float, float]
    """Width and height of the printed page in mm."""
    sheet_corners: Points
    """(4, 2) image positions of the sheet's corners; they lie outside the page's when it was printed with
    a margin.
    """
    page_map: PageMap
    """Image positions <-> page mm at any point."""
    page: Page
    """The model that was drawn."""


def page_truth(
    page: Page, signal: NDArray[np.floating], page_map: PageMap, image_shape: tuple[int, int]
) -> PageTruth:
    """Truth of ``page`` with ``signal`` (n_samples, n_channels) mV in a picture of ``image_shape`` (rows,
    columns).
    """
    width, height, margin = page.paper.width, page.paper.height, page.paper.margin
    project = page_map.image_from_page
    return PageTruth(
        segments=tuple(_segment_truth(page, s, signal, page_map, image_shape) for s in page.segments),
        pulses=tuple(bounds(project(np.stack([p.x, p.y], axis=1))) for p in page.pulses),
        px_per_mm=page_map.px_per_mm((width / 2, height / 2)),
        layout=page.layout,
        speed=page.speed,
        gain=page.gain,
        corners=project(rectangle((0.0, 0.0, width, height))),
        paper=(width, height),
        sheet_corners=project(rectangle((-margin, -margin, width + margin, height + margin))),
        page_map=page_map,
        page=page,
    )


def _segment_truth(
    page: Page,
    segment: Segment,
    signal: NDArray[np.floating],
    page_map: PageMap,
    image_shape: tuple[int, int],
) -> SegmentTruth:
    project = page_map.image_from_page
    x, y = segment_path(page, segment, signal)
    seen = y[np.isfinite(y)]
    top = min(float(seen.min(initial=np.inf)), segment.baseline - MIN_HALF_HEIGHT_MM)
    bottom = max(float(seen.max(initial=-np.inf)), segment.baseline + MIN_HALF_HEIGHT_MM)
    end = segment.x0 + (segment.stop - segment.start) * page.speed / page.fs
    polygon = project(rectangle((segment.x0, top, end, bottom)))
    text = name_text(page, segment)
    xy = project(np.stack([x, y], axis=1))
    limit = np.array(image_shape[::-1]) - 0.5
    with np.errstate(invalid="ignore"):
        visible = np.asarray(((xy >= -0.5) & (xy <= limit)).all(axis=1), np.bool_)
    return SegmentTruth(
        lead=segment.lead,
        start=segment.start,
        stop=segment.stop,
        xy=xy,
        box=bounds(np.concatenate([polygon, xy[np.isfinite(y)]])),
        polygon=polygon,
        name_box=None if text is None else bounds(project(rectangle(text_box(text)))),
        strip=segment.strip,
        baseline=project(np.array([[segment.x0, segment.baseline], [end, segment.baseline]])),
        gain=segment.gain,
        visible=visible,
    )


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
