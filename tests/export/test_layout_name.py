"""Every layout of the table is named by its row, others by their shape."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.export.layout_name import name_layout
from ecgpage.layout.known_layouts import KNOWN_LAYOUTS, KnownLayout
from ecgpage.layout.types import PageLayout, Segment


def lay_out(rows: tuple[tuple[str, ...], ...], strips: int = 0) -> PageLayout:
    """Layout of names row by row, and strips of lead II below; segments shuffled."""
    segments = [
        Segment(
            name.lstrip("-"),
            r,
            10 + 60.0 * c,
            70 + 60.0 * c,
            0,
            2.5,
            20.0 * r,
            -10.0 if name[0] == "-" else 10.0,
        )
        for r, row in enumerate(rows)
        for c, name in enumerate(row)
    ]
    segments += [Segment("II", len(rows) + k, 10, 250, 0, 10, 0.0, is_strip=True) for k in range(strips)]
    np.random.default_rng(0).shuffle(segments)  # type: ignore[arg-type]
    return PageLayout([], segments, [], [], 25.0, 10.0, 1.0)


@pytest.mark.parametrize("known", [k for k in KNOWN_LAYOUTS if "strip" not in k.name], ids=lambda k: k.name)
def test_known_layouts_have_the_name_of_their_row(known: KnownLayout) -> None:
    same = {k.name for k in KNOWN_LAYOUTS if (k.rows, k.strips) == (known.rows, known.strips)}
    assert name_layout(lay_out(known.rows, known.strips)) in same


@pytest.mark.parametrize(
    ("rows", "strips", "expected"),
    [
        ((LEADS[0:4], LEADS[4:8], LEADS[8:12]), 4, "3x4 by rows+4"),
        ((("V1", "I"), ("V2", "II")), 0, "2x2 other order"),
        ((("V1", "I"), ("V2", "II")), 1, "2x2 other order+1"),
        ((("I", "II"), ("III",)), 0, None),
        ((), 1, "strip"),
        ((), 3, "3 strips"),
        ((), 0, None),
    ],
)
def test_other_layouts_are_named_by_their_shape(
    rows: tuple[tuple[str, ...], ...], strips: int, expected: str | None
) -> None:
    assert name_layout(lay_out(rows, strips)) == expected
