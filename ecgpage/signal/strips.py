"""Compare rhythm strips with the columns: which lead each repeats."""

import logging
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.layout.types import PageLayout
from ecgpage.signal.beat_marks import correlate_at
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.sampling import ALL, sample_trace
from ecgpage.trace.reader import PATH, Trace

log = logging.getLogger(__name__)

MAX_LAG_S: Final = 0.04
"""Largest lag, s, between a strip and the lead that it repeats."""
BETTER: Final = 0.1
"""Correlation by which another lead than the named one agrees better, from which the strip repeats that."""
LESS_UNLIKE: Final = 4.0
"""What the named lead leaves to full correlation over what another one leaves, from which the strip repeats that, too: leads
may be much alike. Strips and columns of 400 records of folds 1 and 2, with noise of 10 and 30 uV: no right name is changed.
"""


def name_strips(
    strips: list[Trace], short: list[Trace], layout: PageLayout, fs: float, options: SignalOptions
) -> list[Trace]:
    """Strips named after the leads that they repeat, each lead once; strips that repeat none are left out."""
    best: dict[str, tuple[float, Trace]] = {}
    for strip in strips:
        lead, agreement = _find_repeated_lead(strip, short, layout, fs)
        if agreement < options.min_strip_correlation:
            log.info("a row at %.0f mm repeats no lead and is left out", strip.segment.zero_mm)
        elif lead not in best or agreement > best[lead][0]:
            best[lead] = (agreement, replace(strip, segment=replace(strip.segment, lead=lead)))
    return [strip for _, strip in best.values()]


def _find_repeated_lead(strip: Trace, short: list[Trace], layout: PageLayout, fs: float) -> tuple[str, float]:
    """Lead that a strip repeats, and their correlation; its named lead unless another correlates clearly better."""
    first, values = sample_trace(
        strip, layout, fs, round((strip.segment.start_s + strip.segment.duration_s) * fs)
    )
    score = {}
    for trace in short:
        start, part = sample_trace(trace, layout, fs, ALL)
        score[trace.segment.lead] = _correlate(
            values[max(0, start - first) : max(0, start - first + len(part))],
            part[max(0, first - start) :],
            fs,
            1 / fs if trace.source == strip.source == PATH else MAX_LAG_S,
        )
    named = strip.segment.lead
    best = max(score, key=lambda lead: score[lead], default=named)
    most, own = score.get(best, 0.0), score.get(named, 0.0)
    if most < own + BETTER and LESS_UNLIKE * (1 - most) >= 1 - own:
        best = named
    return best, score.get(best, 0.0)


def _correlate(a: NDArray[np.float32], b: NDArray[np.float32], fs: float, lag_s: float) -> float:
    """Largest correlation coefficient within a lag of ``lag_s``; 0 with less than half a second in common."""
    reach = max(1, round(lag_s * fs))
    return max(0.0, float(correlate_at(a, b, range(-reach, reach + 1), fs).max()))
