"""Put the traces at their times: one signal in millivolts at the header's rate and length.

Every segment starts where the layout puts it; samples in between come from a cubic spline through the trace's columns.
The rhythm strip is named after the lead with which it agrees best, and fills that lead over its whole length.

Records at 100 Hz are often kept beside a 500-Hz form from which the page was printed (PTB-XL). Where the page shows the finer
form, the answer is given the coarser one's low-pass and lag, and nothing where the finer one had stopped.
"""

import logging
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import firwin

from ecgpage.core.conventions import LEADS
from ecgpage.layout.ink_only import PagePlan, Segment
from ecgpage.signal.expected_snr import Expectation, expect
from ecgpage.signal.limb_leads import Part, is_upside_down, reconciled, time_error
from ecgpage.trace.reader import Trace

log = logging.getLogger(__name__)

Array = NDArray[np.float64]

TURNED: Final = "aVR"
"""The lead that some pages show upside down."""
MIN_COVERAGE: Final = 0.5
"""A segment with less of its trace found is given up."""
MIN_LAW: Final = 0.4
"""Correlation between the sides of Einthoven's or Goldberger's law below which leads are misnamed."""
MAX_RATIO: Final = 1.4
"""Largest ratio of the sizes of both sides; in Cabrera order under standard names it is 1.5."""
MAX_CANCEL: Final = 0.1
MAX_LAG_S: Final = 0.04
BEAT_S: Final = 0.06
MIN_RESTART: Final = 0.15
"""So much better must the beats of later columns agree with the beginning of the strip to be taken from there."""
LOW_HZ: Final = 100
FINE_HZ: Final = 500
LOW_PASS_HZ: Final = 45.0
LOW_LAG_S: Final = 0.0012
"""PTB-XL's 100-Hz form is the 500-Hz one without what is above 45 Hz, taken 1.2 ms later: least squares over 159 records of
folds 1-3 that have both, 42.5 dB of agreement on fold 4 (19.0 dB as they stand)."""
IMAGE_BAND_HZ: Final = (52.0, 85.0)
"""Where straight lines between samples 10 ms apart repeat what stands below 48 Hz."""
HOLD_S: Final = 0.1
"""PTB-XL's 500-Hz form keeps its last value for the last 0.1 s (46 to 59 samples in all 488 records of the pack), where the
100-Hz form goes on: what is printed there is no signal."""
MAX_HOLD_MV: Final = 0.01
"""Standard deviation up to which a lead stands still. On drawn pages of fold 8 all 47 such ends that were read stayed below
0.007 in all leads; elsewhere, 17 % of stretches of that length are as quiet as this limit."""
MIN_SNR_DB: Final = 0.0
"""Leads expected below this are left out: zeros would be as good."""
MIN_RUN: Final = 8
"""Samples; shorter pieces are not filtered, and left out."""
MIN_IMAGE: Final = 0.5
"""Correlation of that repetition with what was read. On drawn pages of fold 8 (clean, scanned, photographed; 16 each) it was
0.4 at most with 500-Hz records and 0.2 to 0.96, in eleven cases above 0.5, with 100-Hz ones."""
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
    expectation: Expectation | None = None
    """How good it is expected to be; None when nothing was read."""

    @property
    def snr_db(self) -> float:
        """Expected signal-to-noise ratio, dB; NaN when nothing was read."""
        return self.expectation.snr_db if self.expectation else float("nan")


@dataclass(frozen=True)
class PageSignals:
    """All leads of one page."""

    mv: NDArray[np.float32]
    """(n_samples, 12) in the order ``ecg.LEADS``; NaN where nothing was drawn or read."""
    readings: list[LeadReading]
    segments: list[Segment]
    """The segments with the strips' final names."""
    as_read: NDArray[np.float32]
    """(n, 12) at ``fs`` or FINE_HZ, before the limb leads corrected each other."""
    notes: tuple[str, ...] = ()
    """What the signals tell of the page that the plan did not know."""


