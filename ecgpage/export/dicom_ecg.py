"""DICOM 12-lead ECG waveform: one group of twelve channels, 16 bits, 1 uV a step.

Information object of PS3.3 A.34.3: 200 to 1000 Hz and at most 16,384 samples, other signals are resampled with a note. A gap
holds 0 under ``WaveformPaddingValue`` 0, and true zeros are nudged to 1 uV: readers that honour the padding value get the
gaps back, for all others an annotation of each lead says where nothing was read. ``MultiplexGroupTimeOffset`` must be absent.

Of a recording, only its picture is known: patient fields are empty or say "Anonymous", dates say 1 January 1900. Identifiers
follow from the picture's SHA-256 and the content, so that the same page gives the same file, byte by byte.
"""

import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ecgpage import __version__
from ecgpage.core.conventions import EcgPageError
from ecgpage.export.lead_codes import code_for_dicom
from ecgpage.export.samples import change_rate, clip_signal, find_runs
from ecgpage.export.texts import list_findings, to_ascii, to_line
from ecgpage.export.types import Digitized, Encoded, Metadata

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STEPS_PER_MV: Final = 1000
"""Digital units per mV."""
PADDING: Final = 0
"""Digital value of a gap."""
FS_RANGE: Final = (200.0, 1000.0)
"""Rates, Hz, that the object may have."""
OTHER_FS: Final = (500.0, 250.0, 200.0)
"""Rates, Hz, to which other signals, and longer ones, are resampled: the first at which they fit."""
MOST_SAMPLES: Final = 16384
"""Longest signal, samples."""
UNKNOWN_DATE: Final = "19000101"
"""Date of recordings whose date is not known; the object must have one."""
NAMESPACE: Final = uuid.UUID("6f0c3c7e-2f0e-5d0a-9d2b-3b1c5a5d8e41")
"""Namespace of the UUIDs behind our identifiers."""
RANGES_AT_A_TIME: Final = 1000
"""Gaps in one annotation; its list of positions holds fewer than 64 kB."""
LONGEST_TEXT: Final = 1024
"""Bytes of an annotation: ST holds as many characters, which some readers count as bytes."""
LONGEST_NAME: Final = 64
"""Characters of a name (value representation LO)."""


