"""Assemble the traces of a page into signals in millivolts at a wanted rate and length.

Each segment starts at the time that the layout gives it; a cubic spline through the trace gives its samples. A rhythm strip
is named after the lead with which it correlates best, and fills that lead over its whole length.
"""

import logging
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.layout.types import PageLayout
from ecgpage.signal.expected_snr import Expectation, PageErrors, expect
from ecgpage.signal.limb_leads import Part, estimate_errors, is_upside_down, reconcile_limb_leads
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.sampling import median_offset, oversampling, reduce_rate, sample_trace
from ecgpage.signal.strips import name_strips
from ecgpage.signal.times import find_times
from ecgpage.signal.types import LeadReading, PageSignals
from ecgpage.trace.reader import PATH, Trace

log = logging.getLogger(__name__)

TURNED: Final = "aVR"
"""Lead that some pages show upside down."""


def assemble(
    traces: list[Trace],
    layout: PageLayout,
    fs: float,
    n_samples: int,
    options: SignalOptions = SignalOptions(),
) -> PageSignals:
    """Signals (n_samples, 12) mV of a page at ``fs`` Hz from the traces of its segments.

    Below 500 Hz they are assembled at a multiple of ``fs`` and low-passed before the rate is lowered. Lines of a PDF are
    sampled as they are drawn, at any rate, and not corrected by each other: they hold no error that could be.
    """
    is_exact = bool(traces) and all(trace.source == PATH for trace in traces)
    factor = 1 if is_exact else oversampling(fs)
    if factor > 1:
        fine = assemble(traces, layout, fs * factor, n_samples * factor, options)
        return replace(fine, mv=reduce_rate(fine.mv, factor))
    readings = {lead: LeadReading(lead, "none", 0.0, "not drawn on this page") for lead in LEADS}
    times = find_times(traces, layout, fs, options)
    layout = replace(layout, speed_mm_per_s=times.speed_mm_per_s)
    notes = times.notes
    traces = [*times.columns, *times.strips]
    if options.constraints:
        traces, turned = correct_sign(traces, layout, fs, options)
        notes += turned
    long = [t for t in traces if t.segment.is_strip]
    short = [t for t in traces if not t.segment.is_strip]
    strips = name_strips(long, short, layout, fs, options) if options.strips else []
    found = {
        k: _make_part(trace, layout, fs, n_samples)
        for k, trace in enumerate(short + strips)
        if not _explain_refusal(trace, options)
    }
    page = PageErrors(*estimate_errors(list(found.values()), fs))
    parts: list[Part] = []
    kept: list[Trace] = []
    for k, trace in enumerate(short + strips):
        lead = trace.segment.lead
        expected = _expect(found[k], trace, fs, page, layout) if k in found else None
        reason = _explain_refusal(trace, options) or _explain_noise(expected, options)
        if reason:
            log.info("lead %s: %s", lead, reason)
            if readings[lead].source == "none":
                readings[lead] = LeadReading(lead, "none", 0.0, reason)
            continue
        parts.append(found[k])
        kept.append(trace)
        readings[lead] = LeadReading(lead, trace.source, trace.coverage, expectation=expected)
    as_read = _join_parts(parts, kept, n_samples)
    is_corrected = options.constraints and not is_exact
    mv = _join_parts(reconcile_limb_leads(parts, fs), kept, n_samples) if is_corrected else as_read
    segments = [t.segment for t in short + strips]
    return PageSignals(
        mv,
        [readings[lead] for lead in LEADS],
        segments,
        as_read,
        notes,
        layout.speed_mm_per_s,
        times.margin,
    )


def correct_sign(
    traces: list[Trace], layout: PageLayout, fs: float, options: SignalOptions = SignalOptions()
) -> tuple[list[Trace], tuple[str, ...]]:
    """Traces with aVR the right way up, and a note when it was turned over.

    Some pages draw aVR upside down, and a minus before its name is easily overlooked: the limb leads drawn at that time
    give its sign.
    """
    short = [t for t in traces if not t.segment.is_strip]
    long = [t for t in traces if t.segment.is_strip]
    strips = name_strips(long, short, layout, fs, options)
    used = [t for t in short + strips if not _explain_refusal(t, options)]
    if not any(t.segment.lead == TURNED for t in used):
        return traces, ()
    parts = [_make_part(t, layout, fs, round(fs * (t.segment.start_s + t.segment.duration_s))) for t in used]
    if not is_upside_down(parts, TURNED, fs):
        return traces, ()
    note = f"{TURNED} turned over: Einthoven's and Goldberger's constraints tell its sign"
    log.info(note)
    return [_turn_over(t) if t.segment.lead == TURNED else t for t in traces], (note,)


def _turn_over(trace: Trace) -> Trace:
    return replace(trace, segment=replace(trace.segment, gain_mm_per_mv=-trace.segment.gain_mm_per_mv))


def _make_part(trace: Trace, layout: PageLayout, fs: float, n_samples: int) -> Part:
    """Samples of a trace at ``fs`` Hz, mV, with their expected errors."""
    first, values = sample_trace(trace, layout, fs, n_samples)
    time_s = (trace.x_mm - trace.segment.x0_mm) / layout.speed_mm_per_s
    sigma = np.interp(np.arange(len(values)) / fs, time_s, trace.sigma_mm) / abs(trace.segment.gain_mm_per_mv)
    return Part(trace.segment.lead, first, values.astype(np.float64), sigma)


def _join_parts(parts: list[Part], traces: list[Trace], n_samples: int) -> NDArray[np.float32]:
    """Signals (n_samples, 12) mV of all parts; a strip replaces its lead's other segments, shifted to their level."""
    mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
    for part, trace in zip(parts, traces, strict=True):
        values = part.mv.astype(np.float32)
        column = mv[:, LEADS.index(part.lead)]
        before = column[part.first : part.end]
        if trace.segment.is_strip and np.isfinite(before).sum() > 0:
            values = values + median_offset(before, values)
        column[part.first : part.end] = np.where(np.isfinite(values), values, before)
    return mv


def _expect(part: Part, trace: Trace, fs: float, page: PageErrors, layout: PageLayout) -> Expectation | None:
    pixel_s, pixel_mv = (
        trace.pixel_mm / size for size in (layout.speed_mm_per_s, abs(trace.segment.gain_mm_per_mv))
    )
    return expect(part, fs, replace(page, pixel_s=pixel_s, pixel_mv=pixel_mv), trace.source == PATH)


def _explain_refusal(trace: Trace, options: SignalOptions) -> str:
    """Reason to refuse a trace; empty when there is none."""
    refused = trace.coverage < options.min_coverage
    return f"only {100 * trace.coverage:.0f} % of the trace was found" if refused else ""


def _explain_noise(expected: Expectation | None, options: SignalOptions) -> str:
    """Reason to leave out a lead for its expected noise; empty when there is none."""
    if expected is None:
        return "the trace is too short"
    noisy = expected.reader_snr_db < options.min_snr_db
    return f"more noise than signal expected ({expected.reader_snr_db:.1f} dB)" if noisy else ""
