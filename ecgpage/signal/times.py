"""When each column was recorded, and at which paper speed: hypotheses weighed by all that a page shows of its times.

- drawn: columns follow each other, and what is blank between them is no time;
- axis: columns follow each other, and blanks are time: x on one axis tells it;
- together: all columns show the same seconds;

each with strips of the columns' time or of another, and at each speed that the layout allows. What speaks for a hypothesis
is listed in ``EVIDENCE``; its weights were estimated on drawn plans of pages (``SignalOptions.time_weights``).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.layout.scales import normal
from ecgpage.layout.types import PageLayout
from ecgpage.signal.beat_marks import (
    LAG_STEP,
    correlate_at,
    find_beats,
    find_lag,
    mark_traces,
    measure_beats,
)
from ecgpage.signal.limb_columns import miss_constraints
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.sampling import ALL, sample_from_start, sample_trace
from ecgpage.trace.reader import PATH, Trace

log = logging.getLogger(__name__)

EVIDENCE: Final[Mapping[str, str]] = {
    "axis": "1 for the axis: how seldom blanks are time",
    "together": "1 for columns that show the same seconds",
    "numbers": "log probability of the numbers of the columns' time axes",
    "total": "log likelihood of the time that all columns show",
    "rhythm": "log likelihood of the distances of beats across the ends of columns, over any distance",
    "lags": "log likelihood of the lags between the beats of columns that show the same seconds, over any lag",
    "rate": "log likelihood of the usual time from beat to beat",
    "width": "log likelihood of the time in which beats rise and fall",
    "other strip": "1 for strips of another time",
    "strip": "correlation of the beats of columns with those of the strip that fits best, summed over the columns",
    "strip lags": "the best within 40 ms of their places, less the best within half a beat, summed over the columns",
    "strip lead": "correlation of that strip with the column of its lead",
    "strip columns": "number of columns above strips of the same time",
    "same samples": "1 where strips that are lines of a PDF repeat their leads' columns sample by sample",
    "constraint": "log likelihood ratio, for the same seconds, of what limb leads of two columns miss the constraints by",
    "limb leads": "1 for columns of the same seconds whose limb leads, lines of a PDF, obey the constraints, -1 if not",
}
"""What speaks for a hypothesis -> what its number says."""
ALIKE_S: Final = 0.02
"""Difference, s, of two hypotheses up to which they are one."""
NUMBERED_S: Final = 0.1
"""Difference, s, of the beginnings of columns from the numbers of their axes, up to which these tell them."""
MISREAD_AXES: Final = 0.01
"""Share of pages whose axes have other numbers than their columns' times; a judgement."""
LONG_S: Final = 3.5
"""Length, s, of columns from which their beats hardly agree unless they are the same."""
SAME_COLUMN_MM: Final = 1.0
"""Distance, mm, of the beginnings of segments of one column."""
STRAY_CONSTRAINT: Final = 0.0025
"""Density of any other natural log of what limb leads miss the constraints by: 1 page in 100, over a range of 4."""
OTHER_ERROR: Final = 0.5
"""Such a difference from which lines were not recorded together, whatever filters a device has."""
OTHER_LAG_S: Final = 0.01
"""Distance, s, of the lags at which strips are compared with columns."""
NEAR_LAG_S: Final = 0.04
"""Lag, s, of the beats of one lead after another's that may be theirs: QRS complexes differ."""
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
    margin: float = float("inf")
    """Log odds of these times over the likeliest other ones."""


@dataclass(frozen=True)
class Hypothesis:
    """Times of the columns and strips of a page at one speed, and what speaks for them."""

    speed_mm_per_s: float
    kind: str
    """"drawn", "axis" or "together"."""
    starts_s: tuple[float, ...]
    """Beginning of each column, s."""
    strips_too: bool
    """Whether the strips show the columns' time."""
    evidence: Mapping[str, float]
    """Keys of ``EVIDENCE`` -> numbers; what is missing is 0."""

    def weigh(self, weights: Mapping[str, float]) -> float:
        """Log odds, up to a constant of the page."""
        return sum(weights[name] * value for name, value in self.evidence.items())


