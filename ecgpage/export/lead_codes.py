"""Codes of the twelve leads in ISO/IEEE 11073-10101 ("MDC"), which DICOM and FHIR share."""

from typing import Final

LEAD_NUMBER: Final = {
    "I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
}  # fmt: skip
"""Number of each lead within the nomenclature: DICOM PS3.16 CID 3001 writes lead I as "2:1"."""
POTENTIAL: Final = 131328
"""Code of MDC_ECG_ELEC_POTL, the electric potential of an ECG; a lead's is this plus its number."""


def code_for_dicom(lead: str) -> str:
    """Code value with its partition, such as "2:1"."""
    return f"2:{LEAD_NUMBER[lead]}"


def code_for_fhir(lead: str) -> str:
    """Context-free code, such as "131329"."""
    return str(POTENTIAL + LEAD_NUMBER[lead])
