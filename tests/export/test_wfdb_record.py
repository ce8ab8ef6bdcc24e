"""A WFDB record is read back by wfdb: samples, gaps, rate, names, comments."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.export.formats import FORMATS
from ecgpage.export.types import Metadata
from helper_code import load_labels, load_signals
from tests.export.pages import WHY, Page, assert_same, encode, make_page, pages, random_page

STEP_MV = 0.001


def read_record(page: Page, stem: str = "ecg", *, physical: bool = True) -> wfdb.Record:
    """Record of a page as wfdb reads it."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix, content in encode("wfdb", page, stem).items():
            (Path(folder) / f"{stem}{suffix}").write_bytes(content)
        return wfdb.rdrecord(str(Path(folder) / stem), physical=physical)


@given(page=pages(st.sampled_from([100.0, 250.0, 360.5, 500.0, 1000.0, 1000 / 3])))
@settings(max_examples=25, deadline=None)
def test_samples_come_back_within_half_a_microvolt_and_gaps_as_nan(page: Page) -> None:
    record = read_record(page)
    assert_same(record.p_signal, page, STEP_MV / 2)
    assert record.fs == pytest.approx(page.fs, abs=1e-9)
    assert (record.sig_name, set(record.units)) == (list(LEADS), {"mV"})


@pytest.mark.parametrize("samples", [4999, 5588, 2503])
def test_odd_lengths_come_back_whole(samples: int) -> None:
    page = random_page(3, samples)
    assert_same(read_record(page).p_signal, page, STEP_MV / 2)


@given(page=pages())
@settings(max_examples=10, deadline=None)
def test_first_values_and_checksums_are_those_of_the_samples(page: Page) -> None:
    record = read_record(page, physical=False)
    assert [c % 65536 for c in record.checksum] == [c % 65536 for c in record.calc_checksum()]
    assert record.init_value == record.d_signal[0].tolist()
    assert all(-32768 <= c <= 32767 for c in record.checksum)


def test_an_empty_page_is_all_nan_and_says_so() -> None:
    page = make_page(np.full((5000, 12), np.nan), reasons=("no grid was found",), labels=())
    record = read_record(page)
    assert np.isnan(record.p_signal).all()
    assert {"Labels:", "Status: failed", "Reason: no grid was found", f"V6 not read: {WHY}"} <= set(
        record.comments
    )


def test_values_beyond_16_bits_are_clipped_with_a_note() -> None:
    page = random_page(1, 600, largest_mv=1.0)
    signal = page.signal.copy()
    signal[:, 6] = 0.1
    signal[5:8, 6] = (40.0, -1e9, np.inf)
    page = make_page(signal)
    record, note = read_record(page), "V1: 2 samples beyond 32.767 mV clipped to it"
    assert record.p_signal[5:7, 6].tolist() == [32.767, -32.767]
    assert np.isnan(record.p_signal[7, 6])
    assert f"Note: {note}" in record.comments
    assert FORMATS["wfdb"].encode(page, "ecg", Metadata()).notes == (note,)


def test_comments_are_short_ascii_lines_whatever_the_reasons_hold() -> None:
    reasons = ("größer — nein\nzweite Zeile #3\x07", "µ" * 700)
    header = encode("wfdb", make_page(np.zeros((10, 12)), reasons=reasons))[".hea"].decode("ascii")
    lines = header.splitlines()
    assert len(lines) == len(header.split("\n")) - 1
    assert max(map(len, lines)) <= 255
    assert (
        "# Reason: grosser - nein zweite Zeile #3" in lines
        or "# Reason: gro?er - nein zweite Zeile #3" in lines
    )


def test_the_challenges_functions_read_it(tmp_path: Path) -> None:
    page = make_page(random_page(4, 1000).signal, labels=("STTC", "AFIB/AFL"))
    for suffix, content in encode("wfdb", page).items():
        (tmp_path / f"ecg{suffix}").write_bytes(content)
    signals, fields = load_signals(str(tmp_path / "ecg"))
    assert signals is not None
    assert fields is not None
    assert_same(signals, page, STEP_MV / 2)
    assert load_labels(str(tmp_path / "ecg")) == ["STTC", "AFIB/AFL"]


@pytest.mark.parametrize("stem", ["my scan (1)", "ümlaut", "a.b", "", "a/b"])
def test_names_that_readers_do_not_find_are_refused(stem: str) -> None:
    with pytest.raises(EcgPageError, match="A-Z, a-z, 0-9"):
        encode("wfdb", random_page(0, 10), stem)


@pytest.mark.parametrize("stem", ["0", "-x", "_", "Scan_2024-01-02_p3"])
def test_names_of_plain_characters_are_found(stem: str) -> None:
    assert read_record(random_page(0, 10), stem).record_name == stem
