"""Grids that cannot be followed are refused with a reason."""

from collections.abc import Iterator

import numpy as np
import pytest

from ecgpage.core.conventions import EcgPageError
from ecgpage.grid import candidates
from ecgpage.grid.candidates import finish_map, lock_grid
from ecgpage.grid.grid_map import GridMap
from ecgpage.grid.options import GridOptions
from ecgpage.grid.spectrum import GridFrequency, find_grid_frequencies
from ecgpage.grid.tracking import TRACKED_PERIOD_PX, Tile
from ecgpage.synth.page.rasterize import draw_page
from tests.drawn import clean_page, record


@pytest.mark.medium
def test_a_map_that_two_halves_of_its_lines_do_not_share_is_refused() -> None:
    image = draw_page(clean_page().truth.page, record(), 120.0)
    frequencies = find_grid_frequencies(image)
    found = lock_grid(image, frequencies)
    assert found.residual_px < 0.1 * found.px_per_mm
    strict = GridOptions(max_error_mm=0.1 * found.residual_px / found.px_per_mm)
    with pytest.raises(EcgPageError, match="too faint"):
        lock_grid(image, frequencies, options=strict)


def test_a_picture_without_a_grid_is_refused() -> None:
    image = np.full((600, 800, 3), 240, np.uint8)
    with pytest.raises(EcgPageError, match="no ECG grid found"):
        lock_grid(image, find_grid_frequencies(image))


@pytest.mark.parametrize(
    ("many", "single", "followed"),
    [
        (35, 35, [35.0]),
        (35, 25, [25.0]),
        (35, 15, [35.0, 15.0]),
        (35, 0, [35.0]),
        (12, 9, [12.0]),
        (90, 0, [90.0]),
    ],
)
def test_lines_that_lock_one_by_one_are_not_counted_many_at_a_time(
    many: int, single: int, followed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a picture of 100 tiles; steps over several lines lose some on crumpled paper."""
    tile = Tile(0.0, 0.0, np.zeros(2), np.eye(2), 5.0)

    class Counting:
        n_tiles = 100

        def __init__(self, _: object, __: object, tracked_px: float, ___: object) -> None:
            self.found = single if tracked_px == TRACKED_PERIOD_PX else many

        def grow(self, _: object) -> list[Tile]:
            return [tile] * self.found

    monkeypatch.setattr(candidates, "Tracker", Counting)
    fine = GridFrequency(20.0, 0.0, 1.0, np.zeros((1, 2)))
    told = candidates._track_frequencies(np.zeros((9, 9), np.uint8), [fine], GridOptions())
    assert [100 * c.score for c, _ in told if c is not None] == pytest.approx(followed)


@pytest.mark.parametrize(
    ("width", "counted"), [(30, [3]), (12, [3, 5])], ids=["grows over the fold", "ends there"]
)
def test_parts_behind_folds_count_where_the_first_does_not_grow_over_them(
    width: int, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tile(x: float, is_behind: bool) -> Tile:
        return Tile(x, 100.0, np.zeros(2), np.eye(2), 5.0, is_behind)

    tiles = [tile(x, False) for x in (20.0, 60.0, 100.0)] + [tile(x, True) for x in (260.0, 280.0)]
    x, y = np.meshgrid(10.0 * np.arange(width), 10.0 * np.arange(20))
    grid = GridMap(np.stack([x, y], axis=-1), (0.0, 0.0), np.ones(x.shape), 0.1, "5 mm lines")
    asked: list[int] = []

    def finish(_: object, part: list[Tile], __: object) -> Iterator[GridMap]:
        asked.append(len(part))
        yield grid

    monkeypatch.setattr(candidates, "_finish_part", finish)
    assert list(finish_map(np.zeros((300, 400), np.uint8), tiles, GridOptions())) == [grid]
    assert asked == counted
