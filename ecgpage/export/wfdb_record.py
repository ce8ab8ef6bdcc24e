"""WFDB record: a text header (.hea) and 16-bit samples (.dat), as PhysioNet's tools read them.

Format 16 of the WFDB signal specification: samples of all leads in turn, little-endian, 1 uV a step. A gap is -32768, which
the specification reserves for samples that are not valid. Readers that do not know it show -32.768 mV.
"""

import re
import textwrap
from typing import Final

import numpy as np

from ecgpage import __version__
from ecgpage.core.conventions import EcgPageError
from ecgpage.export.samples import clip_signal
from ecgpage.export.texts import list_findings, list_unread, to_ascii
from ecgpage.export.types import Digitized, Encoded, Metadata

STEPS_PER_MV: Final = 1000
"""Digital units per mV."""
GAP: Final = -32768
"""Digital value of a sample that is not known."""
RECORD_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Names that all WFDB readers accept; others are written by many tools, then not found by readers."""
COMMENT_WIDTH: Final = 200
"""Longest comment line, characters; the WFDB library for C reads lines of up to 255."""


def encode_wfdb(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """WFDB record named ``stem``: ``.dat`` with the samples, ``.hea`` with units, labels, status and reasons.

    Rounding error at most 0.5 uV. ``EcgPageError`` for a stem with other characters than A-Z a-z 0-9 _ -.
    """
    if not RECORD_NAME.fullmatch(stem):
        raise EcgPageError(
            f"record name {stem!r}: WFDB readers need names of A-Z, a-z, 0-9, _ and - only; choose such a name"
        )
    mv, notes = clip_signal(digitized.signal, digitized.leads)
    steps = np.rint(np.nan_to_num(mv) * STEPS_PER_MV).astype(np.int16)
    steps[np.isnan(mv)] = GAP
    fs = np.format_float_positional(digitized.fs, trim="-")
    lines = [f"{stem} {len(digitized.leads)} {fs} {len(steps)}"]
    for lead, column in zip(digitized.leads, steps.T, strict=True):
        checksum = (int(column.sum(dtype=np.int64)) + 32768) % 65536 - 32768
        lines.append(f"{stem}.dat 16 {STEPS_PER_MV}(0)/mV 16 0 {column[0]} {checksum} 0 {lead}")
    header = "".join(f"{line}\n" for line in [*lines, *_comment_lines(digitized, metadata, notes)])
    return Encoded({".dat": steps.astype("<i2").tobytes(), ".hea": header.encode("ascii")}, notes)


def _comment_lines(digitized: Digitized, metadata: Metadata, notes: tuple[str, ...]) -> list[str]:
    """Comment lines of the header, ASCII."""
    made = f"Digitized by ecgpage {__version__}"
    texts = [
        *list_findings(digitized, notes),
        *list_unread(digitized),
        f"{made} from sha256 {metadata.sha256}" if metadata.sha256 else made,
    ]
    return [f"# {line}" for text in texts for line in textwrap.wrap(to_ascii(text), COMMENT_WIDTH)]
