"""Options of the reading of traces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TraceOptions:
    """Thresholds of ``ecgpage.trace``; the defaults made the tables in docs/results.md."""

    climb_cost: float = 0.1
    """Cost, nats, of each bin climbed between neighbouring steps of the minimum-cost path."""
    max_step_cost: float = 8.0
    """Largest cost, nats, of one step of the minimum-cost path, so that no single step can forbid a path."""
    min_visible: float = 0.5
    """Probability that the lead is drawn, from which a step has a value."""
    edge_mm: float = 2.0
    """Distance, mm, of a trace from a crop's edge, below which it is read again from a taller crop."""
    tall: int = 2
    """Height of the taller crop, in heights of the first."""
