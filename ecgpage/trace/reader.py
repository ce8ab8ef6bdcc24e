"""Read the trace of every segment by the network."""

from dataclasses import dataclass

import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.types import PageLayout, Segment
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
    """Traces of a page, one for each segment of its layout; ``image``: uint8 (H, W, 3) RGB, as decoded."""
    windows = [(s.x0_mm, s.x1_mm, s.baseline(layout.rows)) for s in layout.segments]
    readings = network.read(image, page.grid, windows, options)
    return [
        Trace(segment, reading.x_mm, reading.y_mm, "network", reading.sigma_mm)
        for segment, reading in zip(layout.segments, readings, strict=True)
    ]
