"""Records written and read back: headers of every kind, signals, images, labels, and the small helpers."""

# ruff: noqa: F403, F405 (the star import is what is tested)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import helper_code
from ecgpage.core.conventions import LEADS
from helper_code import *

FULL_HEADER = """00001_hr 2 500 5000 09:17:34 09/11/1984
00001_hr.dat 16 1000.0(0)/mV 16 0 -119 1508 0 I
00001_hr.dat 16 1000.0(0)/mV 16 0 -55 723 0 II
# Age: 56
# Sex: Female
# Height: Unknown
# Labels: NORM, AFIB/AFL
# Image: 00001_hr-0.png, 00001_hr-1.png
"""
HIDDEN_HEADER = """00001_hr 2 500 5000
00001_hr.dat 16 1000.0(0)/mV 16 0    I
00001_hr.dat 16 1000.0(0)/mV 16 0    aVR
# Image: 00001_hr-0.png
"""
ODD_HEADER = """seg/2 3 250.5/999(0)
a.dat 16x2:5+24 200(-7)/uV 12 3 1 2 0 V1
a.dat 80+1 200.5 12 128 1 2 0 V2
b.dat 212 100/mmHg 12 -4 1 2 0 V3
"""


def header_of(fs, samples, gain="1000.0(0)/mV", leads=LEADS, name="rec"):
    lines = [f"{name}.dat 16 {gain} 16 0    {lead}" for lead in leads]
    return "\n".join([f"{name} {len(leads)} {fs} {samples}", *lines, f"# Image: {name}-0.png", ""])


# Headers


@pytest.mark.parametrize("header", [FULL_HEADER, HIDDEN_HEADER])
def test_a_header_tells_what_is_known_with_and_without_the_truth(header):
    assert get_record_name(header) == "00001_hr"
    assert get_num_signals(header) == 2
    assert get_sampling_frequency(header) == 500.0
    assert isinstance(get_sampling_frequency(header), float)
    assert get_num_samples(header) == 5000
    assert get_signal_formats(header) == ["16", "16"]
    assert get_adc_gains(header) == [1000.0, 1000.0]
    assert get_baselines(header) == [0, 0]
    assert get_signal_units(header) == ["mV", "mV"]
    assert get_adc_resolutions(header) == [16, 16]
    assert get_adc_zeros(header) == [0, 0]
    assert get_signal_files_from_header(header) == ["00001_hr.dat"]


def test_only_the_full_header_tells_values_of_the_signal():
    assert get_signal_names(FULL_HEADER) == ["I", "II"]
    assert get_initial_values(FULL_HEADER) == [-119, -55]
    assert get_checksums(FULL_HEADER) == [1508, 723]
    assert get_block_sizes(FULL_HEADER) == [0, 0]
    assert get_signal_names(HIDDEN_HEADER) == ["I", "aVR"]
    for getter in (get_initial_values, get_checksums, get_block_sizes):
        with pytest.raises(ValueError, match=r"no (initial value|checksum|block size)"):
            getter(HIDDEN_HEADER)


def test_suffixes_defaults_and_baselines_of_unusual_headers():
    assert get_record_name(ODD_HEADER) == "seg"
    assert get_sampling_frequency(ODD_HEADER) == 250.5
    assert get_num_samples(ODD_HEADER) is None
    assert get_signal_formats(ODD_HEADER) == ["16", "80", "212"]
    assert get_adc_gains(ODD_HEADER) == [200.0, 200.5, 100.0]
    assert get_signal_units(ODD_HEADER) == ["uV", "mV", "mmHg"]
    assert get_baselines(ODD_HEADER) == [-7, 128, -4]
    assert get_signal_files_from_header(ODD_HEADER) == ["a.dat", "b.dat"]


def test_a_header_of_a_name_alone_knows_nothing_more():
    assert get_record_name("rec\n") == "rec"
    assert get_num_signals("rec\n") is get_num_samples("rec\n") is get_sampling_frequency("rec\n") is None
    assert get_signal_names("rec\n") == []


