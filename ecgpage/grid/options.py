"""Judgements of the grid stage: thresholds that decide what is taken for a grid, a page, a line or a stroke.

Each can be given another value without touching the code; geometry (tile sizes, rasters, windows) stays with the functions.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GridOptions:
    """Options of the grid stage, from the frequencies in a picture to the flat page.

    How much the numbers matter was measured on three drawn pages, ``python -m bench.option_sensitivity grid --pages 3 --kinds
    photo-clean scan-bw photo-deteriorated``: a mean error of the map of 0.268 px at 200 dpi on the photos, a line of the scan
    miscounted. Where nothing is said of a number it can be halved and doubled on these pages: none is lost or found, the
    mean error changes by less than 3 %, the ink by less than 1 % (``max_gap_tiles`` was not asked for).
    """

    # --- steps ---
    refine: bool = True
    """Whether lines are centred and smoothed after tracking; without it the map is the spline through the tiles."""
    bridge_gaps: bool = False
    """Whether the grid is looked for behind tiles where it is hidden (creases, pen strokes): more of a damaged page is
    followed, at some risk of miscounting lines.
    """
    close_strokes: bool = True
    """Whether strokes are closed where they cross dark lines of the flat page."""

    # --- spectrum ---
    min_frequency_score: float = 1.2
    """Mean log power of the harmonics above the tile's median from which a period counts."""
    small_page_part: int = 12
    """Tiles of the picture over tiles of the smallest page that is looked for: a page that is read fills a tenth of it."""
    max_small_period_px: float = 32.0
    """Period, working pixels, up to which a small page is looked for; longer ones are edges."""

    # --- comb ---
    comb_power: float = 0.3
    """Mean surprise of what is no grid over that of a grid's harmonics."""
    min_comb: float = 6.0
    """Natural log of the likelihood ratio from which a strictly periodic grid is tried first."""

    least_comb: float = 2.0
    """Natural log of the likelihood ratio below which such a grid is not tried at all."""
    rival_comb: float = 5.0
    """Natural log of the likelihood ratio to the likeliest such grid, up to which another one is tried, too."""
    comb_agrees: float = 0.12
    """Natural log of the ratio of a tracked grid's distances to a periodic one's, up to which they are one grid, seen at an
    angle perhaps; multiples differ by more."""

    # --- tracking ---
    min_lock: float = 2.0
    """Amplitude over that of neighbouring frequencies, both directions, from which a tile is locked.

    Halved: error 0.241 px. Doubled: the miscounted scan is refused.
    """
    min_seed_lock: float = 1.5
    """Amplitude over that of neighbouring frequencies below which a seed is not tried."""
    max_seeds: int = 6
    """Number of seeds, best first, that are tried for a frequency.

    Halved: the miscounted scan is refused.
    """
    enough_share: float = 0.3
    """Share of the picture's tiles followed from one seed from which no other seed is tried."""
    max_phase_step: float = 0.28
    """Lines by which a tile's phase may differ from what its neighbour predicts; half a line would be ambiguous."""
    min_density: float = 0.35
    """Crossings of lines per area over those at the frequency's period, below which a tile is distorted."""
    max_density: float = 2.5
    """Crossings of lines per area over those at the frequency's period, above which a tile is distorted.

    Halved: one of three pages is miscounted that was not.
    """
    same_period: float = 0.15
    """Natural log of the ratio of two periods up to which perspective explains it; multiples differ by more."""
    same_turn_rad: float = 0.1
    """Radians between two directions up to which they are those of one grid."""
    max_gap_tiles: int = 2
    """Tiles without a lock that are bridged at a time, with ``bridge_gaps``."""
    max_folds: int = 6
    """Number of further parts of a folded sheet that are followed at most."""
    max_fold_seeds: int = 3
    """Number of places behind a fold, best first, from which such a part is followed."""
    fold_reach_tiles: float = 4.5
    """Distance, tiles, of two tiles on both sides of a fold at most."""
    covered_share: float = 0.8
    """Share of the tiles behind folds that a map of the first part covers, from which it is enough."""
    max_odd: float = 0.12
    """Lines by which a tile may differ from the median prediction of its neighbours."""
    min_neighbours: int = 3
    """Number of neighbours without which a tile is dropped.

    Halved: the miscounted scan is refused. Doubled: this, too, and error 0.276 px.
    """

    # --- candidates ---
    min_tiles: int = 12
    """Number of tiles a candidate has at least."""
    min_share: float = 0.1
    """Share of the picture's tiles a candidate has at least."""
    max_fine_px: float = 25.0
    """Period, image pixels, up to which lines may be 1-mm ones, which are tracked at a fourth of the scale first.

    Doubled: the miscounted scan is refused.
    """
    good_share: float = 0.4
    """Share of the tiles from which no other frequency is tried, coarse lines."""
    sure_fine_share: float = 0.8
    """Share of the tiles from which no other frequency is tried, fine lines: their multiples lock here and there."""
    same_share: float = 0.7
    """Share of a candidate's tiles within the area of a better one from which it is dropped."""
    max_tile_error: float = 0.15
    """Periods by which a tile may lie off the thin-plate spline through all."""
    min_lines: int = 6
    """Number of 5-mm lines in each direction that a page shows at least; splines need four."""
    min_picture_mm: float = 110.0
    """Millimetres that a picture of a page shows at least along its longer side."""
    max_error_mm: float = 0.25
    """Expected error, mm, from which a map is refused: its halves disagree because lines were miscounted.

    Halved: the miscounted scan is refused.
    """

    # --- spacing, 1 or 5 mm ---
    min_fifth: float = 8.0
    """Standard errors by which every fifth line stands out of 1-mm lines, both directions."""
    max_absent: float = 0.2
    """Strength of every second line over that of the others, up to which it is no line."""
    many_squares: int = 70
    """Number of lines in one direction from which half of them may be none; A4 has 59 squares along its longer side."""
    min_finer: float = 1.0
    """Natural log of the fifth harmonic over its neighbours from which there are finer lines between those tracked."""
    max_squares: int = 100
    """Number of lines in one direction from which they are 1-mm ones when nothing else tells.

    Halved: one of three pages is not found.
    """

    # --- refinement ---
    min_places: int = 4
    """Number of places that have to be exceeded on a line to tell where it stands."""
    min_place_weight: float = 0.2
    """Weight, 0 to 1, from which a place on a line counts for the line's shift."""
    max_snap_mm: float = 0.08
    """Millimetres by which a program moves lines onto its pixels: up to 0.064 at 200 dpi, 0.08 at 160.

    Halved: error 0.302 px.
    """
    line_bias_px: float = 0.1
    """Pixels by which a line may be misplaced where it runs along the picture's pixels, once a plot's pixels are known."""

    # --- extension ---
    extension_squares: int = 3
    """Squares by which the map is grown on each side at a time."""
    max_extensions: int = 12
    """Number of times that the map is grown."""
    extension_half_width_mm: float = 1.2
    """Millimetres around its expected place within which a line of the grown part is looked for."""
    min_clear_weight: float = 0.1
    """Weight, 0 to 1, from which both lines of a grown node are seen."""
    min_clear: float = 0.5
    """Share of the nodes around that have to be seen for a grown node to be kept."""
    min_step: float = 1.02
    """Nodes after growing over those before, from which the map is grown on: behind a fold it begins with one line."""
    min_growth: float = 1.12
    """Nodes of the grown map over those of the followed one, from which the grown map is the likelier one.

    Halved: error 0.297 px.
    """
    extended_half_width_mm: float = 1.0
    """Millimetres around the nodes of a grown map within which lines are looked for at last."""

    # --- plot pixels ---
    min_explained: float = 0.4
    """Share of the lines' variance that the plot's pixels explain where lines were moved."""
    max_unexplained: float = 0.25
    """Unexplained variance of the best resolution over that of the second best, up to which the best one is clear."""
    max_second: float = 0.4
    """Explained variance of the second best resolution over that of the best one, up to which the best one is clear."""
    min_quantised_lines: int = 20
    """Number of lines in a direction from which a plot's pixels are looked for."""
    near_tie: float = 0.05
    """Pixels from the middle between two pixels within which the phase does not tell which way a line went."""
    sure_tie: float = 6.0
    """Difference of two squared errors, in variances of the lines, from which the smaller one is believed."""
    max_shift_mm: float = 0.18
    """Millimetres from which a line's offset tells of paper and scanner; half a pixel at 72 dpi."""

    # --- flat page ---
    min_seen: float = 0.4
    """Share of a line beyond the grid that has to lie in the picture for the page to be shown there."""
    crossing_mm: float = 0.5
    """Half width, mm, of a crossing line, which is left out of a line's profile."""
    stroke_gap_mm: float = 0.35
    """Half width, mm, of the gaps that are closed in strokes."""
    min_dark_line: float = 0.25
    """Darkness of a line over that of a stroke, from which it hides the ink that crosses it."""
