"""The table of layouts: what it says of itself, and that every layout is read as it was drawn."""

from pathlib import Path

import pytest

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.layout.known_layouts import GRAMMAR, KNOWN_LAYOUTS, KnownLayout, describe_layouts, write_layouts
from ecgpage.synth.page.layout import Layout
from ecgpage.synth.simulated_digitization import page_mask
from ecgpage.synth.truth_adapters import compare_plan, exact_grid
from tests.layout.pages import draw_styled, read_drawn_plan

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.medium
@pytest.mark.parametrize("known", KNOWN_LAYOUTS, ids=lambda known: known.name)
def test_every_layout_is_read_as_it_was_drawn(known: KnownLayout) -> None:
    page = draw_styled(order=Layout(known.columns, known.strips))
    seen = compare_plan(page, exact_grid(page), read_drawn_plan(page))
    assert seen.is_right, seen.wrong
    assert seen.is_scaled, seen.wrong
    assert seen.edge_mm < 0.3


@pytest.mark.parametrize("known", KNOWN_LAYOUTS, ids=lambda known: known.name)
def test_a_layout_has_whole_rows_and_names_no_lead_twice(known: KnownLayout) -> None:
    assert len({len(column) for column in known.columns}) == 1
    names = [name.removeprefix("-") for name in known.leads]
    assert len(set(names)) == len(names)
    assert set(names) <= set(LEADS)


def test_a_name_and_an_order_of_leads_mean_one_thing_each() -> None:
    assert len({known.name for known in KNOWN_LAYOUTS}) == len(KNOWN_LAYOUTS)
    assert len({(known.columns, known.strips) for known in KNOWN_LAYOUTS}) == len(KNOWN_LAYOUTS)
    for known in KNOWN_LAYOUTS:
        odds = {other.log_odds for other in KNOWN_LAYOUTS if other.columns == known.columns}
        assert len(odds) == 1, f"{known.name}: the reader cannot tell by its odds how many strips there are"


def test_names_say_how_many_rows_and_columns_there_are() -> None:
    sized = [known for known in KNOWN_LAYOUTS if "strip" not in known.name]
    assert len(sized) > 30
    for known in sized:
        size = known.name.removesuffix(" by rows").split(" ")[-1].split("+")[0]
        assert size == f"{len(known.rows)}x{len(known.columns)}"
        assert known.strips == int(known.name.partition("+")[2] or 0)


@pytest.mark.parametrize("share", ["drawn", "simulated"])
def test_the_shares_of_the_layouts_are_one_together(share: str) -> None:
    assert sum(getattr(known, share) for known in KNOWN_LAYOUTS) == pytest.approx(1.0)


def test_the_reader_knows_every_order_once() -> None:
    assert len({order.cells for order in GRAMMAR}) == len(GRAMMAR)
    known = {layout.rows for layout in KNOWN_LAYOUTS if layout.log_odds is not None}
    assert {order.cells for order in GRAMMAR} == known
    assert max(GRAMMAR, key=lambda order: order.log_odds).cells[0] == ("I", "aVR", "V1", "V4")


def test_simulated_pages_show_the_columns_of_the_table_in_turn() -> None:
    mask = page_mask("cabrera 3x4+1", [])
    assert mask.sum(axis=1).tolist() == [250] * 12
    assert [k for k in range(12) if mask[k, 0]] == [LEADS.index(lead) for lead in ("I", "aVR", "aVL")]


def test_the_readme_says_what_the_table_holds() -> None:
    text = README.read_text(encoding="utf-8")
    assert write_layouts(text) == text, "run: python -m ecgpage.layout.known_layouts"


def test_a_new_layout_changes_the_readme() -> None:
    five = KnownLayout("5x2", (LEADS[:5], LEADS[5:10]), 4, -3.0)
    assert "5 × 2" in describe_layouts([*KNOWN_LAYOUTS, five])
    assert "up to 4 rhythm strips" in describe_layouts([*KNOWN_LAYOUTS, five])


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(EcgPageError, match="marks"):
        write_layouts("# ecgpage\n")
