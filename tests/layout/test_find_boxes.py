"""Plans from what the shipped detector and reader see on a page."""

import numpy as np
import pytest

from ecgpage.synth.page.layout import PageStyle, build_page
from ecgpage.synth.page.looks import shuffled
from ecgpage.synth.truth_adapters import compare_plan, exact_grid
from tests.drawn import FS
from tests.layout.pages import draw_clean, draw_styled, read_seen_plan


@pytest.mark.medium
@pytest.mark.parametrize(
    ("layout", "name_place"), [("3x4+1", "above"), ("12x1", "left"), ("limb 6x1", "below")]
)
def test_names_and_rows_in_any_order_are_read_as_they_are_printed(layout: str, name_place: str) -> None:
    rng = np.random.default_rng(11)
    style = PageStyle(layout=layout, top=25.0, bottom=8.0, name_place=name_place, name_offset=6.0)  # type: ignore[arg-type]
    page = draw_clean(build_page(shuffled(style, rng), 5000, FS), 150.0)
    seen = compare_plan(page, exact_grid(page), read_seen_plan(page))
    assert seen.is_right, seen.wrong


@pytest.mark.medium
def test_without_names_the_places_tell() -> None:
    page = draw_styled(150.0, name_place="none")
    seen = compare_plan(page, exact_grid(page), read_seen_plan(page))
    assert seen.is_right, seen.wrong
