"""What kind of page was read: leads of an ECG, averaged beats, one lead over several rows, or something else.

One multinomial logistic model weighs the evidence of the grade (``ecgpage.signal.grade_evidence``) and what beats tell:
leads of one time beat together and look different, averaged beats stand alone in their cells, the rows of a single lead
look alike and beat apart, other signals do neither. Its weights stand in ``ecgpage.signal.page_kind_weights``; a script
estimates them on drawn pages and pictures.
"""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Array
from ecgpage.layout.known_layouts import CHEST, LIMB
from ecgpage.layout.types import PageLayout, Segment
from ecgpage.signal.beat_marks import compare_at, correlate_at, find_beats, mark_beats
from ecgpage.signal.grade_evidence import EVIDENCE, PageEvidence
from ecgpage.signal.page_kind_weights import KIND_WEIGHTS
from ecgpage.signal.sampling import ALL, sample_trace
from ecgpage.signal.types import PageSignals
from ecgpage.trace.reader import Trace

log = logging.getLogger(__name__)

Kind = Literal["leads", "averaged beats", "one lead", "other"]
KINDS: Final[tuple[Kind, ...]] = ("leads", "averaged beats", "one lead", "other")
"""Leads: simultaneous or successive leads of one record, whichever of the twelve."""
MARK_FS: Final = 250.0
"""Samples per second, Hz, at which beats are compared."""
AROUND_BEAT_S: Final = (0.12, 0.2)
"""Time, s, before and after a beat's mark by which beats are compared."""
SAME_BEAT_S: Final = 0.06
"""Lag, s, up to which beats of two leads are compared."""
LEAST_COMMON_S: Final = 0.8
"""Time, s, that two leads have in common where their beats are compared, at least."""
USUAL_COLUMN_S: Final = 2.5
"""Time, s, of a column of four."""


@dataclass(frozen=True)
class KindEvidence:
    """What beats tell of a page's kind, beside ``PageEvidence``: numbers of about -3 to 3; 0 where nothing is known."""

    together: float
    """Median correlation of the beats of leads given for the same time, less 0.5, times 4."""
    apart: float
    """1 where leads' beats agree far better at some other lag: what is printed together was recorded one after the other."""
    alike: float
    """Median correlation of the mean beats of two leads, less 0.5, times 4: high where all rows show one lead."""
    alike_along: float
    """The same of the leads that follow each other in a row: high where a row shows one lead that runs on."""
    beats: float
    """Natural log of the median number of beats of a lead, strips aside, over three."""
    one_beat: float
    """Share of the leads, strips aside, that have exactly one beat, times 2, less 1."""
    sharp: float
    """Natural log of how far a beat's slope stands above the usual one, median of the leads, less 2."""
    steady: float
    """Minus the spread of the natural logs of the times between beats, by 0.3."""
    duration: float
    """Natural log of the median duration of a lead, strips aside, over ``USUAL_COLUMN_S``."""
    spare: float
    """Natural log of the strips' rate of beats over that of the other leads."""
    still: float
    """Share of the time, strips aside, that lies more than half a second from any beat of its lead, times 3."""
    few_leads: float
    """Minus the natural log of the share of the twelve leads that the page shows."""
    group: float
    """1 where these are all twelve, the limb or the chest leads."""

    def as_row(self) -> Array:
        """(n,) values in the order of ``BEAT_EVIDENCE``."""
        return np.array([getattr(self, name) for name in BEAT_EVIDENCE])


BEAT_EVIDENCE: Final = tuple(f.name for f in fields(KindEvidence))
"""Names of the numbers of ``KindEvidence``."""
OF_GRID: Final = frozenset(
    ("scale_margin", "doubt_margin", "printed_grid", "square_grid", "exact_map", "known_map", "usual_paper")
)
"""What speaks of the grid alone: charts have grids, and many ECGs have none."""
PAGE_EVIDENCE: Final = tuple(name for name in EVIDENCE if name not in OF_GRID)
"""Names of the numbers of ``PageEvidence`` that tell the kind of a page."""
KIND_EVIDENCE: Final = (*PAGE_EVIDENCE, *BEAT_EVIDENCE)
"""Names of all numbers that tell the kind of a page."""
GROUPS: Final = (frozenset(LIMB), frozenset(CHEST))
"""Limb leads and chest leads."""


