"""Name of a page's layout by the table of known ones."""

from typing import Final

from ecgpage.layout.known_layouts import KNOWN_LAYOUTS, Names
from ecgpage.layout.types import PageLayout, Segment

_BASES: Final[dict[tuple[Names, ...], str]] = {k.rows: k.name.split("+")[0] for k in reversed(KNOWN_LAYOUTS)}
"""Rows of names -> name of the layout without its strips; of two names the first in the table."""


def name_layout(layout: PageLayout) -> str | None:
    """Name such as "3x4+1"; "3x4 other order" for leads in an order of their own; None where the cells make no table."""
    strips = sum(segment.is_strip for segment in layout.segments)
    rows = _cells([segment for segment in layout.segments if not segment.is_strip])
    if not rows:
        return None if not strips else "strip" if strips == 1 else f"{strips} strips"
    if len({len(row) for row in rows}) > 1:
        return None
    name = _BASES.get(rows, f"{len(rows)}x{len(rows[0])} other order")
    return f"{name}+{strips}" if strips else name


def _cells(segments: list[Segment]) -> tuple[Names, ...]:
    """Lead names row by row from the top, left to right; "-aVR" where a lead is drawn upside down."""
    rows: dict[int, list[Segment]] = {}
    for segment in segments:
        rows.setdefault(segment.row, []).append(segment)
    return tuple(
        tuple(
            f"-{s.lead}" if s.gain_mm_per_mv < 0 else s.lead for s in sorted(rows[row], key=lambda s: s.x0_mm)
        )
        for row in sorted(rows)
    )
