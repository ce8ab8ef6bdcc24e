"""No label from a page that shows too little for it."""

import math

import pytest

from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.diagnosis.needed_leads import shows_enough, withhold
from ecgpage.diagnosis.types import Diagnosis


@pytest.mark.parametrize(
    ("label", "shown", "is_told"),
    [
        ("NORM", LEADS, True),
        ("NORM", LEADS[:11], True),  # V6 beyond the edge of the picture
        ("NORM", LEADS[:6], False),
        ("STTC", LEADS[6:], True),
        ("Old MI", ("V1", "V2", "V3"), False),
        ("AFIB/AFL", ("V1", "V2", "V3"), True),
        ("AFIB/AFL", ("II",), False),
    ],
)
def test_a_label_needs_leads(label: str, shown: tuple[str, ...], is_told: bool) -> None:
    assert shows_enough(label, shown) == is_told


def test_a_single_strip_gets_no_label_and_no_probability() -> None:
    found = withhold(Diagnosis(["NORM"], dict.fromkeys(CLASSES, 0.5)), {"II"})
    assert found.labels == []
    assert all(math.isnan(p) for p in found.probabilities.values())


def test_of_limb_leads_all_but_normal_is_told() -> None:
    found = withhold(Diagnosis(["NORM", "CD"], dict.fromkeys(CLASSES, 0.5)), LEADS[:6])
    assert found.labels == ["CD"]
    assert [c for c, p in found.probabilities.items() if math.isnan(p)] == ["NORM"]


def test_a_whole_page_is_diagnosed_as_ever() -> None:
    found = Diagnosis(["NORM"], dict.fromkeys(CLASSES, 0.5))
    assert withhold(found, LEADS) is found
