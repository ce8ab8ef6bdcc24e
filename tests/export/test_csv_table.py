"""A CSV table is read back by pandas and by NumPy: values, empty cells, times."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgpage.core.conventions import LEADS
from tests.export.pages import Page, assert_same, encode, make_page, pages, random_page

BOUND_MV = 0.00005  # four decimals
RATES = st.sampled_from([100.0, 250.0, 360.0, 500.0, 1000.0])


@given(page=pages(RATES, largest_mv=1e4))
@settings(max_examples=15, deadline=None)
def test_pandas_reads_values_and_gaps(page: Page) -> None:
    table = pd.read_csv(io.BytesIO(encode("csv", page)[".csv"]))
    assert list(table.columns) == ["time_s", *LEADS]
    assert_same(table[list(LEADS)].to_numpy(float), page, BOUND_MV)
    np.testing.assert_allclose(table["time_s"], np.arange(len(page.signal)) / page.fs, atol=5e-10)


@given(page=pages())
@settings(max_examples=10, deadline=None)
def test_numpy_reads_values_and_gaps(page: Page) -> None:
    table = np.genfromtxt(io.BytesIO(encode("csv", page)[".csv"]), delimiter=",", names=True)
    assert table.dtype.names == ("time_s", *LEADS)
    rows = np.atleast_1d(table)
    assert_same(np.stack([rows[lead] for lead in LEADS], axis=1), page, BOUND_MV)


@pytest.mark.parametrize("samples", [4999, 5588, 2503])
def test_there_is_a_line_for_each_sample_and_no_comment(samples: int) -> None:
    lines = encode("csv", random_page(2, samples))[".csv"].decode("ascii").split("\n")
    assert lines[0] == "time_s,I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    assert len(lines) == samples + 2
    assert lines[-1] == ""
    assert {line.count(",") for line in lines[:-1]} == {12}
    assert not any(word in "".join(lines).lower() for word in ("#", "nan", "inf"))


def test_an_empty_page_has_times_and_empty_cells() -> None:
    text = encode("csv", make_page(np.full((3, 12), np.nan)))[".csv"].decode()
    assert text.split("\n")[1:] == ["0.000,,,,,,,,,,,,", "0.002,,,,,,,,,,,,", "0.004,,,,,,,,,,,,", ""]


def test_there_is_no_negative_zero() -> None:
    text = encode("csv", make_page(np.full((2, 12), -1e-6)))[".csv"].decode()
    assert "-0.0" not in text
    assert text.endswith("0.002" + ",0.0000" * 12 + "\n")


def test_times_have_the_decimals_that_they_need() -> None:
    times = {fs: encode("csv", make_page(np.zeros((2, 12)), fs))[".csv"].split(b"\n")[2].split(b",")[0] for fs in
             (100.0, 250.0, 360.0, 1000.0)}  # fmt: skip
    assert times == {100.0: b"0.01", 250.0: b"0.004", 360.0: b"0.002777778", 1000.0: b"0.001"}
