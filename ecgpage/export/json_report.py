"""JSON report: everything a reader of results wants but the samples.

    {"ecgpage": "0.1.0", "record": ..., "input": {"path", "sha256", "page"}, "settings": {...},
     "status": ..., "reasons": [...], "grade": {"letter", "probability", "scale", "names", "times", "reasons"},
     "signal": {"fs_hz", "samples", "seconds", "unit", "leads"},
     "leads": {"I": {"source", "coverage", "expected_snr_db", "grade", "reason", "known_s": [[0.0, 2.5]]}, ...},
     "labels": [...], "probabilities": {...}, "layout": {...}, "grid": {...}, "files": {...}, "notes": [...]}

Numbers that are not known are null, never NaN, which is no JSON.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ecgpage import __version__
from ecgpage.export.layout_name import name_layout
from ecgpage.export.samples import find_runs
from ecgpage.export.types import Digitized, Encoded, Metadata
from ecgpage.layout.types import PageLayout

if TYPE_CHECKING:
    from ecgpage.grid.grid_map import GridMap
    from ecgpage.signal.grade import PageGrade

DECIMALS: Final = 4
"""Decimals of numbers that were measured on the page: 0.1 um, 0.1 ms, 0.0001 dB."""


def encode_json(
    digitized: Digitized,
    stem: str,
    metadata: Metadata,
    *,
    files: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
) -> Encoded:
    """Report of a page, UTF-8.

    ``files``: format -> names of the files beside it; ``notes``: what was changed to fit a format.
    """
    report = describe(digitized, stem, metadata)
    report["files"] = {name: list(names) for name, names in (files or {}).items()}
    report["notes"] = list(notes)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    return Encoded({".json": f"{text}\n".encode("utf-8", "backslashreplace")})


def describe(digitized: Digitized, stem: str, metadata: Metadata) -> dict[str, Any]:
    """Everything but the samples, in types that JSON knows; unknown numbers are None."""
    samples = len(digitized.signal)
    report = {
        "ecgpage": __version__,
        "record": metadata.record or stem,
        "input": {"path": metadata.source, "sha256": metadata.sha256, "page": metadata.page},
        "settings": dict(metadata.settings),
        "status": digitized.status,
        "reasons": list(digitized.reasons),
        "grade": _describe_grade(digitized.grade),
        "signal": {
            "fs_hz": digitized.fs,
            "samples": samples,
            "seconds": samples / digitized.fs,
            "unit": "mV",
            "leads": list(digitized.leads),
        },
        "leads": {lead: _describe_lead(digitized, k, lead) for k, lead in enumerate(digitized.leads)},
        "labels": list(digitized.labels),
        "probabilities": {name: _rounded(p) for name, p in digitized.probabilities.items()},
        "layout": None if digitized.layout is None else _describe_layout(digitized.layout),
        "grid": None if digitized.grid is None else _describe_grid(digitized.grid),
    }
    plain: dict[str, Any] = _to_plain(report)
    return plain


def _describe_lead(digitized: Digitized, column: int, lead: str) -> dict[str, Any]:
    """How a lead came about, and the times, s, of its known samples as [start, end)."""
    reading = digitized.readings[lead]
    runs = find_runs(np.isfinite(digitized.signal[:, column]))
    return {
        "source": reading.source,
        "coverage": _rounded(reading.coverage),
        "expected_snr_db": _rounded(digitized.expected_snr_db[lead]),
        "grade": grade.letter if (grade := digitized.grade.leads.get(lead)) else None,
        "reason": digitized.lead_reasons.get(lead),
        "known_s": [[_rounded(a / digitized.fs), _rounded(b / digitized.fs)] for a, b in runs],
    }


def _describe_grade(grade: "PageGrade") -> dict[str, Any] | None:
    """Grade of a page; None where nothing was read."""
    if not grade.leads:
        return None
    return {
        "letter": grade.letter,
        "probability": _rounded(grade.probability),
        "scale": _rounded(grade.scale),
        "names": _rounded(grade.names),
        "times": _rounded(grade.times),
        "reasons": list(grade.reasons),
    }


def _describe_layout(layout: PageLayout) -> dict[str, Any]:
    return {
        "name": name_layout(layout),
        "speed_mm_per_s": _rounded(layout.speed_mm_per_s),
        "gain_mm_per_mv": _rounded(layout.gain_mm_per_mv),
        "confidence": _rounded(layout.confidence),
        "notes": list(layout.notes),
        "segments": [
            {
                "lead": segment.lead,
                "row": segment.row,
                "x0_mm": _rounded(segment.x0_mm),
                "x1_mm": _rounded(segment.x1_mm),
                "zero_mm": _rounded(segment.zero_mm),
                "start_s": _rounded(segment.start_s),
                "duration_s": _rounded(segment.duration_s),
                "gain_mm_per_mv": _rounded(segment.gain_mm_per_mv),
                "is_strip": segment.is_strip,
            }
            for segment in layout.segments
        ],
    }


def _describe_grid(grid: "GridMap") -> dict[str, Any]:
    return {
        "source": grid.source,
        "is_printed": grid.is_printed,
        "px_per_mm": _rounded(grid.px_per_mm),
        "residual_px": _rounded(grid.residual_px),
        "extent_mm": [_rounded(v) for v in grid.extent_mm],
    }


def _rounded(value: float) -> float | None:
    """Number to four decimals; None when it is not known."""
    return round(float(value), DECIMALS) if math.isfinite(value) else None


def _to_plain(value: object) -> Any:
    """Value in types that JSON knows: NumPy's numbers and arrays unwrapped, not finite ones None, others as text."""
    if isinstance(value, np.ndarray | np.generic):
        return _to_plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