def encode_dicom(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """DICOM file of a page; rounding error at most 0.5 uV, 1.5 uV where a sample is next to 0.

    ``EcgPageError`` when the signal is too long for the object at 200 Hz: 81.92 s.
    """
    mv, fs, notes = _fit(digitized)
    known = np.isfinite(mv)
    steps = np.rint(np.nan_to_num(mv) * STEPS_PER_MV).astype("<i2")
    steps[known & (steps == PADDING)] = 1
    steps[~known] = PADDING
    texts = [*list_findings(digitized, notes), "Date of the recording: not known"]
    words = repr((fs, texts, dict(digitized.lead_reasons)))
    digest = hashlib.sha256(steps.tobytes() + words.encode()).hexdigest()
    dataset = _describe_study(metadata.record or stem, metadata, digest)
    dataset.WaveformSequence = [_describe_group(digitized.leads, steps, fs)]
    dataset.WaveformAnnotationSequence = [
        *(_annotate(text) for text in texts),
        *(
            gap
            for k, lead in enumerate(digitized.leads)
            for gap in _annotate_gaps(digitized, lead, k, known[:, k])
        ),
    ]
    return Encoded({".dcm": _to_bytes(dataset)}, notes)


def _fit(digitized: Digitized) -> tuple[NDArray[np.float64], float, tuple[str, ...]]:
    """Signal (n, leads) in mV, its rate in Hz and the notes, within the limits of the object."""
    mv, notes = clip_signal(digitized.signal, digitized.leads)
    fs, seconds = digitized.fs, len(mv) / digitized.fs
    if FS_RANGE[0] <= fs <= FS_RANGE[1] and len(mv) <= MOST_SAMPLES:
        return mv, fs, notes
    for other in OTHER_FS:
        if round(seconds * other) <= MOST_SAMPLES:
            word = f"resampled from {fs:g} to {other:g} Hz: the object holds 200 to 1000 Hz, {MOST_SAMPLES} samples"
            resampled, clipped = clip_signal(change_rate(mv, fs, other), digitized.leads)
            return resampled, other, (word, *dict.fromkeys((*notes, *clipped)))
    raise EcgPageError(
        f"a signal of {seconds:g} s does not fit into a DICOM 12-lead ECG, which holds {MOST_SAMPLES / OTHER_FS[-1]:g} s; "
        "ask for fewer seconds or another format"
    )


def _describe_study(record: str, metadata: Metadata, digest: str) -> "Dataset":
    """Everything of the object but its waveform. ``digest``: hash of the content."""
    from pydicom.dataset import Dataset  # noqa: PLC0415 (an extra)
    from pydicom.uid import TwelveLeadECGWaveformStorage  # noqa: PLC0415

    picture = metadata.sha256 or digest
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = TwelveLeadECGWaveformStorage
    dataset.SOPInstanceUID = _make_uid("instance", picture, metadata.page or 1, digest)
    dataset.StudyInstanceUID = _make_uid("study", picture)
    dataset.SeriesInstanceUID = _make_uid("series", picture)
    dataset.PatientName = "Anonymous^"
    dataset.PatientID = to_ascii(to_line(record)).replace("\\", "_")[:LONGEST_NAME]
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = UNKNOWN_DATE, "000000", "1"
    dataset.StudyDescription = "12-lead ECG read from a picture"
    dataset.Modality = "ECG"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = metadata.page or 1
    dataset.Manufacturer = "ecgpage"
    dataset.SoftwareVersions = __version__
    dataset.ContentDate, dataset.ContentTime = UNKNOWN_DATE, "000000"
    dataset.AcquisitionDateTime = f"{UNKNOWN_DATE}000000"
    dataset.AcquisitionContextSequence = []
    return dataset


def _describe_group(leads: Sequence[str], steps: NDArray[np.int16], fs: float) -> "Dataset":
    """Multiplex group of the channels ``steps`` (n, leads)."""
    from pydicom.dataset import Dataset  # noqa: PLC0415 (an extra)
    from pydicom.valuerep import DSfloat  # noqa: PLC0415

    group = Dataset()
    group.WaveformOriginality = "DERIVED"
    group.NumberOfWaveformChannels = len(leads)
    group.NumberOfWaveformSamples = len(steps)
    group.SamplingFrequency = DSfloat(fs, auto_format=True)
    group.MultiplexGroupLabel = "12-lead ECG"
    group.ChannelDefinitionSequence = [_describe_channel(lead) for lead in leads]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new("WaveformPaddingValue", "OW", PADDING.to_bytes(2, "little"))
    group.add_new("WaveformData", "OW", steps.tobytes())
    return group


def _describe_channel(lead: str) -> "Dataset":
    from pydicom.dataset import Dataset  # noqa: PLC0415 (an extra)

    channel = Dataset()
    channel.ChannelLabel = lead
    channel.ChannelSourceSequence = [_code(code_for_dicom(lead), "MDC", f"Lead {lead}")]
    channel.ChannelSensitivity = "1"
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "0"
    channel.ChannelTimeSkew = "0"
    channel.WaveformBitsStored = 16
    return channel


def _annotate_gaps(digitized: Digitized, lead: str, column: int, known: NDArray[np.bool_]) -> list["Dataset"]:
    """Annotations that together name every sample of a lead (n,) that is not known."""
    reason = digitized.lead_reasons.get(lead)
    text = to_line(f"{lead} not read: {reason}" if reason else f"{lead} not read")
    gaps = find_runs(~known)
    parts = [gaps[k : k + RANGES_AT_A_TIME] for k in range(0, len(gaps), RANGES_AT_A_TIME)]
    return [_annotate(text, column + 1, part) for part in parts]


def _annotate(text: str, channel: int = 0, ranges: Sequence[tuple[int, int]] = ()) -> "Dataset":
    """Annotation of a channel, from 1, over ranges (start, stop) of samples, from 0; of the whole group without them."""
    from pydicom.dataset import Dataset  # noqa: PLC0415 (an extra)

    annotation = Dataset()
    annotation.UnformattedTextValue = text.encode("utf-8")[:LONGEST_TEXT].decode("utf-8", "ignore")
    annotation.ReferencedWaveformChannels = [1, channel]
    if ranges:
        annotation.TemporalRangeType = "SEGMENT" if len(ranges) == 1 else "MULTISEGMENT"
        annotation.ReferencedSamplePositions = [n for start, stop in ranges for n in (start + 1, stop)]
    return annotation


def _code(value: str, scheme: str, meaning: str) -> "Dataset":
    from pydicom.dataset import Dataset  # noqa: PLC0415 (an extra)

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _make_uid(*parts: object) -> str:
    """Unique identifier that follows from its parts: "2.25." and a UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '|'.join(map(str, parts))).int}"


def _to_bytes(dataset: "Dataset") -> bytes:
    """File of a dataset, explicit little-endian."""
    from pydicom import dcmwrite  # noqa: PLC0415 (an extra)
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    content = io.BytesIO()
    dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue()
