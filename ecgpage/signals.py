"""Put the traces at their times: one signal in millivolts at the header's rate and length.

Every segment starts where the layout puts it; samples in between come from a cubic spline through the trace's columns.
The rhythm strip is named after the lead with which it agrees best, and fills that lead over its whole length.
"""

import logging
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ecgpage.ecg import LEADS
from ecgpage.leads import PagePlan, Segment
from ecgpage.trace import Trace

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

MIN_COVERAGE: Final = 0.5
"""A segment with less of its trace found is given up."""
MIN_LAW: Final = 0.4
"""Correlation between the sides of Einthoven's or Goldberger's law below which leads are misnamed."""
MAX_RATIO: Final = 1.4
"""Largest ratio of the sizes of both sides; in Cabrera order under standard names it is 1.5."""
MAX_CANCEL: Final = 0.1
MAX_LAG_S: Final = 0.04
MIN_AGREEMENT: Final = 0.5
"""Correlation from which a strip repeats a lead."""


@dataclass(frozen=True)
class LeadReading:
    """How one lead of the answer came about."""

    lead: str
    source: str
    """"network", "classical", or "none" when nothing was found."""
    coverage: float
    """Share of the drawn time that has a value."""
    reason: str = ""


@dataclass(frozen=True)
class PageSignals:
    """All leads of one page."""

    mv: NDArray[np.float32]
    """(n_samples, 12) in the order ``ecg.LEADS``; NaN where nothing was drawn or read."""
    readings: list[LeadReading]
    segments: list[Segment]
    """The segments with the strips' final names."""


def assemble(
    traces: list[Trace], plan: PagePlan, fs: float, n_samples: int, *, strip: bool = True
) -> PageSignals:
    """Signals of a page at ``fs`` Hz, ``n_samples`` long, from the traces of its segments.

    ``strip=False`` leaves the rhythm strips out.
    """
    mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
    readings = {lead: LeadReading(lead, "none", 0.0, "not drawn on this page") for lead in LEADS}
    short = [t for t in traces if not t.segment.is_strip]
    strips = _named_strips([t for t in traces if t.segment.is_strip], short, plan, fs) if strip else []
    for trace in short + strips:
        lead = trace.segment.lead
        reason = _refusal(trace)
        if reason:
            log.info("lead %s: %s", lead, reason)
            if readings[lead].source == "none":
                readings[lead] = LeadReading(lead, "none", 0.0, reason)
            continue
        first, values = _sampled(trace, plan, fs, n_samples)
        column = mv[:, LEADS.index(lead)]
        before = column[first : first + len(values)]
        if trace.segment.is_strip and np.isfinite(before).sum() > 0:
            values = values + _common_level(before, values)
        column[first : first + len(values)] = np.where(np.isfinite(values), values, before)
        readings[lead] = LeadReading(lead, trace.source, trace.coverage)
    return PageSignals(mv, [readings[lead] for lead in LEADS], [t.segment for t in short + strips])


def contradiction(mv: NDArray[np.float32], fs: float) -> str:
    """Why signals (n_samples, 12) cannot be the twelve leads that their names say; empty when they can.

    Limb leads obey I + III = II and aVR = -(aVL + aVF) (Einthoven, Goldberger), whatever the page; when neither holds even
    roughly, rows or times were misread. Chest leads that sum to nothing like limb leads are limb leads.
    """
    lead = {name: mv[:, k].astype(float) for k, name in enumerate(LEADS)}
    laws = ((lead["I"] + lead["III"], lead["II"]), (-lead["aVL"] - lead["aVF"], lead["aVR"]))
    agreement = [_agreement(a, b, fs) for a, b in laws]
    known = [r for r in agreement if np.isfinite(r)]
    if known and max(known) < MIN_LAW:
        return "I + III and II, aVL + aVF and -aVR do not agree: the layout was misread"
    total = lead["V4"] + lead["V5"] + lead["V6"]
    common = np.isfinite(total)
    if common.sum() > fs:
        parts = sum(np.var(lead[name][common]) for name in ("V4", "V5", "V6"))
        if np.var(total[common]) < MAX_CANCEL * parts:
            return "V4 + V5 + V6 cancel as only limb leads do: the page shows no chest leads where they were taken"
    return ""


