"""What speaks for and against the scale, the names and the times of a page that was read.

Every stage hands on what its choice rests on; here it becomes one record of numbers, each oriented so that more of it means
a better reading. ``ecgpage.signal.grade`` weighs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.grid.comb import weigh_side
from ecgpage.grid.grid_map import AXES, SQUARE_MM, GridMap
from ecgpage.layout.scales import PULSE_S, find_doubt
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.beat_marks import find_beats, mark_beats
from ecgpage.signal.consistency import compare_sides
from ecgpage.signal.types import PageSignals
from ecgpage.trace.reader import PATH, Trace

USUAL_TOTALS_S: Final = (10.0, 5.0, 12.0, 6.0, 2.5, 20.0)
"""Times, s, that pages show as a rule."""
TOTAL_ERROR_S: Final = 0.08
"""Difference, s, from such a time that is still it."""
USUAL_BEAT_S: Final = (0.8, 0.35)
"""Median time from beat to beat, and the spread of its natural log, over people."""
USUAL_SIZE_MV: Final = (1.1, 0.5)
"""Median range of a lead, and the spread of its natural log, over people."""
SAME_END_MM: Final = 1.0
"""Distance, mm, of an end that the network marks from the one that was used, up to which both are one."""
PULSE_OFF: Final = 0.08
"""Natural log of the ratio of a pulse's height, or width, to the one at the scale told, up to which it agrees."""


@dataclass(frozen=True)
class PageEvidence:
    """Numbers of about -3 to 3 that speak for a reading; 0 where nothing is known."""

    scale_margin: float
    """Log odds of the scale over the next likeliest, by 4."""
    doubt_margin: float
    """By how much what is seen is likelier on this grid than on one of another usual distance, log likelihood by 4."""
    printed_grid: float
    """1 where the map rests on printed lines."""
    square_grid: float
    """Minus the natural log of the grid's stretch, by 0.05."""
    exact_map: float
    """Minus the map's expected error, mm, by 0.1."""
    known_map: float
    """Share of the leads that lies where the grid was followed, less 1."""
    usual_paper: float
    """Log odds of the picture's size in mm, by 2."""
    read_speed: float
    """1 where the speed told is printed, -1 where another one is."""
    read_gain: float
    """1 where the gain told is printed, -1 where another one is."""
    pulse_heights: float
    """1 where clear pulses have the height of the gain told, -1 where they have another one."""
    pulse_widths: float
    """1 where they have a width of the speed told; devices draw others, too."""
    usual_total: float
    """1 where all columns, or the page's axis, last as long as records do."""
    usual_rate: float
    """Log likelihood of the time from beat to beat, by 2."""
    usual_size: float
    """Log likelihood of the size of the signals, by 2."""
    name_margin: float
    """Log odds of the leads in their places over the best other reading, by 5."""
    boxed: float
    """Minus the share of leads whose box was missed, times 4."""
    alike: float
    """Minus the share of leads that look more like another, times 4."""
    usual_order: float
    """1 where the leads stand in a usual order."""
    read_names: float
    """Share of the leads beside which their name was read."""
    name_pattern: float
    """Share of the leads whose names stand in a printed pattern; negative where it is not the pattern told."""
    explained: float
    """Share of the leads that are surely seen which stand in the layout, less 1, times 3."""
    confidence: float
    """Confidence of the layout, less 1, times 3."""
    limb_leads: float
    """How well limb leads obey Einthoven's and Goldberger's constraints: Fisher's z of the worst correlation, by 2."""
    limb_sizes: float
    """Minus the natural log of the ratio of both sides' sizes, by 0.1."""
    all_leads: float
    """1 where all twelve leads are given."""
    times_margin: float
    """Log odds of the times told over the likeliest others, by 4."""
    ends_agree: float
    """Share of the leads' ends at which the network sees the lead begin or end, less 1, times 2."""
    ends_near: float
    """Minus the median distance of those ends, mm."""
    even_columns: float
    """Minus the spread of the columns' widths over their mean, by 0.02."""
    separators: float
    """1 where separators are printed."""
    few_columns: float
    """Minus the number of columns beyond one, by 3."""
    beats_agree: float
    """Correlation of the beats of leads that are given for the same time, worst lead, less 1."""
    exact_times: float
    """Minus the time error that the limb leads show, ms."""
    covered: float
    """Share of the drawn time that was read, less 1, times 5."""
    clear_traces: float
    """Expected SNR of the leads, mean over those given, dB, by 20."""

    def as_row(self) -> Array:
        """(n,) values in the order of ``EVIDENCE``."""
        return np.array([getattr(self, name) for name in EVIDENCE])


