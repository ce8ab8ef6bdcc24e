"""What may be chosen of the reading of layouts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hints:
    """What is known of a page beforehand and overrules what is read there; None where nothing is."""

    speed_mm_per_s: float | None = None
    """Paper speed, mm/s."""
    gain_mm_per_mv: float | None = None
    """Gain of all leads, mm/mV."""
    layout: str | None = None
    """Name in ``ecgpage.layout.known_layouts.KNOWN_LAYOUTS``."""


@dataclass(frozen=True)
class LayoutOptions:
    """Switches of ``ecgpage.layout``; the defaults made the tables in docs/results.md."""

    text: bool = True
    """Whether names and scales are read, where there is a reader for them."""
    hints: Hints = Hints()
    """What is known beforehand."""
    line_ahead_mm: float | None = None
    """Distance, mm, by which rows begin left of a printed 5-mm line where they begin close to one; None: anywhere.

    Programs that plot traces and grid together leave such a distance; the lattice of the grid is then known better than the
    rows' ends (``ecgpage.challenge.habits``).
    """

    # rows
    max_rows: int = 14
    """Number of rows of traces on a page, at most."""
    min_row_share: float = 0.6
    """Length of a row over that of the longest, at least."""
    short_row: float = 0.3
    """Length of a path through the ink over that of the second longest, below which no more rows are looked for."""
    min_row_ink: float = 0.45
    """Mean ink (0 to 1) along a row, at least."""
    min_presence: float = 0.72
    """Share of a row that is inked between its ends, at least: a trace is nearly everywhere, a line of text is not."""
    max_row_gap: float = 1.8
    """Distance of neighbouring rows over their usual distance, at most."""
    frame_rms_mm: float = 0.3
    """Deviation from a smooth curve, mm rms, below which a row may be a printed frame: traces are less straight."""
    min_risen_places: int = 2
    """Number of places above or below a line, of four, at which a heart beat that rises from it has ink, at least."""
    min_risen: float = 0.02
    """Share of a row's millimetres at which something rises from it, below which it is a frame."""
    same_row_mm: float = 1.5
    """Distance, mm, of a row of ink from a level of boxes, below which it is that row."""
    path_mm: float = 6.0
    """Distance, mm, above and below its level, within which a row that only boxes show is searched."""

    # separators
    tick_height_mm: float = 4.5
    """Height, mm, of a separator's stroke, at least."""
    tick_width_mm: float = 0.4
    """Width, mm, of a separator's stroke, at least: traces are thinner."""
    min_tick: float = 0.3
    """Darkness (0 to 1) of a separator, at least."""

    # pulses
    max_zero_mm: float = 12.0
    """Distance, mm, of a pulse's foot from a lead's usual level, above which it is not that lead's 0-mV line."""
    min_boxed_pulse: float = 0.15
    """Score of a pulse in the ink of a box of the detector, at least; strokes on grid lines leave little of it."""
    pulse_reach_mm: float = 35.0
    """Distance, mm, from the ends of the rows within which pulses are sought that the detector does not show."""

    # column edges
    on_line_mm: float = 0.25
    """Distance, mm, of a row's start from ``line_ahead_mm`` left of a grid line, below which it begins there."""
    whole_mm: float = 0.8
    """Length, mm, by which columns may miss the record's and still show all of it, with both ends measured."""
    loose_whole_mm: float = 2.0
    """Length, mm, by which they may miss it where an end is known from boxes only, or they are too short."""
    touching_mm: float = 0.6
    """Width, mm, of a gap between columns, at least: narrower ones are errors of boxes."""
    reach_mm: float = 2.5
    """Length, mm, by which boxes end outside what they enclose, and separators change the length of rows, at most."""
    outside_mm: float = 6.0
    """Distance, mm, beyond the ends of boxes within which the ends of rows are measured."""
    tick_reach_mm: float = 1.5
    """Distance, mm, of separators from where columns meet, at most; less where ends are known, for beats look alike."""
    end_reach_mm: float = 15.0
    """Distance, mm, above and below its row within which the ink of a trace is followed to its end."""
    further_mm: float = 3.0
    """Distance, mm, further inside at which ends are looked for where no row ends at the boxes'."""
    few_rows: int = 3
    """Number of rows up to which ends of the ink are surer than boxes."""
    on_row_mm: float = 1.0
    """Distance, mm, of ink from a row's path, below which it belongs to its trace."""
    max_spread_mm: float = 0.4
    """Median deviation, mm, of the ends of rows, at most, with which they count."""
    gap_error_mm: float = 0.8
    """Error, mm, of a gap between columns."""
    pulse_edge_mm: float = 1.4
    """Error, mm, of the edge of a pulse's box."""
    longest_flat_mm: float = 4.0
    """Length, mm, of the flat line at the foot of a pulse, at most."""
    min_flat_mm: float = 0.5
    """Length, mm, of that line, at least: shorter ones are the stroke's own width."""
    common_ticks: float = 0.5
    """Share of the places where rows and columns meet at which separators stand, from which they are sure."""
    tick_away: float = 0.1
    """Score that a separator loses for each millimetre away from where columns meet."""
    pulse_near_mm: float = 6.0
    """Distance, mm, of a pulse's box from the row that it stands before, at most."""
    end_band_mm: float = 2.5
    """Distance, mm, above and below a row within which ink belongs to its trace where it begins and ends."""

    early_end: float = 0.08
    """Share of the columns' length that a strip leaves blank at its end, at least, where it ends before them."""

    panel_off_mm: float = 15.0
    """Distance, mm, of a column's ends from the numbers of its time axis, up to which it has that axis: boxes enclose the
    names and numbers beside a panel; a judgement."""

    # gaps
    gap_reach_mm: float = 4.0
    """Distance, mm, around a gap as boxes put it within which it is measured."""
    many_rows: int = 5
    """Number of rows from which one that is crossed by something else is left out of a gap."""
    crossed: float = 0.4
    """Blank of a row in a gap over the median row's, below which something crosses it."""
    separator_mm: float = 2.5
    """Width, mm, of a separator within a gap, at most."""
    min_inked: float = 0.7
    """Share of the rows that is inked beside a gap, at least: with less the traces are too faint to tell."""

    # printed scales
    word_levels: tuple[float, ...] = (0.3, 0.6, 0.85, 0.95, 0.99)
    """Probabilities of a word from which it belongs to a level of the next two."""
    true_words: tuple[float, ...] = (0.035, 0.045, 0.05, 0.14, 0.65)
    """Share of the printed scales that are read on each level; this and the next four come from
    ``python -m bench.scale_evidence``."""
    false_words: tuple[float, ...] = (1.16, 0.1, 0.027, 0.012, 0.012)
    """Number of false words a page on each level, for speeds and for gains."""
    missed_scale: float = 0.08
    """Share of the printed scales that are overlooked."""
    usual_vague_words: float = 6.0
    """Number of words below ``clear_word`` that pages show."""
    printed_share: float = 0.65
    """Share of pages that print their scales."""
    clear_word: float = 0.85
    """Probability of a scale from which its word is clear."""
    false_on_line: float = 0.03
    """Number of false words on the line of a true one over those of a page, at most."""
    misread_scale: float = 0.03
    """Share of the printed scales whose reading tells nothing of which one it is."""
    mixed_alone: tuple[float, float] = (0.15, 0.3)
    """Shares of printed pairs of gains of which only that of the limb leads, only that of the chest leads is read."""
    printed_twice: float = 0.12
    """Share of pages that print one gain for the limb leads and again for the chest leads."""
    apart_from_line: float = 0.02
    """Share of printed speeds and gains that do not stand on one line."""
    sure_print: float = 2.0
    """Log likelihood ratio to any other scale from which one counts as printed in what is told of a page."""

    print_odds: float = 5.0
    """Log odds that a scale that was read for certain is the page's."""

    # scales; shares, medians and spreads come from ``python -m bench.scale_evidence``
    sure_margin: float = 1.0
    """Log odds over the second likeliest speed, or gain, below which it is said that the scale is unsure."""
    mixed_odds: float = -2.8
    """Log odds of chest leads at half the gain of the limb leads."""
    most_pulses_told: int = 2
    """Number of pulses that count: what misleads one misleads all."""
    pulse_widths: tuple[float, float, float] = (0.78, 0.155, 0.065)
    """Shares of pulses of the usual duration, of half of it, and of 5 mm at any speed."""
    pulse_error: float = 0.02
    """Spread of the natural log of the width and height of pulses in the ink."""
    pulse_error_mm: float = 0.2
    """Spread, mm, of their width and height."""
    wrong_pulses: tuple[tuple[float, float], ...] = ((0.8, 0.05), (0.0, 0.3))
    """Score above which a pulse in the ink is of a level, and the share of those of the level that are none."""
    boxed_pulse: float = 0.7
    """Score of a pulse that is seen in a box alone, at most: every third of them is none."""
    vague_pulse: tuple[float, float] = (0.25, 0.8)
    """Spread of the natural log of the height of pulses that only boxes show, and the share of them that tell nothing."""
    misplaced_pulse: float = 0.1
    """Share of pulses beside limb leads that are the chest leads': leads were misnamed."""
    limb_pulse: float = 0.3
    """Share of pulses beside chest leads that are drawn at the gain of the limb leads."""
    shown_parts: tuple[float, ...] = (
        0.08, 0.2, 0.4, 0.46, 0.49, 0.51, 0.8, 0.9, 0.98, 1.02, 1.2, 1.9, 2.1, 3.0,
    )  # fmt: skip
    """Time that all columns show, over the record's, between which the next shares lie."""
    shown_shares: Mapping[tuple[float, int], tuple[float, ...]] = field(
        default_factory=lambda: {
            (25.0, 1): (0, 0, 0.013, 0.016, 0.042, 0.175, 0.073, 0.162, 0.55, 0, 0, 0, 0),
            (25.0, 2): (0, 0, 0, 0, 0.03, 0.003, 0.042, 0.218, 0.589, 0, 0, 0.148, 0),
            (25.0, 3): (0, 0, 0, 0, 0.03, 0.012, 0.037, 0.283, 0.637, 0.01, 0.021, 0, 0.001),
            (50.0, 1): (0, 0.179, 0.063, 0.119, 0.336, 0.057, 0.022, 0.079, 0.145, 0, 0, 0, 0),
            (50.0, 2): (0, 0, 0.087, 0.113, 0.429, 0, 0.019, 0.061, 0.153, 0, 0, 0.138, 0),
            (50.0, 3): (0, 0.001, 0.08, 0.153, 0.439, 0.018, 0.011, 0.09, 0.185, 0.005, 0.017, 0, 0),
            (12.5, 1): (0, 0, 0, 0.025, 0.025, 0.2, 0.05, 0.158, 0.542, 0, 0, 0, 0),
            (12.5, 2): (0, 0, 0, 0, 0, 0.01, 0.045, 0.205, 0.62, 0, 0, 0.12, 0),
            (12.5, 3): (0, 0, 0, 0, 0, 0.013, 0.047, 0.26, 0.66, 0.004, 0.016, 0, 0),
        }
    )
    """Shares of pages by speed, mm/s, and number of columns, 3 for more; 3 % of half the time at 25 mm/s, which is not drawn,
    are pages of short records."""
    mistaken_length: float = 0.2
    """Share of lengths that are anything: columns misread, pages cut."""
    mistaken: float = 0.05
    """Share of beats, and of numbers of axes, that are mistaken."""
    axis_error: float = 0.01
    """Spread of the natural log of a second, or a millivolt, by the numbers of axes over that of the grid; a judgement."""
    beat_s: tuple[float, float] = (0.79, 0.29)
    """Median, s, and spread of the natural log of the time from beat to beat."""
    beat_width_mm: Mapping[float, float] = field(
        default_factory=lambda: {12.5: 1.2, 25.0: 1.6, 50.0: 2.0, 0.0: 0.22}
    )
    """Median width, mm, of the ink of QRS complexes at each speed; under 0 the spread of its natural log."""
    limb_beat_mv: tuple[float, float] = (0.82, 0.5)
    """Median, mV, and spread of the natural log of the height of QRS complexes in limb leads."""
    chest_beat_mv: tuple[float, float] = (1.24, 0.5)
    """The same in chest leads."""
    chest_to_limb: tuple[float, float] = (1.37, 0.45)
    """The same of their ratio."""
    long_share: float = 1.03
    """Length of rows over a short record's at 25 mm/s, above which the page shows more than the record."""

    # find boxes
    min_box_score: float = 0.1
    """Score (0 to 1) of a box, at least; it still has to agree with a layout."""
    most_names: int = 4
    """Number of names among which a lead's may be undecided."""
    sure_upright: float = 0.88
    """Confidence (0 to 1) of a layout, from which other turns are not tried."""
    scales_reach_mm: float = 300.0
    """Distance, mm, of printed speed and gain from the leads, at most: the longer side of A4."""
    min_pulse_score: float = 0.4
    """Score (0 to 1) of a pulse's box, at least."""

    # orientation
    usually_upright: float = 2.0
    """Log odds that a page lies upright before it is looked at."""
    pulse_upright: float = 1.0
    """Log odds of each calibration pulse: upside down they are seldom taken for any."""
    most_pulses: int = 4
    """Number of pulses that count, at most."""

    # layout
    unsure_score: float = 0.5
    """Score of a box, and share of its columns with ink, of which it needs one at least."""
    clear_ink: float = 0.4
    """Darkness (0 to 1) of clear ink."""
    min_same: float = 0.6
    """Overlap along x (intersection over union) of a lead and a box, above which they are one."""
    min_explained: float = 0.6
    """Share of the sure boxes that a layout has leads for, at least."""
    level_slack_mm: float = 2.0
    """Distance, mm, of the usual line of ink from where a box allows its 0-mV line, at most."""
    off_foot: float = 0.3
    """Weight of ink elsewhere in a box that reaches over the foot of a pulse."""

    # arrangement
    box_in_place: float = 4.0
    """Log odds of a box in a cell's place against a box anywhere."""
    missed_lead: float = 2.5
    """Negative log probability that a drawn lead has no box."""
    any_order: float = 9.0
    """Negative log odds of a page in no known order, where names are told by looks and places only."""
    printed_order: float = 4.5
    """Negative log odds of such a page where all names are read: misreading cannot turn one known order into another."""
    most_strips: int = 3
    """Number of rhythm strips, at most."""
    strip_cost: float = 0.5
    """Negative log odds of a rhythm strip."""
    sure_layout: float = 0.35
    """Confidence (0 to 1) of a layout, from which a turn of the page counts."""
    ink_only_strip: float = 0.3
    """Log odds of a rhythm strip that only its ink shows, below the other rows."""
    regular_row: float = 0.5
    """Log odds of a row without boxes where the others leave room for it."""

    # boxes
    same_place: float = 0.6
    """Overlap (intersection over union), from which two boxes stand for one lead."""
    misnamed: float = 0.03
    """Probability that a box carries a wrong name."""

    # printed names
    name_reach_mm: float = 14.0
    """Distance, mm, of a printed name above or below its lead's level, at most."""
    name_height_error_mm: float = 1.8
    """Deviation, mm, of names from the one height above or below their leads that a page has."""
    name_far: float = 0.004
    """Share of its score that a height loses for each millimetre: of two that fit alike the nearer one wins."""
    name_along_error_mm: float = 2.5
    """Deviation, mm, of names from the one distance from their leads' beginning; they are of different length."""
    name_margin_mm: float = 38.0
    """Distance, mm, of a name in the margin from the first lead of its row, at most."""
    min_name_fit: float = 0.2
    """Fit (0 to 1) of a name to its place, at least."""
    sure_minus: float = 0.8
    """Probability of a minus, from which a name has one: far fewer pages print one than those it was learned from."""
    sure_name: float = 0.8
    """Probability of a name, from which it tells of a lead that no box shows."""
    name_only_score: float = 0.6
    """Score (0 to 1) of the box of such a lead."""
    min_named: float = 0.34
    """Number of different names over that of the leads, at least: beats look like an I, but like nothing else."""
    read_wrong: float = 0.004
    """Probability that a name that was read clearly is wrong."""
    place_weight: float = 0.4
    """Exponent of a detector's opinion beside a printed name."""

    few_names: int = 6
    """Number of different names that are read clearly, below which they may be turned by a quarter; a judgement."""
    more_turned_names: int = 4
    """Number of names that are read more when turned, at least."""

    # name pattern
    min_pattern_name: float = 0.25
    """Probability of a name, from which it may stand in a pattern."""
    names_alike: float = 0.3
    """Share of a name's probability that goes to all that look alike."""
    min_pattern_names: int = 4
    """Number of names that make a pattern, at least."""
    min_pattern_share: float = 0.55
    """Share of a layout's names that make a pattern, at least."""
    name_in_place: float = 4.0
    """Log odds of a name in its place against one by chance."""
    name_missed: float = 1.5
    """Negative log probability that a printed name is not read."""
    sure_pattern: float = 0.74
    """Share of twelve names that outweighs all boxes."""
    min_legible: float = 0.7
    """Probability of a name, from which it counts as read."""
    named_score: float = 0.9
    """Score (0 to 1) of a lead whose name stands in a pattern."""
    unread_score: float = 0.5
    """Score (0 to 1) of a lead of the pattern whose name was not read."""
    row_unexplained: float = 0.4
    """Negative log odds of a row of ink above the first lead."""
    min_strip_name: float = 0.5
    """Probability of a name of a strip, at least, where it does not stand where the other rows' do."""
    strip_named: float = 3.0
    """Log odds that a clear name below the rows of a pattern is a rhythm strip's."""
    strip_boxed: float = 2.0
    """Log odds that a sure box over the full width is a strip."""
    strip_inked: float = 2.2
    """Log odds that a row of ink over the full width is a strip, where all other rows of ink are leads'."""
    strip_unnamed: float = 0.3
    """Negative log odds of a strip without a name where all leads have theirs."""
    strip_shown: float = 1.5
    """Negative log odds of a strip before it is looked for."""

    # row assignment
    row_apart_share: float = 0.35
    """Distance of levels within a row over the distance between rows, at most."""
    row_slack_mm: float = 2.5
    """Distance, mm, of a box's level from what it allows for its lead's, at most."""
    irregular_rows: float = 2.0
    """Weight of (row spacing in pitches - nearest whole number) squared: half a pitch off costs a quarter of it."""
    no_row: float = 8.0
    """Cost of a box without a row of its own; of a level in the neighbouring row 2."""

    # columns
    min_column_mm: float = 15.0
    """Width, mm, of a column, at least: half a second."""
    min_cell_overlap: float = 0.6
    """Overlap along x (intersection over union) of a box and a cell, at least."""
    box_edge_error_mm: float = 3.0
    """Error, mm, of a box's edge against rows and columns of equal width."""
