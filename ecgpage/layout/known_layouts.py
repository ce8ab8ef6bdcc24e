"""The layouts in which pages print their leads: one table for reader, renderer, simulated digitization and README.

    python -m ecgpage.layout.known_layouts [README.md]

writes what the table holds between the two marks of the README. A layout that is added here is read, drawn where it has a
``drawn`` share, and tested: see CONTRIBUTING.md.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecgpage.core.conventions import LEADS, EcgPageError

Names = tuple[str, ...]
LIMB: Final[Names] = LEADS[:6]
CHEST: Final[Names] = LEADS[6:]
CABRERA: Final[Names] = ("aVL", "I", "-aVR", "II", "aVF", "III")
"""Limb leads by the angle at which they look at the heart; "-aVR" is drawn upside down."""
_CABRERA_12: Final[Names] = (*CABRERA, *CHEST)


@dataclass(frozen=True)
class KnownLayout:
    """One layout of the table."""

    name: str
    """Rows x columns + rhythm strips."""
    columns: tuple[Names, ...]
    """Leads of each column from the top; all columns have the same number of rows."""
    strips: int = 0
    """Rhythm strips below, over the full width."""
    log_odds: float | None = None
    """The reader's log odds of this order of leads, beside 3x4; None where leads are read in any order."""
    drawn: float = 0.0
    """Share of drawn pages; 0 where it is read but not drawn."""
    simulated: float = 0.0
    """Share of records that simulated digitization prints so."""

    @property
    def leads(self) -> Names:
        return tuple(name for column in self.columns for name in column)

    @property
    def rows(self) -> tuple[Names, ...]:
        return tuple(zip(*self.columns, strict=True))

    @property
    def is_by_rows(self) -> bool:
        """Whether the leads run along the rows: I, II beside each other."""
        return self.name.endswith("by rows")


def _down(names: Names, rows: int) -> tuple[Names, ...]:
    """Columns of ``rows`` leads, down each column in turn."""
    return tuple(names[k : k + rows] for k in range(0, len(names), rows))


def _along(names: Names, columns: int) -> tuple[Names, ...]:
    """Columns of leads that run along the rows."""
    return tuple(names[k::columns] for k in range(columns))


KNOWN_LAYOUTS: Final[tuple[KnownLayout, ...]] = (
    KnownLayout("3x4", _down(LEADS, 3), 0, 0.0, drawn=0.08, simulated=0.76),
    KnownLayout("3x4+1", _down(LEADS, 3), 1, 0.0, drawn=0.50),
    KnownLayout("3x4+2", _down(LEADS, 3), 2, 0.0, drawn=0.04),
    KnownLayout("3x4+3", _down(LEADS, 3), 3, 0.0, drawn=0.07),
    KnownLayout("6x2", _down(LEADS, 6), 0, -0.5, drawn=0.07, simulated=0.12),
    KnownLayout("6x2+1", _down(LEADS, 6), 1, -0.5, drawn=0.06),
    KnownLayout("12x1", _down(LEADS, 12), 0, -0.5, drawn=0.05, simulated=0.12),
    KnownLayout("4x3", _down(LEADS, 4), 0, -2.0, drawn=0.01),
    KnownLayout("2x6", _down(LEADS, 2), 0, -2.0, drawn=0.01),
    KnownLayout("2x6 by rows", _along(LEADS, 6), 0, -2.5),
    KnownLayout("3x4 by rows", _along(LEADS, 4), 0, -2.5),
    KnownLayout("4x3 by rows", _along(LEADS, 3), 0, -2.5),
    KnownLayout("6x2 by rows", _along(LEADS, 2), 0, -2.5),
    KnownLayout("cabrera 3x4+1", _down(_CABRERA_12, 3), 1, -2.5, drawn=0.03),
    KnownLayout("cabrera 6x2", _down(_CABRERA_12, 6), 0, -2.5, drawn=0.02),
    KnownLayout("cabrera 12x1", _down(_CABRERA_12, 12), 0, -2.5, drawn=0.01),
    KnownLayout("cabrera 4x3", _down(_CABRERA_12, 4), 0, -4.0),
    KnownLayout("cabrera 2x6", _down(_CABRERA_12, 2), 0, -4.0),
    KnownLayout("cabrera 2x6 by rows", _along(_CABRERA_12, 6), 0, -4.5),
    KnownLayout("cabrera 3x4 by rows", _along(_CABRERA_12, 4), 0, -4.5),
    KnownLayout("cabrera 4x3 by rows", _along(_CABRERA_12, 3), 0, -4.5),
    KnownLayout("cabrera 6x2 by rows", _along(_CABRERA_12, 2), 0, -4.5),
    KnownLayout("limb 6x1", _down(LIMB, 6), 0, -2.0, drawn=0.01),
    KnownLayout("limb 3x2", _down(LIMB, 3), 0, -2.0, drawn=0.01),
    KnownLayout("limb 2x3", _down(LIMB, 2), 0, -2.0),
    KnownLayout("limb 3x2 by rows", _along(LIMB, 2), 0, -3.0),
    KnownLayout("limb 2x3 by rows", _along(LIMB, 3), 0, -3.0),
    KnownLayout("chest 6x1", _down(CHEST, 6), 0, -2.0, drawn=0.01),
    KnownLayout("chest 3x2", _down(CHEST, 3), 0, -2.0, drawn=0.005),
    KnownLayout("chest 2x3", _down(CHEST, 2), 0, -2.0),
    KnownLayout("chest 3x2 by rows", _along(CHEST, 2), 0, -3.0),
    KnownLayout("chest 2x3 by rows", _along(CHEST, 3), 0, -3.0),
    KnownLayout("cabrera limb 6x1", _down(CABRERA, 6), 0, -3.5),
    KnownLayout("cabrera limb 3x2", _down(CABRERA, 3), 0, -3.5),
    KnownLayout("cabrera limb 2x3", _down(CABRERA, 2), 0, -3.5),
    KnownLayout("cabrera limb 3x2 by rows", _along(CABRERA, 2), 0, -4.5),
    KnownLayout("cabrera limb 2x3 by rows", _along(CABRERA, 3), 0, -4.5),
    KnownLayout("strip", (("II",),), drawn=0.005),
    KnownLayout("3 strips", (("II", "V1", "V5"),), drawn=0.01),
)
"""Every known layout. The odds are judgements, not counts; what is drawn keeps its sequence, which seeded draws rest on."""

