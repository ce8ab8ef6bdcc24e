"""Diagnosis of one record, by one branch or by both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """Labels and probabilities of one record."""

    labels: list[str]
    """Classes whose probability reaches the class's threshold, in the order of the weights' class list."""
    probabilities: dict[str, float]
    """Probability of each class, 0 to 1; NaN when there was no input."""

    @classmethod
    def by_thresholds(
        cls, classes: Sequence[str], probabilities: Sequence[float], thresholds: Sequence[float]
    ) -> "Diagnosis":
        """Diagnosis whose labels are the classes with a probability that reaches their threshold."""
        labels = [c for c, p, t in zip(classes, probabilities, thresholds, strict=True) if p >= t]
        return cls(labels, dict(zip(classes, probabilities, strict=True)))

    @classmethod
    def unknown(cls, classes: Sequence[str]) -> "Diagnosis":
        """Diagnosis without labels, all probabilities NaN."""
        return cls([], dict.fromkeys(classes, math.nan))
