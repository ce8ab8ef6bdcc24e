"""Options of the assembly of signals."""

from dataclasses import dataclass


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
    min_restart: float = 0.15
    """Gain in the correlation of beats with the strip, from which all columns begin at the strip's beginning."""
    min_constraint_correlation: float = 0.4
    """Correlation coefficient of both sides of a constraint, below which leads are misnamed."""
    max_size_ratio: float = 1.4
    """Ratio of the standard deviations of both sides, from which they disagree; Cabrera's order under standard names: 1.5."""
    max_cancelled: float = 0.1
    """Variance of V4 + V5 + V6 over the sum of their variances, below which they are limb leads."""
