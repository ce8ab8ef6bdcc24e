"""Find signals that contradict the names of their leads."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Array
from ecgpage.signal.options import SignalOptions

CABRERA_RATIO: Final = (1.42, 1.58)
"""Ratio of both sides of Einthoven's constraint on pages in Cabrera's order whose names are taken for the standard ones."""

PIECE_S: Final = 1.0
"""Length, s, of the pieces that are compared by themselves: a torn electrode's swings fill few of them."""
LEAST_PIECES: Final = 3
"""Number of pieces in common by which leads are compared."""


def find_contradiction(
    mv: NDArray[np.float32], fs: float, options: SignalOptions = SignalOptions(), *, are_read: bool = False
) -> str:
    """Contradiction between signals (n_samples, 12) mV at ``fs`` Hz and the names of their leads; empty when there is none.

    ``are_read``: the names were read in print, so that sizes alone do not speak against them: spikes of a pacemaker that
    cross other rows, or scales of their own, make traces wrong, not names. On every page I + III = II (Einthoven) and
    aVR = -(aVL + aVF) (Goldberger): when neither holds even roughly as a whole, nor clearly in most pieces, rows or times
    were misread. Chest leads whose sum cancels are limb leads.
    """
    lead = _name_leads(mv)
    sure = [
        r if np.isnan(r) or are_read or _are_alike(ratio, options) or _is_clear(r, ratio, options) else 0.0
        for r, ratio in compare_sides(mv, fs).values()
    ]
    # a torn electrode's swings outweigh all beats, but most pieces show names that are right all the more clearly
    sure += [r for r, ratio in _compare_pieces(mv, fs) if _is_clear(r, ratio, options)]
    known = [r for r in sure if np.isfinite(r)]
    if known and max(known) < options.min_constraint_correlation:
        return "I + III and II, aVL + aVF and -aVR do not agree: the layout was misread"
    total = lead["V4"] + lead["V5"] + lead["V6"]
    common = np.isfinite(total)
    if common.sum() > fs:
        parts = sum(np.var(lead[name][common]) for name in ("V4", "V5", "V6"))
        if np.var(total[common]) < options.max_cancelled * parts:
            return "V4 + V5 + V6 cancel as only limb leads do: the page shows no chest leads where they were taken"
    return ""


def find_disagreement(mv: NDArray[np.float32], fs: float, options: SignalOptions = SignalOptions()) -> str:
    """What to say of limb leads of signals (n_samples, 12) mV that agree in form but not in size; empty when they do."""
    for name, (correlation, ratio) in compare_sides(mv, fs).items():
        if correlation >= options.min_constraint_correlation and not _are_alike(ratio, options):
            return (
                f"the limb leads disagree in size ({name} has {1 / ratio:.2f} of what the others give): "
                "they may have been drawn at scales of their own"
            )
    return ""


def _name_leads(mv: NDArray[np.float32]) -> dict[str, Array]:
    return {name: mv[:, k].astype(float) for k, name in enumerate(LEADS)}


def compare_sides(mv: NDArray[np.float32], fs: float) -> dict[str, tuple[float, float]]:
    """Lead -> correlation with what the other limb leads give for it, and size of that over its own, from signals
    (n_samples, 12) mV; NaN with less than 1 s in common.
    """
    return {name: _correlate_sides(*sides, fs) for name, sides in _give_sides(mv).items()}


def _give_sides(mv: NDArray[np.float32]) -> dict[str, tuple[Array, Array]]:
    """Lead -> what the other limb leads give for it, and itself, (n_samples,) mV each."""
    lead = _name_leads(mv)
    return {"II": (lead["I"] + lead["III"], lead["II"]), "aVR": (-lead["aVL"] - lead["aVF"], lead["aVR"])}


def _compare_pieces(mv: NDArray[np.float32], fs: float) -> list[tuple[float, float]]:
    """For both constraints the medians of correlation and size over pieces of PIECE_S; none with too few in common."""
    piece = round(PIECE_S * fs)
    found = []
    for a, b in _give_sides(mv).values():
        sides = [
            _correlate_sides(a[first : first + piece], b[first : first + piece], fs * PIECE_S)
            for first in range(0, len(a) - piece + 1, piece)
        ]
        known = np.array([side for side in sides if np.isfinite(side[0])]).reshape(-1, 2)
        if len(known) >= LEAST_PIECES:
            found.append((float(np.median(known[:, 0])), float(np.median(known[:, 1]))))
    return found


def _is_clear(correlation: float, ratio: float, options: SignalOptions) -> bool:
    """Whether both sides agree in form so well that names are right, whatever their sizes; but aVL - aVR is 1.5 times I:
    that is Cabrera's order under the standard names.
    """
    return correlation >= options.sure_correlation and not CABRERA_RATIO[0] < ratio < CABRERA_RATIO[1]


def _are_alike(ratio: float, options: SignalOptions) -> bool:
    return bool(1 / options.max_size_ratio < ratio < options.max_size_ratio)


def _correlate_sides(a: Array, b: Array, fs: float) -> tuple[float, float]:
    """Correlation coefficient of both sides of a constraint and the ratio of their standard deviations; NaN with less than
    1 s in common.
    """
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < fs or a[both].std() == 0 or b[both].std() == 0:
        return float("nan"), float("nan")
    return float(np.corrcoef(a[both], b[both])[0, 1]), float(a[both].std() / b[both].std())
