"""When each column was recorded: hypotheses weighed by all that a page shows of its times.

- drawn: columns follow each other, and what is blank between them is no time;
- axis: columns follow each other, and blanks are time: x on one axis tells it;
- together: all columns show the same seconds.

The likelihoods of the whole's duration (records last 10 s, as a rule), of beats that stand below each other in columns and
strip, and of beats that stand at the same places in all columns are multiplied. A strip whose beats stand nowhere near those
of the columns was recorded at another time: it tells nothing about theirs.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecgpage.layout.types import PageLayout
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.sampling import sample_trace
from ecgpage.trace.reader import PATH, Trace

log = logging.getLogger(__name__)

BEAT_S: Final = 0.06
"""Width, s, of the smoothing that makes a QRS complex one hump."""
ALIKE_S: Final = 0.02
"""Difference, s, of two hypotheses up to which they are one."""
LONG_S: Final = 3.5
"""Length, s, of columns from which their beats hardly agree unless they are the same."""
PEAK_SHARE: Final = 0.45
"""Height of a mark over the highest from which it is a beat."""
LAG_STEP: Final = 2
"""Samples from one lag to the next that is tried."""
SAME_COLUMN_MM: Final = 1.0
"""Distance, mm, of the beginnings of segments of one column."""


SAME_SAMPLES: Final = 20.0
"""Log odds of a hypothesis by which a strip repeats its lead's column sample by sample: nothing else explains that."""
SAME_ERROR: Final = 0.05
"""Difference of samples, root mean square, as a share of the signal's, below which a line repeats another."""


@dataclass(frozen=True)
class PageTimes:
    """Speed and times of a page."""

    speed_mm_per_s: float
    columns: list[Trace]
    """Traces of the columns, their segments at the times found."""
    strips: list[Trace]
    """Traces of the strips, likewise; empty where they were recorded at another time than the columns."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """Segments that begin together."""

    x0_mm: float
    x1_mm: float
    traces: list[Trace]


def find_times(
    traces: Sequence[Trace], layout: PageLayout, fs: float, options: SignalOptions = SignalOptions()
) -> PageTimes:
    """Speed and times of all traces of a page: the likeliest pair of a speed that the layout allows and a hypothesis."""
    usual = layout.speed_mm_per_s
    odds = layout.speed_odds or {usual: 0.0}
    speeds = [v for v in odds if odds[v] > max(odds.values()) - options.least_speed_odds] + [usual]
    found = [
        _weigh_times(traces, replace(layout, speed_mm_per_s=speed), odds.get(speed, 0.0), fs, options)
        for speed in dict.fromkeys(speeds)
    ]
    _, best = max(found, key=lambda one: one[0])
    if best.speed_mm_per_s != usual:
        note = f"{best.speed_mm_per_s:g} mm/s: times of the columns and rate of the beats fit no other speed"
        return replace(best, notes=(*best.notes, note))
    return best


def _weigh_times(
    traces: Sequence[Trace], layout: PageLayout, odds: float, fs: float, options: SignalOptions
) -> tuple[float, PageTimes]:
    """Log odds of the likeliest times at the layout's speed, with them."""
    speed = layout.speed_mm_per_s
    timed = [_time_at(t, speed) for t in traces]
    strips = [t for t in timed if t.segment.is_strip]
    columns = _group_columns([t for t in timed if not t.segment.is_strip])
    marks = [_mark_columns(c, layout, fs) for c in columns]
    odds += _weigh_rate(marks, fs, options)
    if len(columns) < 2:
        total = max((t.segment.duration_s for t in timed), default=0.0)
        odds += _weigh_total("drawn", [0.0], np.array([total]), options)
        return odds, PageTimes(speed, _put(columns, [0.0] * len(columns)), strips, ())
    starts = _list_starts(columns, speed)
    widths = np.array([c.x1_mm - c.x0_mm for c in columns]) / speed
    score = {
        name: options.time_odds[name] + _weigh_total(name, s, widths, options) for name, s in starts.items()
    }
    apart = False
    for strip in strips:
        fits = {name: _compare_with_strip(strip, columns, s, marks, layout, fs) for name, s in starts.items()}
        log.debug("beats below the strip: %s", {k: round(v, 2) for k, v in fits.items()})
        if max(fits.values()) < options.min_strip_beats:
            apart = True
            continue
        best_fit = max(fits.values())  # how well the best one fits tells nothing about the speed
        for name, fit in fits.items():
            score[name] += options.strip_beats * len(columns) * (fit - best_fit)
        repeats = {name: _repeats(strip, columns, s, layout, fs) for name, s in starts.items()}
        for name in starts:
            score[name] += SAME_SAMPLES if repeats[name] else 0.0
    score["together"] += _weigh_together(marks, fs, options)
    best = max(score, key=lambda name: score[name])
    log.debug("%g mm/s, %.1f, times: %s", speed, odds, {k: round(v, 1) for k, v in score.items()})
    notes = []
    if best == "together" and (apart or not strips) and not _are_exact(traces):
        lags = np.array([0.0, *(_find_lag(marks[0], mark, fs, options)[1] for mark in marks[1:])])
        # beats put columns in order that their places leave a little apart
        lags[(np.abs(lags) < options.sure_place_s) | (np.abs(lags) > options.unsure_place_s)] = 0.0
        starts[best] = list(lags - lags.min())
    if best == "together":
        notes.append("all columns show the same seconds: their beats stand at the same places")
    if apart:
        notes.append("the rhythm strip was recorded at another time than the columns: it is left out")
    times = PageTimes(speed, _put(columns, starts[best]), [] if apart else strips, tuple(notes))
    return odds + score[best], times


