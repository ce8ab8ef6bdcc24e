"""Names of leads, paper speed and gain in the text of a page."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ecgpage.core.conventions import canonical_lead
from ecgpage.image.pdf_paths import Word

SPEED: Final = re.compile(r"(?<![\d.,])(\d{1,3}(?:[.,]\d)?)\s*mm\s*/\s*s(?:ec|ek)?\b", re.IGNORECASE)
"""Such as "25 mm/s", "50mm/sec", "12,5 mm/s"."""
GAIN: Final = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d)?)\s*mm\s*/\s*mV\b", re.IGNORECASE)
"""Such as "10 mm/mV"."""
MINUS: Final = "-\u2212\u2013\u2010\u2011"
"""Signs that stand for a minus."""


@dataclass(frozen=True)
class Name:
    """The name of a lead on a page."""

    lead: str
    """Standard name."""
    is_turned: bool
    """Whether a minus stands before it."""
    x0: float
    y: float
    """Left end and middle, seen, pt."""
    x: float


def find_names(words: Iterable[Word]) -> list[Name]:
    """Names of leads among words, whichever way they are written."""
    found = []
    for word in words:
        text = unicodedata.normalize("NFKC", word.text).rstrip(":")
        bare = text.lstrip(MINUS)
        lead = canonical_lead(bare)
        if lead is not None and len(text) - len(bare) <= 1:
            x0, y0, x1, y1 = word.box
            found.append(Name(lead, bare != text, x0, (y0 + y1) / 2, (x0 + x1) / 2))
    return found


def find_scale(text: str, pattern: re.Pattern[str]) -> tuple[float | None, tuple[float, ...]]:
    """The value that a text names most often, None where it names none, and all that it names."""
    plain = unicodedata.normalize("NFKC", text)
    values = [float(found.replace(",", ".")) for found in pattern.findall(plain)]
    counts = Counter(v for v in values if v > 0)
    if not counts:
        return None, ()
    return counts.most_common(1)[0][0], tuple(sorted(counts))


def usual_turn(words: Iterable[Word]) -> int:
    """Quarter turns, counter-clockwise, by which most of the text is written."""
    turns: Counter[int] = Counter()
    for word in words:
        turns[word.turn] += len(word.text)
    return turns.most_common(1)[0][0] if turns else 0