LAYOUT_OF: Final[dict[str, KnownLayout]] = {layout.name: layout for layout in KNOWN_LAYOUTS}
"""The table by name."""


# --- the reader's view --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """Names of the cells of a layout."""

    cells: tuple[Names, ...]
    """Row by row from the top; "-aVR" is drawn upside down."""
    log_odds: float

    @property
    def columns(self) -> int:
        return len(self.cells[0])


def _orders(layouts: Iterable[KnownLayout]) -> tuple[Order, ...]:
    """Each order of leads once, from the table's end: of readings that score alike the first is taken."""
    odds = {layout.rows: layout.log_odds for layout in layouts if layout.log_odds is not None}
    return tuple(Order(cells, log_odds) for cells, log_odds in reversed(odds.items()))


GRAMMAR: Final = _orders(KNOWN_LAYOUTS)
"""Orders that the reader knows."""


def order_of(name: str) -> Order:
    """Order of leads of a layout of the table by its name; ``EcgPageError`` for other names."""
    if name not in LAYOUT_OF:
        raise EcgPageError(f"layout {name!r} is not known; use one of {', '.join(LAYOUT_OF)}")
    return Order(LAYOUT_OF[name].rows, LAYOUT_OF[name].log_odds or 0.0)


COUNTS: Final = tuple(sorted({order.columns for order in GRAMMAR}))
"""Numbers of columns that the reader tries."""


# --- the README ---------------------------------------------------------------------------------------------

MARKS: Final = ("<!-- layouts: python -m ecgpage.layout.known_layouts -->", "<!-- end of layouts -->")
"""Text of the README before and after the description of the table."""


def describe_layouts(layouts: Iterable[KnownLayout] = KNOWN_LAYOUTS) -> str:
    """What the table holds, in the words of the README."""
    known = [layout for layout in layouts if layout.log_odds is not None]
    twelve = [layout for layout in known if len(layout.leads) == len(LEADS)]
    parts = [layout for layout in known if len(layout.leads) < len(LEADS)]
    ways = "down the columns" + " or along the rows" * any(layout.is_by_rows for layout in known)
    orders = "standard" + " or Cabrera" * any("-aVR" in layout.leads for layout in known)
    most = max(layout.strips for layout in known)
    return (
        f"{_join(_sizes(twelve))} (rows × columns), limb or chest leads alone as {_join(_sizes(parts))}, named {ways}, "
        f"in {orders} order; up to {most} rhythm strips below, or nothing but strips"
    )


def _sizes(layouts: Iterable[KnownLayout]) -> list[str]:
    """Rows × columns, each once."""
    return list(dict.fromkeys(f"{len(layout.rows)} × {len(layout.columns)}" for layout in layouts))


def _join(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " or " + words[-1]


def write_layouts(text: str) -> str:
    """The README's ``text`` with the description of the table between its marks; EcgPageError without marks."""
    before, first, rest = text.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not (first and last):
        raise EcgPageError(
            f"the marks {' and '.join(MARKS)} are missing: put them where layouts are to stand"
        )
    return f"{before}{first}{describe_layouts()}{last}{after}"


def _main(arguments: list[str]) -> None:
    path = Path(arguments[0] if arguments else "README.md")
    path.write_text(write_layouts(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