def _time_at(trace: Trace, speed: float) -> Trace:
    """Trace whose segment lasts as long as it is drawn, at a speed, mm/s."""
    seconds = (trace.segment.x1_mm - trace.segment.x0_mm) / speed
    start = 0.0 if trace.segment.is_strip else trace.segment.start_s
    return replace(trace, segment=replace(trace.segment, start_s=start, duration_s=seconds))


def _weigh_rate(marks: list[NDArray[np.float32]], fs: float, options: SignalOptions) -> float:
    """Log likelihood of the usual time from beat to beat."""
    intervals: list[float] = []
    for mark in marks:
        filled = np.nan_to_num(mark)
        if len(filled) < fs / 2:
            continue
        peaks, _ = find_peaks(
            filled, height=PEAK_SHARE * float(filled.max()), distance=max(1, round(0.12 * fs))
        )
        intervals += list(np.diff(peaks) / fs)
    if len(intervals) < 3:
        return 0.0
    off = np.log(float(np.median(intervals)) / options.usual_beat_s) / options.beat_spread
    return float(np.log(np.exp(-0.5 * off**2) + 0.02))


def _group_columns(short: list[Trace]) -> list[_Column]:
    """Columns from the left."""
    columns: list[_Column] = []
    for trace in sorted(short, key=lambda t: t.segment.x0_mm):
        s = trace.segment
        if columns and s.x0_mm - columns[-1].x0_mm < SAME_COLUMN_MM:
            columns[-1].traces.append(trace)
        else:
            columns.append(_Column(s.x0_mm, s.x1_mm, [trace]))
    return columns


def _put(columns: list[_Column], starts: Sequence[float]) -> list[Trace]:
    return [
        replace(t, segment=replace(t.segment, start_s=max(0.0, float(start))))
        for column, start in zip(columns, starts, strict=True)
        for t in column.traces
    ]


def _list_starts(columns: list[_Column], speed: float) -> dict[str, list[float]]:
    """Beginning of each column, s, for each hypothesis that differs from the others."""
    widths = [(c.x1_mm - c.x0_mm) / speed for c in columns]
    drawn = [float(sum(widths[:k])) for k in range(len(columns))]
    axis = [(c.x0_mm - columns[0].x0_mm) / speed for c in columns]
    starts = {"drawn": drawn, "together": [0.0] * len(columns)}
    if max(abs(a - b) for a, b in zip(axis, drawn, strict=True)) > ALIKE_S:
        starts["axis"] = axis
    elif _are_exact([t for c in columns for t in c.traces]):
        starts["drawn"] = axis  # the last sample of a line may have been left out
    return starts


def _are_exact(traces: Sequence[Trace]) -> bool:
    """Whether all traces are lines of a PDF: their places hold no error that beats could tell of."""
    return all(trace.source == PATH for trace in traces)


def _repeats(
    strip: Trace, columns: list[_Column], starts: Sequence[float], layout: PageLayout, fs: float
) -> bool:
    """Whether a strip that is a line repeats, sample by sample, the line of its lead at the hypothesis' times."""
    if strip.source != PATH:
        return False
    seconds = (strip.segment.x1_mm - strip.segment.x0_mm) / layout.speed_mm_per_s
    whole = replace(strip, segment=replace(strip.segment, start_s=0.0, duration_s=seconds))
    values = sample_trace(whole, layout, fs, 10**9)[1]
    ahead = (columns[0].x0_mm - strip.segment.x0_mm) / layout.speed_mm_per_s
    for column, start in zip(columns, starts, strict=True):
        for trace in column.traces:
            if trace.source != PATH or trace.segment.lead != strip.segment.lead:
                continue
            moved = replace(trace, segment=replace(trace.segment, start_s=0.0))
            own = sample_trace(moved, layout, fs, 10**9)[1]
            first = round((start + ahead) * fs)
            there = values[max(0, first) : max(0, first) + len(own)]
            own = own[max(0, -first) :][: len(there)]
            there = there[: len(own)]
            return len(own) > fs / 2 and float(np.std(there - own)) < SAME_ERROR * float(np.std(own))
    return False


