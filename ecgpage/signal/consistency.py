"""Find signals that contradict the names of their leads."""

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array
from ecgpage.signal.options import SignalOptions


def find_contradiction(mv: NDArray[np.float32], fs: float, options: SignalOptions = SignalOptions()) -> str:
    """Contradiction between signals (n_samples, 12) mV at ``fs`` Hz and the names of their leads; empty when there is none.

    On every page I + III = II (Einthoven) and aVR = -(aVL + aVF) (Goldberger): when neither holds even roughly, rows or
    times were misread. Chest leads whose sum cancels are limb leads.
    """
    lead = {name: mv[:, k].astype(float) for k, name in enumerate(LEADS)}
    constraints = ((lead["I"] + lead["III"], lead["II"]), (-lead["aVL"] - lead["aVF"], lead["aVR"]))
    agreement = [_correlate_sides(a, b, fs, options.max_size_ratio) for a, b in constraints]
    known = [r for r in agreement if np.isfinite(r)]
    if known and max(known) < options.min_constraint_correlation:
        return "I + III and II, aVL + aVF and -aVR do not agree: the layout was misread"
    total = lead["V4"] + lead["V5"] + lead["V6"]
    common = np.isfinite(total)
    if common.sum() > fs:
        parts = sum(np.var(lead[name][common]) for name in ("V4", "V5", "V6"))
        if np.var(total[common]) < options.max_cancelled * parts:
            return "V4 + V5 + V6 cancel as only limb leads do: the page shows no chest leads where they were taken"
    return ""


def _correlate_sides(a: Array, b: Array, fs: float, max_ratio: float) -> float:
    """Correlation coefficient of both sides of a constraint; NaN with less than 1 s in common.

    0 when the ratio of their standard deviations is beyond ``max_ratio`` either way.
    """
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < fs or a[both].std() == 0 or b[both].std() == 0:
        return float("nan")
    ratio = a[both].std() / b[both].std()
    return float(np.corrcoef(a[both], b[both])[0, 1]) if 1 / max_ratio < ratio < max_ratio else 0.0
