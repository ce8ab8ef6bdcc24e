"""Options are halved and doubled; only steps that ask for one are read again."""

from dataclasses import dataclass, field
from typing import Any

from bench.option_sensitivity import Outcome, PageReader, Result, Stage, change_options, write_table
from tests.drawn import clean_page


@dataclass(frozen=True)
class Options:
    """Three numbers and a switch."""

    first: float = 3.0
    second: int = 1
    unused: float = 1.0
    switch: bool = True


@dataclass
class Counted:
    """A stage of two steps that count how often they are read."""

    reads: list[str] = field(default_factory=list)

    def read_first(self, _: Any, __: Any, options: Options) -> Result:
        self.reads.append("first")
        value = min(options.first, 4.0)
        return Result(str(value), "right", {"first": value}, value)

    def read_second(self, _: Any, value: float, options: Options) -> Result:
        self.reads.append("second")
        return Result(f"{value} {options.second}", "right" if options.second < 2 else "lost", value=value)


def test_whole_numbers_stay_whole_and_switches_as_they_are() -> None:
    changed = [
        (name, factor, getattr(options, name)) for name, factor, options in change_options(Options(), [])
    ]
    assert changed == [
        ("first", 0.5, 1.5), ("first", 2.0, 6.0), ("second", 0.5, 1), ("second", 2.0, 2),
        ("unused", 0.5, 0.5), ("unused", 2.0, 2.0),
    ]  # fmt: skip


def test_only_what_an_option_can_change_is_read_again() -> None:
    counted = Counted()
    reader = PageReader(Stage(Options(), (counted.read_first, counted.read_second)), clean_page())
    for options, name, read in [
        (Options(first=1.5), "first", ["first", "second"]),
        (Options(first=3.0), "first", ["first"]),
        (Options(second=2), "second", ["second"]),
        (Options(unused=2.0), "unused", []),
    ]:
        counted.reads.clear()
        reader.read(options, name)
        assert counted.reads == read


def test_the_table_says_what_changed() -> None:
    counted = Counted()
    reader = PageReader(Stage(Options(), (counted.read_first, counted.read_second)), clean_page())
    outcomes = [reader.summarize("page", "", 1.0, reader.results)]
    for name, factor, options in change_options(Options(), []):
        outcomes.append(reader.summarize("page", name, factor, reader.read(options, name)))
    rows = {line.split(" | ")[0][2:]: line for line in write_table(Options(), outcomes).splitlines()[2:]}
    assert rows["first doubled"] == "| first doubled | 3.0 | 1 | 1 | – | first 3.000 → 4.000 |"
    assert rows["second doubled"] == "| second doubled | 1 | 1 | 1 | page: right → lost | – |"
    assert rows["unused halved"] == "| unused halved | 1.0 | 1 | 0 | – | – |"


def test_pages_that_are_lost_by_a_change_have_no_part_in_the_means() -> None:
    outcomes = [
        Outcome("a", "", 1.0, False, "right", {"map": 0.1}),
        Outcome("b", "", 1.0, False, "right", {"map": 0.3}),
        Outcome("a", "first", 0.5, True, "right", {"map": 0.2}),
        Outcome("b", "first", 0.5, True, "slipped", {"map": 9.0}),
    ]
    assert "| b: right → slipped | map 0.100 → 0.200 |" in write_table(Options(), outcomes)
