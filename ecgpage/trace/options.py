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

    # --- extents ---
    places: bool = True
    """Whether columns that are clearly elsewhere move to where the network sees their leads drawn."""
    max_rereads: int = 3
    """Times that leads are read again in wider windows where they run on beyond those that were looked at."""
    bridge_mm: float = 3.0
    """Width, mm, of gaps in a lead up to which it is one."""
    bridge_share: float = 0.1
    """Width of gaps in a lead up to which it is one, as a share of the shorter run beside them."""
    misplaced_mm: float = 0.8
    """Distance, mm, of where a column is drawn from where the layout has it, from which it is moved: less is the network's
    own error, and ends of ink, separators and the record's length know better."""
    misplaced_alone_mm: float = 3.0
    """The same where all leads stand below each other."""
    own_error_mm: float = 0.45
    """Error, mm, of where the network sees an end: the layout's is kept where it is no further away."""
    touching_mm: float = 0.6
    """Mean distance, mm, of columns' ends from the next ones' beginnings, up to which they touch."""
    uneven_mm: float = 1.2
    """Distance, mm, of their borders from equal parts, up to which they are equal parts."""
    same_end_mm: float = 0.7
    """Distance, mm, within which leads of a column begin or end together."""
    agreeing_share: float = 0.5
    """Share of a column's leads that have to agree."""
    sure_share: float = 0.8
    """Mean share, over the ends that are off, of leads that agree on another place, from which a record's usual length is
    no reason to stay."""
    shortest_mm: float = 15.0
    """Length, mm, of a column at least."""
    record_s: tuple[float, ...] = (10.0, 5.0, 2.5, 6.0, 12.0, 20.0)
    """Times, s, that columns show together as a rule: places that do not are the worse ones."""
    record_error_s: float = 0.08
    """Error, s, of that time."""
