"""What may be chosen of the reading of traces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TraceOptions:
    """Thresholds of ``ecgpage.trace``; the defaults made the tables in docs/results.md."""

    climb_cost: float = 0.1
    """Cost, nats, of a bin's height between neighbouring steps of the minimum-cost path through the bins."""
    max_step_cost: float = 8.0
    """Cost, nats, of one step of that path, at most: a step that says nothing of the path cannot forbid it either."""
    min_visible: float = 0.5
    """Probability that the lead is drawn, from which a step has a value."""
    edge_mm: float = 2.0
    """Distance, mm, of a trace from a crop's edge, below which it may leave the crop."""
    tall: int = 2
    """Height of the crop from which such traces are read once more, over that of the first."""