def _agreement(a: Array, b: Array, fs: float) -> float:
    """Correlation coefficient where both are known, 0 when their sizes differ; NaN with less than a second in common."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < fs or a[both].std() == 0 or b[both].std() == 0:
        return float("nan")
    ratio = a[both].std() / b[both].std()
    return float(np.corrcoef(a[both], b[both])[0, 1]) if 1 / MAX_RATIO < ratio < MAX_RATIO else 0.0


def _refusal(trace: Trace) -> str:
    """Why a trace cannot be trusted; empty when it can."""
    if trace.coverage < MIN_COVERAGE:
        return f"only {100 * trace.coverage:.0f} % of the trace was found"
    return trace.reason


def _sampled(trace: Trace, plan: PagePlan, fs: float, n_samples: int) -> tuple[int, NDArray[np.float32]]:
    """First sample index and values in mV of one trace at ``fs``; NaN where the trace has a gap."""
    segment = trace.segment
    time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / plan.speed_mm_per_s
    volts = (segment.zero_mm - trace.y_mm) / plan.gain_mm_per_mv
    first = round(segment.start_s * fs)
    last = min(n_samples, round((segment.start_s + segment.duration_s) * fs))
    wanted = np.arange(first, last) / fs
    known = np.isfinite(volts)
    if known.sum() < 4:
        return first, np.full(last - first, np.nan, np.float32)
    values = CubicSpline(time_s[known], volts[known])(np.clip(wanted, time_s[known][0], time_s[known][-1]))
    nearest = np.clip(np.rint((wanted - time_s[0]) / (time_s[1] - time_s[0])).astype(int), 0, len(time_s) - 1)
    values[~known[nearest]] = np.nan
    return first, values.astype(np.float32)


def _common_level(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    both = np.isfinite(fixed) & np.isfinite(moving)
    return float(np.median(fixed[both] - moving[both])) if both.any() else 0.0


def _named_strips(strips: list[Trace], short: list[Trace], plan: PagePlan, fs: float) -> list[Trace]:
    """Strips under the names of the leads that they repeat, each lead once; rows that repeat none are left out."""
    best: dict[str, tuple[float, Trace]] = {}
    for strip in strips:
        lead, agreement = _repeated_lead(strip, short, plan, fs)
        if agreement < MIN_AGREEMENT:
            log.info("a row at %.0f mm repeats no lead and is left out", strip.segment.zero_mm)
        elif lead not in best or agreement > best[lead][0]:
            best[lead] = (agreement, replace(strip, segment=replace(strip.segment, lead=lead)))
    return [strip for _, strip in best.values()]


def _repeated_lead(strip: Trace, short: list[Trace], plan: PagePlan, fs: float) -> tuple[str, float]:
    """The lead that a strip repeats and their correlation; II unless another one agrees clearly better."""
    first, values = _sampled(strip, plan, fs, round((strip.segment.start_s + strip.segment.duration_s) * fs))
    score = {}
    for trace in short:
        start, part = _sampled(trace, plan, fs, 10**9)
        score[trace.segment.lead] = _correlation(
            values[max(0, start - first) : start - first + len(part)], part, fs
        )
    best = max(score, key=lambda lead: score[lead], default="II")
    if score.get(best, 0.0) < score.get("II", 0.0) + 0.1:
        best = "II"
    return best, score.get(best, 0.0)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], fs: float) -> float:
    """Largest correlation coefficient within a small lag; 0 where there is too little in common."""
    n = min(len(a), len(b))
    reach = max(1, round(MAX_LAG_S * fs))
    best = 0.0
    for lag in range(-reach, reach + 1):
        x, y = a[max(0, lag) : n + min(0, lag)], b[max(0, -lag) : n + min(0, -lag)]
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() > fs / 2 and x[both].std() > 0 and y[both].std() > 0:
            best = max(best, float(np.corrcoef(x[both], y[both])[0, 1]))
    return best