def _weigh_total(
    name: str, starts: Sequence[float], widths: NDArray[np.float64], options: SignalOptions
) -> float:
    """Log likelihood of the time that all columns show together."""
    total = max(s + w for s, w in zip(starts, widths, strict=True))
    totals = options.together_totals_s if name == "together" else options.totals_s
    usual = sum(
        share
        * np.exp(-0.5 * ((total - seconds) / options.total_error_s) ** 2)
        / (options.total_error_s * np.sqrt(2 * np.pi))
        for seconds, share in totals
    )
    return float(np.log(usual + options.other_total / 30.0))


def _mark_columns(column: _Column, layout: PageLayout, fs: float) -> NDArray[np.float32]:
    """Beats (n,) of a column from its beginning, all its leads together."""
    marks = []
    for trace in column.traces:
        moved = replace(trace, segment=replace(trace.segment, start_s=0.0))
        marks.append(mark_beats(sample_trace(moved, layout, fs, 10**9)[1], fs))
    n = max(map(len, marks), default=0)
    padded = np.stack([np.pad(m, (0, n - len(m)), constant_values=np.nan) for m in marks])
    known = np.isfinite(padded)
    size = np.nanstd(np.where(known, padded, np.nan), axis=1, keepdims=True) if n else 1.0
    scaled = np.where(known, padded / (size + 1e-6), 0.0)
    return np.asarray(scaled.sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.float32)


def mark_beats(values: NDArray[np.float32], fs: float) -> NDArray[np.float32]:
    """Absolute slope (n,) of a signal, mV a sample, smoothed over BEAT_S: high in a QRS complex of any form."""
    if len(values) < 2:
        return values
    kernel = np.hanning(max(3, round(2 * BEAT_S * fs) | 1))
    known = np.isfinite(values)
    steep = np.abs(np.gradient(np.where(known, values, 0.0)))
    steep[~known | ~np.roll(known, 1) | ~np.roll(known, -1)] = 0.0
    smooth = np.convolve(steep, kernel / kernel.sum(), "same")[: len(values)]
    return np.where(known, smooth, np.nan).astype(np.float32)


def _compare_with_strip(
    strip: Trace,
    columns: list[_Column],
    starts: Sequence[float],
    marks: list[NDArray[np.float32]],
    layout: PageLayout,
    fs: float,
) -> float:
    """Mean correlation of the columns' beats with a strip's at the hypothesis' times; x on the strip's axis is its time."""
    whole = replace(
        strip,
        segment=replace(
            strip.segment,
            start_s=0.0,
            duration_s=(strip.segment.x1_mm - strip.segment.x0_mm) / layout.speed_mm_per_s,
        ),
    )
    beats = mark_beats(sample_trace(whole, layout, fs, 10**9)[1], fs)
    ahead = (columns[0].x0_mm - strip.segment.x0_mm) / layout.speed_mm_per_s
    fits = []
    for start, mark in zip(starts, marks, strict=True):
        first = round((start + ahead) * fs)
        fits.append(_correlate(beats[max(0, first) :], mark[max(0, -first) :], fs))
    return float(np.mean(fits))


def _weigh_together(marks: list[NDArray[np.float32]], fs: float, options: SignalOptions) -> float:
    """Log likelihood ratio of the lags between the beats of columns if these show the same seconds, over columns that follow
    each other, where any lag within a beat's distance is as likely.
    """
    found = [_find_lag(marks[0], mark, fs, options) for mark in marks[1:]]
    fit, lag = (float(np.median(v)) for v in np.abs(found).T)
    log.debug("beats agree by %.2f, %.3f s apart", fit, lag)
    seconds = min(map(len, marks)) / fs
    usual = options.other_fit_long if seconds > LONG_S else options.other_fit_short
    near = sum(share * 2 * _normal(lag, 0.0, error) for error, share in options.together_lags_s)
    same = near * _normal(fit, *options.together_fit)
    other = 2 / options.usual_beat_s * _normal(fit, *usual)
    return float(np.log(same + 1e-3) - np.log(other + 1e-3))


def _normal(value: float, mean: float, spread: float) -> float:
    return float(np.exp(-0.5 * ((value - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi)))


def _find_lag(
    a: NDArray[np.float32], b: NDArray[np.float32], fs: float, options: SignalOptions
) -> tuple[float, float]:
    """Correlation of the beats of two columns at the lag, within half a beat, at which they agree best, and that lag, s: the
    time of the first one at which the second one begins.
    """
    reach = round(options.usual_beat_s / 2 * fs)
    fits = [_correlate(a[max(0, lag) :], b[max(0, -lag) :], fs) for lag in range(-reach, reach + 1, LAG_STEP)]
    best = int(np.argmax(fits))
    return fits[best], (best * LAG_STEP - reach) / fs


def _correlate(a: NDArray[np.float32], b: NDArray[np.float32], fs: float) -> float:
    """Correlation coefficient of the common beginning of two signals; 0 with little in common."""
    n = min(len(a), len(b))
    x, y = a[:n], b[:n]
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < fs / 2 or x[both].std() == 0 or y[both].std() == 0:
        return 0.0
    return float(np.corrcoef(x[both], y[both])[0, 1])
