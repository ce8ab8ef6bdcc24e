"""What a worker process can be asked to do: plain values that travel between processes."""

from dataclasses import dataclass, replace
from typing import ClassVar

from ecgpage.cli.results import Target


@dataclass(frozen=True)
class FileFacts:
    """What has to be known of a file before its pages are read, or why it cannot be."""

    sha256: str = ""
    """Hexadecimal; empty where not even its bytes can be read."""
    pages: int = 0
    """Number of pages."""
    reason: str = ""
    """Why it cannot be opened; empty where it can."""


@dataclass(frozen=True)
class Examine:
    """Open a file and say what is in it."""

    number: int
    """Place of the file in the batch."""
    path: str
    """Of the file."""
    attempt: int = 1
    """How often a worker was given it, this time included."""
    needs_reader: ClassVar = False
    """Whether the weights have to be there."""
    pages: ClassVar[tuple[int, ...]] = ()


@dataclass(frozen=True)
class Digitize:
    """Read pages of a file and write their results."""

    number: int
    """Place of the file in the batch."""
    path: str
    pages: tuple[int, ...]
    """Numbers from 1; several where they may be one record."""
    each: tuple[Target, ...]
    """Where the results of each page go."""
    several: bool = False
    """Whether the file has more pages than one."""
    together: Target | None = None
    """Where the results of all pages go when they are one record; None for a page that is one."""
    attempt: int = 1
    """How often a worker was given it, this time included."""
    needs_reader: ClassVar = True

    def split(self) -> "list[Digitize]":
        """Tasks for each page alone, tried as often as this one."""
        return [
            replace(self, pages=(n,), each=(t,), together=None)
            for n, t in zip(self.pages, self.each, strict=True)
        ]


Task = Examine | Digitize
