"""What a batch tells its user: progress and reasons on stderr, the count at the end on stdout."""

import sys
from collections import Counter

from tqdm import tqdm

from ecgpage.cli.summary import Row


class Teller:
    """Progress bar, one line for a page that is worth one, and counts."""

    def __init__(self, files: int, verbosity: int) -> None:
        """``files``: number of files, of which each is taken for one page until its pages are counted."""
        self._verbosity = verbosity
        self._bar = tqdm(
            total=files, unit="page", disable=True if verbosity < 0 else None, file=sys.stderr, smoothing=0.1
        )
        self.counts: Counter[str] = Counter()
        """Status -> pages."""
        self.grades: Counter[str] = Counter()
        """Grade -> pages."""
        self.finished = 0
        """Pages that an earlier batch had read."""

    def expect(self, pages: int) -> None:
        """Correct the number of pages that are to come."""
        self._bar.total = (self._bar.total or 0) + pages
        self._bar.refresh()

    def say(self, text: str) -> None:
        """A line on stderr, above the progress bar."""
        tqdm.write(text, file=sys.stderr)

    def note(self, row: Row, name: str, pages: int, *, finished: bool = False) -> None:
        """Count ``pages`` pages, which the user knows as ``name``; tell what is wrong with them, if anything."""
        self.counts[row.status] += pages
        self.grades[row.grade] += pages
        self.finished += pages if finished else 0
        bad = (row.status in ("failed", "partial") or row.grade == "C") and not finished
        if self._verbosity > 0 or (self._verbosity == 0 and bad):
            self.say(f"{name}: {row.status}: {_describe(row)}")
        self._bar.update(pages)

    def close(self) -> None:
        """Remove the progress bar."""
        self._bar.close()

    def sum_up(self, summary: str) -> str:
        """Such as "42 pages: 38 ok, 3 partial, 1 failed; grades 30 A, 8 B, 3 C (OUT/summary.csv)"."""
        total = self.counts.total()
        parts = [f"{self.counts[status]} {status}" for status in ("ok", "partial", "failed")]
        parts += [f"{self.counts['skipped']} skipped"] if self.counts["skipped"] else []
        graded = ", ".join(f"{self.grades[grade]} {grade}" for grade in "ABC" if self.grades[grade])
        grades = f"; grades {graded}" if graded else ""
        return f"{total} page{'s'[: total != 1]}: {', '.join(parts)}{grades} ({summary})"


def _describe(row: Row) -> str:
    """What became of a page, in one line."""
    if row.status in ("failed", "skipped"):
        return row.reason
    units = {"leads": row.leads, "": row.layout, "mm/s": row.speed, "mm/mV": row.gain, "dB": row.snr_db}
    facts = [*(f"{value} {unit}".strip() for unit, value in units.items() if value)]
    facts += [f"grade {row.grade}" * bool(row.grade), row.labels]
    reason = f" ({row.reason})" if row.reason else ""
    return f"{', '.join(fact for fact in facts if fact)}{reason}"
