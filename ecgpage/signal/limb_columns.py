"""Whether limb leads that are drawn in different columns obey the constraints, as those of the same seconds do."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.layout.types import PageLayout
from ecgpage.signal.beat_marks import compare_at
from ecgpage.signal.limb_leads import BY_I_AND_II
from ecgpage.signal.sampling import sample_from_start
from ecgpage.trace.reader import Trace

AUGMENTED: Final = ("aVR", "aVL", "aVF")
TURNED: Final = "aVR"
"""Lead that some pages show upside down, which is not known yet when times are told."""


def miss_constraints(
    columns: Sequence[Sequence[Trace]],
    layout: PageLayout,
    fs: float,
    lags_s: Sequence[float] | None = None,
    reach_s: float = 0.0,
) -> float:
    """What augmented leads differ by from what leads I and II of another column make them, over their own size (both rms).

    Columns are laid over each other so that each begins ``lags_s`` (0 when None) after the first, give or take ``reach_s``;
    offsets are left out. NaN without such leads, and with less than half a second in common.
    """
    leads = [{t.segment.lead: t for t in column} for column in columns]
    first = next((k for k, own in enumerate(leads) if {"I", "II"} <= own.keys()), None)
    if first is None:
        return float("nan")
    one, two = (sample_from_start(leads[first][lead], layout, fs) for lead in ("I", "II"))
    n, reach = min(len(one), len(two)), round(reach_s * fs)
    lags = np.zeros(len(columns)) if lags_s is None else np.asarray(lags_s) - lags_s[first]
    seen = [
        _compare(
            BY_I_AND_II[lead][0] * one[:n] + BY_I_AND_II[lead][1] * two[:n],
            sample_from_start(own[lead], layout, fs),
            range(round(lag * fs) - reach, round(lag * fs) + reach + 1),
            fs,
            either_way=lead == TURNED,
        )
        for k, (own, lag) in enumerate(zip(leads, lags, strict=True))
        for lead in AUGMENTED
        if k != first and lead in own
    ]
    missed, whole = np.nansum(np.array(seen).reshape(-1, 2), axis=0)
    return float(np.sqrt(missed / whole)) if whole > 0 else float("nan")


def _compare(
    given: NDArray[np.float32], drawn: NDArray[np.float32], lags: range, fs: float, *, either_way: bool
) -> tuple[float, float]:
    """Variances of the difference of two signals, the second of which begins at the best of ``lags``, samples, in the first,
    and of the second one; NaN where they have too little in common.
    """
    both = compare_at(given, drawn, lags)
    shared = np.abs(both.shared) if either_way else both.shared
    enough = both.count > fs / 2
    if not enough.any():
        return float("nan"), float("nan")
    off = (both.spread_a + both.spread_b - 2 * shared)[enough] / both.count[enough]
    best = int(off.argmin())
    return max(0.0, float(off[best])), float((both.spread_b[enough] / both.count[enough])[best])