def tell_kind(page: PageEvidence, beats: KindEvidence) -> dict[Kind, float]:
    """Probability of each kind of page."""
    return weigh_kinds(kind_row(page, beats), KIND_WEIGHTS)


def likeliest(kinds: Mapping[Kind, float]) -> Kind:
    """The likeliest kind; the log says how likely each is."""
    log.info("kind of page: %s", ", ".join(f"{kind} {p:.2f}" for kind, p in kinds.items()))
    return max(kinds, key=lambda kind: kinds[kind])


def kind_row(page: PageEvidence, beats: KindEvidence) -> Array:
    """(n,) all evidence of a page's kind, in the order of ``KIND_EVIDENCE``."""
    return np.concatenate([[getattr(page, name) for name in PAGE_EVIDENCE], beats.as_row()])


def weigh_kinds(values: Array, weights: Mapping[str, Mapping[str, float]]) -> dict[Kind, float]:
    """Probability of each kind by evidence (n,) in the order of ``KIND_EVIDENCE`` and weights by kind and evidence."""
    told = dict(zip(KIND_EVIDENCE, values.tolist(), strict=True))
    odds = np.array(
        [
            sum(w * (told[name] if name else 1.0) for name, w in weights.get(kind, {}).items())
            for kind in KINDS
        ]
    )
    share = np.exp(odds - odds.max())
    return dict(zip(KINDS, (share / share.sum()).tolist(), strict=True))


def gather_kind_evidence(layout: PageLayout, traces: Sequence[Trace], signals: PageSignals) -> KindEvidence:
    """Evidence of the kind of a page.

    Args:
        layout: layout that was read.
        traces: traces of its segments.
        signals: what was assembled of them.
    """
    parts = [_mark(t, layout) for t in traces]
    short = [part for part in parts if not part.segment.is_strip] or parts
    strips = [part for part in parts if part.segment.is_strip and short is not parts]
    shown = {s.lead for s in signals.segments}
    together, apart = _compare_times(short)
    counts = np.array([len(part.beats_s) for part in short])
    distances = np.concatenate([np.diff(part.beats_s) for part in parts] or [np.zeros(0)])
    distances = distances[distances > 0]
    numbers = {
        "together": 4 * (together - 0.5),
        "apart": apart,
        "alike": 4 * (_compare_forms(_pairs_above(short)) - 0.5),
        "alike_along": 4 * (_compare_forms(_pairs_along(short)) - 0.5),
        "beats": float(np.log((np.median(counts) + 0.3) / 3.3)) if len(counts) else 0.0,
        "one_beat": 2 * float((counts == 1).mean()) - 1 if len(counts) else 0.0,
        "sharp": float(np.median([part.sharpness for part in parts]) - 2) if parts else 0.0,
        "steady": -float(np.log(distances).std()) / 0.3 if len(distances) > 2 else 0.0,
        "duration": float(np.log(np.median([p.duration_s for p in short]) / USUAL_COLUMN_S))
        if short
        else 0.0,
        "spare": _compare_rates(strips, short),
        "still": 3 * float(np.mean([p.still for p in short])) if short else 0.0,
        "few_leads": -float(np.log(max(len(shown), 1) / 12)),
        "group": float(any(shown == group for group in (GROUPS[0] | GROUPS[1], *GROUPS))),
    }
    return KindEvidence(**{k: float(np.clip(np.nan_to_num(v), -3, 3)) for k, v in numbers.items()})


