"""A DICOM file is read back by pydicom, attribute by attribute; dciodvfy, where it is installed, has nothing to say."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.export.formats import FORMATS
from ecgpage.export.types import Metadata
from tests.export.pages import NOTHING, WHY, Page, encode, make_page, pages, random_page

pydicom = pytest.importorskip("pydicom")

CODES = {
    "I": "2:1", "II": "2:2", "V1": "2:3", "V2": "2:4", "V3": "2:5", "V4": "2:6", "V5": "2:7", "V6": "2:8",
    "III": "2:61", "aVR": "2:62", "aVL": "2:63", "aVF": "2:64",
}  # fmt: skip
RESAMPLED_MV = 0.004
"""Bound for a sine of 10 Hz and 1 mV, away from its ends: the low-pass is even to 0.25 %, zeros are nudged by 0.001 mV."""


def read(page: Page, metadata: Metadata = NOTHING) -> "pydicom.Dataset":
    """Data set of a page's file."""
    return pydicom.dcmread(io.BytesIO(encode("dicom", page, metadata=metadata)[".dcm"]))


def annotations(dataset: "pydicom.Dataset") -> list[str]:
    return [item.UnformattedTextValue for item in dataset.WaveformAnnotationSequence]


def annotated_gaps(dataset: "pydicom.Dataset") -> NDArray[np.bool_]:
    """Mask (n, 12) of the samples that the annotations "not read" cover."""
    mask = np.zeros((dataset.WaveformSequence[0].NumberOfWaveformSamples, 12), bool)
    for item in dataset.WaveformAnnotationSequence:
        if "TemporalRangeType" in item:
            group, channel = item.ReferencedWaveformChannels
            lead = item.UnformattedTextValue.split()[0]
            assert (group, LEADS[channel - 1]) == (1, lead)
            ends = np.reshape(item.ReferencedSamplePositions, (-1, 2))  # from 1, both included
            assert item.TemporalRangeType == ("SEGMENT" if len(ends) == 1 else "MULTISEGMENT")
            for first, last in ends:
                mask[first - 1 : last, channel - 1] = True
    return mask


def assert_read_back(page: Page) -> None:
    """Values come back within 0.5 uV (1.5 uV next to 0); padding value and annotations both say which are gaps."""
    dataset = read(page)
    (group,) = dataset.WaveformSequence
    millivolts = dataset.waveform_array(0) / 1000
    padding = int.from_bytes(group.WaveformPaddingValue, "little", signed=True)
    raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)
    np.testing.assert_array_equal(raw != padding, page.known)
    np.testing.assert_array_equal(annotated_gaps(dataset), ~page.known)
    error = np.abs(millivolts - page.signal)[page.known]
    nudged = np.abs(page.signal[page.known]) <= 0.0005
    assert error[~nudged].max(initial=0) <= 0.0005 + 4e-6  # float32 at 32 mV
    assert error[nudged].max(initial=0) <= 0.0015


@given(page=pages(st.sampled_from([200.0, 250.0, 500.0, 1000.0, 1000 / 3])))
@settings(max_examples=12, deadline=None)
def test_samples_come_back_and_gaps_are_marked_twice(page: Page) -> None:
    assert_read_back(page)


@pytest.mark.parametrize(
    ("samples", "fs"), [(4999, 500.0), (5588, 500.0), (2503, 500.0), (10000, 1000.0), (16384, 1000.0)]
)
def test_odd_and_long_signals_stay_as_they_are(samples: int, fs: float) -> None:
    page = random_page(3, samples, fs=fs)
    assert FORMATS["dicom"].encode(page, "ecg", NOTHING).notes == ()
    assert_read_back(page)


def test_a_lead_with_thousands_of_gaps_has_them_all_annotated() -> None:
    signal = np.ones((16000, 12))
    signal[::2, 5] = np.nan
    assert_read_back(make_page(signal))


def test_a_true_zero_is_no_gap() -> None:
    dataset = read(make_page(np.zeros((500, 12))))
    assert (dataset.waveform_array(0) == 1).all()
    assert not annotated_gaps(dataset).any()


# attributes


def test_the_object_is_a_twelve_lead_ecg_with_all_it_must_have() -> None:
    dataset = read(random_page(0, 600), Metadata(record="scan_7", sha256="ab" * 32, page=3))
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    stated = {
        "SpecificCharacterSet": "ISO_IR 192", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.9.1.1", "PatientName": "Anonymous^",
        "PatientID": "scan_7", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "19000101", "StudyTime": "000000",
        "StudyID": "1", "AccessionNumber": "", "ReferringPhysicianName": "", "Modality": "ECG", "SeriesNumber": 1,
        "InstanceNumber": 3, "Manufacturer": "ecgpage", "ContentDate": "19000101", "ContentTime": "000000",
        "AcquisitionDateTime": "19000101000000", "AcquisitionContextSequence": [],
    }  # fmt: skip
    assert {keyword: getattr(dataset, keyword) for keyword in stated} == stated
    assert "Date of the recording: not known" in annotations(dataset)


def test_the_group_has_all_it_must_have_and_no_time_offset() -> None:
    (group,) = read(random_page(0, 600)).WaveformSequence
    assert "MultiplexGroupTimeOffset" not in group
    stated = {
        "WaveformOriginality": "DERIVED", "NumberOfWaveformChannels": 12, "NumberOfWaveformSamples": 600,
        "SamplingFrequency": 500, "MultiplexGroupLabel": "12-lead ECG", "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS", "WaveformPaddingValue": b"\0\0",
    }  # fmt: skip
    assert {keyword: getattr(group, keyword) for keyword in stated} == stated


