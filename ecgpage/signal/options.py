"""Options of the assembly of signals."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SignalOptions:
    """Switches and thresholds of ``ecgpage.signal``; the defaults made the tables in docs/results.md."""

    strips: bool = True
    """Whether rhythm strips are used: they fill their lead over its whole length."""
    constraints: bool = True
    """Whether Einthoven's and Goldberger's constraints correct the limb leads and give aVR's sign."""
    min_coverage: float = 0.6
    """Share of a segment's samples that were read, below which the segment is left out."""
    min_snr_db: float = 0.0
    """Expected SNR, dB, below which a lead is left out: zeros would be as good; -inf keeps all."""
    min_strip_correlation: float = 0.5
    """Correlation coefficient from which a strip repeats a lead; other strips are left out."""
    # times of columns
    time_weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "axis": 0.67,
            "together": -1.26,
            "numbers": 1.0,
            "total": 0.16,
            "rhythm": 0.55,
            "lags": 1.0,
            "rate": 1.0,
            "width": 1.0,
            "other strip": -0.65,
            "strip": 4.03,
            "strip lags": 0.31,
            "strip lead": 2.5,
            "strip columns": -3.16,
            "constraint": 1.0,
            "same samples": 20.0,
            "limb leads": 20.0,
        }
    )
    """Weights of what speaks for times of columns, see ``ecgpage.signal.times.EVIDENCE``: estimated by
    ``python -m bench.time_evidence --estimate`` on drawn plans of folds 1 to 7, but
    for the last two, which nothing else explains, and "numbers", whose number is a log probability.
    """
    restarting_axes: float = 0.3
    """Share of pages with columns that follow each other whose axes begin anew at 0; a judgement."""
    totals_s: tuple[tuple[float, float], ...] = (
        (10.0, 0.8),
        (5.0, 0.03),
        (12.0, 0.02),
        (6.0, 0.01),
        (2.5, 0.02),
    )
    """Times, s, that pages show as a rule, each with its share."""
    total_error_s: float = 0.04
    """Error, s, of the time that columns show: their ends are known to about a millimetre."""
    other_total: float = 0.12
    """Share of pages that show any other time up to 30 s."""
    together_totals_s: tuple[tuple[float, float], ...] = ((2.5, 0.3), (5.0, 0.35), (10.0, 0.25))
    """The same of pages whose columns show the same seconds."""
    together_fit: tuple[float, float] = (0.96, 0.035)
    """Mean and standard deviation of the correlation of the beats of limb and chest leads of the same seconds; this and the
    next two were counted on 150 records of 500 Hz."""
    other_fit_long: tuple[float, float] = (0.62, 0.28)
    """The same of different 5 s, at the lag at which they agree best."""
    other_fit_short: tuple[float, float] = (0.8, 0.2)
    """The same of different 2.5 s."""
    same_constraint: tuple[float, float] = (-2.52, 0.42)
    """Mean and standard deviation of the natural log of what limb leads of two columns of the same seconds miss the
    constraints by, over their own size, where their beats agree best; this and the next were counted by
    ``python -m bench.time_evidence --count``.
    """
    other_constraint: tuple[float, float] = (-0.35, 0.55)
    """The same in columns that follow each other."""
    together_lags_s: tuple[tuple[float, float], ...] = ((0.006, 0.6), (0.02, 0.25), (0.06, 0.15))
    """Lags, s, between the beats of columns that show the same seconds, each with its share: leads differ, columns may be
    put half a millimetre off, and on one drawn page in seven they are put 1 to 2 mm off.
    """
    sure_place_s: float = 0.01
    """Lag, s, up to which columns that show the same seconds stay where they were put."""
    unsure_place_s: float = 0.06
    """Lag, s, beyond which it is none of their places."""
    usual_beat_s: float = 0.8
    """Time, s, from beat to beat: by chance columns stand anywhere within it."""
    beat_spread: float = 0.35
    """Standard deviation of the natural log of that time over people."""
    usual_widths: tuple[tuple[float, float, float], ...] = ((0.046, 0.2, 0.98), (0.094, 0.11, 0.02))
    """Times, s, in which beats rise and fall, narrow and wide ones: median, standard deviation of the natural log, and share;
    counted by ``python -m bench.time_evidence --count``."""
    stray_width: float = 0.02
    """Density of the natural log of any other such time."""
    beats_across: tuple[tuple[float, float], ...] = ((1, 0.85), (2, 0.1))
    """Distances, in usual ones, from the last beat of a column to the first of the next, each with its share: a beat that is
    cut by an end is missed.
    """
    stray_beats: float = 0.05
    """Density of any other such distance."""
    least_rhythm: float = 0.03
    """Least standard deviation of the natural log of the distances of beats."""
    least_speed_odds: float = 12.0
    """Log odds below the likeliest paper speed's, from which a speed is not tried on the traces."""
    min_constraint_correlation: float = 0.4
    """Correlation coefficient of both sides of a constraint, below which leads are misnamed."""
    sure_correlation: float = 0.93
    """Correlation coefficient of one constraint, from which names are right whatever the sizes of the other's sides."""
    max_size_ratio: float = 1.4
    """Ratio of the standard deviations of both sides, from which they disagree; Cabrera's order under standard names: 1.5."""
    max_cancelled: float = 0.1
    """Variance of V4 + V5 + V6 over the sum of their variances, below which they are limb leads."""