def find_times(
    traces: Sequence[Trace], layout: PageLayout, fs: float, options: SignalOptions = SignalOptions()
) -> PageTimes:
    """Speed and times of all traces of a page: the likeliest pair of a speed that the layout allows and a hypothesis."""
    usual = layout.speed_mm_per_s
    odds = layout.speed_odds or {usual: 0.0}
    speeds = [v for v in odds if odds[v] > max(odds.values()) - options.least_speed_odds] + [usual]
    page = _TimedPage(traces, layout, fs, options)
    found = [h for speed in dict.fromkeys(speeds) for h in page.list_hypotheses(speed)]
    scores = [odds.get(h.speed_mm_per_s, 0.0) + h.weigh(options.time_weights) for h in found]
    for hypothesis, score in zip(found, scores, strict=True):
        log.debug("%5.1f %s", score, hypothesis)
    place = int(np.argmax(scores))
    best = found[place]
    times = page.put(best)
    others = [s for h, s in zip(found, scores, strict=True) if h is not best]
    times = replace(times, margin=scores[place] - max(others, default=-np.inf))
    if best.speed_mm_per_s != usual:
        note = f"{best.speed_mm_per_s:g} mm/s: times of the columns and rate of the beats fit no other speed"
        return replace(times, notes=(*times.notes, note))
    return times


def list_hypotheses(
    traces: Sequence[Trace],
    layout: PageLayout,
    speeds: Sequence[float],
    fs: float,
    options: SignalOptions = SignalOptions(),
) -> list[Hypothesis]:
    """All hypotheses for a page at these paper speeds, mm/s."""
    page = _TimedPage(traces, layout, fs, options)
    return [h for speed in speeds for h in page.list_hypotheses(speed)]


@dataclass(frozen=True)
class _SeenBeats:
    """What beats say of one kind of hypothesis, at the layout's speed."""

    starts_s: tuple[float, ...]
    evidence: dict[str, float]
    with_strips: dict[str, float]
    """Further evidence for strips of the columns' time."""


@dataclass(frozen=True)
class _Column:
    """Segments that begin together."""

    x0_mm: float
    x1_mm: float
    traces: list[Trace]


