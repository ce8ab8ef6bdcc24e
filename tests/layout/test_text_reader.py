"""Words of a page: how they are found and what they do to a plan."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgpage.core.conventions import LEADS
from ecgpage.layout.arrangement import arrange
from ecgpage.layout.boxes import PageBoxes, PrintedNames
from ecgpage.layout.printed_names import with_printed
from ecgpage.layout.text_reader import (
    CELL,
    GAINS,
    LEAD_WORDS,
    SPEEDS,
    WORDS,
    WordNet,
    Words,
    darkness,
    peaks,
)
from ecgpage.synth.page.layout import LAYOUTS, PageStyle
from ecgpage.synth.page.looks import shuffled
from tests.layout.pages import SHUFFLED, list_leads, page_boxes

# ------------------------------------------------------------------------------------------ drawing


@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "limb 6x1", "strip"])
def test_shuffled_pages_keep_their_places_and_name_no_lead_twice(layout: str) -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(20):
        order = shuffled(PageStyle(layout=layout), rng).order
        assert order is not None
        assert [len(c) for c in order.columns] == [len(c) for c in LAYOUTS[layout].columns]
        names = [name.removeprefix("-") for column in order.columns for name in column]
        assert len(set(names)) == len(names)
        assert set(names) <= set(LEADS)
        seen.add(tuple(names))
    assert len(seen) > 5


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
    words = peaks(chances((5, 6, 3, 0.9), (5, 7, 2, 0.4), (12, 20, 0, 0.8), (15, 3, 1, 0.2)))
    assert len(words.scores) == 2
    assert words.chances.argmax(axis=1).tolist() == [3, 0]
    assert words.places[1].tolist() == [20.5 * CELL, 12.5 * CELL]
    assert 6.5 * CELL < words.places[0, 0] < 7.5 * CELL


def test_equally_sure_cells_are_one_word_in_their_middle() -> None:
    found = chances(
        *((r, c, 4, 1.0) for r in (7, 8, 9) for c in (10, 11, 12)), (8, 16, 2, 1.0), (9, 16, 2, 1.0)
    )
    words = peaks(found)
    assert len(words.scores) == 2
    assert words.places[0].tolist() == [11.5 * CELL, 8.5 * CELL]


def test_no_word_at_all_is_no_error() -> None:
    words = peaks(chances())
    assert words.places.shape == (0, 2)
    assert words.scale(SPEEDS) is None


def test_a_scale_counts_when_it_is_written_once_and_clearly() -> None:
    first = len(LEAD_WORDS)
    fast, gain = first + SPEEDS.index(50.0), first + len(SPEEDS) + GAINS.index(5.0)
    words = peaks(chances((3, 3, fast, 0.9), (3, 12, gain, 0.9)))
    assert words.scale(SPEEDS) == 50.0
    assert words.scale(GAINS) == 5.0
    assert peaks(chances((3, 3, fast, 0.9), (3, 12, fast - 1, 0.9))).scale(SPEEDS) is None
    assert peaks(chances((3, 3, fast, 0.4))).scale(SPEEDS) is None


def scales(*words: dict[str, float]) -> Words:
    """Words with these chances, far from each other."""
    told = np.array([[word.get(name, 0.0) for name in WORDS] for word in words])
    return Words(np.arange(2.0 * len(words)).reshape(-1, 2) * 40, np.full(len(words), 1.0), told)


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


# ------------------------------------------------------------------------------------------ names and boxes


def printed(
    boxes: PageBoxes, names: dict[int, str], dx: float = 4.0, dy: float = -7.0, margin: Sequence[int] = ()
) -> PageBoxes:
    """The boxes with names beside some of them; those of ``margin`` 14 mm before their lead."""
    at = np.array([boxes.leads[k, [0, 1]] + (-14.0 if k in margin else dx, 8.0 + dy) for k in names])
    chance = np.zeros((len(names), len(LEADS)))
    chance[np.arange(len(names)), [LEADS.index(n.removeprefix("-")) for n in names.values()]] = 0.97
    minus = np.array([0.97 * n.startswith("-") for n in names.values()])
    return replace(boxes, printed=PrintedNames(at.reshape(-1, 2), chance, minus))


def arranged_names(boxes: PageBoxes) -> list[str]:
    return list_leads(arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)))


@pytest.mark.parametrize(("dx", "dy"), [(4.0, -7.0), (2.0, 9.0), (6.0, -1.0)])
def test_printed_names_beat_places(dx: float, dy: float) -> None:
    names = [LEADS[k] for k in SHUFFLED]
    assert arranged_names(printed(page_boxes(), dict(enumerate(names)), dx, dy)) == names


def test_two_leads_that_are_exchanged_are_followed() -> None:
    names = list(LEADS)
    names[6], names[10] = names[10], names[6]
    assert arranged_names(printed(page_boxes(), dict(enumerate(names)))) == names


def test_one_name_that_was_misread_does_not_change_the_layout() -> None:
    names = {k: name for k, name in enumerate(LEADS) if k != 4} | {4: "V1"}
    assert arranged_names(printed(page_boxes(), names)) == list(LEADS)


def test_places_name_the_leads_where_nothing_is_printed() -> None:
    assert arranged_names(printed(page_boxes(), {})) == list(LEADS)
    assert arranged_names(printed(page_boxes(), {0: "I", 5: "aVF", 7: "V2"})) == list(LEADS)


def test_names_in_the_margin_are_those_of_the_first_column() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    assert arranged_names(printed(page_boxes(), dict(enumerate(names)), dy=0.0, margin=(0, 1, 2))) == names


def test_words_beside_a_few_leads_only_are_no_names() -> None:
    boxes = printed(page_boxes(), {0: "V4", 12: "I"})
    assert with_printed(boxes, boxes.leads[:, [1, 3]].mean(axis=1), np.zeros(0)) is boxes


def test_a_word_elsewhere_along_the_lead_is_no_name() -> None:
    boxes = printed(page_boxes(), dict(enumerate(LEADS)) | {12: "I"})
    boxes.printed.places[12, 0] += 7.0
    cells = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells
    assert [cell.lead for cell in cells if cell.is_strip] == ["II"]


def test_a_strip_carries_the_name_beside_it() -> None:
    boxes = printed(page_boxes(), dict(enumerate(LEADS)) | {12: "aVF"})
    cells = arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells
    assert [cell.lead for cell in cells if cell.is_strip] == ["aVF"]


def test_a_minus_before_avr_turns_it_round_in_any_order() -> None:
    names = [LEADS[k] for k in SHUFFLED]
    at = names.index("aVR")
    for name in ("aVR", "-aVR"):
        names[at] = name
        boxes = printed(page_boxes(), dict(enumerate(names)))
        cells = {
            c.lead: c for c in arrange(boxes, boxes.leads[:, [1, 3]].mean(axis=1)).cells if not c.is_strip
        }
        assert cells["aVR"].is_inverted == (name == "-aVR")


def test_a_lead_that_no_box_shows_is_told_by_its_name_beside_ink() -> None:
    """Of a page in twelve rows one box is missing; its name is printed and its ink runs there."""
    names = list(np.random.default_rng(3).permutation(np.array(LEADS)))
    levels = np.linspace(20.0, 185.0, 12)
    leads = np.array([[20.0, y - 8, 270.0, y + 8] for y in levels])
    all_boxes = PageBoxes(leads, np.full(12, 0.9), np.full((12, 12), 1 / 12), np.zeros((0, 4)))
    both = printed(all_boxes, dict(enumerate(names)))
    kept = [k for k in range(12) if k != 4]
    boxes = replace(both, leads=leads[kept], scores=both.scores[kept], names=both.names[kept])
    ink = np.array([[y, 20.0, 270.0] for y in levels])
    assert list_leads(arrange(boxes, levels[kept], ink)) == names
    assert list_leads(arrange(boxes, levels[kept])) != names  # without ink there is no lead


# ------------------------------------------------------------------------------------------ network


def test_the_network_takes_any_size_of_whole_cells() -> None:
    logits = WordNet(8).eval()(torch.zeros(1, 1, 5 * CELL, 9 * CELL))
    assert logits.shape == (1, 1 + len(WORDS), 5, 9)
