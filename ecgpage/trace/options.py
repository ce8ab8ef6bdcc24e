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

    # --- places; errors as ``bench.place_evidence`` counts them, rates between those of usual pages and of other devices ---
    places: bool = True
    """Whether columns that are clearly elsewhere move to where their leads are drawn."""
    max_rereads: int = 3
    """Times that leads are read again in wider windows where they run on beyond those that were looked at."""
    bridge_mm: float = 3.0
    """Width, mm, of gaps in a lead up to which it is one."""
    bridge_share: float = 0.1
    """Width of gaps in a lead up to which it is one, as a share of the shorter run beside them."""
    misplaced_mm: float = 0.8
    """Distance, mm, of where leads are seen from where the layout has them, from which they are read in wider windows."""
    shortest_mm: float = 15.0
    """Length, mm, of a column at least."""
    layout_right: float = 0.85
    """Share of layouts whose columns all stand where they are drawn."""
    separators_right: float = 0.95
    """The same where separators were seen."""
    strip_right: float = 0.9
    """The same of each end of strips."""
    network_end_mm: float = 0.12
    """Error, mm, of an end that the network sees (one standard deviation)."""
    network_wrong: float = 0.07
    """Share of such ends that are anywhere."""
    runs_wrong: float = 0.02
    """Chance that a lead is seen to run on beyond its end, to the end of all that was looked at."""
    ink_end_mm: float = 0.1
    """Error, mm, of an end of ink."""
    ink_wrong: float = 0.19
    """Share of such ends that are anywhere."""
    end_moved: float = 0.06
    """Share of outer ends of columns and strips beyond which all leads are seen to begin or end: at the feet of pulses."""
    end_hidden: float = 0.01
    """Share of those within which all leads are seen to begin or end."""
    border_moved: float = 0.07
    """Share of the inner ends of columns beside which the network sees all leads begin or end together."""
    ink_moved: float = 0.2
    """The same of their ink."""
    borders_moved: float = 0.05
    """Share of pages on which the network sees all borders between columns beside where they are."""
    alike: float = 0.5
    """Power of the number of leads as which they count together: their errors have causes in common."""
    gap_share: float = 0.3
    """Share of pages with columns that stand apart."""
    whole_share: float = 0.8
    """Share of pages whose columns show a usual time together."""
    cut_share: float = 0.05
    """Share of pages whose first column, or whose last one, is cut off."""
    outer_share: float = 0.35
    """Share, of the layouts that are wrong, of those of which one outer end alone is wrong."""
    unequal_share: float = 0.02
    """Share of pages with columns that are not equally wide."""
    record_s: tuple[float, ...] = (10.0, 5.0, 2.5, 6.0, 12.0, 20.0)
    """Times, s, that columns show together as a rule."""
    usual_error_s: float = 0.03
    """Error, s, of that time."""
    width_error: float = 0.06
    """Natural log of the ratio of columns' width to that of such a time, at most, for it to be tried."""