EVIDENCE: Final = tuple(f.name for f in fields(PageEvidence))
"""Names of all numbers."""


def gather_evidence(
    grid: GridMap,
    layout: PageLayout,
    traces: Sequence[Trace],
    signals: PageSignals,
    side_px: float,
    fs: float,
) -> PageEvidence:
    """Evidence of a page's reading.

    Args:
        grid: map of the page.
        layout: layout that was read on it.
        traces: traces of its segments.
        signals: what was assembled of them.
        side_px: longer side of the picture, px.
        fs: samples per second of ``signals.mv``, Hz.
    """
    marks, count = _even_marks(signals.mv, fs)
    numbers = {
        **_weigh_scale(grid, layout, side_px),
        **_weigh_signals(layout, signals, _find_distances(marks, count, fs)),
        **_weigh_names(layout, signals, fs * len(signals.as_read) / len(signals.mv)),
        **_weigh_times(layout, traces, signals),
        "beats_agree": _correlate_beats(signals.mv, marks, count, fs) - 1,
    }
    return PageEvidence(**{name: float(np.nan_to_num(value)) for name, value in numbers.items()})


def _weigh_scale(grid: GridMap, layout: PageLayout, side_px: float) -> dict[str, float]:
    seen = layout.scale_evidence
    across, down = grid.pitch_px
    gains = {abs(s.gain_mm_per_mv) for s in layout.segments} or {layout.gain_mm_per_mv}
    printed = seen.printed
    read_gain = 0.0 if printed.gain is None else 1.0 if printed.gain[0] in gains else -1.0
    return {
        "scale_margin": _clip(layout.scale_margin / 4, 3),
        "doubt_margin": _clip(-find_doubt(seen) / 4, 3),
        "printed_grid": float(grid.is_printed),
        "square_grid": 0.0 if grid.source == AXES else -min(abs(float(np.log(across / down))) / 0.05, 3.0),
        "exact_map": -min(grid.residual_px / grid.px_per_mm / 0.1, 3.0),
        "known_map": _known_share(grid, layout) - 1.0,
        "usual_paper": _clip(float(weigh_side(side_px / grid.px_per_mm)) / 2, 3),
        "read_speed": _agrees(printed.speed, layout.speed_mm_per_s),
        "read_gain": read_gain,
        **_weigh_pulses(layout),
    }


def _agrees(read: float | None, told: float) -> float:
    return 0.0 if read is None else 1.0 if read == told else -1.0


def _known_share(grid: GridMap, layout: PageLayout) -> float:
    """Share of the leads' length that lies where the grid was followed."""
    inside = []
    for s in layout.segments:
        x = np.linspace(s.x0_mm, s.x1_mm, 9)
        i = np.rint((x - grid.origin_mm[0]) / SQUARE_MM).astype(int)
        j = round((s.baseline(layout.rows) - grid.origin_mm[1]) / SQUARE_MM)
        ny, nx = grid.quality.shape
        on_map = (i >= 0) & (i < nx) & (0 <= j < ny)
        inside.append(on_map & (grid.quality[np.clip(j, 0, ny - 1), np.clip(i, 0, nx - 1)] > 0))
    return float(np.mean(inside)) if inside else 0.0


