"""FHIR R5 Observation: a component a lead, samples as SampledData in uV, "E" (no value) in gaps.

Coded as the Observation of an ECG in the specification is: MDC_ECG_ELEC_POTL and its leads. A lead of which nothing was read
has no samples but a ``dataAbsentReason`` with the reason. Subject and time are not known, so they are left out; the status is
"preliminary", because nobody has looked at it.
"""

import json
from typing import Any, Final

import numpy as np

from ecgpage import __version__
from ecgpage.core.types import Array
from ecgpage.export.lead_codes import POTENTIAL, code_for_fhir
from ecgpage.export.texts import list_findings
from ecgpage.export.types import Digitized, Encoded, Metadata

MDC: Final = "urn:iso:std:iso:11073:10101"
"""System of the lead codes."""
UCUM: Final = "http://unitsofmeasure.org"
"""System of units."""
TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
"""Where HL7 keeps its own code systems."""
UV_PER_MV: Final = 1000
"""Samples are whole uV; the factor that makes mV of them stands beside."""


def encode_fhir(digitized: Digitized, stem: str, metadata: Metadata) -> Encoded:
    """Observation of a page as JSON; rounding error at most 0.5 uV, no amplitude is clipped."""
    record = metadata.record or stem
    identifiers = [{"system": "urn:ecgpage:record", "value": record}]
    if metadata.sha256:
        identifiers.append({"system": "urn:ecgpage:sha256", "value": metadata.sha256})
    observation = {
        "resourceType": "Observation",
        "identifier": identifiers,
        "status": "preliminary",
        "category": [{"coding": [{"system": f"{TERMINOLOGY}/observation-category", "code": "procedure"}]}],
        "code": _code(str(POTENTIAL), "MDC_ECG_ELEC_POTL", "12-lead ECG read from a picture"),
        "device": {"display": f"ecgpage {__version__}"},
        "note": [{"text": line} for line in list_findings(digitized)],
        "component": [_encode_lead(digitized, k, lead) for k, lead in enumerate(digitized.leads)],
    }
    if digitized.labels:
        observation["interpretation"] = [{"text": label} for label in digitized.labels]
    text = json.dumps(observation, indent=1, ensure_ascii=False, allow_nan=False)
    return Encoded({".fhir.json": f"{text}\n".encode("utf-8", "backslashreplace")})


def _encode_lead(digitized: Digitized, column: int, lead: str) -> dict[str, Any]:
    """Component of a lead: its samples, or why there are none."""
    component: dict[str, Any] = {
        "code": _code(code_for_fhir(lead), f"MDC_ECG_ELEC_POTL_{lead.upper()}", f"Lead {lead}")
    }
    values = digitized.signal[:, column].astype(np.float64)
    if not np.isfinite(values).any():
        component["dataAbsentReason"] = {
            "coding": [{"system": f"{TERMINOLOGY}/data-absent-reason", "code": "unknown"}],
            "text": digitized.lead_reasons.get(lead) or "not read",
        }
        return component
    component["valueSampledData"] = {
        "origin": {"value": 0, "unit": "mV", "system": UCUM, "code": "mV"},
        "interval": _plain_number(1000 / digitized.fs),
        "intervalUnit": "ms",
        "factor": 1 / UV_PER_MV,
        "dimensions": 1,
        "data": " ".join(_to_text(values)),
    }
    return component


def _to_text(values: Array) -> list[str]:
    """Samples (n,) in mV as whole uV; "E" where there is none."""
    return [
        f"{round(v * UV_PER_MV)}" if known else "E"
        for v, known in zip(values, np.isfinite(values), strict=True)
    ]


def _code(code: str, display: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": MDC, "code": code, "display": display}], "text": text}


def _plain_number(value: float) -> int | float:
    """Whole number where it is one."""
    return int(value) if value.is_integer() else value
