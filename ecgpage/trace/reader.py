"""Read the trace of every segment by the network."""

from dataclasses import dataclass

import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.trace.extents import Extent, find_extent, move_columns, widen
from ecgpage.trace.network import TraceNet
from ecgpage.trace.options import TraceOptions


@dataclass(frozen=True)
class Trace:
    """Line of one segment in page mm."""

    segment: Segment
    """Where the lead is drawn, and its scale."""
    x_mm: Array
    """(n,) page x, mm, ascending, evenly spaced."""
    y_mm: Array
    """(n,) page y of the line, mm, NaN where it was not found."""
    source: str
    """Name of what read it: "network"."""
    sigma_mm: Array
    """(n,) expected error of ``y_mm``, one standard deviation, mm."""

    @property
    def coverage(self) -> float:
        """Share of the segment that has a value, 0 to 1."""
        return float(np.isfinite(self.y_mm).mean())


def read_traces(
    image: Image,
    page: FlatPage,
    layout: PageLayout,
    network: TraceNet,
    options: TraceOptions = TraceOptions(),
) -> list[Trace]:
    """Traces of a page, one for each segment of its layout; ``image``: uint8 (H, W, 3) RGB, as decoded.

    Segments begin and end where the network sees their leads drawn, if the layout was clearly wrong about it: the traces'
    segments differ from the layout's then.
    """
    windows = [(s.x0_mm, s.x1_mm, s.baseline(layout.rows)) for s in layout.segments]
    readings = network.read_wide(image, page.grid, windows, options)
    if options.places:
        extents = [find_extent(r, options) for r in readings]
        for _ in range(options.max_rereads if _begin_elsewhere(layout, extents, options) else 0):
            wider = [widen(w, e) for w, e in zip(windows, extents, strict=True)]
            again = [k for k, (a, b) in enumerate(zip(windows, wider, strict=True)) if a != b]
            for k, reading in zip(
                again, network.read_wide(image, page.grid, [wider[k] for k in again], options), strict=True
            ):
                windows[k], readings[k], extents[k] = wider[k], reading, find_extent(reading, options)
        layout = move_columns(layout, extents, options)
    return [
        Trace(segment, part.x_mm, part.y_mm, "network", part.sigma_mm)
        for segment, part in zip(
            layout.segments,
            [r.cut(s.x0_mm, s.x1_mm) for r, s in zip(readings, layout.segments, strict=True)],
            strict=True,
        )
    ]


def _begin_elsewhere(layout: PageLayout, extents: list[Extent], options: TraceOptions) -> bool:
    """Whether some leads are drawn from or to clearly other places than the layout's."""
    off = [
        abs(place - usual)
        for s, e in zip(layout.segments, extents, strict=True)
        for place, usual, runs_on in ((e.start_mm, s.x0_mm, e.runs_left), (e.end_mm, s.x1_mm, e.runs_right))
        if np.isfinite(place) and not runs_on
    ]
    return sum(d > options.misplaced_mm for d in off) >= 2
