"""An EDF+ file is read back by pyedflib: samples, and from the annotations which of them are known."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.export.formats import FORMATS
from ecgpage.export.types import Metadata
from tests.export.pages import NOTHING, WHY, Page, encode, make_page, pages, random_page

pyedflib = pytest.importorskip("pyedflib")  # no wheel for Python 3.13
pytest.importorskip("edfio")

Marks = list[tuple[float, float, str]]


@contextmanager
def opened(content: bytes) -> Iterator["pyedflib.EdfReader"]:
    """Content of a file, opened by pyedflib."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ecg.edf"
        path.write_bytes(content)
        with pyedflib.EdfReader(str(path)) as reader:
            yield reader


def read(page: Page, metadata: Metadata = NOTHING) -> tuple[NDArray[np.float64], Marks, dict[str, Any]]:
    """Samples (n, 12), annotations and header of a page in EDF+."""
    with opened(encode("edf", page, metadata=metadata)[".edf"]) as reader:
        samples = np.stack([reader.readSignal(k) for k in range(12)], axis=1)
        marks = list(zip(*reader.readAnnotations(), strict=True))
        header = {
            **reader.getHeader(),
            "labels": reader.getSignalLabels(),
            "fs": set(reader.getSampleFrequencies()),
        }
        header["units"] = {reader.getPhysicalDimension(k) for k in range(12)}
        return samples, marks, header


def known_by(marks: Marks, word: str, lead: str, fs: float, samples: int) -> NDArray[np.bool_]:
    """Mask (samples,) of what the annotations "<lead> <word>" cover."""
    mask = np.zeros(samples, bool)
    for onset, duration, text in marks:
        if text.split(":")[0] == f"{lead} {word}":
            mask[round(onset * fs) : round((onset + duration) * fs)] = True
    return mask


def assert_read_back(page: Page) -> None:
    """Values come back within their bound, gaps are 0 mV, and the annotations tell them apart at every sample."""
    samples, marks, header = read(page)
    count = len(page.signal)
    assert header["fs"] == {page.fs}
    assert len(samples) % page.fs == 0
    assert 0 <= len(samples) - count < page.fs
    bound_mv = np.ceil(max(1.0, np.abs(page.signal[page.known]).max(initial=0.0))) / 65534
    expected = np.where(page.known, page.signal, 0.0)
    np.testing.assert_allclose(samples[:count], expected, rtol=0, atol=bound_mv * 1.001)
    assert (samples[count:] == 0).all()
    assert (samples[:count][~page.known] == 0).all()
    for column, lead in enumerate(LEADS):
        known = page.known[:, column]
        np.testing.assert_array_equal(known_by(marks, "read", lead, page.fs, count), known)
        np.testing.assert_array_equal(known_by(marks, "not read", lead, page.fs, count), ~known)
    padding = [(onset, duration) for onset, duration, text in marks if text == "padding"]
    assert padding == (
        [] if len(samples) == count else [pytest.approx((count / page.fs, (len(samples) - count) / page.fs))]
    )


@given(page=pages(st.sampled_from([100.0, 250.0, 500.0, 1000.0])))
@settings(max_examples=20, deadline=None)
def test_samples_come_back_and_annotations_say_which_are_known(page: Page) -> None:
    assert_read_back(page)


@pytest.mark.parametrize("samples", [4999, 5588, 2503, 5000])
def test_odd_lengths_are_padded_to_whole_seconds(samples: int) -> None:
    assert_read_back(random_page(3, samples))


def test_usual_amplitudes_keep_a_thirtieth_of_a_microvolt() -> None:
    page = random_page(5, 1000, largest_mv=2.0)
    samples, _, _ = read(page)
    assert np.abs(samples - np.nan_to_num(page.signal))[: len(page.signal)].max() < 0.0000306


def test_signals_are_named_and_in_millivolts() -> None:
    _, _, header = read(random_page(0, 500), Metadata(record="scan 7 für B"))
    assert header["labels"] == [f"ECG {lead}" for lead in LEADS]
    assert header["units"] == {"mV"}
    assert (header["patientcode"], header["sex"], header["patientname"]) == ("scan 7 fur B", "", "X")


def test_an_empty_page_says_for_each_lead_why() -> None:
    samples, marks, _ = read(make_page(np.full((4999, 12), np.nan), reasons=("no grid was found",)))
    assert not samples.any()
    texts = {text for _, _, text in marks}
    assert {"Status: failed", "Reason: no grid was found", "padding", f"V3 not read: {WHY}"} <= texts
    assert not any(text.endswith(" read") for text in texts)


def test_clipped_samples_are_annotated() -> None:
    signal = np.zeros((500, 12))
    signal[10, 4] = -50
    samples, marks, _ = read(make_page(signal))
    assert samples[10, 4] == pytest.approx(-32.767, abs=33 / 65534)
    assert "Note: aVL: 1 sample beyond 32.767 mV clipped to it" in {text for _, _, text in marks}


@pytest.mark.parametrize(("fs", "seconds"), [(62.5, 2), (0.5, 2), (1000 / 3, 3), (128.2, 5), (5000.0, 1)])
def test_rates_with_a_fraction_get_records_of_several_seconds(fs: float, seconds: int) -> None:
    page = random_page(11, 300, fs=fs)
    samples, marks, header = read(page)
    assert list(header["fs"]) == [pytest.approx(fs)]
    assert len(samples) % round(fs * seconds) == 0
    for column, lead in enumerate(LEADS):
        np.testing.assert_array_equal(known_by(marks, "read", lead, fs, 300), page.known[:, column])


def test_other_rates_are_resampled_with_a_word() -> None:
    fs = 377.77
    time_s = np.arange(2000) / fs
    page = make_page(np.repeat(np.sin(2 * np.pi * 5 * time_s)[:, None], 12, axis=1), fs)
    samples, marks, header = read(page)
    (note,) = FORMATS["edf"].encode(page, "ecg", Metadata()).notes
    assert note.startswith("resampled from 377.77 to 500 Hz")
    assert f"Note: {note}" in {text for _, _, text in marks}
    assert header["fs"] == {500.0}
    count = round(2000 / fs * 500)
    inside = slice(0, count - 2)  # the last sample may lie behind the page's
    np.testing.assert_allclose(
        samples[inside, 0], np.sin(2 * np.pi * 5 * np.arange(count)[inside] / 500), atol=0.0005
    )


def test_long_reasons_of_any_language_leave_the_file_readable() -> None:
    page = make_page(np.zeros((700, 12)), reasons=("zu dunkel: größer\n\x14\x15\x00" * 40, "心電図"))
    _, marks, _ = read(page)
    assert "Reason: 心電図" in {text for _, _, text in marks}


def test_the_same_page_gives_the_same_bytes() -> None:
    assert encode("edf", random_page(8, 999)) == encode("edf", random_page(8, 999))
