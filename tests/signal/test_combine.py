"""Readings of a record that goes on from page to page."""

import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.signal.combine import combine_readings
from ecgpage.signal.expected_snr import Expectation
from ecgpage.signal.types import LeadReading

GOOD = Expectation(1.0, (1e-4, 0.0, 0.0))
POOR = Expectation(1.0, (3e-4, 0.0, 0.0))


def page(
    source: str = "network", coverage: float = 1.0, expectation: Expectation = GOOD
) -> list[LeadReading]:
    return [LeadReading(lead, source, coverage, expectation=expectation) for lead in LEADS]


def test_one_page_says_all() -> None:
    assert combine_readings([page()]) == page()


def test_every_page_counts() -> None:
    found = combine_readings([page(expectation=POOR), page("none", 0.5, GOOD)])[0]
    assert (found.source, found.coverage) == ("network", 0.75)
    assert found.expectation is not None
    assert found.expectation.terms[0] == pytest.approx(2e-4)


def test_a_page_that_was_not_read_is_named() -> None:
    found = combine_readings([page(), None])[3]
    assert (found.lead, found.source, found.coverage) == ("aVR", "network", 0.5)
    assert found.reason == "page 2: no page could be read"


def test_no_page_at_all_leaves_no_source() -> None:
    for pages in ([], [None], [None, None]):
        found = combine_readings(pages)
        assert [r.lead for r in found] == list(LEADS)
        assert {(r.source, r.reason) for r in found} == {("none", "no page could be read")}
