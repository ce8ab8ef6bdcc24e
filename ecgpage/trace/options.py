"""What may be chosen of the reading of traces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TraceOptions:
    """Switches and thresholds of ``ecgpage.trace``; the defaults made the tables in docs/results.md."""

    network: bool = True
    """Whether the network reads the traces; else the ink is followed."""
    into_spikes: bool = True
    """Whether a trace that follows the ink goes into narrow spikes that its path cuts across."""
    min_seen: float = 0.6
    """Share of a segment's samples that the network must see drawn; with less the ink is followed."""
    ink_error_mm: float = 0.3
    """Expected error, mm, of a trace that follows the ink, one standard deviation."""
    min_ink: float = 0.25
    """Mean ink (0 to 1) along such a trace, below which it ran over paper and cannot be trusted."""
