"""Words of a page: how they are found and what they do to a layout."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecgpage.grid.flat_page import FlatPage, Surroundings
from ecgpage.grid.grid_map import GridMap
from ecgpage.layout.text_network import TextNet
from ecgpage.layout.text_reader import (
    CELL,
    GAINS,
    LEAD_WORDS,
    PX_PER_MM,
    SPEEDS,
    WORDS,
    RecognisedText,
    TextReader,
    darkness,
    find_peaks,
)


def test_darkness_does_not_depend_on_the_light() -> None:
    light = np.random.default_rng(1).integers(100, 200, (80, 112)).astype(np.uint8)
    np.testing.assert_allclose(darkness(light // 2 * 2), darkness(light // 2), atol=1e-5)


# ------------------------------------------------------------------------------------------ finding


def chances(*words: tuple[int, int, int, float]) -> np.ndarray:
    """(1 + words, 20, 30) with a word (row, column, index in WORDS, chance) each."""
    found = np.zeros((1 + len(WORDS), 20, 30), np.float32)
    for row, column, word, chance in words:
        found[1 + word, row, column] = chance
    found[0] = 1 - found[1:].sum(axis=0)
    return found


def test_peaks_are_words_and_weaker_neighbours_are_not() -> None:
    words = find_peaks(chances((5, 6, 3, 0.9), (5, 7, 2, 0.4), (12, 20, 0, 0.8), (15, 3, 1, 0.2)))
    assert len(words.scores) == 2
    assert words.chances.argmax(axis=1).tolist() == [3, 0]
    assert words.places[1].tolist() == [20.5 * CELL, 12.5 * CELL]
    assert 6.5 * CELL < words.places[0, 0] < 7.5 * CELL


def test_equally_sure_cells_are_one_word_in_their_middle() -> None:
    found = chances(
        *((r, c, 4, 1.0) for r in (7, 8, 9) for c in (10, 11, 12)), (8, 16, 2, 1.0), (9, 16, 2, 1.0)
    )
    words = find_peaks(found)
    assert len(words.scores) == 2
    assert words.places[0].tolist() == [11.5 * CELL, 8.5 * CELL]


def test_no_word_at_all_is_no_error() -> None:
    words = find_peaks(chances())
    assert words.places.shape == (0, 2)
    assert words.scale(SPEEDS) is None


def test_a_scale_counts_when_it_is_written_once_and_clearly() -> None:
    first = len(LEAD_WORDS)
    fast, gain = first + SPEEDS.index(50.0), first + len(SPEEDS) + GAINS.index(5.0)
    words = find_peaks(chances((3, 3, fast, 0.9), (3, 12, gain, 0.9)))
    assert words.scale(SPEEDS) == 50.0
    assert words.scale(GAINS) == 5.0
    assert find_peaks(chances((3, 3, fast, 0.9), (3, 12, fast - 1, 0.9))).scale(SPEEDS) is None
    assert find_peaks(chances((3, 3, fast, 0.4))).scale(SPEEDS) is None


def scales(*words: dict[str, float]) -> RecognisedText:
    """Words with these chances, far from each other."""
    told = np.array([[word.get(name, 0.0) for name in WORDS] for word in words])
    return RecognisedText(np.arange(2.0 * len(words)).reshape(-1, 2) * 40, np.full(len(words), 1.0), told)


def test_a_word_between_a_speed_and_a_gain_is_told_by_the_others() -> None:
    unsure = {"50 mm/s": 0.81, "5 mm/mV": 0.19}
    assert scales(unsure).scale(SPEEDS) is None
    assert scales(unsure, {"10 mm/mV": 0.9, "V1": 0.1}).scale(SPEEDS) == 50.0
    again = scales(unsure, {"50 mm/s": 0.8, "12.5 mm/s": 0.2})
    assert again.scale(SPEEDS) == 50.0
    assert again.scale(GAINS) is None


def test_a_swarm_of_unlikely_scales_says_nothing() -> None:
    assert scales(*[{"12.5 mm/s": 0.35, "5 mm/mV": 0.1, "I": 0.55}] * 20).scale(SPEEDS) is None
    assert scales(*[{"12.5 mm/s": 0.7, "5 mm/mV": 0.2, "I": 0.1}] * 20).scale(SPEEDS) is None


def test_one_clear_misreading_among_many_does_not_count() -> None:
    words = [{"25 mm/s": 0.95, "10 mm/mV": 0.05}] * 3 + [{"50 mm/s": 0.97, "10 mm/mV": 0.03}]
    assert scales(*words).scale(SPEEDS) == 25.0
    assert scales(words[0], words[-1]).scale(SPEEDS) is None


# ------------------------------------------------------------------------------------------ pages


class DarkCells:
    """Network to which each dark cell is the same word; counts how often it is run."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.runs += 1
        (dark,) = inputs
        cells = dark[0, 0].reshape(dark.shape[2] // CELL, CELL, dark.shape[3] // CELL, CELL).mean(axis=(1, 3))
        logits = np.zeros((1, 1 + len(WORDS), *cells.shape), np.float32)
        logits[0, 0], logits[0, 4] = 20.0, 40 * cells
        return (logits,)


def page_with_spots(*spots_mm: tuple[int, int]) -> FlatPage:
    """Page of 120 x 80 mm whose picture begins at page -10, -20 mm, with a dark square millimetre at each place."""
    light = np.full((80 * PX_PER_MM, 120 * PX_PER_MM), 250, np.uint8)
    for x, y in spots_mm:
        light[y * PX_PER_MM : (y + 1) * PX_PER_MM, x * PX_PER_MM : (x + 1) * PX_PER_MM] = 10
    grid = GridMap(np.zeros((2, 2, 2)), (0.0, 0.0), np.ones((2, 2)), 0.0, "5 mm lines")
    return FlatPage(
        grid, np.zeros((80, 100), np.float32), 0.0, 0.0, Surroundings(light, np.array([-10.0, -20.0]))
    )


@pytest.mark.parametrize("turned", [False, True])
def test_words_stand_where_they_stand_whether_a_part_or_all_of_the_page_was_read(turned: bool) -> None:
    page = page_with_spots((30, 25), (52, 40), (110, 70))
    leads_mm = np.array([[20.0, 5.0, 45.0, 20.0]])
    network = DarkCells()
    in_part = TextReader(network).read(page, leads_mm, 5.0, turned=turned)
    reader = TextReader(network)
    everywhere = reader.read(page, leads_mm, 300.0, turned=turned)
    of_all = reader.read(page, leads_mm, 5.0, turned=turned)
    assert network.runs == 2  # the last words were read with the whole page
    for found, places in (
        (in_part, [(20.5, 5.5), (42.5, 20.5)]),
        (of_all, [(20.5, 5.5), (42.5, 20.5)]),
        (everywhere, [(20.5, 5.5), (42.5, 20.5), (100.5, 50.5)]),
    ):
        assert sorted(map(tuple, found.places.round(2).tolist())) == places
    assert of_all.chances.shape == (2, len(WORDS))


def test_words_of_one_page_are_not_those_of_the_next() -> None:
    reader = TextReader(DarkCells())
    leads_mm = np.array([[0.0, 0.0, 90.0, 50.0]])
    assert len(reader.read(page_with_spots((30, 25)), leads_mm).scores) == 1
    assert len(reader.read(page_with_spots((30, 25), (60, 50)), leads_mm).scores) == 2


# ------------------------------------------------------------------------------------------ network


def test_the_network_takes_any_size_of_whole_cells() -> None:
    logits = TextNet(8).eval()(torch.zeros(1, 1, 5 * CELL, 9 * CELL))
    assert logits.shape == (1, 1 + len(WORDS), 5, 9)
