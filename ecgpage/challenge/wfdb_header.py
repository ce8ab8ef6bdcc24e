"""Read the fields of WFDB headers, with the defaults of the WFDB header specification for fields that are not given.

The Challenge's hidden headers leave three fields of each signal line empty and keep the blanks around them, so a line is
split at every single blank where that gives nine fields. Other lines are split at any white space; on lines with fewer
fields, the text after the last number is the signal's name. Comments and empty lines may stand anywhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ecgpage.core.conventions import EcgPageError

Value = TypeVar("Value", int, float)

DEFAULT_FS: Final = 250.0
"""Sampling frequency, Hz, of a header that gives none."""
DEFAULT_GAIN: Final = 200.0
"""Digital units per physical unit of a header that gives no gain, or 0."""
RECORD_FIELDS: Final = ("record name", "number of signals", "sampling frequency", "number of samples")
"""Fields of a record line, in order."""
SIGNAL_FIELDS: Final = (
    "file", "format", "gain", "resolution", "zero", "initial value", "checksum", "block size", "name",
)  # fmt: skip
"""Fields of a signal line, in order."""
NUMBERS: Final = SIGNAL_FIELDS[3:8]
"""Fields of a signal line that are integers."""
GAIN: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?(\([-+]?\d+\))?(/\S+)?", re.IGNORECASE)
"""Pattern of the gain field: gain, baseline in parentheses, unit after a slash."""
INTEGER: Final = re.compile(r"[-+]?\d+")
"""Pattern of an integer field."""


class HeaderError(EcgPageError, ValueError):
    """Header that cannot be read; the message names the file, the line and the way out."""


@dataclass(frozen=True)
class HeaderLine:
    """Record line of a header, or one of its signal lines."""

    file: str
    """Name of the header file."""
    number: int
    """Line number, from 1."""
    text: str
    """Whole line."""
    fields: dict[str, str]
    """Field -> its text; a field that a hidden header empties is empty, one that is not given is missing."""

    def error(self, reason: str) -> HeaderError:
        """Error about this line for a reason, which ends with a way out."""
        return HeaderError(f"{self.file}, line {self.number} ({self.text!r}): {reason}")

    def given(self, field: str) -> str:
        """Text of a field; ``HeaderError`` when it is empty or missing."""
        if not self.fields.get(field):
            raise self.error(
                f"no {field}; add it, or give a header that has it (hidden ones have no values of the signal)"
            )
        return self.fields[field]

    def number_of(self, field: str, kind: Callable[[str], Value], text: str | None = None) -> Value:
        """Number in a field, or in the part of it given as ``text``; ``HeaderError`` when it is none."""
        text = self.given(field) if text is None else text
        try:
            return kind(text)
        except ValueError as error:
            wanted = "whole number" if kind is whole_number else "number"
            raise self.error(f"{field} {text!r} is no {wanted}; correct it") from error


def whole_number(text: str) -> int:
    """Integer in a text, also written with a decimal point; ValueError for anything else."""
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise
        return int(float(text))


def record_line(header: str) -> HeaderLine:
    """First line that is neither empty nor a comment; without fields when there is none."""
    number, text = next(iter(_content(header)), (1, ""))
    fields = dict(zip(RECORD_FIELDS, text.split(), strict=False))
    return HeaderLine(_file(fields), number, text, fields)


def record_name(header: str) -> str:
    """Name of the record, without its number of segments; empty where there is no record line."""
    return record_line(header).fields.get("record name", "").split("/")[0]


def count_signals(header: str) -> int | None:
    """Number of signals, None when the header does not give it; ``HeaderError`` when it is no count."""
    return _count(record_line(header), "number of signals")


def count_samples(header: str) -> int | None:
    """Number of samples of each signal, None when the header does not give it; ``HeaderError`` when it is no count."""
    return _count(record_line(header), "number of samples")


def rate(header: str) -> float | None:
    """Sampling frequency, Hz, None when the header does not give it; ``HeaderError`` when it is no number."""
    line = record_line(header)
    text = re.split(r"[/(]", line.fields.get("sampling frequency", ""))[0]
    return line.number_of("sampling frequency", float, text) if text else None


def signal_lines(header: str) -> list[HeaderLine]:
    """Signal lines; ``HeaderError`` when there are fewer than the record line announces."""
    count = count_signals(header) or 0
    lines, record = _content(header)[1 : 1 + count], record_line(header)
    if len(lines) < count:
        raise record.error(
            f"{count} signals announced, {len(lines)} signal lines follow; add the others or correct the number"
        )
    found = [HeaderLine(record.file, number, text, cut_signal_line(text)) for number, text in lines]
    for line in found:
        line.given("format")
    return found


def cut_signal_line(text: str) -> dict[str, str]:
    """Field -> its text on a signal line."""
    text = text.strip()
    parts = re.split(r"[ \t]", text)
    if len(parts) < len(SIGNAL_FIELDS) or "" in parts[: SIGNAL_FIELDS.index("initial value")]:
        parts = text.split()
    if len(parts) >= len(SIGNAL_FIELDS):
        return dict(zip(SIGNAL_FIELDS, [*parts[:8], " ".join(parts[8:]).strip()], strict=True))
    fields, rest = dict(zip(SIGNAL_FIELDS, parts[:2], strict=False)), parts[2:]
    if rest and GAIN.fullmatch(rest[0]):
        fields["gain"] = rest.pop(0)
        for field in NUMBERS:
            if not rest or not INTEGER.fullmatch(rest[0]):
                break
            fields[field] = rest.pop(0)
    return fields | ({"name": " ".join(rest)} if rest else {})


def formats(header: str) -> list[str]:
    """Storage format of each signal, without samples per frame, skew and byte offset."""
    return [re.split("[x:+]", line.given("format"))[0] for line in signal_lines(header)]


def gains(header: str) -> list[float]:
    """Digital units per physical unit of each signal."""
    found = []
    for line in signal_lines(header):
        text = re.split(r"[/(]", line.fields.get("gain", ""))[0]
        found.append((line.number_of("gain", float, text) if text else 0.0) or DEFAULT_GAIN)
    return found


def baselines(header: str) -> list[int]:
    """Digital value of 0 physical units of each signal; the ADC zero where the header gives no baseline."""
    found = []
    for line in signal_lines(header):
        inside = re.search(r"\((.*?)\)", line.fields.get("gain", ""))
        found.append(
            line.number_of("baseline", whole_number, inside[1]) if inside else _number(line, "zero", 0)
        )
    return found


def units(header: str) -> list[str]:
    """Physical unit of each signal; mV where the header gives none."""
    fields = [line.fields.get("gain", "") for line in signal_lines(header)]
    return [(field.split("/")[1] if "/" in field else "") or "mV" for field in fields]


def resolutions(header: str) -> list[int]:
    """Converter bits of each signal; where the header gives none, 12, or 10 for formats of differences."""
    lines = zip(signal_lines(header), formats(header), strict=True)
    return [_number(line, "resolution", 10 if form == "8" else 12) for line, form in lines]


def zeros(header: str) -> list[int]:
    """Digital value in the middle of the converter's range of each signal; 0 where the header gives none."""
    return [_number(line, "zero", 0) for line in signal_lines(header)]