def test_the_last_of_several_values_counts_but_lists_are_joined():
    text = "# Age: 56\n# Labels: NORM, CD\n# Age: 57 \n# Labels: PAC\n"
    assert get_variable(text, "# Age:") == ("57", True)
    assert get_variable(text, "# Sex:") == ("", False)
    assert get_variables(text, "# Labels:") == (["NORM", "CD", "PAC"], True)
    assert get_variables("# Labels: \n", "# Labels:") == ([""], True)
    assert get_variables(text, "# Image:")[1] is False


def test_missing_images_and_labels_lines_are_errors_that_say_so():
    assert get_labels_from_header(FULL_HEADER) == ["NORM", "AFIB/AFL"]
    assert get_image_files_from_header(FULL_HEADER) == ["00001_hr-0.png", "00001_hr-1.png"]
    with pytest.raises(Exception, match="No labels available"):
        get_labels_from_header(HIDDEN_HEADER)
    with pytest.raises(Exception, match="No images available: did you forget to generate or include"):
        get_image_files_from_header("rec 0 500 5000\n")


@pytest.mark.parametrize(
    "line",
    ["# Image: a-0.png, my page.jpg", "#Image:a-0.png,my page.jpg", "# Image : a-0.png, my page.jpg ",
     "#image: a-0.png , my page.jpg", "  #\tIMAGE:a-0.png, my page.jpg"],
)  # fmt: skip
def test_images_are_found_however_their_line_is_written(tmp_path, line):
    header = f"a 0 500 5000\n# Age: 56\n{line}\n"
    assert get_image_files_from_header(header) == ["a-0.png", "my page.jpg"]
    save_header(str(tmp_path / "a"), header)
    Image.new("L", (4, 2)).save(tmp_path / "my page.jpg")
    assert [image.size for image in load_images(str(tmp_path / "a"))] == [(4, 2)]


def test_lines_written_as_the_challenge_writes_them_count_alone():
    header = "a 0 500 5000\n#image: scanned at 300 dpi\n# Image: a-0.png\n# Images: two\n"
    assert get_image_files_from_header(header) == ["a-0.png"]
    assert get_variables("# Imagery: none\n#Imag: none\n", "# Image:")[1] is False
    assert get_variable("# age : 56\n#Age: 57", "# Age") == (": 57", True)


# Files


