"""Grades follow the evidence, say why, and never let a page pass whose evidence is poor."""

from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.signal.expected_snr import Expectation
from ecgpage.signal.grade import (
    MIN_PROBABILITY,
    NOT_GIVEN,
    QUESTIONS,
    REASONS,
    grade_page,
    join_grades,
    weigh,
)
from ecgpage.signal.grade_evidence import EVIDENCE, PageEvidence
from ecgpage.signal.grade_weights import USUAL, WEIGHTS
from ecgpage.signal.types import LeadReading

GOOD = PageEvidence(**{name: USUAL[name] + 1.0 for name in EVIDENCE})
"""A page with better evidence than usual."""
BAD = PageEvidence(**{name: USUAL[name] - 3.0 for name in EVIDENCE})


def readings(snr_db: float = 20.0, missing: tuple[str, ...] = ()) -> list[LeadReading]:
    found = Expectation(1.0, (10 ** (-snr_db / 10) / 0.6, 0.0, 0.0))
    return [
        LeadReading(lead, "none", 0.0, "not drawn")
        if lead in missing
        else LeadReading(lead, "network", 1.0, "", found)
        for lead in LEADS
    ]


def test_all_evidence_has_words_and_weights_speak_for_what_they_say() -> None:
    assert set(REASONS) == set(EVIDENCE) == set(get_type_hints(PageEvidence)) == set(USUAL)
    for question in QUESTIONS:
        assert set(WEIGHTS[question]) <= {*EVIDENCE, ""}
        assert all(weight > 0 for name, weight in WEIGHTS[question].items() if name)


def test_a_good_page_is_a_and_a_bad_one_c_with_reasons() -> None:
    good, bad = grade_page(GOOD, readings()), grade_page(BAD, readings())
    assert (good.letter, good.reasons) == ("A", ())
    assert bad.letter == "C"
    assert bad.reasons
    assert bad.probability < 0.5 < MIN_PROBABILITY["A"] <= good.probability


@pytest.mark.parametrize("question", QUESTIONS)
def test_evidence_against_a_page_makes_it_less_likely(question: str) -> None:
    name = max((n for n in WEIGHTS[question] if n), key=lambda n: WEIGHTS[question][n])
    less = replace(GOOD, **{name: getattr(GOOD, name) - 1.0})
    assert weigh(less, question) < weigh(GOOD, question)


def test_a_lead_is_worse_where_its_curve_is_and_has_no_grade_where_it_is_not_given() -> None:
    clear = grade_page(GOOD, readings(25.0, missing=("V6",))).leads
    noisy = grade_page(GOOD, readings(5.0)).leads
    assert clear["V6"].letter == "–"
    assert np.isnan(clear["V6"].probability)
    assert clear["V1"].letter == "A"
    assert noisy["V1"].letter == "C"


def test_a_page_without_leads_has_no_grade() -> None:
    assert grade_page(GOOD, readings(missing=LEADS)).letter == "–"
    assert str(NOT_GIVEN) == "–"


def test_a_record_of_two_pages_is_as_good_as_the_worse_one() -> None:
    limb = grade_page(GOOD, readings(missing=LEADS[6:]))
    chest = grade_page(BAD, readings(missing=LEADS[:6]))
    both = join_grades([limb, chest, NOT_GIVEN])
    assert both.letter == "C"
    assert [both.leads[lead].letter for lead in ("I", "V1")] == ["A", "C"]
    assert join_grades([]).letter == "–"
