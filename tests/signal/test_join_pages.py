"""Pages of one record are joined by what each shows: other leads, the next seconds, the same once more."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.signal.join_pages import ReadPage, join_pages, relate
from ecgpage.signal.types import LeadReading
from tests.drawn import FS, lawful_record

WHOLE = lawful_record()
N = len(WHOLE)


def page(leads: tuple[str, ...] = LEADS, first: int = 0, last: int = N, confidence: float = 0.9) -> ReadPage:
    """A page that shows some leads of the record from one sample to another."""
    mv = np.full_like(WHOLE, np.nan)
    columns = [LEADS.index(lead) for lead in leads]
    mv[: last - first, columns] = WHOLE[first:last, columns]
    readings = [
        LeadReading(lead, "network" if lead in leads else "none", float(lead in leads)) for lead in LEADS
    ]
    return ReadPage(mv, readings, confidence)


@pytest.mark.parametrize(
    ("pages", "relation"),
    [
        ((page(LEADS[:6]), page(LEADS[6:])), "other leads"),
        ((page(LEADS[6:]), page((*LEADS[:6], "V1"))), "other leads"),  # a strip that both show
        ((page(last=N // 2), page(first=N // 2)), "next seconds"),
        ((page(), page()), "same"),
        ((page(last=N // 2), page(last=N // 2)), "same"),
    ],
)
def test_pages_tell_how_they_belong_together(pages: tuple[ReadPage, ...], relation: str) -> None:
    assert relate(pages, FS, N) == relation


def test_one_page_stays_where_it_is_whatever_became_of_the_other() -> None:
    """Nothing tells whether it goes on with a page that could not be read."""
    shown = page(last=N // 2)
    joined = join_pages([None, shown], FS, N)
    np.testing.assert_array_equal(joined.mv, shown.mv)
    assert (joined.relation, joined.counted) == ("same", (1,))
    assert relate([], FS, N) == "same"


@pytest.mark.parametrize("turned", [False, True])
def test_limb_and_chest_leads_make_one_record_in_any_order(turned: bool) -> None:
    pages = [page(LEADS[:6]), page(LEADS[6:])]
    joined = join_pages(pages[::-1] if turned else pages, FS, N)
    np.testing.assert_array_equal(joined.mv, WHOLE)
    assert all(r.source == "network" for r in joined.readings)
    assert joined.counted == (0, 1)


def test_halves_stand_behind_each_other() -> None:
    joined = join_pages([page(last=N // 2), page(first=N // 2)], FS, N)
    np.testing.assert_array_equal(joined.mv, WHOLE)


def test_a_later_page_keeps_its_time_where_the_first_was_not_read() -> None:
    joined = join_pages([None, page()], FS, 2 * N, page_s=N / FS)
    assert np.isnan(joined.mv[:N]).all()
    np.testing.assert_array_equal(joined.mv[N:], WHOLE)


def test_of_the_same_page_twice_the_surer_one_counts_and_the_other_fills_its_gaps() -> None:
    sure, other = page(LEADS[:11], last=N // 2), page(confidence=0.5)
    joined = join_pages([other, sure], FS, N)
    np.testing.assert_allclose(joined.mv, WHOLE, atol=1e-6)
    assert joined.relation == "same"
    assert joined.counted == (0, 1)
    assert join_pages([page(confidence=0.5), page()], FS, N).counted == (1,)


def test_a_gap_is_not_filled_from_a_page_of_another_time() -> None:
    sure = page(last=N // 2)
    later = np.roll(WHOLE, 777, axis=0)
    other = ReadPage(later, page().readings, 0.5)
    joined = join_pages([sure, other], FS, N // 2 + 1)
    assert np.isnan(joined.mv[-1]).all()
