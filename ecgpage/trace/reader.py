"""Read the line of every segment: by the network where it sees the lead, along the ink where it does not."""

from dataclasses import dataclass

import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.types import PagePlan, Segment
from ecgpage.trace.crops import Reading
from ecgpage.trace.ink_follower import follow_ink
from ecgpage.trace.network import TraceNet
from ecgpage.trace.options import TraceOptions


@dataclass(frozen=True)
class Trace:
    """What was read of one segment."""

    segment: Segment
    x_mm: Array
    """(n,) page x, ascending, evenly spaced."""
    y_mm: Array
    """(n,) page y of the line, NaN where it was not found."""
    source: str
    """"network" or "classical"."""
    sigma_mm: Array
    """(n,) expected error of ``y_mm``, one standard deviation."""
    reason: str = ""
    """Why it cannot be trusted; empty when it can."""

    @property
    def coverage(self) -> float:
        """Share of the segment that has a value."""
        return float(np.isfinite(self.y_mm).mean())


def read_traces(
    image: Image,
    page: FlatPage,
    plan: PagePlan,
    network: TraceNet | None,
    options: TraceOptions = TraceOptions(),
) -> list[Trace]:
    """One trace for each segment of the plan; without a network along the ink."""
    windows = [(s.x0_mm, s.x1_mm, s.baseline(plan.rows)) for s in plan.segments]
    readings: list[Reading] | list[None] = [None] * len(windows)
    if network is not None and options.network:
        readings = network.read(image, page.grid, windows)
    traces = []
    for segment, reading in zip(plan.segments, readings, strict=True):
        if reading is not None and np.isfinite(reading.y_mm).mean() >= options.min_seen:
            traces.append(Trace(segment, reading.x_mm, reading.y_mm, "network", reading.sigma_mm))
        else:
            traces.append(_along_ink(page, plan, segment, options))
    return traces


def _along_ink(page: FlatPage, plan: PagePlan, segment: Segment, options: TraceOptions) -> Trace:
    line = follow_ink(page, plan, segment, spikes=options.into_spikes)
    reason = "the trace is too faint to follow" if line.ink.mean() < options.min_ink else ""
    sigma = np.full(len(line.x_mm), options.ink_error_mm)
    return Trace(segment, line.x_mm, line.y_mm, "classical", sigma, reason)