class _TimedPage:
    """Traces of a page, their columns and beats at the layout's speed; another speed stretches all times alike, so that
    beats which stand below each other say nothing about it.
    """

    def __init__(
        self, traces: Sequence[Trace], layout: PageLayout, fs: float, options: SignalOptions
    ) -> None:
        self.speed, self.fs, self.options = layout.speed_mm_per_s, fs, options
        timed = [_time_at(t, self.speed) for t in traces]
        self.strips = [t for t in timed if t.segment.is_strip]
        self.columns = _group_columns([t for t in timed if not t.segment.is_strip])
        self.marks = [mark_traces(c.traces, layout, fs) for c in self.columns]
        self.strip_marks = [mark_traces([t], layout, fs) for t in self.strips]
        self.beats_s = [find_beats(mark, fs) for mark in self.marks]
        self.widths_s = np.array([(c.x1_mm - c.x0_mm) / self.speed for c in self.columns])
        self.longest_s = max((t.segment.duration_s for t in timed), default=0.0)
        self.layout = layout
        self.is_exact = all(t.source == PATH for t in timed)
        reach, self.near = round(options.usual_beat_s / 2 * fs), round(NEAR_LAG_S * fs)
        self.other_lags = range(-reach, reach + 1, max(1, round(OTHER_LAG_S * fs)))

    def list_hypotheses(self, speed: float) -> Iterator[Hypothesis]:
        """All hypotheses at a speed that differ; one where there is a single column."""
        stretch = self.speed / speed
        beats = {"rate": self._weigh_rate(stretch), "width": self._weigh_width(stretch)}
        if len(self.columns) < 2:
            totals = self.options.totals_s
            total = _weigh_total([0.0], np.array([self.longest_s * stretch]), totals, self.options)
            yield Hypothesis(speed, "drawn", (0.0,) * len(self.columns), True, {**beats, "total": total})
            return
        for kind, seen in self.seen.items():
            starts = tuple(start * stretch for start in seen.starts_s)
            totals = self.options.together_totals_s if kind == "together" else self.options.totals_s
            total = _weigh_total(starts, self.widths_s * stretch, totals, self.options)
            evidence = {**beats, "total": total, **seen.evidence}
            yield Hypothesis(speed, kind, starts, True, {**evidence, **seen.with_strips})
            if self.strips:
                yield Hypothesis(speed, kind, starts, False, {**evidence, "other strip": 1.0})

    @cached_property
    def seen(self) -> dict[str, "_SeenBeats"]:
        """Kind of hypothesis -> beginnings of the columns at the layout's speed, and what beats say of them."""
        return {
            kind: _SeenBeats(
                starts,
                {**self._weigh_beats(kind, starts), **self._weigh_numbers(starts)},
                self._weigh_strips(starts),
            )
            for kind, starts in self._list_starts().items()
        }

    @cached_property
    def lags(self) -> Array:
        """(columns - 1, 2) best correlation of the beats of each further column with the first one's, and its lag, s."""
        reach_s = self.options.usual_beat_s / 2
        return np.array([find_lag(self.marks[0], mark, self.fs, reach_s) for mark in self.marks[1:]])

    def put(self, hypothesis: Hypothesis) -> PageTimes:
        """The page's traces at a hypothesis' times, with notes."""
        speed = hypothesis.speed_mm_per_s
        starts = np.array(hypothesis.starts_s)
        notes = []
        if hypothesis.kind == "together":
            notes.append("all columns show the same seconds: their beats stand at the same places")
            # the places of lines of a PDF, and of numbers, hold no error that beats could tell of
            if not (self.is_exact or self.layout.numbered_s or (self.strips and hypothesis.strips_too)):
                starts = self._put_in_order() * self.speed / speed
        if not hypothesis.strips_too:
            notes.append("the rhythm strip was recorded at another time than the columns: it is left out")
        strips = [self._put_strip(t, speed) for t in self.strips] if hypothesis.strips_too else []
        columns = [_time_at(t, speed) for t in self._move(starts)]
        return PageTimes(speed, columns, strips, tuple(notes))

    def _put_strip(self, strip: Trace, speed: float) -> Trace:
        """A strip on the columns' axis, without what it shows before their beginning, which is the record's."""
        first_mm = self.columns[0].x0_mm if self.columns else strip.segment.x0_mm
        segment = strip.segment
        if segment.x0_mm < first_mm:
            strip = strip.cut(first_mm)
            segment = replace(segment, x0_mm=first_mm)
        put = _time_at(replace(strip, segment=segment), speed)
        return replace(put, segment=replace(put.segment, start_s=(segment.x0_mm - first_mm) / speed))

    def _move(self, starts: Array) -> list[Trace]:
        return [
            replace(t, segment=replace(t.segment, start_s=max(0.0, float(start))))
            for column, start in zip(self.columns, starts, strict=True)
            for t in column.traces
        ]

    def _list_starts(self) -> dict[str, tuple[float, ...]]:
        """Beginning of each column, s, for each kind of hypothesis that differs from the others."""
        drawn = tuple(float(v) for v in np.concatenate([[0.0], np.cumsum(self.widths_s)[:-1]]))
        axis = tuple((c.x0_mm - self.columns[0].x0_mm) / self.speed for c in self.columns)
        starts = {"drawn": drawn, "together": (0.0,) * len(self.columns)}
        if max(abs(a - b) for a, b in zip(axis, drawn, strict=True)) > ALIKE_S:
            starts["axis"] = axis
        elif self.is_exact:
            starts["drawn"] = axis  # the last sample of a line may have been left out
        return starts

    def _weigh_beats(self, kind: str, starts: tuple[float, ...]) -> dict[str, float]:
        if kind == "together":
            same = {"together": 1.0, "lags": self._weigh_lags()}
            return {**same, **self._weigh_constraints()}
        is_axis = {"axis": 1.0} if kind == "axis" else {}
        return {**is_axis, "rhythm": self._weigh_rhythm(starts)}

    def _weigh_numbers(self, starts: tuple[float, ...]) -> dict[str, float]:
        """How seldom columns that begin so have the numbers of their axes: each axis may begin at 0, whatever it shows."""
        told = np.array(self.layout.numbered_s)
        if len(told) != len(starts) or len(starts) < 2:
            return {}
        begin_anew = float(np.abs(told - told[0]).max()) < ALIKE_S
        # a hypothesis that leaves out or counts the blanks is not told by numbers that do otherwise
        is_told = float(np.abs(told - told[0] - np.array(starts)).max()) < NUMBERED_S
        restarts = self.options.restarting_axes
        share = (1 - restarts * any(starts)) if is_told else restarts if begin_anew else MISREAD_AXES
        return {"numbers": float(np.log(share))}

    def _weigh_rate(self, stretch: float) -> float:
        """Log likelihood of the usual time from beat to beat."""
        intervals = self._intervals() * stretch
        if len(intervals) < 3:
            return 0.0
        off = np.log(float(np.median(intervals)) / self.options.usual_beat_s) / self.options.beat_spread
        return float(np.log(np.exp(-0.5 * off**2) + 0.02))

    def _weigh_width(self, stretch: float) -> float:
        """Log likelihood of the time in which beats rise and fall: QRS complexes last alike in all people, nearly."""
        if not self.beat_width_s > 0:
            return 0.0
        width = float(np.log(self.beat_width_s * stretch))
        usual = sum(
            share * normal(width, np.log(s), spread) for s, spread, share in self.options.usual_widths
        )
        return float(np.log(usual + self.options.stray_width))

    @cached_property
    def beat_width_s(self) -> float:
        """Time, s, in which beats rise and fall, median of the columns; NaN where none is seen."""
        widths = [
            measure_beats([sample_from_start(t, self.layout, self.fs) for t in c.traces], beats, self.fs)
            for c, beats in zip(self.columns, self.beats_s, strict=True)
        ]
        known = [width for width in widths if width > 0]
        return float(np.median(known)) if known else float("nan")

    def _intervals(self) -> Array:
        """Times, s, from beat to beat within the columns."""
        return np.concatenate([np.diff(beats) for beats in self.beats_s]) if self.beats_s else np.zeros(0)

    def _weigh_rhythm(self, starts: tuple[float, ...]) -> float:
        """Log likelihood ratio of the time from the last beat of each column to the first of the next one, if the rhythm
        goes on, over one where any time within a beat's distance is as likely.
        """
        intervals = self._intervals()
        if len(intervals) < 3:
            return 0.0
        usual = float(np.median(intervals))
        spread = max(self.options.least_rhythm, float(np.median(np.abs(np.log(intervals / usual)))) * 1.5)
        total = 0.0
        for k, (here, there) in enumerate(zip(self.beats_s[:-1], self.beats_s[1:], strict=True)):
            if len(here) and len(there):
                ratio = (starts[k + 1] + there[0] - starts[k] - here[-1]) / usual
                likely = sum(
                    share * normal(ratio, count, spread * np.sqrt(count))
                    for count, share in self.options.beats_across
                )
                total += float(np.log(likely + self.options.stray_beats))
        return total

    def _weigh_lags(self) -> float:
        """Log likelihood ratio of the lags between the beats of columns if these show the same seconds, over columns that
        follow each other, where any lag within a beat's distance is as likely.
        """
        options = self.options
        fit, lag = (float(np.median(v)) for v in np.abs(self.lags).T)
        seconds = min(map(len, self.marks)) / self.fs
        usual = options.other_fit_long if seconds > LONG_S else options.other_fit_short
        near = sum(share * 2 * normal(lag, 0.0, error) for error, share in options.together_lags_s)
        same = near * normal(fit, *options.together_fit)
        other = 2 / options.usual_beat_s * normal(fit, *usual)
        return float(np.log(same + 1e-3) - np.log(other + 1e-3))

    def _weigh_strips(self, starts: tuple[float, ...]) -> dict[str, float]:
        """How well the columns' beats stand at those of the strip that fits them best; x on a strip's axis is its time.

        Other strips may be none: print below the leads looks like one. ``name_strips`` leaves them out.
        """
        if not self.strips:
            return {}
        fits = np.zeros((len(self.strips), 2))
        for k, (strip, beats) in enumerate(zip(self.strips, self.strip_marks, strict=True)):
            for start, mark in zip(starts, self.marks, strict=True):
                lag = round((start + self._ahead_s(strip)) * self.fs)
                around = correlate_at(beats, mark, [lag, *(lag + away for away in self.other_lags)], self.fs)
                near = [
                    fit
                    for fit, away in zip(around[1:], self.other_lags, strict=True)
                    if abs(away) <= self.near
                ]
                fits[k] += float(around[0]), max(near) - float(around[1:].max())
        repeats = np.array([self._compare_with_lead(strip, starts) for strip in self.strips])
        best = int((fits[:, 0] + repeats[:, 0]).argmax())
        return {
            "strip": float(fits[best, 0]),
            "strip lags": float(fits[best, 1]),
            "strip lead": float(repeats[best, 0]),
            "strip columns": float(len(self.columns)),
            "same samples": float(repeats[:, 1].any()),
        }

    def _compare_with_lead(self, strip: Trace, starts: tuple[float, ...]) -> tuple[float, bool]:
        """Correlation of a strip with its lead's column, 0 without one, and whether lines repeat each other's samples."""
        leads = [
            (start, trace)
            for column, start in zip(self.columns, starts, strict=True)
            for trace in column.traces
            if trace.segment.lead == strip.segment.lead
        ]
        if not leads:
            return 0.0, False
        start, trace = leads[0]
        whole = sample_trace(strip, self.layout, self.fs, ALL)[1]
        own = sample_from_start(trace, self.layout, self.fs)
        first = round((start + self._ahead_s(strip)) * self.fs)
        lags = range(first - self.near, first + self.near + 1, LAG_STEP)
        fit = float(correlate_at(whole, own, lags, self.fs).max())
        if not strip.source == trace.source == PATH:
            return fit, False
        there = whole[max(0, first) : max(0, first) + len(own)]
        own = own[max(0, -first) :][: len(there)]
        there = there[: len(own)]
        is_same = len(own) > self.fs / 2 and float(np.std(there - own)) < SAME_ERROR * float(np.std(own))
        return fit, is_same

    def _weigh_constraints(self) -> dict[str, float]:
        """Evidence of limb leads in different columns for columns that show the same seconds."""
        columns = [column.traces for column in self.columns]
        if self.is_exact:
            missed = miss_constraints(columns, self.layout, self.fs)
            return {"limb leads": 1.0 if missed <= SAME_ERROR else -1.0 if missed >= OTHER_ERROR else 0.0}
        missed = miss_constraints(columns, self.layout, self.fs, [0.0, *self.lags[:, 1]], NEAR_LAG_S)
        if not missed > 0:
            return {}
        usual, other = self.options.same_constraint, self.options.other_constraint
        ratio = max(float(np.log(missed)), usual[0])  # a better reading is no worse evidence
        same = normal(ratio, *usual) + STRAY_CONSTRAINT
        return {"constraint": float(np.log(same / (normal(ratio, *other) + STRAY_CONSTRAINT)))}

    def _ahead_s(self, strip: Trace) -> float:
        """Time, s, from the beginning of a strip to that of the columns."""
        return (self.columns[0].x0_mm - strip.segment.x0_mm) / self.speed

    def _put_in_order(self) -> Array:
        """Beginnings of columns that show the same seconds: beats put in order what places leave a little apart."""
        options = self.options
        starts = np.array([0.0, *self.lags[:, 1]])
        starts[(np.abs(starts) < options.sure_place_s) | (np.abs(starts) > options.unsure_place_s)] = 0.0
        return starts - starts.min()


def _time_at(trace: Trace, speed: float) -> Trace:
    """Trace whose segment lasts as long as it is drawn, at a speed, mm/s."""
    seconds = (trace.segment.x1_mm - trace.segment.x0_mm) / speed
    start = 0.0 if trace.segment.is_strip else trace.segment.start_s
    return replace(trace, segment=replace(trace.segment, start_s=start, duration_s=seconds))


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


def _weigh_total(
    starts: Sequence[float],
    widths: NDArray[np.float64],
    usual: Sequence[tuple[float, float]],
    options: SignalOptions,
) -> float:
    """Log likelihood of the time that all columns show together."""
    total = max(s + w for s, w in zip(starts, widths, strict=True))
    likely = sum(share * normal(total, seconds, options.total_error_s) for seconds, share in usual)
    return float(np.log(likely + options.other_total / 30.0))
