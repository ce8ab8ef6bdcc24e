"""Combine the lead readings of a record printed on several pages."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ecgpage.core.conventions import LEADS
from ecgpage.signal.expected_snr import Expectation
from ecgpage.signal.types import LeadReading

NO_PAGE: Final = tuple(LeadReading(lead, "none", 0.0, "no page could be read") for lead in LEADS)
"""Readings (12) of a page that could not be read."""


def combine_readings(pages: Sequence[Sequence[LeadReading] | None]) -> list[LeadReading]:
    """Readings (12) of a record that continues over several pages, from the readings (12) of each, None for a page not read.

    Coverage is the mean over the pages; the source comes from the first page on which the lead was read; power and errors of
    the expectation are means over the pages that have one.
    """
    known = [NO_PAGE if page is None else page for page in pages]
    if len(known) < 2:
        return list(known[0] if known else NO_PAGE)
    return [_combine_lead([page[k] for page in known]) for k in range(len(LEADS))]


def _combine_lead(pages: Sequence[LeadReading]) -> LeadReading:
    source = next((reading.source for reading in pages if reading.source != "none"), "none")
    reasons = {r.reason: k for k, r in reversed(list(enumerate(pages, 1))) if r.reason}
    alike = len(reasons) == 1 and all(r.reason for r in pages)
    said = [reason if alike else f"page {k}: {reason}" for reason, k in reversed(reasons.items())]
    expected = [r.expectation for r in pages if r.expectation is not None]
    return LeadReading(
        pages[0].lead,
        source,
        float(np.mean([reading.coverage for reading in pages])),
        "; ".join(said),
        _mean_expectation(expected) if expected else None,
    )


def _mean_expectation(expected: Sequence[Expectation]) -> Expectation:
    error, late, steep = np.mean([e.terms for e in expected], axis=0)
    terms = (float(error), float(late), float(steep))
    beyond = [e.beyond for e in expected if e.beyond]
    # pages of one file are drawn alike
    return Expectation(
        float(np.mean([e.power for e in expected])),
        terms,
        expected[0].weights,
        tuple(np.mean(beyond, axis=0).tolist()) if len(beyond) == len(expected) else (),
    )
