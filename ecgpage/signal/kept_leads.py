"""Keep of a page's leads those that its kind allows: nothing is given under a name that only a place suggests.

Of averaged beats only the rhythm strip is a recording; several rows of one lead are that lead, where its name is printed;
of a page that shows neither all leads nor all limb or chest leads, those whose names were read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.layout.boxes import NO_NAMES, PrintedNames
from ecgpage.layout.types import PageLayout
from ecgpage.signal.assembly import assemble
from ecgpage.signal.options import SignalOptions
from ecgpage.signal.page_kind import GROUPS, Kind
from ecgpage.signal.types import LeadReading, PageSignals
from ecgpage.trace.reader import Trace

SURE_PLACE: Final = 0.8
"""Probability that all names are right, from which limb leads or chest leads alone are named by their places."""
MOST_PART: Final = 6
"""Number of leads up to which a page counts as a part of the twelve."""
NAME_BESIDE_MM: Final = (38.0, 15.0, 14.0)
"""Distance, mm, of a row's name left and right of its beginning, and above or below it, at most."""
SURE_ROW_NAME: Final = 0.8
"""Probability from which a word names the one lead that all rows show."""
SURE_I: Final = 0.97
"""The same of "I", which beats and strokes look like."""
UNNAMED: Final = "its name is not printed, and its place alone does not tell it"


@dataclass(frozen=True)
class KeptPage:
    """Layout, traces and signals of a page without what its kind does not allow."""

    layout: PageLayout
    traces: list[Trace]
    signals: PageSignals


def keep_leads(signals: PageSignals, names_right: float) -> PageSignals:
    """Signals of a page of leads without those that only their places name.

    Args:
        signals: as they were read.
        names_right: probability that all names are right.

    All leads of a page of more than ``MOST_PART`` are kept: together, their places tell their names. Raises ``EcgPageError``
    where no lead is left.
    """
    shown = {s.lead for s in signals.segments}
    if len(shown) > MOST_PART or (shown in GROUPS and names_right >= SURE_PLACE):
        return signals
    unnamed = shown - {s.lead for s in signals.segments if s.is_named}
    if unnamed and unnamed == shown:
        raise EcgPageError("the page shows a part of the leads, and no name of one was read")
    return drop_leads(signals, dict.fromkeys(unnamed, UNNAMED)) if unnamed else signals


def drop_leads(signals: PageSignals, reasons: dict[str, str]) -> PageSignals:
    """Signals without some leads; ``reasons``: lead -> why it is not given."""
    columns = [LEADS.index(lead) for lead in reasons]
    mv, as_read = signals.mv.copy(), signals.as_read.copy()
    mv[:, columns] = as_read[:, columns] = np.nan
    readings = [
        LeadReading(r.lead, "none", 0.0, reasons[r.lead]) if r.lead in reasons else r
        for r in signals.readings
    ]
    segments = [s for s in signals.segments if s.lead not in reasons]
    return replace(signals, mv=mv, as_read=as_read, readings=readings, segments=segments)


def keep_rhythm(
    kind: Kind,
    page: KeptPage,
    printed: PrintedNames,
    fs: float,
    n_samples: int,
    options: SignalOptions = SignalOptions(),
) -> KeptPage:
    """What is rhythm on a page of averaged beats, or of one lead over several rows.

    Args:
        kind: one of these two.
        page: as it was read, as a page of leads.
        printed: names read on it.
        fs: samples per second, Hz.
        n_samples: length of the signals.
        options: of the assembly.

    Raises ``EcgPageError`` where nothing is left that has a name.
    """
    if kind == "averaged beats":
        rhythm = [t for t in page.traces if t.segment.is_strip and t.segment.is_named]
        reason, note = "an averaged beat is no rhythm", "averaged beats: only the rhythm strip is given"
        missing = "averaged beats, without a rhythm strip whose name was read"
    else:
        rhythm = _first_row(page, printed)
        reason = "the page shows one lead over several rows"
        note = f"{reason}: the first one is given"
        missing = f"{reason}, whose name was not read"
    if not rhythm:
        raise EcgPageError(missing)
    traces = [
        replace(t, segment=replace(t.segment, is_strip=False, start_s=0.0)) for t in rhythm[: len(LEADS)]
    ]
    layout = replace(
        page.layout,
        segments=[t.segment for t in traces],
        speed_mm_per_s=page.signals.speed_mm_per_s,
        speed_odds={},
        notes=(*page.layout.notes, note),
    )
    signals = assemble(traces, layout, fs, n_samples, options)
    readings = [
        replace(r, reason=reason) if r.source == "none" and not r.expectation else r for r in signals.readings
    ]
    return KeptPage(layout, traces, replace(signals, readings=readings))


def _first_row(page: KeptPage, printed: PrintedNames = NO_NAMES) -> list[Trace]:
    """Trace of the first row under the name that stands beside rows; none without exactly one name."""
    short = [t for t in page.traces if not t.segment.is_strip]
    if not short:
        return []
    name = _name_rows(short, page.layout, printed)
    first = min(t.segment.row for t in short)
    row = sorted((t for t in short if t.segment.row == first), key=lambda t: t.segment.x0_mm)
    if name is None:
        return []
    whole = replace(
        row[0].segment,
        lead=name,
        x1_mm=row[-1].segment.x1_mm,
        duration_s=(row[-1].segment.x1_mm - row[0].segment.x0_mm) / page.signals.speed_mm_per_s,
        is_named=True,
    )
    joined = replace(
        row[0],
        segment=whole,
        x_mm=np.concatenate([t.x_mm for t in row]),
        y_mm=np.concatenate([t.y_mm for t in row]),
        sigma_mm=np.concatenate([t.sigma_mm for t in row]),
    )
    keep = np.append(np.diff(joined.x_mm) > 0, True)
    return [replace(joined, x_mm=joined.x_mm[keep], y_mm=joined.y_mm[keep], sigma_mm=joined.sigma_mm[keep])]


def _name_rows(traces: Sequence[Trace], layout: PageLayout, printed: PrintedNames) -> str | None:
    """The one name that stands beside the beginnings of rows; None without one, or with several."""
    left, right, away = NAME_BESIDE_MM
    found: set[str] = set()
    for row in {t.segment.row for t in traces}:
        own = [t.segment for t in traces if t.segment.row == row]
        x0, level = min(s.x0_mm for s in own), own[0].baseline(layout.rows)
        for (x, y), chance in zip(printed.places, printed.chances, strict=True):
            lead = LEADS[int(chance.argmax())]
            is_sure = chance.max() > (SURE_I if lead == "I" else SURE_ROW_NAME)
            if is_sure and -left < x - x0 < right and abs(y - level) < away:
                found.add(lead)
    return found.pop() if len(found) == 1 else None