def initial_values(header: str) -> list[int]:
    """First digital value of each signal; the ADC zero on lines that end before it, ``HeaderError`` when it is hidden."""
    return [
        _number(line, "initial value", zero)
        for line, zero in zip(signal_lines(header), zeros(header), strict=True)
    ]


def checksums(header: str) -> list[int]:
    """Checksum of each signal; ``HeaderError`` when it is hidden or not given."""
    return [line.number_of("checksum", whole_number) for line in signal_lines(header)]


def block_sizes(header: str) -> list[int]:
    """Block size of each signal; 0 on lines that end before it, ``HeaderError`` when it is hidden."""
    return [_number(line, "block size", 0) for line in signal_lines(header)]


def names(header: str) -> list[str]:
    """Name of each signal; ``record NAME, signal NUMBER`` where the header gives none."""
    return [
        line.fields.get("name") or f"record {record_name(header)}, signal {number}"
        for number, line in enumerate(signal_lines(header))
    ]


def _content(header: str) -> list[tuple[int, str]]:
    """Line number, from 1, and text of each line that is neither empty nor a comment."""
    lines = ((number, line.strip()) for number, line in enumerate(header.split("\n"), start=1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _file(fields: dict[str, str]) -> str:
    """File name of a header by its record line; "header" without one."""
    return f"{fields['record name'].split('/')[0]}.hea" if fields else "header"


def _count(line: HeaderLine, field: str) -> int | None:
    if field not in line.fields:
        return None
    count = line.number_of(field, whole_number)
    if count < 0:
        raise line.error(f"{field} {count} is negative; correct it")
    return count


def _number(line: HeaderLine, field: str, default: int) -> int:
    """Number in a field; the default on lines that do not have it, ``HeaderError`` when it is emptied."""
    return line.number_of(field, whole_number) if field in line.fields else default
