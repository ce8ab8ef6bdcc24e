"""Read the line of every segment: by the network where it sees the lead, along the ink where it does not."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecgpage.core.types import Array, Image
from ecgpage.grid.flat_page import FlatPage
from ecgpage.layout.types import PagePlan, Segment
from ecgpage.trace.crops import Reading
from ecgpage.trace.ink_follower import follow_ink
from ecgpage.trace.network import TraceNet

MIN_SEEN: Final = 0.6
"""Share of a segment that the network must see drawn; else the ink is followed."""
INK_ERROR_MM: Final = 0.3
"""Expected error of a classical trace."""
MIN_INK: Final = 0.25
"""Mean ink along a classical trace; with less the way ran over paper."""


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
    image: Image, page: FlatPage, plan: PagePlan, network: TraceNet | None, *, spikes: bool = True
) -> list[Trace]:
    """One trace for each segment of the plan.

    ``spikes=False`` leaves classical traces where they cut across narrow spikes.
    """
    windows = [(s.x0_mm, s.x1_mm, s.baseline(plan.rows)) for s in plan.segments]
    readings: list[Reading] | list[None] = [None] * len(windows)
    if network is not None:
        readings = network.read(image, page.grid, windows)
    traces = []
    for segment, reading in zip(plan.segments, readings, strict=True):
        if reading is not None and np.isfinite(reading.y_mm).mean() >= MIN_SEEN:
            traces.append(Trace(segment, reading.x_mm, reading.y_mm, "network", reading.sigma_mm))
        else:
            traces.append(_along_ink(page, plan, segment, spikes=spikes))
    return traces


def _along_ink(page: FlatPage, plan: PagePlan, segment: Segment, *, spikes: bool) -> Trace:
    line = follow_ink(page, plan, segment, spikes=spikes)
    reason = "the trace is too faint to follow" if line.ink.mean() < MIN_INK else ""
    sigma = np.full(len(line.x_mm), INK_ERROR_MM)
    return Trace(segment, line.x_mm, line.y_mm, "classical", sigma, reason)
