"""A FHIR Observation is parsed by hand, as the specification of SampledData says."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.export.types import Metadata
from tests.export.pages import NOTHING, WHY, Page, assert_same, encode, make_page, pages, random_page

CODES = {
    "I": "131329", "II": "131330", "III": "131389", "aVR": "131390", "aVL": "131391", "aVF": "131392",
    "V1": "131331", "V2": "131332", "V3": "131333", "V4": "131334", "V5": "131335", "V6": "131336",
}  # fmt: skip
"""Context-free codes of ISO/IEEE 11073-10101; I, II and III as in the specification's own example of an ECG."""


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read(page: Page, metadata: Metadata = NOTHING) -> dict[str, Any]:
    text = encode("fhir", page, metadata=metadata)[".fhir.json"].decode("utf-8")
    observation: dict[str, Any] = json.loads(text, parse_constant=refuse_constant)
    return observation


def samples_of(component: dict[str, Any], count: int) -> NDArray[np.float64]:
    """Values (count,) in mV of a component; NaN for "E", and for all of a component without a value."""
    assert ("valueSampledData" in component) != ("dataAbsentReason" in component)
    if "dataAbsentReason" in component:
        return np.full(count, np.nan)
    data = component["valueSampledData"]
    assert data["origin"]["code"] == "mV"
    values = [np.nan if item == "E" else float(item) for item in data["data"].split(" ")]
    return np.array(values) * data["factor"] + data["origin"]["value"]


@given(page=pages(st.sampled_from([100.0, 500.0, 1000.0]), largest_mv=1000.0))
@settings(max_examples=10, deadline=None)
def test_samples_come_back_within_half_a_microvolt_and_gaps_as_no_value(page: Page) -> None:
    read_back = [samples_of(component, len(page.signal)) for component in read(page)["component"]]
    assert_same(np.stack(read_back, axis=1), page, 0.0005)


@pytest.mark.parametrize(("fs", "interval"), [(500.0, 2), (1000.0, 1), (360.0, 1000 / 360)])
def test_the_interval_is_in_milliseconds(fs: float, interval: float) -> None:
    data = read(make_page(np.zeros((4999, 12)), fs))["component"][0]["valueSampledData"]
    assert (data["interval"], data["intervalUnit"], data["dimensions"]) == (interval, "ms", 1)
    assert len(data["data"].split(" ")) == 4999


def test_leads_have_their_codes() -> None:
    observation = read(random_page(0, 100))
    assert observation["resourceType"] == "Observation"
    assert observation["code"]["coding"][0]["code"] == "131328"
    codes = {c["code"]["text"]: c["code"]["coding"] for c in observation["component"]}
    assert list(codes) == [f"Lead {lead}" for lead in LEADS]
    for lead in LEADS:
        (coding,) = codes[f"Lead {lead}"]
        expected = ("urn:iso:std:iso:11073:10101", CODES[lead], f"MDC_ECG_ELEC_POTL_{lead.upper()}")
        assert tuple(coding.values()) == expected


def test_an_empty_page_says_for_each_lead_why() -> None:
    observation = read(make_page(np.full((5000, 12), np.nan), labels=(), reasons=("no grid was found",)))
    assert [c["dataAbsentReason"]["text"] for c in observation["component"]] == [WHY] * 12
    assert {"text": "Reason: no grid was found"} in observation["note"]
    assert "interpretation" not in observation


def test_nothing_is_empty_which_the_format_forbids() -> None:
    def walk(value: object) -> None:
        assert value not in ("", [], {}, None)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(read(make_page(np.full((50, 12), np.nan), labels=())))
    walk(read(random_page(1, 50), Metadata(record="scan", sha256="ab" * 32)))


def test_record_and_picture_are_identified_and_labels_interpret() -> None:
    observation = read(
        make_page(np.zeros((9, 12)), labels=("CD", "PVC")), Metadata(record="scan", sha256="ab" * 32)
    )
    assert [item["value"] for item in observation["identifier"]] == ["scan", "ab" * 32]
    assert observation["interpretation"] == [{"text": "CD"}, {"text": "PVC"}]
    assert observation["status"] == "preliminary"
