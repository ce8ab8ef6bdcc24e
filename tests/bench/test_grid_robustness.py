"""The verdicts of the bench on found pages: right, turned, bent, slipped, elsewhere."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.grid_robustness import Case, judge
from ecgpage.grid.grid_map import GridMap
from ecgpage.synth.truth_adapters import exact_grid
from tests.drawn import clean_page


def moved(grid: GridMap, by_mm: Callable[[np.ndarray], np.ndarray]) -> GridMap:
    """The map with its columns pushed along x by so many page mm, a function of the column's place from 0 to 1."""
    share = np.linspace(0, 1, grid.quality.shape[1])
    push = np.stack([by_mm(share) * grid.px_per_mm, np.zeros(len(share))], axis=-1)
    return replace(grid, nodes=grid.nodes + push)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda grid: grid, "right"),
        (lambda grid: moved(grid, lambda share: 0 * share + 7.0), "right"),  # where the page begins is free
        (lambda grid: grid.rotate(1), "turned"),
        (lambda grid: grid.rotate(2), "turned"),
        (lambda grid: moved(grid, lambda share: 0.7 * np.sin(2 * np.pi * share)), "bent"),
        (lambda grid: moved(grid, lambda share: 5.0 * (share > 0.5)), "slipped"),
        (lambda grid: replace(grid, nodes=grid.nodes + 5000.0), "elsewhere"),
    ],
    ids=["exact", "shifted", "on its side", "upside down", "bent", "a box missed", "beside"],
)
def test_a_map_is_judged_by_the_drawn_page(change: Callable[[GridMap], GridMap], verdict: str) -> None:
    page = clean_page()
    case = Case(page.image, page, np.eye(2, 3), "page")
    assert judge(case, change(exact_grid(page)))[0] == verdict


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_pictures_are_judged_in_the_page_they_show(quarter_turns: int) -> None:
    """A map of the turned picture that still points along the picture is not upright."""
    page = clean_page()
    height, width = page.image.shape[:2]
    back = {1: [[0, -1, width - 1], [1, 0, 0]], 2: [[-1, 0, width - 1], [0, -1, height - 1]],
            3: [[0, 1, 0], [-1, 0, height - 1]]}[quarter_turns]  # fmt: skip
    to_drawn = np.array(back, float)
    grid = exact_grid(page)
    nodes = (grid.nodes - to_drawn[:, 2]) @ np.linalg.inv(to_drawn[:, :2]).T
    case = Case(np.rot90(page.image, quarter_turns), page, to_drawn, "page")
    upright = replace(grid, nodes=nodes)
    assert judge(case, upright)[0] == "right"
    assert judge(case, upright.rotate(1))[0] == "turned"
