"""What a page's reader says in words, line by line, for formats that have room for text beside the samples."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from ecgpage.export.types import Digitized

PLAIN: Final = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "µ": "u", "’": "'", "“": '"', "”": '"'}
)
"""Stand-ins for characters that decomposition does not bring to ASCII."""


def list_findings(digitized: Digitized, notes: Sequence[str] = ()) -> list[str]:
    """Labels, status, reasons, and notes of the format, a line each."""
    lines = [
        f"Labels: {', '.join(digitized.labels)}",
        f"Status: {digitized.status}",
        *list_grade(digitized),
        *(f"Reason: {reason}" for reason in digitized.reasons),
        *(f"Note: {note}" for note in notes),
    ]
    return [to_line(line) for line in lines]


def list_grade(digitized: Digitized) -> list[str]:
    """The grade of the page, why it is not A, and those of its leads; nothing where it has none."""
    grade = digitized.grade
    if not grade.leads:
        return []
    leads = " ".join(f"{lead} {one.letter}" for lead, one in grade.leads.items())
    return [
        f"Grade: {grade}",
        *(f"Grade not A: {reason}" for reason in grade.reasons),
        f"Grades of leads: {leads}",
    ]


def list_unread(digitized: Digitized) -> list[str]:
    """A line for each lead that was not read: its name and why."""
    return [to_line(f"{lead} not read: {reason}") for lead, reason in digitized.lead_reasons.items()]


def to_line(text: str) -> str:
    """Text in one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def to_ascii(text: str) -> str:
    """Text without accents on its letters; other characters beyond ASCII become "?"."""
    apart = unicodedata.normalize("NFKD", text.translate(PLAIN))
    return "".join(c for c in apart if not unicodedata.combining(c)).encode("ascii", "replace").decode()
