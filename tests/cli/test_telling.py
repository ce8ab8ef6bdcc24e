"""What a batch says: one line for a page that is worth one, a bar where there is a terminal, a count at the end."""

import io
import sys

import pytest

from ecgpage.cli.summary import Row
from ecgpage.cli.telling import Teller


def row_of(status: str, page: str = "1", record: str = "a", **more: str) -> Row:
    return Row("a.pdf", page, record, "0" * 64, status, **more)  # type: ignore[arg-type]


def test_pages_are_counted_in_words() -> None:
    teller = Teller(1, -1)
    teller.note(row_of("ok"), "a.pdf", 1)
    assert teller.sum_up("o/summary.csv") == "1 page: 1 ok, 0 partial, 0 failed (o/summary.csv)"
    teller.note(row_of("partial", "1-2"), "a.pdf", 2)
    teller.note(row_of("skipped"), "a.pdf", 1, finished=True)
    assert teller.sum_up("s") == "4 pages: 1 ok, 2 partial, 0 failed, 1 skipped (s)"
    assert teller.finished == 1
    teller.note(row_of("ok", grade="A"), "b.pdf", 1)
    assert teller.sum_up("s") == "5 pages: 2 ok, 2 partial, 0 failed, 1 skipped; grades 1 A (s)"


@pytest.mark.parametrize(
    ("verbosity", "row", "said"),
    [
        (0, row_of("ok"), ""),
        (0, row_of("failed", reason="why"), "a.pdf: failed: why\n"),
        (0, row_of("partial", leads="9", layout="3x4", speed="25", gain="10", reason="why"),
         "a.pdf: partial: 9 leads, 3x4, 25 mm/s, 10 mm/mV (why)\n"),
        (1, row_of("ok", leads="12", snr_db="19.0", labels="NORM"), "a.pdf: ok: 12 leads, 19.0 dB, NORM\n"),
        (0, row_of("ok", grade="B", leads="12"), ""),
        (0, row_of("ok", grade="C", leads="12", reason="why"), "a.pdf: ok: 12 leads, grade C (why)\n"),
        (-1, row_of("failed", reason="why"), ""),
    ],
)  # fmt: skip
def test_a_page_that_is_worth_it_gets_a_line(
    verbosity: int, row: Row, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    teller = Teller(1, verbosity)
    teller.note(row, "a.pdf", 1)
    teller.close()
    assert capsys.readouterr().err == said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("verbosity", "shown"), [(0, True), (-1, False)])
def test_a_terminal_gets_a_bar_that_learns_the_number_of_pages(
    verbosity: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    teller = Teller(1, verbosity)
    teller.expect(4)
    for _ in range(5):
        teller.note(row_of("ok"), "a.pdf", 1)
    teller.close()
    assert ("5/5" in terminal.getvalue()) == shown