def assemble(
    traces: list[Trace],
    plan: PagePlan,
    fs: float,
    n_samples: int,
    *,
    strip: bool = True,
    rate: bool = True,
    laws: bool = True,
    gate: bool = True,
) -> PageSignals:
    """Signals of a page at ``fs`` Hz, ``n_samples`` long, from the traces of its segments.

    ``strip=False`` leaves the rhythm strips out, ``rate=False`` answers at 100 Hz with samples of the trace as it stands,
    ``laws=False`` leaves the limb leads as they were read, ``gate=False`` keeps leads that are expected to be noise.
    """
    if rate and fs == LOW_HZ:
        fine = assemble(
            traces, plan, FINE_HZ, n_samples * FINE_HZ // LOW_HZ, strip=strip, laws=laws, gate=gate
        )
        image = coarse_image(fine.mv)
        log.info("100 Hz asked for; the page repeats a 100-Hz record with correlation %.2f", image)
        repeats = image >= MIN_IMAGE
        coarse = fine.mv[:: FINE_HZ // LOW_HZ] if repeats else without_hold(low_rate_form(fine.mv), fine.mv)
        return replace(fine, mv=coarse)
    readings = {lead: LeadReading(lead, "none", 0.0, "not drawn on this page") for lead in LEADS}
    traces, notes = with_lawful_sign(traces, plan, fs) if laws else (traces, ())
    short = [t for t in traces if not t.segment.is_strip]
    long = [t for t in traces if t.segment.is_strip]
    short = _as_in_strips(short, long, plan, fs)
    strips = _named_strips(long, short, plan, fs) if strip else []
    found = {
        k: _part(trace, plan, fs, n_samples) for k, trace in enumerate(short + strips) if not _refusal(trace)
    }
    lag_s = time_error(list(found.values()), fs)
    parts: list[Part] = []
    kept: list[Trace] = []
    for k, trace in enumerate(short + strips):
        lead = trace.segment.lead
        expected = expect(found[k], fs, lag_s) if k in found else None
        reason = _refusal(trace) or (_noise(trace, expected) if gate else "")
        if reason:
            log.info("lead %s: %s", lead, reason)
            if readings[lead].source == "none":
                readings[lead] = LeadReading(lead, "none", 0.0, reason)
            continue
        parts.append(found[k])
        kept.append(trace)
        readings[lead] = LeadReading(lead, trace.source, trace.coverage, expectation=expected)
    as_read = _put_together(parts, kept, n_samples)
    mv = _put_together(reconciled(parts, fs), kept, n_samples) if laws else as_read
    segments = [t.segment for t in short + strips]
    return PageSignals(mv, [readings[lead] for lead in LEADS], segments, as_read, notes)


def with_lawful_sign(traces: list[Trace], plan: PagePlan, fs: float) -> tuple[list[Trace], tuple[str, ...]]:
    """The traces with aVR the right way up, as the other limb leads of the same moments tell it, and a note when it was not:
    aVR is drawn upside down on some pages, and a minus before its name is easily overlooked.
    """
    short = [t for t in traces if not t.segment.is_strip]
    long = [t for t in traces if t.segment.is_strip]
    short = _as_in_strips(short, long, plan, fs)
    used = [t for t in short + _named_strips(long, short, plan, fs) if not _refusal(t)]
    if not any(t.segment.lead == TURNED for t in used):
        return traces, ()
    parts = [_part(t, plan, fs, round(fs * (t.segment.start_s + t.segment.duration_s))) for t in used]
    if not is_upside_down(parts, TURNED, fs):
        return traces, ()
    note = f"{TURNED} turned over: Einthoven's and Goldberger's laws tell its sign"
    log.info(note)
    return [_turned_over(t) if t.segment.lead == TURNED else t for t in traces], (note,)


def _turned_over(trace: Trace) -> Trace:
    return replace(trace, segment=replace(trace.segment, gain_mm_per_mv=-trace.segment.gain_mm_per_mv))


def _part(trace: Trace, plan: PagePlan, fs: float, n_samples: int) -> Part:
    """A trace at its times."""
    first, values = _sampled(trace, plan, fs, n_samples)
    time_s = (trace.x_mm - trace.segment.x0_mm) / plan.speed_mm_per_s
    sigma = np.interp(np.arange(len(values)) / fs, time_s, trace.sigma_mm) / abs(plan.gain_mm_per_mv)
    return Part(trace.segment.lead, first, values.astype(np.float64), sigma)


def _put_together(parts: list[Part], traces: list[Trace], n_samples: int) -> NDArray[np.float32]:
    """(n_samples, 12) mV; strips replace what is shown of their lead elsewhere, at its level."""
    mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
    for part, trace in zip(parts, traces, strict=True):
        values = part.mv.astype(np.float32)
        column = mv[:, LEADS.index(part.lead)]
        before = column[part.first : part.end]
        if trace.segment.is_strip and np.isfinite(before).sum() > 0:
            values = values + _common_level(before, values)
        column[part.first : part.end] = np.where(np.isfinite(values), values, before)
    return mv


def low_rate_form(mv: NDArray[np.float32]) -> NDArray[np.float32]:
    """PTB-XL's 100-Hz form (n / 5, 12) of 500-Hz signals (n, 12) mV; NaN where the signal is NaN."""
    taps = firwin(121, LOW_PASS_HZ, fs=FINE_HZ)
    out = np.full((len(mv) // (FINE_HZ // LOW_HZ), mv.shape[1]), np.nan, np.float32)
    at = np.arange(len(out)) * (FINE_HZ // LOW_HZ)
    for k, column in enumerate(mv.T):
        known = np.isfinite(column)
        for run in np.split(np.arange(len(column)), np.flatnonzero(np.diff(known.astype(int))) + 1):
            if not known[run[0]] or len(run) < MIN_RUN:
                continue
            smooth = _convolved(column[run].astype(np.float64), taps)
            inside = at[(at >= run[0]) & (at <= run[-1])]
            later = np.minimum(inside + LOW_LAG_S * FINE_HZ, run[-1])
            out[inside // (FINE_HZ // LOW_HZ), k] = CubicSpline(run, smooth)(later)
    return out


def without_hold(coarse: NDArray[np.float32], fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signals (n, 12) mV at LOW_HZ, NaN in the last HOLD_S when their form at FINE_HZ, (5 n, 12), stands still there."""
    most, least = (
        round(share * HOLD_S * FINE_HZ) for share in (0.9, 0.1)
    )  # the very end of a trace is often smudged
    end = fine[-most:-least]
    spread = np.nanstd(end[:, np.isfinite(end).mean(axis=0) > 0.5], axis=0)
    if len(spread) == 0 or spread.max() > MAX_HOLD_MV:
        return coarse
    log.info("the page stands still at its end: the last %.1f s are left out", HOLD_S)
    out = coarse.copy()
    out[-round(HOLD_S * LOW_HZ) :] = np.nan
    return out


def coarse_image(mv: NDArray[np.float32]) -> float:
    """How well signals (n, 12) mV at 500 Hz agree, in IMAGE_BAND_HZ, with what straight lines between their samples 10 ms
    apart would show there, the best over the samples' phase: high when the page was drawn from a 100-Hz record.
    """
    low, band = firwin(101, 47.0, fs=FINE_HZ), firwin(101, IMAGE_BAND_HZ, pass_zero=False, fs=FINE_HZ)
    step = FINE_HZ // LOW_HZ
    together, drawn, seen = np.zeros(2 * step), np.zeros(2 * step), 0.0
    for column in mv.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < FINE_HZ:
            continue
        at = np.arange(known[0], known[-1] + 1, dtype=np.float64)
        trace = np.interp(at, known, column[known])
        inner = slice(len(low) // 2, -(len(low) // 2))  # the filters' ends tell nothing
        smooth, high = _convolved(trace, low), _convolved(trace, band)[inner]
        seen += float(high @ high)
        for phase in range(2 * step):  # half samples
            knots = np.arange(np.ceil(at[0] / step) * step + phase / 2, at[-1], step)
            lines = np.interp(at, knots, np.interp(knots, at, smooth))
            image = _convolved(lines, band)[inner]
            together[phase] += image @ high
            drawn[phase] += image @ image
    return float((together / np.sqrt(drawn * seen + 1e-12)).max())


def _convolved(values: Array, taps: Array) -> Array:
    """Same length; the ends go on point-symmetrically."""
    half = min(len(taps) // 2, len(values) - 1)
    start, end = 2 * values[0] - values[half:0:-1], 2 * values[-1] - values[-2 : -half - 2 : -1]
    kernel = taps[len(taps) // 2 - half : len(taps) // 2 + half + 1]
    return np.convolve(
        np.concatenate([start, values, end]),
        kernel / kernel.sum() if half < len(taps) // 2 else taps,
        "valid",
    )


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


def _noise(trace: Trace, expected: Expectation | None) -> str:
    """Why a reading says nothing; empty when it does, or when it is the fallback's, whose errors are not known so well."""
    if trace.source != "network":
        return ""
    if expected is None:
        return "the trace is too short"
    noisy = expected.snr_db < MIN_SNR_DB
    return f"more noise than signal expected ({expected.snr_db:.1f} dB)" if noisy else ""


def _sampled(trace: Trace, plan: PagePlan, fs: float, n_samples: int) -> tuple[int, NDArray[np.float32]]:
    """First sample index and values in mV of one trace at ``fs``; NaN where the trace has a gap."""
    segment = trace.segment
    time_s = segment.start_s + (trace.x_mm - segment.x0_mm) / plan.speed_mm_per_s
    volts = (segment.zero_mm - trace.y_mm) / segment.gain_mm_per_mv
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


def _as_in_strips(short: list[Trace], strips: list[Trace], plan: PagePlan, fs: float) -> list[Trace]:
    """Columns where the rhythm strips show the same beats: running on in time as planned, or all from the beginning."""
    gains = []
    for strip in (s for s in strips if s.segment.start_s == 0):
        beats = _beats(_sampled(strip, plan, fs, round(strip.segment.duration_s * fs))[1], fs)
        for trace in (t for t in short if t.segment.start_s > 0):
            first, values = _sampled(trace, plan, fs, 10**9)
            part = _beats(values, fs)
            on, anew = (_correlation(beats[k : k + len(part)], part, fs) for k in (first, 0))
            gains.append(anew - on)
    if not gains or np.median(gains) < MIN_RESTART:
        return short
    log.info("all columns start at the beginning of the rhythm strip")
    return [replace(t, segment=replace(t.segment, start_s=0.0)) for t in short]


def _beats(values: NDArray[np.float32], fs: float) -> NDArray[np.float32]:
    """How steeply a signal moves, smoothed over BEAT_S: high in the QRS whatever its form."""
    kernel = np.ones(max(1, round(BEAT_S * fs)))
    known = np.isfinite(values)
    steep = np.abs(np.gradient(np.where(known, values, 0.0))) if len(values) > 1 else values
    smooth = np.convolve(steep, kernel / len(kernel), "same")[: len(values)]
    return np.where(known, smooth, np.nan).astype(np.float32)


def _repeated_lead(strip: Trace, short: list[Trace], plan: PagePlan, fs: float) -> tuple[str, float]:
    """The lead that a strip repeats and their correlation; the one it is named after unless another agrees clearly better."""
    first, values = _sampled(strip, plan, fs, round((strip.segment.start_s + strip.segment.duration_s) * fs))
    score = {}
    for trace in short:
        start, part = _sampled(trace, plan, fs, 10**9)
        score[trace.segment.lead] = _correlation(
            values[max(0, start - first) : start - first + len(part)], part, fs
        )
    named = strip.segment.lead
    best = max(score, key=lambda lead: score[lead], default=named)
    if score.get(best, 0.0) < score.get(named, 0.0) + 0.1:
        best = named
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
