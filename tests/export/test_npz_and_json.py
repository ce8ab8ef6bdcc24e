"""NPZ is read back by NumPy without pickles, the JSON report by a parser that knows no NaN."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import ecgpage
from ecgpage.core.conventions import CLASSES, LEADS
from ecgpage.export.types import Metadata
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.types import PageLayout, Row, Segment
from ecgpage.signal.expected_snr import Expectation
from ecgpage.signal.grade import LeadGrade, PageGrade
from ecgpage.signal.types import LeadReading
from tests.export.pages import NOTHING, WHY, Page, encode, make_page, pages, random_page


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def parse(text: str | bytes) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text, parse_constant=refuse_constant)
    return report


def report(page: Page, metadata: Metadata = NOTHING) -> dict[str, Any]:
    return parse(encode("json", page, metadata=metadata)[".json"])


def page_with_layout() -> Page:
    """Page of 10 s, 3x4+1, on a lattice of 4 px/mm."""
    nodes = np.stack(np.meshgrid(np.arange(50) * 20.0, np.arange(40) * 20.0), axis=-1)
    grid = GridMap(nodes, (-5.0, 0.0), np.ones((40, 50)), 0.25, "5 mm lines")
    rows = [Row(np.arange(260.0), np.full(260, 30.0 + 25 * k), np.ones(260)) for k in range(4)]
    segments = [
        Segment(
            lead,
            k % 3,
            10 + 62.5 * (k // 3),
            72.5 + 62.5 * (k // 3),
            2.5 * (k // 3),
            2.5,
            30.0 + 25 * (k % 3),
        )
        for k, lead in enumerate(LEADS)
    ]
    segments.append(Segment("II", 3, 10, 260, 0.0, 10.0, 105.0, is_strip=True))
    layout = PageLayout(rows, segments, [], [72.5], 25.0, 10.0, 0.875, notes=("no pulse",))
    signal = np.full((5000, 12), np.nan)
    for k in range(12):
        signal[1250 * (k // 3) : 1250 * (k // 3 + 1), k] = 0.1
    return replace(make_page(signal), layout=layout, grid=grid)


# NPZ


@given(page=pages(largest_mv=1e6))
@settings(max_examples=15, deadline=None)
def test_arrays_come_back_as_they_were(page: Page) -> None:
    with np.load(io.BytesIO(encode("npz", page)[".npz"]), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["signal"], page.signal)
        np.testing.assert_array_equal(archive["mask"], page.known)
        assert archive["signal"].dtype == np.float32
        assert archive["leads"].tolist() == list(LEADS)
        assert archive["fs"] == page.fs
        assert parse(str(archive["metadata"]))["status"] == page.status


def test_infinite_samples_are_gaps_in_arrays_too() -> None:
    signal = np.zeros((10, 12))
    signal[3, 4] = np.inf
    with np.load(io.BytesIO(encode("npz", make_page(signal))[".npz"])) as archive:
        assert np.isnan(archive["signal"][3, 4])
        assert archive["mask"].sum() == 119


def test_the_same_page_gives_the_same_archive() -> None:
    assert encode("npz", random_page(8, 999)) == encode("npz", random_page(8, 999))


# JSON


def test_the_report_says_where_it_comes_from() -> None:
    found = report(
        random_page(0, 5588),
        Metadata(
            record="scan",
            source="archive/scan.pdf",
            sha256="ab" * 32,
            page=2,
            settings={"fs": 500, "layout": "auto"},
        ),
    )
    assert (found["ecgpage"], found["record"]) == (ecgpage.__version__, "scan")
    assert found["input"] == {"path": "archive/scan.pdf", "sha256": "ab" * 32, "page": 2}
    assert found["settings"] == {"fs": 500, "layout": "auto"}
    assert found["signal"] == {
        "fs_hz": 500.0,
        "samples": 5588,
        "seconds": 11.176,
        "unit": "mV",
        "leads": list(LEADS),
    }


def test_nothing_tells_the_source_when_it_is_not_given() -> None:
    found = report(random_page(0, 100))
    assert found["input"] == {"path": None, "sha256": None, "page": None}
    assert found["record"] == "ecg"


def test_leads_have_their_coverage_expectation_times_and_reason() -> None:
    signal = np.ones((5000, 12))
    signal[1250:2500, 0] = np.nan
    signal[:, 1] = np.nan
    page = make_page(signal)
    reading = LeadReading("I", "network", 0.75, expectation=Expectation(1.0, (0.01, 0.0, 0.0)))
    grade = PageGrade("B", 0.9, 0.99, 1.0, ("why",), {"I": LeadGrade("B", 0.88)})
    told = report(replace(page, readings={**page.readings, "I": reading}, grade=grade))
    leads = told["leads"]
    assert told["grade"] == {
        "letter": "B", "probability": 0.891, "scale": 0.9, "names": 0.99, "times": 1.0, "reasons": ["why"],
    }  # fmt: skip
    assert list(leads) == list(LEADS)
    assert leads["I"] == {
        "source": "network",
        "coverage": 0.75,
        "expected_snr_db": round(reading.snr_db, 4),
        "grade": "B",
        "reason": None,
        "known_s": [[0.0, 2.5], [5.0, 10.0]],
    }
    assert leads["II"] == {
        "source": "none",
        "coverage": 0.0,
        "expected_snr_db": None,
        "grade": None,
        "reason": WHY,
        "known_s": [],
    }


def test_the_layout_is_told_in_millimetres_and_seconds() -> None:
    found = report(page_with_layout())
    layout = found["layout"]
    assert (layout["name"], layout["speed_mm_per_s"], layout["gain_mm_per_mv"]) == ("3x4+1", 25.0, 10.0)
    assert (layout["confidence"], layout["notes"], len(layout["segments"])) == (0.875, ["no pulse"], 13)
    assert layout["segments"][4] == {
        "lead": "aVL", "row": 1, "x0_mm": 72.5, "x1_mm": 135.0, "zero_mm": 55.0, "start_s": 2.5, "duration_s": 2.5,
        "gain_mm_per_mv": 10.0, "is_strip": False,
    }  # fmt: skip
    assert layout["segments"][12]["is_strip"]
    assert found["grid"] == {
        "source": "5 mm lines", "is_printed": True, "px_per_mm": 4.0, "residual_px": 0.25,
        "extent_mm": [-5.0, 0.0, 240.0, 195.0],
    }  # fmt: skip


def test_a_failed_page_has_nulls_and_reasons() -> None:
    unknown = dict.fromkeys(CLASSES, float("nan"))
    page = make_page(
        np.full((5000, 12), np.nan), labels=(), probabilities=unknown, reasons=("no grid was found",)
    )
    found = report(page)
    assert (found["status"], found["reasons"], found["labels"]) == ("failed", ["no grid was found"], [])
    assert found["probabilities"] == dict.fromkeys(CLASSES)
    assert (found["layout"], found["grid"]) == (None, None)


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), np.float32("nan"), np.array([np.nan, 1]), [np.inf], Path("x")]
)
def test_settings_of_any_type_become_json(value: object) -> None:
    found = report(random_page(0, 10), Metadata(settings={"value": value}))["settings"]["value"]
    assert found in (None, [None, 1.0], [None], "x")


def test_texts_of_any_language_come_back() -> None:
    texts = ("größer", "心電図", 'say "no"', "a\nb", "\udcff")
    found = report(make_page(np.zeros((5, 12)), reasons=texts))["reasons"]
    assert found[:4] == list(texts[:4])
    assert found[4] == "\\udcff" or found[4] == "\udcff"