def _weigh_pulses(layout: PageLayout) -> dict[str, float]:
    clear = layout.scale_evidence.inked_pulses
    if not clear:
        return {"pulse_heights": 0.0, "pulse_widths": 0.0}
    gains = {abs(s.gain_mm_per_mv) for s in layout.segments} or {layout.gain_mm_per_mv}
    usual = PULSE_S * layout.speed_mm_per_s
    return {
        "pulse_heights": _compare(float(np.median([p.height_mm for p in clear])), tuple(gains)),
        "pulse_widths": max(0.0, _compare(float(np.median([p.width_mm for p in clear])), (usual, usual / 2))),
    }


def _compare(size: float, usual: Sequence[float]) -> float:
    """1 where a size is one of the usual ones, -1 where it is far from all."""
    off = min(abs(float(np.log(size / one))) for one in usual)
    return 2 * float(np.exp(-0.5 * (off / PULSE_OFF) ** 2)) - 1


def _find_distances(marks: Array, count: NDArray[np.intp], fs: float) -> Array:
    """Times (k,), s, from beat to beat, by all leads together."""
    together = np.where(count > 0, marks.sum(axis=1) / np.maximum(count, 1), np.nan)
    return np.diff(find_beats(together.astype(np.float32), fs))


def _weigh_signals(layout: PageLayout, signals: PageSignals, beats: Array) -> dict[str, float]:
    """What the signals say of the scale; ``beats``: times, s, from beat to beat."""
    sizes = np.array([_size(signals.mv[:, k]) for k in range(signals.mv.shape[1])])
    sizes = sizes[np.isfinite(sizes)]
    return {
        "usual_total": _weigh_total(layout, signals.segments),
        "usual_rate": _weigh_log(float(np.median(beats)), USUAL_BEAT_S) if len(beats) > 2 else -1.0,
        "usual_size": _weigh_log(float(np.median(sizes)), USUAL_SIZE_MV) if len(sizes) else -1.0,
    }


def _size(mv: NDArray[np.float32]) -> float:
    """Range, mV, of nearly all of a lead."""
    known = mv[np.isfinite(mv)]
    if len(known) < 2:
        return float("nan")
    low, high = np.quantile(known, [0.002, 0.998])
    return float(high - low)


def _weigh_log(value: float, usual: tuple[float, float]) -> float:
    if not value > 0:
        return -1.0
    return _clip(-0.25 * (float(np.log(value / usual[0])) / usual[1]) ** 2, 3)


def _weigh_total(layout: PageLayout, segments: Sequence[Segment]) -> float:
    """Whether columns together, or the axis from the first to the last, last as long as records do."""
    short = [s for s in segments if not s.is_strip] or list(segments)
    if not short:
        return 0.0
    spans = sorted({(round(s.x0_mm, 1), round(s.x1_mm, 1)) for s in short})
    drawn = sum(b - a for a, b in spans) / layout.speed_mm_per_s
    axis = (spans[-1][1] - spans[0][0]) / layout.speed_mm_per_s
    one = max(s.duration_s for s in short)
    off = min(abs(t - usual) for t in (drawn, axis, one) for usual in USUAL_TOTALS_S)
    return float(np.exp(-0.5 * (off / TOTAL_ERROR_S) ** 2))


def _weigh_names(layout: PageLayout, signals: PageSignals, as_read_fs: float) -> dict[str, float]:
    names = layout.name_evidence
    count = max(1, len(layout.segments))
    sides = [side for side in compare_sides(signals.as_read, as_read_fs).values() if np.isfinite(side[0])]
    worst = min((correlation for correlation, _ in sides), default=0.0)
    sizes = [abs(float(np.log(ratio))) for _, ratio in sides if ratio > 0]
    return {
        "name_margin": _clip(names.margin / 5, 3),
        "boxed": -4 * names.missed / count,
        "alike": -4 * names.misnamed / count,
        "usual_order": float(names.is_known_order),
        "read_names": names.read_share,
        "name_pattern": names.pattern_share if names.is_pattern else -names.pattern_share,
        "explained": 3 * (names.explained - 1),
        "confidence": 3 * (layout.confidence - 1),
        "limb_leads": float(np.arctanh(np.clip(worst, -0.99, 0.997))) / 2,
        "limb_sizes": -min(max(sizes, default=0.0) / 0.1, 3.0),
        "all_leads": float(all(reading.source != "none" for reading in signals.readings)),
    }


