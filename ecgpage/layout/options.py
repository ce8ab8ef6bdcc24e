"""What may be chosen of the reading of layouts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayoutOptions:
    """Switches of ``ecgpage.layout``; the defaults made the tables in docs/results.md."""

    text: bool = True
    """Whether names and scales are read, where there is a reader for them."""
    line_ahead_mm: float | None = None
    """Distance, mm, by which rows begin left of a printed 5-mm line where they begin close to one; None: anywhere.

    Programs that plot traces and grid together leave such a distance; the lattice of the grid is then known better than the
    rows' ends (``ecgpage.challenge.habits``).
    """
