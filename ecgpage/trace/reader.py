"""Read the trace of every segment by the network."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.trace.crop_reader import CropReader
from ecgpage.trace.crops import Reading, Window
from ecgpage.trace.extents import UNSEEN, Extent, find_extent, move_columns, widen
from ecgpage.trace.geometry import STEP_MM
from ecgpage.trace.ink_ends import find_ink_ends
from ecgpage.trace.options import TraceOptions

NETWORK: Final = "network"
PATH: Final = "path"


@dataclass(frozen=True)
class Trace:
    """Line of one segment in page mm."""

    segment: Segment
    """Where the lead is drawn, and its scale."""
    x_mm: Array
    """(n,) page x, mm, ascending; evenly spaced but for PATH, whose points may also stand above each other."""
    y_mm: Array
    """(n,) page y of the line, mm, NaN where it was not found."""
    source: str
    """Name of what read it: NETWORK, or PATH for the points of a line that a PDF holds, straight between them."""
    sigma_mm: Array
    """(n,) expected error of ``y_mm``, one standard deviation, mm."""
    seen_mm: tuple[float, float] = (float("nan"), float("nan"))
    """Page x, mm, between which the network marks the lead as drawn; NaN where it runs on, is not seen or was not sought."""

    pixel_mm: float = 0.0
    """Size of the picture's pixels, page mm; 0 for PATH."""

    def cut(self, first_mm: float) -> "Trace":
        """The trace from a page x, mm, on; its segment is left as it is."""
        kept = self.x_mm >= first_mm
        return replace(self, x_mm=self.x_mm[kept], y_mm=self.y_mm[kept], sigma_mm=self.sigma_mm[kept])

    @property
    def coverage(self) -> float:
        """Share of the segment that has a value, 0 to 1."""
        return float(np.isfinite(self.y_mm).mean())


def read_traces(
    image: Image,
    page: FlatPage,
    layout: PageLayout,
    network: CropReader,
    options: TraceOptions = TraceOptions(),
) -> list[Trace]:
    """Traces of a page, one for each segment of its layout; ``image``: uint8 (H, W, 3) RGB, as decoded.

    Segments begin and end where the network sees their leads drawn, if the layout was clearly wrong about it: the traces'
    segments differ from the layout's then.
    """
    windows = [_window(s, layout) for s in layout.segments]
    readings = _read_inside(image, page, network, windows, options)
    extents = [UNSEEN] * len(readings)
    if options.places:
        extents = [find_extent(r, options) for r in readings]
        # where numbers along an axis tell the places, nothing is sought beyond them
        is_sought = bool(layout.segments) and not layout.numbered_s
        for _ in range(options.max_rereads * (is_sought and _begin_elsewhere(layout, extents, options))):
            wider = [widen(w, e) for w, e in zip(windows, extents, strict=True)]
            again = [k for k, (a, b) in enumerate(zip(windows, wider, strict=True)) if a != b]
            for k, reading in zip(
                again, _read_inside(image, page, network, [wider[k] for k in again], options), strict=True
            ):
                windows[k], readings[k], extents[k] = wider[k], reading, find_extent(reading, options)
        layout = move_columns(layout, extents, find_ink_ends(page, readings, options), options)
        short = [k for k, s in enumerate(layout.segments) if not _covers(readings[k], s)]
        new = [_window(layout.segments[k], layout) for k in short]
        for k, reading in zip(short, _read_inside(image, page, network, new, options), strict=True):
            readings[k], extents[k] = reading, find_extent(reading, options)
    return [
        Trace(segment, part.x_mm, part.y_mm, NETWORK, part.sigma_mm, extent.ends_mm, 1 / page.grid.px_per_mm)
        for segment, part, extent in zip(
            layout.segments,
            [r.cut(s.x0_mm, s.x1_mm) for r, s in zip(readings, layout.segments, strict=True)],
            extents,
            strict=True,
        )
    ]


def _window(segment: Segment, layout: PageLayout) -> Window:
    return segment.x0_mm, segment.x1_mm, segment.baseline(layout.rows)


def _covers(reading: Reading, segment: Segment) -> bool:
    """Whether a reading reaches from the beginning of a segment to its end."""
    x_mm = reading.x_mm
    return bool(x_mm[0] <= segment.x0_mm + STEP_MM and segment.x1_mm - STEP_MM <= x_mm[-1])


def _read_inside(
    image: Image, page: FlatPage, network: CropReader, windows: list[Window], options: TraceOptions
) -> list[Reading]:
    """Readings with margins, without what lies beyond the picture: its edge is all that is seen there."""
    found = []
    width = image.shape[1]
    height = image.shape[0]
    for reading, (_, _, level) in zip(
        network.read_wide(image, page.grid, windows, options), windows, strict=True
    ):
        x, y = page.grid.to_image(reading.x_mm, np.full(len(reading.x_mm), level))
        outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
        found.append(
            replace(
                reading,
                y_mm=np.where(outside, np.nan, reading.y_mm),
                visible=np.where(outside, 0.0, reading.visible),
            )
            if outside.any()
            else reading
        )
    return found


def _begin_elsewhere(layout: PageLayout, extents: list[Extent], options: TraceOptions) -> bool:
    """Whether some leads are drawn from or to clearly other places than the layout's, or run on beyond its ends."""
    off = [
        abs(place - usual)
        for s, e in zip(layout.segments, extents, strict=True)
        for place, usual, runs_on in ((e.start_mm, s.x0_mm, e.runs_left), (e.end_mm, s.x1_mm, e.runs_right))
        if np.isfinite(place) and not runs_on
    ]
    first, last = min(s.x0_mm for s in layout.segments), max(s.x1_mm for s in layout.segments)
    outer = [
        runs_on
        for s, e in zip(layout.segments, extents, strict=True)
        for at_end, runs_on in ((s.x0_mm < first + 1, e.runs_left), (s.x1_mm > last - 1, e.runs_right))
        if at_end
    ]
    return sum(d > options.misplaced_mm for d in off) >= 2 or sum(outer) > len(outer) / 3
