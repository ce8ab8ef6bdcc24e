"""The orders in which leads are printed on pages."""

from dataclasses import dataclass
from typing import Final

from ecgpage.core.conventions import LEADS

Names = tuple[str, ...]
_LIMB: Final[Names] = LEADS[:6]
_CHEST: Final[Names] = LEADS[6:]
_CABRERA: Final[Names] = ("aVL", "I", "-aVR", "II", "aVF", "III")


@dataclass(frozen=True)
class Order:
    """Names of the cells of a layout."""

    cells: tuple[Names, ...]
    """Row by row from the top; "-aVR" is drawn upside down."""
    log_odds: float

    @property
    def columns(self) -> int:
        return len(self.cells[0])


def _by_columns(names: Names, rows: int) -> tuple[Names, ...]:
    return tuple(names[k::rows] for k in range(rows))


def _by_rows(names: Names, columns: int) -> tuple[Names, ...]:
    return tuple(names[k : k + columns] for k in range(0, len(names), columns))


def _grammar() -> tuple[Order, ...]:
    """Known orders; of equal ones the first."""
    orders = [Order(_by_columns(LEADS, 3), 0.0)]
    for names, odds in ((LEADS, -0.5), ((*_CABRERA, *_CHEST), -2.5)):
        orders += [Order(_by_columns(names, rows), odds) for rows in (3, 6, 12)]
        orders += [Order(_by_columns(names, rows), odds - 1.5) for rows in (4, 2)]
        orders += [Order(_by_rows(names, columns), odds - 2.0) for columns in (6, 4, 3, 2)]
    for names, odds in ((_LIMB, -2.0), (_CHEST, -2.0), (_CABRERA, -3.5)):
        orders += [Order(_by_columns(names, rows), odds) for rows in (6, 3, 2)]
        orders += [Order(_by_rows(names, columns), odds - 1.0) for columns in (2, 3)]
    return tuple({order.cells: order for order in reversed(orders)}.values())


GRAMMAR: Final = _grammar()
COUNTS: Final = tuple(sorted({order.columns for order in GRAMMAR}))
