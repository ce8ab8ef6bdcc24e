"""EDF+C: twelve signals of 16 bits in mV and annotations, as EDFbrowser, LabChart and MNE read it.

EDF has no value for "not known". A gap holds 0 mV and is annotated, lead by lead: "V1 read" and "V1 not read" cover every
sample, onset and duration in s. EDF holds whole records only: the page is padded to whole seconds with 0 mV under the
annotation "padding". The date of the recording is not known, which the format writes as 1 January 1985.
"""

import math
from typing import Final

import numpy as np

from ecgpage import __version__
from ecgpage.core.types import Array
from ecgpage.export.samples import change_rate, clip_signal, find_runs
from ecgpage.export.texts import list_findings, to_ascii, to_line
from ecgpage.export.types import Digitized, Encoded, Metadata

Mark = tuple[float, float | None, str]
"""Annotation: onset s, duration s, text."""
STEPS: Final = 32767
"""Largest digital value; the range is symmetric, so that 0 mV is exactly 0."""
LONGEST_RECORD_S: Final = 10
"""Longest data record, s, that a rate may need to hold a whole number of samples."""
LARGEST_RECORD: Final = 61440
"""Bytes of a data record that the EDF specification advises not to exceed."""
OTHER_FS: Final = 500.0
"""Rate, Hz, for signals of which no whole number of seconds holds a whole number of samples."""
LONGEST_CODE: Final = 64
"""Characters of the record's name in the field of 80 that it shares."""


def encode_edf(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """EDF+C file of a page; rounding error at most 1/65534 of the largest amplitude, rounded up to whole mV.

    Rates with a fraction that does not fit into records are resampled to 500 Hz, which the notes say.
    """
    from edfio import Edf, EdfAnnotation, EdfSignal, Patient, Recording  # noqa: PLC0415 (an extra)

    mv, notes = clip_signal(digitized.signal, digitized.leads)
    fs, record_s = digitized.fs, _find_record_length(digitized.fs, len(digitized.leads))
    if record_s is None:
        mv, fs, record_s = change_rate(mv, fs, OTHER_FS), OTHER_FS, 1
        notes = (f"resampled from {digitized.fs:g} to {fs:g} Hz: EDF has no records for that rate", *notes)
    largest = np.abs(mv[np.isfinite(mv)]).max(initial=0.0)
    range_mv = float(max(1, math.ceil(largest)))
    samples = math.ceil(len(mv) / round(fs * record_s)) * round(fs * record_s)
    padded = np.pad(np.nan_to_num(mv), ((0, samples - len(mv)), (0, 0)))
    marks: list[Mark] = [(0.0, None, text) for text in list_findings(digitized, notes)]
    marks += [
        mark for k, lead in enumerate(digitized.leads) for mark in _mark_lead(digitized, lead, mv[:, k], fs)
    ]
    if samples > len(mv):
        marks.append((len(mv) / fs, (samples - len(mv)) / fs, "padding"))
    signals = [
        EdfSignal(
            column,
            fs,
            label=f"ECG {lead}",
            transducer_type="picture of a page",
            physical_dimension="mV",
            physical_range=(-range_mv, range_mv),
            digital_range=(-STEPS, STEPS),
        )
        for lead, column in zip(digitized.leads, padded.T, strict=True)
    ]
    code = to_ascii(to_line(metadata.record or stem)).replace(" ", "_")[:LONGEST_CODE]
    edf = Edf(
        signals,
        patient=Patient(code=code),
        recording=Recording(equipment_code=f"ecgpage_{__version__}"),
        data_record_duration=record_s,
        annotations=[EdfAnnotation(*mark) for mark in marks],
    )
    return Encoded({".edf": edf.to_bytes()}, notes)


def _find_record_length(fs: float, leads: int) -> int | None:
    """Fewest whole seconds, s, that hold a whole number of samples at ``fs`` Hz; None where a record would be too large."""
    for seconds in range(1, LONGEST_RECORD_S + 1):
        samples = fs * seconds
        if round(samples) >= 1 and abs(samples - round(samples)) < 1e-6:
            return seconds if seconds == 1 or 2 * leads * samples <= LARGEST_RECORD else None
    return None


def _mark_lead(digitized: Digitized, lead: str, values: Array, fs: float) -> list[Mark]:
    """What was read of a lead (n,), and what was not; together the marks cover it."""
    known = np.isfinite(values)
    reason = digitized.lead_reasons.get(lead)
    unread = to_line(f"{lead} not read: {reason}") if reason else f"{lead} not read"
    return [
        (first / fs, (stop - first) / fs, text)
        for mask, text in ((known, f"{lead} read"), (~known, unread))
        for first, stop in find_runs(mask)
    ]
