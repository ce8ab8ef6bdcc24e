"""Pages that ``--pages`` asks for."""

import re
from dataclasses import dataclass

from ecgpage.core.conventions import EcgPageError


@dataclass(frozen=True)
class PageChoice:
    """Ranges of page numbers, from 1; the end of a range may be open."""

    text: str
    ranges: tuple[tuple[int, int | None], ...]

    def of(self, count: int) -> list[int]:
        """Chosen numbers, ascending, of a file with ``count`` pages."""
        return [
            n for n in range(1, count + 1) if any(a <= n and (b is None or n <= b) for a, b in self.ranges)
        ]


ALL_PAGES = PageChoice("1-", ((1, None),))


def parse_pages(text: str) -> PageChoice:
    """Choice such as "1,3-5" or "2-"; ``EcgPageError`` for anything else."""
    ranges: list[tuple[int, int | None]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:(-)\s*(\d*)\s*)?", part)
        first, dash, last = match.groups() if match else ("0", None, None)
        end = None if dash and not last else int(last or first)
        if int(first) < 1 or (end is not None and end < int(first)):
            raise EcgPageError(f"{text!r} names no pages; write such as 1,3-5 or 2-, counted from 1")
        ranges.append((int(first), end))
    return PageChoice(text, tuple(ranges))
