"""WFDB headers that say all, less, or nonsense: fields, defaults, and errors that name file, line and way out."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import example, given
from hypothesis import strategies as st

from ecgpage.challenge.wfdb_header import HeaderError
from helper_code import (
    get_adc_gains,
    get_adc_resolutions,
    get_adc_zeros,
    get_baselines,
    get_block_sizes,
    get_checksums,
    get_initial_values,
    get_num_samples,
    get_num_signals,
    get_record_name,
    get_sampling_frequency,
    get_signal_files_from_header,
    get_signal_formats,
    get_signal_names,
    get_signal_units,
    load_header,
    load_signals,
    save_header,
    save_signals,
)

GETTERS = (
    get_adc_gains, get_adc_resolutions, get_adc_zeros, get_baselines, get_block_sizes, get_checksums, get_initial_values,
    get_num_samples, get_num_signals, get_record_name, get_sampling_frequency, get_signal_files_from_header,
    get_signal_formats, get_signal_names, get_signal_units,
)  # fmt: skip


# Lines that say less


@pytest.mark.parametrize(
    ("line", "fs", "samples"),
    [("r 1", None, None), ("r 1 360", 360.0, None), ("r 1 500 0", 500.0, 0)],
)
def test_a_record_line_may_end_early(line: str, fs: float | None, samples: int | None) -> None:
    header = f"{line}\nr.dat 16\n"
    assert (get_record_name(header), get_num_signals(header)) == ("r", 1)
    assert (get_sampling_frequency(header), get_num_samples(header)) == (fs, samples)


def test_a_signal_line_of_file_and_format_has_the_specifications_defaults() -> None:
    header = "r 2 500\nr.dat 16\nr.dat 8\n"
    assert get_signal_files_from_header(header) == ["r.dat"]
    assert get_signal_formats(header) == ["16", "8"]
    assert get_adc_gains(header) == [200.0, 200.0]
    assert get_signal_units(header) == ["mV", "mV"]
    assert get_adc_resolutions(header) == [12, 10]
    assert get_baselines(header) == get_adc_zeros(header) == get_initial_values(header) == [0, 0]
    assert get_block_sizes(header) == [0, 0]
    assert get_signal_names(header) == ["record r, signal 0", "record r, signal 1"]
    with pytest.raises(HeaderError, match=r"^r\.hea, line 2 \('r\.dat 16'\): no checksum; add it"):
        get_checksums(header)


@pytest.mark.parametrize(
    "line",
    [
        "r.dat 16 200(-7)/uV 12 3 1 2 0 V1",
        "r.dat  16   200(-7)/uV 12\t3 1 2 0 V1",
        "r.dat 16 200(-7)/uV 12 3    V1",
        "r.dat 16 200(-7)/uV 12 3 V1",
        "r.dat 16 200(-7)/uV 12 3 1 V1",
    ],
    ids=["complete", "columns", "hidden", "hidden and tidied", "without checksum"],
)
def test_the_name_is_found_whatever_stands_before_it(line: str) -> None:
    header = f"r 1 500 5000\n{line}\n"
    assert get_signal_names(header) == ["V1"]
    assert (get_adc_gains(header), get_baselines(header), get_signal_units(header)) == ([200.0], [-7], ["uV"])
    assert (get_adc_resolutions(header), get_adc_zeros(header)) == ([12], [3])


def test_a_name_may_have_blanks_and_a_gain_of_0_is_none() -> None:
    header = "r 1\nr.dat 16 0 12 3 1 2 0 lead I, filtered"
    assert get_signal_names(header) == ["lead I, filtered"]
    assert get_adc_gains(header) == [200.0]
    assert get_baselines(header) == [3]


def test_comments_and_empty_lines_may_stand_anywhere() -> None:
    header = "# made by hand\n\nr 2 500 5000\n# limb leads\nr.dat 16 200 12 0 0 0 0 I\n\nr.dat 16 200 12 0 0 0 0 II\n"
    assert get_num_samples(header) == 5000
    assert get_signal_names(header) == ["I", "II"]


@pytest.mark.parametrize("line", ["r 1", "r 1 250 3"])
def test_a_signal_is_written_and_read_with_the_defaults(tmp_path: Path, line: str) -> None:
    record = str(tmp_path / "r")
    save_header(record, f"{line}\nr.dat 16\n")
    save_signals(record, np.array([[0.5], [-1.0], [np.nan]]))
    signal, fields = load_signals(record)
    assert signal is not None
    assert fields is not None
    np.testing.assert_array_equal(signal, [[0.5], [-1.0], [np.nan]])
    assert (fields["fs"], fields["units"], fields["sig_name"]) == (250, ["mV"], ["record r, signal 0"])
    assert np.fromfile(f"{record}.dat", "<i2").tolist() == [100, -200, -32768]


def test_signals_without_names_get_them_when_they_are_read(tmp_path: Path) -> None:
    record = str(tmp_path / "r")
    save_header(record, "r 2\nr.dat 16\nr.dat 16\n")
    np.arange(6, dtype="<i2").tofile(f"{record}.dat")
    signal, fields = load_signals(record)
    assert signal is not None
    assert fields is not None
    assert signal.shape == (3, 2)
    assert fields["sig_name"] == get_signal_names(load_header(record))


# Lines that say nonsense


@pytest.mark.parametrize(
    ("header", "getter", "message"),
    [
        ("a twelve leads\n", get_num_signals, r"^a\.hea, line 1 \(.*\): number of signals 'twelve' is no whole number;"),
        ("a -2\n", get_num_signals, "number of signals -2 is negative"),
        ("a 1 fast\na.dat 16", get_sampling_frequency, "sampling frequency 'fast' is no number"),
        ("a 1 500 many\na.dat 16", get_num_samples, "number of samples 'many' is no whole number"),
        ("a 1 500 9.5\na.dat 16", get_num_samples, "number of samples '9.5' is no whole number"),
        ("a 3 500\na.dat 16\n# Image: a.png\n", get_signal_names, "line 1 .*3 signals announced, 1 signal lines follow; add"),
        ("a 1\n\na.dat\n", get_signal_formats, r"^a\.hea, line 3 \('a\.dat'\): no format; add it"),
        ("a 1\na.dat 16 1,5/mV 12 0 0 0 0 I", get_adc_gains, "line 2 .*gain '1,5' is no number; correct"),
        ("a 1\na.dat 16 200(x) 12 0 0 0 0 I", get_baselines, "baseline 'x' is no whole number"),
        ("a 1\na.dat 16 200 12 O 0 0 0 I", get_adc_zeros, "zero 'O' is no whole number"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_the_line_and_the_way_out(
    header: str, getter: Callable[[str], object], message: str
) -> None:
    with pytest.raises(HeaderError, match=message):
        getter(header)


def test_one_wrong_field_spares_the_others() -> None:
    header = "a 1 500 many\na.dat 16 1,5/mV 12 0 0 0 0 I"
    assert get_sampling_frequency(header) == 500.0
    assert get_signal_names(header) == ["I"]
    assert get_signal_units(header) == ["mV"]


# Any header


@st.composite
def lawful_headers(draw: st.DrawFn) -> str:
    """Headers as the specification allows them, ending anywhere it allows them to end."""
    whole = st.integers(-2000, 2000)
    blank = draw(st.sampled_from([" ", "\t", "  "]))
    n_signals = draw(st.integers(1, 4))
    record = [
        "rec",
        n_signals,
        draw(st.sampled_from([250, 360, 62.5, "500/1000(7)"])),
        draw(st.integers(0, 9999)),
    ]
    lines = [blank.join(map(str, record[: draw(st.integers(2, 4))]))]
    for number in range(n_signals):
        gain = draw(st.sampled_from(["200", "1000.0", "12.5", "1e3"]))
        gain += draw(st.sampled_from(["", "(0)", "(-70)", "(33)"])) + draw(
            st.sampled_from(["", "/mV", "/uV", "/mmHg"])
        )
        form = draw(st.sampled_from(["16", "8", "212", "80", "16x2", "16:5", "16+24", "212x1:3+8"]))
        fields = ["rec.dat", form, gain, draw(st.integers(0, 24)), draw(whole), draw(whole), draw(whole)]
        fields += [
            draw(st.integers(0, 9)),
            draw(st.sampled_from(["I", "aVR", "V1", "lead two"])) + f" {number}",
        ]
        lines.append(blank.join(map(str, fields[: draw(st.integers(2, 9))])))
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["# a comment", "", "#"])))
    return "\n".join(lines) + "\n"


@given(header=lawful_headers())
def test_a_lawful_header_reads_as_wfdb_reads_it(header: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_header(f"{folder}/rec", header)
        theirs = wfdb.rdheader(f"{folder}/rec")
    assert (get_record_name(header), get_num_signals(header)) == (theirs.record_name, theirs.n_sig)
    assert (get_sampling_frequency(header) or 250) == theirs.fs
    assert get_num_samples(header) == theirs.sig_len
    assert get_signal_formats(header) == theirs.fmt
    assert get_adc_gains(header) == theirs.adc_gain
    assert get_baselines(header) == theirs.baseline
    assert get_signal_units(header) == theirs.units
    assert get_adc_zeros(header) == [zero or 0 for zero in theirs.adc_zero]
    assert [n if "signal" not in n else None for n in get_signal_names(header)] == theirs.sig_name


@pytest.mark.medium
@given(
    header=st.one_of(
        st.text(),
        st.text(alphabet="r.d16 0-/()\t\n#xeI"),
        lawful_headers().flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])),
    ),
)
@example(header="r 2 500 5000\nr.dat\n")
def test_any_text_is_read_or_refused_in_words(header: str) -> None:
    refused = []
    for getter in GETTERS:
        try:
            getter(header)
        except HeaderError as error:
            refused.append(str(error))
    assert all(", line " in message and "; " in message for message in refused)