def test_records_are_found_at_any_depth_sorted_by_name(tmp_path):
    for name in ("b.hea", "a/2.hea", "a/10.hea", "a/10.dat", "a/c.HEA", "x.hea.png", "a/d/e.hea"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_records(str(tmp_path)) == ["a/10", "a/2", "a/d/e", "b"]
    assert find_records(str(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(("fs", "samples"), [(100, 1000), (250, 2500), (500, 5000), (1000, 10000)])
def test_signals_with_gaps_survive_saving_to_a_microvolt(tmp_path, fs, samples):
    record = str(tmp_path / "rec")
    signal = np.random.default_rng(fs).uniform(-5, 5, (samples, 12)).astype(np.float32)
    signal[samples // 4 :, 0] = np.nan
    signal[:, 3] = np.nan
    save_header(record, header_of(fs, samples))
    save_signals(record, signal, ["# Age: 56", "#Sex: Male"])
    read, fields = load_signals(record)
    np.testing.assert_allclose(read, signal, atol=0.000501)
    assert (fields["fs"], fields["sig_len"], fields["units"]) == (fs, samples, ["mV"] * 12)
    assert fields["sig_name"] == list(LEADS)
    lines = load_header(record).splitlines()
    assert lines[0] == f"rec 12 {fs} {samples}"
    assert lines[1].startswith("rec.dat 16 1000.0(0)/mV 16 0 ")
    assert lines[4].split()[5] == "-32768"
    assert lines[13:] == ["# Age: 56", "# Sex: Male"]


def test_a_header_that_is_not_utf8_costs_no_signal(tmp_path):
    record = str(tmp_path / "rec")
    (tmp_path / "rec.hea").write_bytes(header_of(500, 3, leads=["I"]).encode() + b"# Note: Universit\xe4t\n")
    save_header(record, load_header(record))
    assert (tmp_path / "rec.hea").read_bytes().endswith(b"Universit\xe4t\n")
    save_signals(record, np.ones((3, 1)), load_header(record).split("\n")[2:])
    np.testing.assert_array_equal(load_signals(record)[0], np.ones((3, 1)))


def test_gains_and_baselines_of_the_header_shape_what_is_written(tmp_path):
    record = str(tmp_path / "rec")
    signal = np.array([[0.5], [-1.25], [np.nan]])
    save_header(record, header_of(500, 3, gain="200.0(-50)/mV", leads=["V6"]))
    save_signals(record, signal)
    assert np.fromfile(record + ".dat", "<i2").tolist() == [50, -300, -32768]
    np.testing.assert_array_equal(load_signals(record)[0], signal)


@pytest.mark.parametrize(
    ("signal", "error"),
    [
        (np.zeros((100, 12), dtype=int), TypeError),
        ([[0.0] * 12], TypeError),
        (np.zeros((12, 100)), ValueError),
        (np.full((100, 12), 33.0), IndexError),
    ],
)
def test_a_signal_that_cannot_be_stored_is_refused(tmp_path, signal, error):
    record = str(tmp_path / "rec")
    save_header(record, header_of(500, 100))
    with pytest.raises(error):
        save_signals(record, signal)


def test_signals_are_none_unless_all_files_are_there(tmp_path):
    record = str(tmp_path / "rec")
    assert load_signals(record) == (None, None)
    save_header(record, header_of(500, 5000))
    assert load_signals(record) == (None, None)
    save_header(record, "rec 0 500 5000\n")
    assert load_signals(record) == (None, None)


def test_labels_are_appended_and_the_union_is_read(tmp_path):
    record = str(tmp_path / "rec")
    save_header(record, header_of(500, 5000))
    with pytest.raises(Exception, match="No labels"):
        load_labels(record)
    header = save_labels(record, ["NORM", "Old MI"])
    assert header == load_header(record) == header_of(500, 5000) + "# Labels: NORM, Old MI\n"
    save_labels(record, ["PVC"])
    assert load_labels(record) == ["NORM", "Old MI", "PVC"]


def test_no_label_is_an_empty_line_and_reads_as_an_empty_string(tmp_path):
    record = str(tmp_path / "rec")
    save_header(record, "rec 0 500 5000")  # no line end: the label must not land on the first line
    assert save_labels(record, []) == "rec 0 500 5000\n# Labels: \n"
    assert load_labels(record) == [""]


def test_images_open_in_the_headers_order_without_the_missing(tmp_path):
    record = str(tmp_path / "rec")
    save_header(record, "rec 0 500 5000\n# Image: rec-0.png, rec-1.png, rec-2.png\n")
    for number, width in ((0, 3), (2, 5)):
        Image.new("RGBA", (width, 2)).save(tmp_path / f"rec-{number}.png")
    images = load_images(record)
    assert [(image.size, image.mode) for image in images] == [((3, 2), "RGBA"), ((5, 2), "RGBA")]
    assert get_image_files(record) == ["rec-0.png", "rec-1.png", "rec-2.png"]
    assert get_image_files(str(tmp_path / "none")) == get_signal_files(str(tmp_path / "none")) == []


# Evaluation


def test_names_follow_the_references_spelling():
    assert normalize_names(["I", "aVR", "avr"], ["AVR", "X", "i"]) == ["aVR", "I"]


def test_columns_move_with_their_names():
    signal = np.array([[1.0, 2.0]])
    assert reorder_signal(signal, ["I", "II"], ["I", "II"]) is signal
    assert reorder_signal(signal, ["II", "I"], ["I", "III", "II"]).tolist() == [[2.0, 0.0, 1.0]]
    with pytest.raises(AssertionError, match="twice"):
        reorder_signal(signal, ["I", "I"], ["I", "II"])


def test_a_signal_becomes_one_pixel_per_sample():
    image = convert_signal([-1.0, np.nan, 1.0, 0.0], 5, -1.0, 1.0, 4)
    assert image.shape == (5, 4)
    assert np.argwhere(image == 1).tolist() == [[0, 0], [2, 3], [4, 2]]
    assert image.sum() == 3


def test_correlating_an_image_with_its_copy_moved_tells_the_move():
    ref, est = np.zeros((2, 8, 9))
    ref[2, 3] = ref[5, 4] = est[3, 5] = est[6, 6] = 1
    row, column = np.unravel_index(fft_correlate(ref, est).argmax(), (15, 17))
    assert (7 - row, 8 - column) == (1, 2)


def test_alignment_returns_the_moved_lead_with_what_was_taken_away():
    ref = np.sin(np.arange(200) / 9) * np.linspace(0, 1, 200)
    late = np.concatenate([np.full(4, np.nan), ref[:-4]]) + 0.2
    for smooth in (True, False):
        moved, samples, millivolts = align_signals(ref, late, 256, smooth=smooth)
        assert samples == 4
        assert millivolts == pytest.approx(0.2, abs=0.01)
        np.testing.assert_allclose(moved[:196], ref[:196], atol=0.01)
        assert np.isnan(moved[196:]).all()
    moved, samples, _ = align_signals(ref, ref[3:], 256)
    assert (samples, len(moved)) == (-3, 200)
    assert np.isnan(moved[:3]).all()


def test_f_measure_counts_the_references_classes_alone():
    labels = [["NORM"], ["CD", "PAC"], ["CD"]]
    outputs = [["NORM", "HYP"], ["CD"], ["norm"]]
    macro, per_class, classes = compute_f_measure(labels, outputs)
    assert classes == ["CD", "NORM", "PAC"]
    np.testing.assert_allclose(per_class, [2 / 3, 1, 0])
    assert macro == pytest.approx(5 / 9)


def test_confusion_of_one_class_against_the_rest():
    labels, outputs = np.array([[1, 0], [1, 0], [0, 1]]), np.array([[1, 1], [0, 1], [1, 1]])
    counts = compute_one_vs_rest_confusion_matrix(labels, outputs, ["a", "b"])
    assert counts.tolist() == [[[1, 1], [1, 0]], [[1, 2], [0, 0]]]


def test_scores_have_the_documented_arguments():
    ref, est = np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 2.0])
    assert compute_snr(ref, est, False)[1] == pytest.approx(14 / 3)
    assert compute_snr(ref, est, True, True, True)[1:] == (5.0, 0.5)
    assert compute_ks_metric(ref, est, keep_nans=True) == pytest.approx(1 - 1 / 12)
    assert compute_asci_metric(ref, est, 0.05, True) == 0.0
    difference = compute_weighted_absolute_difference(ref, est, 10, keep_nans=True)
    assert difference == pytest.approx(0.5 / (5 / 6 + 0.5))


# Small helpers


@pytest.mark.parametrize(
    ("x", "kinds", "cast"),
    [
        (3, "number integer finite", 3),
        ("4.0", "number integer finite", 4),
        (2.5, "number finite", 2.5),
        (float("nan"), "number nan", "Unknown"),
        ("-inf", "number", "Unknown"),
    ],
)
def test_numbers_are_told_apart(x, kinds, cast):
    tests = {"number": is_number, "integer": is_integer, "finite": is_finite_number, "nan": is_nan}
    assert " ".join(kind for kind, test in tests.items() if test(x)) == kinds
    assert cast_int_float_unknown(x) == cast


@pytest.mark.parametrize("x", ["many", None, [1]])
def test_what_is_no_number_is_not_cast(x):
    assert not any(test(x) for test in (is_number, is_integer, is_finite_number, is_nan))
    with pytest.raises(NotImplementedError):
        cast_int_float_unknown(x)


def test_one_hot_rows_mark_the_known_labels():
    encoded = compute_one_hot_encoding([["b", "z"], [float("nan")], []], ["a", "b", float("nan")])
    assert encoded.dtype == bool
    assert encoded.tolist() == [[False, True, False], [False, False, True], [False, False, False]]


@given(text=st.text(st.characters(blacklist_characters="\r", blacklist_categories=["Cs"])))
def test_text_survives_saving(tmp_path_factory, text):
    file = str(tmp_path_factory.mktemp("text") / "file")
    save_text(file, text)
    assert load_text(file) == text


def test_team_code_gets_the_modules_it_is_used_to():
    for name in ("np", "os", "sp", "sys", "wfdb", "fftconvolve", "gaussian_filter"):
        assert hasattr(helper_code, name)
        assert name in globals()
