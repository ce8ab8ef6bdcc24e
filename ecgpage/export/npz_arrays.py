"""NPZ: the arrays themselves, for NumPy and models. NaN stays NaN, and a mask says it once more.

signal    float32 (n, 12), mV, NaN in gaps
mask      bool (n, 12), True where the signal is known
leads     (12) names of the columns
fs        float64, Hz
metadata  text: the JSON report without its list of files
"""

import io
import json

import numpy as np

from ecgpage.export.json_report import describe
from ecgpage.export.types import Digitized, Encoded, Metadata


def encode_npz(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """Compressed archive of a page, without pickles; the samples are those of ``signal``, infinite ones NaN."""
    known = np.isfinite(digitized.signal)
    report = describe(digitized, stem, metadata)
    archive = io.BytesIO()
    np.savez_compressed(
        archive,
        signal=np.where(known, digitized.signal, np.nan).astype(np.float32),
        mask=known,
        leads=np.array(digitized.leads, dtype=np.str_),
        fs=np.float64(digitized.fs),
        metadata=np.str_(json.dumps(report, ensure_ascii=False, allow_nan=False)),
    )
    return Encoded({".npz": archive.getvalue()})
