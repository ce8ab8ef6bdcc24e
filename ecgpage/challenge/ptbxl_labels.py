"""Label PTB-XL's records as the PhysioNet/CinC Challenge 2024 does.

NORM, STTC, CD and HYP are the superclasses of a record's diagnostic SCP statements (``scp_statements.csv``), of any
likelihood. A record is an Acute MI where the 12SL program said so (PTB-XL+, ``12sl_statements.csv`` with the acronyms of
``12slv23ToSNOMED.csv``), an Old MI where its superclass is MI and the program did not. The others are rhythm statements.
Source: the organisers' preparation of PTB-XL, August 2024.
"""

import ast
import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecgpage.core.conventions import CLASSES, EcgPageError

SUPERCLASSES: Final = ("NORM", "STTC", "CD", "HYP")
"""Superclasses of PTB-XL that are classes of the Challenge under the same name."""
RHYTHMS: Final[Mapping[str, Collection[str]]] = {
    "PAC": ("PAC",),
    "PVC": ("PVC",),
    "AFIB/AFL": ("AFIB", "AFLT"),
    "TACHY": ("STACH", "SVTAC", "PSVT"),
    "BRADY": ("SBRAD",),
}
"""SCP codes that give each of the other classes."""
ACUTE_MI: Final = frozenset((821, 822, 823, 827, 829, 902, 903, 904, *range(963, 969)))
"""Numbers of the 12SL statements of an acute infarction."""


def read_codes(text: str) -> dict[str, float]:
    """SCP codes with their likelihoods, %, from a cell of ``ptbxl_database.csv`` such as "{'NORM': 100.0, 'SR': 0.0}"."""
    try:
        found = ast.literal_eval(text)
        return {str(code).strip(): float(likelihood) for code, likelihood in found.items()}
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise EcgPageError(f"{text[:80]!r} are no SCP codes as PTB-XL writes them ({error})") from error


@dataclass(frozen=True)
class LabelRules:
    """Tables that turn statements into classes."""

    superclass: Mapping[str, str]
    """Superclass of each diagnostic SCP code."""
    acute_mi: frozenset[int]
    """Numbers (``ecg_id``) of the records that the 12SL program calls an acute infarction."""

    @classmethod
    def read(cls, scp: Path, statements: Path | None = None, acronyms: Path | None = None) -> "LabelRules":
        """Rules of ``scp_statements.csv`` and, for acute infarctions, PTB-XL+'s ``12sl_statements.csv`` and
        ``12slv23ToSNOMED.csv``; without these two no record is an Acute MI.

        Raises EcgPageError when a file is missing or lacks a column.
        """
        superclass = {}
        for row in read_table(scp, ("diagnostic", "diagnostic_class")):
            if row["diagnostic"] and float(row["diagnostic"]) == 1:
                superclass[next(iter(row.values())).strip()] = row["diagnostic_class"].strip()
        if statements is None or acronyms is None:
            return cls(superclass, frozenset())
        rows = read_table(acronyms, ("StatementNumber", "Acronym"))
        names = [row["Acronym"] for row in rows if _is_acute(row["StatementNumber"])]
        if not names:
            raise EcgPageError(
                f"{acronyms}: none of the statements {sorted(ACUTE_MI)} of an acute infarction"
            )
        said = {
            int(float(row["ecg_id"])): row["statements"]
            for row in read_table(statements, ("ecg_id", "statements"))
        }
        # as the organisers do: the acronym anywhere in the cell's text
        acute = {number for number, text in said.items() if any(name in text for name in names)}
        return cls(superclass, frozenset(acute))

    def labels(self, number: int, codes: Collection[str]) -> list[str]:
        """Classes of the record ``number`` with SCP ``codes``, in the order of ``CLASSES``."""
        superclasses = {self.superclass[code] for code in codes if code in self.superclass}
        held = superclasses & set(SUPERCLASSES)
        held |= {name for name, wanted in RHYTHMS.items() if any(code in codes for code in wanted)}
        if number in self.acute_mi:
            held.add("Acute MI")
        elif "MI" in superclasses:
            held.add("Old MI")
        return [name for name in CLASSES if name in held]


def read_table(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with at least ``columns``; EcgPageError when it is missing or lacks one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise EcgPageError(f"{path}: no column {', '.join(sorted(missing))}; is it the right file?")
            return list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise EcgPageError(f"{path}: cannot be read ({error})") from error


def _is_acute(number: str) -> bool:
    return number.strip().isdigit() and int(number) in ACUTE_MI