def _weigh_times(layout: PageLayout, traces: Sequence[Trace], signals: PageSignals) -> dict[str, float]:
    agree, near = _weigh_ends(traces)
    short = [s for s in signals.segments if not s.is_strip]
    spans = sorted({(round(s.x0_mm), round(s.x1_mm)) for s in short})
    widths = np.array([b - a for a, b in spans], float)
    given = [r for r in signals.readings if r.source != "none"]
    terms = [r.expectation.terms for r in given if r.expectation is not None]
    late = [np.sqrt(t[1] / t[2]) for t in terms if t[2] > 0]
    db = [r.snr_db for r in given if np.isfinite(r.snr_db)]
    return {
        "times_margin": _clip(signals.times_margin / 4, 3),
        "ends_agree": agree,
        "ends_near": near,
        "even_columns": -min(float(widths.std() / widths.mean()) / 0.02, 3.0) if len(widths) else 0.0,
        "separators": float(bool(layout.ticks_mm)),
        "few_columns": -(max(len(spans), 1) - 1) / 3,
        "exact_times": -min(1000 * float(np.median(late)), 3.0) if late else -0.3,
        "covered": 5 * (float(np.mean([r.coverage for r in given])) - 1) if given else -3.0,
        "clear_traces": float(np.mean(db)) / 20 if db else 0.0,
    }


def _weigh_ends(traces: Sequence[Trace]) -> tuple[float, float]:
    """How many ends of leads the network sees where they are taken to be, and how near it sees them."""
    if traces and all(t.source == PATH for t in traces):
        return 0.0, 0.0
    off = np.array(
        [(abs(t.seen_mm[0] - t.segment.x0_mm), abs(t.seen_mm[1] - t.segment.x1_mm)) for t in traces]
    ).reshape(-1)
    if not len(off):
        return -2.0, -3.0
    seen = off[np.isfinite(off)]
    agree = 2 * (float((seen < SAME_END_MM).sum()) / len(off) - 1)
    return agree, -min(float(np.median(seen)), 3.0) if len(seen) else -3.0


def _correlate_beats(mv: NDArray[np.float32], even: Array, count: NDArray[np.intp], fs: float) -> float:
    """Least correlation of the beats of a lead with those of the others given for the same time; 1 without others."""
    total = even.sum(axis=1)
    found = []
    for k in range(mv.shape[1]):
        both = np.isfinite(mv[:, k]) & (count > 1)
        if both.sum() < fs:
            continue
        others = (total[both] - even[both, k]) / (count[both] - 1)
        if even[both, k].std() > 0 and others.std() > 0:
            found.append(float(np.corrcoef(even[both, k], others)[0, 1]))
    return min(found, default=1.0)


def _even_marks(mv: NDArray[np.float32], fs: float) -> tuple[Array, NDArray[np.intp]]:
    """(n, leads) marks of beats, each lead's by its mean, 0 where it is not known, and (n,) number of leads known."""
    marks = np.stack([mark_beats(mv[:, k], fs) for k in range(mv.shape[1])], axis=1).astype(np.float64)
    known = np.isfinite(marks)
    marks = np.where(known, marks, 0.0)
    size = marks.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return marks / np.maximum(size, 1e-9), known.sum(axis=1)


def _clip(value: float, most: float) -> float:
    """Value between -most and most; ``most`` where it is infinite."""
    return float(np.clip(value, -most, most))
