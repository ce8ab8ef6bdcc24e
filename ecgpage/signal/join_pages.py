"""Join the pages of one record by what each shows: other leads, the next seconds, or the same once more.

Conventions:
    signals  float32 (n, 12), mV, in the order ``LEADS``, of one rate for all pages, each from the beginning of its page
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.signal.beat_marks import correlate_at
from ecgpage.signal.combine import combine_readings
from ecgpage.signal.types import LeadReading

Relation = Literal["other leads", "next seconds", "same"]
"""How pages belong together: each shows leads of its own; each goes on where the one before ends; both show one thing."""

SAME_LAG_S: Final = 0.25
"""Time, s, by which two pages of the same seconds may begin apart."""
SAME_SECONDS: Final = 0.6
"""Median correlation of the leads that two pages show, from which they show the same seconds."""
SHARED: Final = 0.5
"""Share of the leads of the page with fewer of them, from which two pages show the same leads."""
AGREES: Final = 0.8
"""Correlation of a lead on two pages, without a lag, from which one fills gaps of the other."""
MISSING_S: Final = 1.0
"""Time, s, that a record lasts longer than its longest page for the next page to go on with it."""


@dataclass(frozen=True)
class ReadPage:
    """What one page of a record shows."""

    mv: NDArray[np.float32]
    """Signals (n, 12)."""
    readings: Sequence[LeadReading]
    """(12) outcome of each lead."""
    confidence: float
    """Confidence of its layout, 0 to 1: of pages that show the same, the surest counts."""

    @property
    def leads(self) -> frozenset[str]:
        """Leads that were read."""
        return frozenset(r.lead for r in self.readings if r.source != "none")

    def last(self) -> int:
        """Number of samples up to the last one that is known."""
        known = np.flatnonzero(np.isfinite(self.mv).any(axis=1))
        return int(known[-1]) + 1 if len(known) else 0


@dataclass(frozen=True)
class JoinedPages:
    """One record."""

    mv: NDArray[np.float32]
    """Signals (n_samples, 12), NaN where no page shows anything."""
    readings: list[LeadReading]
    counted: tuple[int, ...]
    """Numbers, from 0, of the pages that it holds something of."""
    relation: Relation


def relate(pages: Sequence[ReadPage], fs: float, n_samples: int) -> Relation:
    """How pages of one record belong together; ``n_samples``: length of the record at ``fs`` Hz.

    Fewer than two pages are as good as the same: nothing tells what stood before or after them.
    """
    if len(pages) < 2:
        return "same"
    shared = [
        len(a.leads & b.leads) / max(1, min(len(a.leads), len(b.leads)))
        for k, a in enumerate(pages)
        for b in pages[k + 1 :]
    ]
    if max(shared) < SHARED:
        return "other leads"
    longest = max(page.last() for page in pages)
    if n_samples - longest < MISSING_S * fs:
        return "same"
    alike = [_compare(a, b, fs) for k, a in enumerate(pages) for b in pages[k + 1 :]]
    return "same" if max(alike) > SAME_SECONDS else "next seconds"


def join_pages(
    pages: Sequence[ReadPage | None], fs: float, n_samples: int, page_s: float | None = None
) -> JoinedPages:
    """One record of ``n_samples`` at ``fs`` Hz from its pages, in their order; None for one that was not read.

    Args:
        pages: pages of the record, at least one of which was read.
        fs: samples per second, Hz.
        n_samples: length of the record.
        page_s: time, s, from the beginning of one page to that of the next, where pages go on with each other; None: as long
            as each shows something.
    """
    read = [page for page in pages if page is not None]
    is_alone = page_s is not None and len(read) == 1 < len(pages)
    relation: Relation = "next seconds" if is_alone else relate(read, fs, n_samples)
    if relation == "next seconds":
        return put_in_turn(pages, fs, n_samples, page_s)
    order = sorted(
        ((k, page) for k, page in enumerate(pages) if page is not None), key=lambda one: -one[1].confidence
    )
    first, best = order[0]
    mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
    shown = min(n_samples, len(best.mv))
    mv[:shown] = best.mv[:shown]
    readings = list(best.readings)
    filled = [k for k, page in order[1:] if _fill(mv, readings, page, fs)]
    return JoinedPages(mv, readings, tuple(sorted((first, *filled))), relation)


def _fill(mv: NDArray[np.float32], readings: list[LeadReading], page: ReadPage, fs: float) -> bool:
    """Fill leads that are missing from another page, and gaps of leads on which both agree, in place; whether any was."""
    is_used = False
    for k, lead in enumerate(LEADS):
        values = np.full(len(mv), np.nan, np.float32)
        values[: len(page.mv)] = page.mv[: len(mv), k]
        gaps = np.isnan(mv[:, k]) & np.isfinite(values)
        if lead not in page.leads or not gaps.any():
            continue
        if readings[k].source == "none":
            mv[:, k], readings[k], is_used = values, page.readings[k], True
        elif float(correlate_at(mv[:, k], values, (0,), fs)[0]) > AGREES:
            both = np.isfinite(mv[:, k]) & np.isfinite(values)
            level = float(np.median(mv[both, k] - values[both]))
            mv[gaps, k] = values[gaps] + level
            covered = max(readings[k].coverage, page.readings[k].coverage)
            readings[k], is_used = replace(readings[k], coverage=covered), True
    return is_used


def put_in_turn(
    pages: Sequence[ReadPage | None], fs: float, n_samples: int, page_s: float | None = None
) -> JoinedPages:
    """One record of pages one after the other; arguments as those of ``join_pages``."""
    mv = np.full((n_samples, len(LEADS)), np.nan, np.float32)
    usual = max(page.last() for page in pages if page is not None)
    start = 0
    for page in pages:
        if page is not None:
            room = mv[start : start + len(page.mv)]
            shown = page.mv[: len(room)]
            room[:] = np.where(np.isfinite(shown), shown, room)
        length = usual if page is None else page.last()
        start += length if page_s is None else round(page_s * fs)
    readings = combine_readings([None if page is None else page.readings for page in pages])
    return JoinedPages(mv, readings, tuple(range(len(pages))), "next seconds")


def _compare(a: ReadPage, b: ReadPage, fs: float) -> float:
    """Median correlation of the leads that two pages show, at the lag that fits each best; 0 without any."""
    reach = round(SAME_LAG_S * fs)
    lags = range(-reach, reach + 1, max(1, round(0.004 * fs)))
    columns = [LEADS.index(lead) for lead in a.leads & b.leads]
    fits = [float(correlate_at(a.mv[:, k], b.mv[:, k], lags, fs).max()) for k in columns]
    return float(np.median(fits)) if fits else 0.0
