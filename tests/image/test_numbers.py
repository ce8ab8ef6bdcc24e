"""Numbers that stand in a picture, in fonts that their reader does not know."""

import numpy as np
import pytest

from ecgpage.core.types import Image
from ecgpage.image.numbers import PrintedNumber, find_print
from tests.plotted import Plot, write


def print_words(words: list[str], font: str, size: float) -> Image:
    """Words below each other, 100 px from the left."""
    picture = np.full((40 + 40 * len(words), 200, 3), 255, np.uint8)
    for k, word in enumerate(words):
        write(picture, word, 100, 40 + 40 * k, Plot(100, 50, font=font, size=size))
    return picture


def likeliest(number: PrintedNumber) -> float:
    return max(number.chances, key=lambda value: number.chances[value])


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSerif", "STIXGeneral"])
@pytest.mark.parametrize("size", [13.0, 24.0])
def test_nearly_all_numbers_are_read_and_the_others_keep_their_value_as_a_chance(
    font: str, size: float
) -> None:
    told = [0.0, 0.2, 1.4, 2.5, 3.6, 10.0, 7.8, 9.0]
    found = sorted(
        find_print(print_words([f"{v:.1f}" for v in told], font, size)[..., 0]).read_numbers(),
        key=lambda n: n.y0,
    )
    assert len(found) == len(told)
    assert sum(likeliest(n) == v for n, v in zip(found, told, strict=True)) >= 6
    assert all(n.chances.get(v, 0.0) > 0.03 for n, v in zip(found, told, strict=True))


def test_a_minus_belongs_to_its_number_and_moves_its_middle() -> None:
    (number,) = find_print(print_words(["\u22121"], "DejaVuSans", 20.0)[..., 0]).read_numbers()
    assert likeliest(number) == -1.0
    assert number.middle[0] == pytest.approx(100, abs=1.5)


def test_a_word_is_hardly_a_number() -> None:
    words = find_print(print_words(["wake", "Hxm", "mV"], "DejaVuSans", 20.0)[..., 0]).read_numbers()
    assert all(sum(n.chances.values()) < 0.5 for n in words)


def test_nothing_is_read_on_blank_paper() -> None:
    assert find_print(np.full((80, 80), 255, np.uint8)).read_numbers() == []


def test_turned_print_holds_the_numbers_of_the_turned_picture() -> None:
    picture = print_words(["0.4", "\u22121.5", "27"], "DejaVuSans", 20.0)[..., 0]
    told = [find_print(picture).read_numbers(), find_print(np.rot90(picture)).turn_clockwise().read_numbers()]
    words = [sorted((n.y0, n.x0, n.y1, n.x1, likeliest(n)) for n in found) for found in told]
    assert len(words[0]) == 3
    assert words[0] == words[1]