def test_channels_are_named_by_code_and_scaled_in_microvolts() -> None:
    (group,) = read(random_page(0, 600)).WaveformSequence
    for lead, channel in zip(LEADS, group.ChannelDefinitionSequence, strict=True):
        (source,), (unit,) = channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence
        assert (source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning) == (
            CODES[lead],
            "MDC",
            f"Lead {lead}",
        )
        assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("uV", "UCUM")
        scale = (
            channel.ChannelSensitivity,
            channel.ChannelSensitivityCorrectionFactor,
            channel.ChannelBaseline,
            channel.ChannelTimeSkew,
        )
        assert scale == (1, 1, 0, 0)
        assert channel.WaveformBitsStored == 16


def test_reasons_and_labels_are_annotated() -> None:
    signal = np.ones((500, 12))
    signal[:, 11] = np.nan
    page = make_page(signal, labels=("STTC", "HYP"), reasons=("Faltlinie über V1",))
    expected = {"Labels: STTC, HYP", "Status: partial", "Reason: Faltlinie über V1", f"V6 not read: {WHY}"}
    assert expected <= set(annotations(read(page)))


def test_clipped_samples_are_annotated() -> None:
    signal = np.zeros((500, 12))
    signal[3:6, 0] = 33
    dataset = read(make_page(signal))
    assert dataset.waveform_array(0)[3:6, 0].tolist() == [32767] * 3
    assert "Note: I: 3 samples beyond 32.767 mV clipped to it" in annotations(dataset)


# identifiers


def uids(page: Page, sha256: str, number: int = 1) -> tuple[str, str, str]:
    """Study, series and instance of a page of a file."""
    dataset = read(page, Metadata(sha256=sha256, page=number))
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def test_the_same_page_gives_the_same_bytes() -> None:
    known = Metadata(sha256="ab" * 32)
    assert encode("dicom", random_page(1, 600), metadata=known) == encode(
        "dicom", random_page(1, 600), metadata=known
    )


def test_pages_of_a_file_share_a_study_and_other_files_do_not() -> None:
    page = random_page(1, 600)
    first, second, other = (uids(page, *given) for given in (("a", 1), ("a", 2), ("b", 1)))
    assert first[:2] == second[:2]
    assert len({*first, *second, *other}) == 7
    assert all(uid.startswith("2.25.") and pydicom.uid.UID(uid).is_valid for uid in {*first, *second, *other})


def test_another_reading_of_a_page_is_another_instance() -> None:
    signal = random_page(1, 600).signal
    first, second = uids(make_page(signal), "a"), uids(make_page(signal + 0.01), "a")
    assert first[:2] == second[:2]
    assert first[2] != second[2]


# other rates


@pytest.mark.parametrize(
    ("fs", "samples", "expected"),
    [
        (100.0, 1000, 500),
        (1250.0, 12500, 500),
        (1000.0, 20000, 500),
        (500.0, 20000, 250),
        (500.0, 40000, 200),
    ],
)
def test_what_does_not_fit_is_resampled_with_a_word(fs: float, samples: int, expected: int) -> None:
    time_s = np.arange(samples) / fs
    signal = np.repeat(np.sin(2 * np.pi * 10 * time_s)[:, None], 12, axis=1)
    signal[samples // 4 : samples // 2, 2] = np.nan
    page = make_page(signal, fs)
    (note,) = FORMATS["dicom"].encode(page, "ecg", NOTHING).notes
    dataset = read(page)
    (group,) = dataset.WaveformSequence
    assert (group.SamplingFrequency, group.NumberOfWaveformSamples) == (
        expected,
        round(samples / fs * expected),
    )
    assert note.startswith(f"resampled from {fs:g} to {expected} Hz")
    assert f"Note: {note}" in annotations(dataset)
    new_time_s = np.arange(group.NumberOfWaveformSamples) / expected
    inside = slice(20, -20)
    error = dataset.waveform_array(0)[inside, 0] / 1000 - np.sin(2 * np.pi * 10 * new_time_s)[inside]
    assert np.abs(error).max() < RESAMPLED_MV
    gap = annotated_gaps(dataset)[:, 2]
    off_s = np.abs(new_time_s[gap][[0, -1]] - time_s[[samples // 4, samples // 2 - 1]])
    assert off_s.max() <= 0.5 / fs + 0.5 / expected + 1e-9
    assert gap.sum() == np.ptp(np.flatnonzero(gap)) + 1


def test_a_signal_of_minutes_is_refused() -> None:
    with pytest.raises(EcgPageError, match=r"holds 81\.92 s; ask for fewer seconds"):
        encode("dicom", make_page(np.zeros((50000, 12))))


# the validator

KINDS = {
    "whole": lambda: make_page(np.ones((5000, 12))),
    "gaps": lambda: random_page(3, 4999),
    "long": lambda: random_page(4, 5588),
    "short": lambda: random_page(5, 2503),
    "100 Hz": lambda: random_page(6, 1000, fs=100.0),
    "1000 Hz": lambda: random_page(7, 10000, fs=1000.0),
    "a third": lambda: random_page(8, 999, fs=1000 / 3),
    "empty": lambda: make_page(np.full((5000, 12), np.nan), labels=(), reasons=("größer\n心電図" * 200,)),
    "clipped": lambda: make_page(np.full((500, 12), 99.0)),
}


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy (Debian: dicom3tools) is not installed"
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_validator_has_nothing_to_say(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "ecg.dcm"
    path.write_bytes(
        encode("dicom", KINDS[kind](), metadata=Metadata(record="x", sha256="ab" * 32, page=2))[".dcm"]
    )
    done = subprocess.run(
        ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout + done.stderr).split() == ["TwelveLeadECG"]