@dataclass(frozen=True)
class _Marked:
    """A segment with the marks of its beats."""

    segment: Segment
    mv: NDArray[np.float32]
    """(n,) mV at ``MARK_FS`` from the segment's beginning, NaN where nothing was found."""
    mark: NDArray[np.float32]
    """(n,) marks of beats."""
    beats_s: Array
    """(k,) times of beats from the segment's beginning, s."""

    @property
    def duration_s(self) -> float:
        return max(len(self.mv) / MARK_FS, 0.05)

    @property
    def sharpness(self) -> float:
        """Natural log of the height of the marks of beats over the median mark."""
        known = self.mark[np.isfinite(self.mark)]
        if len(known) < MARK_FS / 2:
            return 0.0
        return float(np.log((np.quantile(known, 0.97) + 1e-5) / (np.median(known) + 1e-5)))

    @property
    def still(self) -> float:
        """Share of the time that lies more than half a second from any beat."""
        at = np.arange(len(self.mv)) / MARK_FS
        if not len(at):
            return 0.0
        if not len(self.beats_s):
            return 1.0
        return float((np.abs(at[:, None] - self.beats_s).min(axis=1) > 0.5).mean())

    @cached_property
    def mean_beat(self) -> NDArray[np.float32]:
        """(m,) mean of the signal around its beats, mV; NaN without a beat, and where nothing is known."""
        before, after = (round(s * MARK_FS) for s in AROUND_BEAT_S)
        padded = np.pad(self.mv, (before, after), constant_values=np.nan)
        rows = [padded[k : k + before + after] for k in np.rint(self.beats_s * MARK_FS).astype(int)]
        if not rows:
            return np.full(before + after, np.nan, np.float32)
        stack = np.stack(rows)
        known = np.isfinite(stack)
        total = np.where(known, stack, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan).astype(
            np.float32
        )


def _mark(trace: Trace, layout: PageLayout) -> _Marked:
    segment = trace.segment
    _, mv = sample_trace(trace, layout, MARK_FS, ALL)
    mark = mark_beats(mv.astype(np.float32), MARK_FS)
    return _Marked(segment, mv.astype(np.float32), mark, find_beats(mark, MARK_FS))


def _pairs_above(parts: Sequence[_Marked]) -> list[tuple[_Marked, _Marked]]:
    """Leads that stand above each other."""
    return [
        (a, b)
        for k, a in enumerate(parts)
        for b in parts[k + 1 :]
        if abs(a.segment.x0_mm - b.segment.x0_mm) < 5 and a.segment.row != b.segment.row
    ]


def _pairs_along(parts: Sequence[_Marked]) -> list[tuple[_Marked, _Marked]]:
    """Leads that follow each other in a row."""
    order = sorted(parts, key=lambda p: (p.segment.row, p.segment.x0_mm))
    return [(a, b) for a, b in itertools.pairwise(order) if a.segment.row == b.segment.row]


def _compare_times(parts: Sequence[_Marked]) -> tuple[float, float]:
    """Median correlation of the marks of leads above each other, and by how much another lag would fit them better."""
    now, best = [], []
    least, near = LEAST_COMMON_S * MARK_FS, round(SAME_BEAT_S * MARK_FS)
    for a, b in _pairs_above(parts):
        if min(np.isfinite(a.mark).sum(), np.isfinite(b.mark).sum()) < least:
            continue
        reach = round(min(a.duration_s, b.duration_s) / 2 * MARK_FS)
        fits = correlate_at(a.mark, b.mark, range(-reach, reach + 1), MARK_FS)
        now.append(float(fits[reach - near : reach + near + 1].max()))
        best.append(float(fits[::2].max()))
    if not now:
        return 0.5, 0.0
    return float(np.median(now)), float(np.median(np.array(best) - np.array(now)) > 0.25)


def _compare_forms(pairs: Sequence[tuple[_Marked, _Marked]]) -> float:
    """Median correlation of the mean beats of pairs of leads; 0.5 without any."""
    fits = []
    reach = round(SAME_BEAT_S * MARK_FS)
    for a, b in pairs:
        beats = a.mean_beat, b.mean_beat
        both = compare_at(*beats, range(-reach, reach + 1))
        use = (both.count > 0.6 * len(beats[0])) & (both.spread_a > 1e-6) & (both.spread_b > 1e-6)
        if use.any():
            fits.append(float((both.shared[use] / np.sqrt(both.spread_a[use] * both.spread_b[use])).max()))
    return float(np.median(fits)) if fits else 0.5


def _compare_rates(strips: Sequence[_Marked], short: Sequence[_Marked]) -> float:
    """Natural log of the strips' rate of beats over that of the other leads; 0 without strips."""
    rates = [
        float(np.median([max(len(p.beats_s), 0.3) / p.duration_s for p in group])) if group else 0.0
        for group in (strips, short)
    ]
    return float(np.log(rates[0] / rates[1])) if min(rates) > 0 else 0.0
