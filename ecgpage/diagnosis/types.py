"""The answer of one branch for one record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """Answer for one record."""

    labels: list[str]
    """Classes whose probability reaches the class's threshold, in the order of the weights' class list."""
    probabilities: dict[str, float]
    """Network's output per class, 0 to 1; NaN when there was no signal."""

    @classmethod
    def by_thresholds(
        cls, classes: Sequence[str], probabilities: Sequence[float], thresholds: Sequence[float]
    ) -> "Diagnosis":
        """Labels of the classes whose probability reaches their threshold."""
        labels = [c for c, p, t in zip(classes, probabilities, thresholds, strict=True) if p >= t]
        return cls(labels, dict(zip(classes, probabilities, strict=True)))

    @classmethod
    def unknown(cls, classes: Sequence[str]) -> "Diagnosis":
        """No labels, and probabilities of NaN."""
        return cls([], dict.fromkeys(classes, math.nan))
