"""Windows of devices' pages to train the text reader on: where the words in them stand, and what they are."""

import numpy as np
import pytest

from ecgpage.core.conventions import LEADS
from ecgpage.layout.text_reader import LEAD_WORDS, WORDS, darkness
from ecgpage.synth.text_windows import SIDE, Windows, join_windows
from ecgpage.synth.world.model import Label
from ecgpage.synth.world.names import random_spelling
from ecgpage.synth.world.truth import text_box
from ecgpage.synth.world_text_windows import (
    UNCOUNTED,
    draw_windows,
    find_lead_letters,
    find_scales,
    middle_of_letters,
)
from tests.drawn import FS, record


@pytest.fixture(scope="module")
def drawn() -> Windows:
    return join_windows([draw_windows(record(), FS, [4, k]) for k in range(3)])


@pytest.mark.parametrize(
    ("name", "lead", "letters"),
    [
        ("Rhythm Strip: II", "II", "II"), ("long DII", "II", "DII"), ("Lead I", "I", "I"), ("II (rhythm)", "II", "II"),
        ("[III]", "III", "III"), ("I I", "II", "I I"), ("V 1", "V1", "V 1"), ("V₃", "V3", "V₃"), ("U4 long", "V4", "U4"),
        ("AUR", "aVR", "AUR"), ("-aVR", "aVR", "-aVR"), ("a VF", "aVF", "a VF"), ("Ritmo C6", "V6", "C6"),
        ("V1 R", "V1", "V1"), ("D3", "III", "D3"), ("RHYTHM STRIP: L1", "I", "L1"), ("II 10s", "II", "II"),
        ("aVF:", "aVF", "aVF"),
    ],
)  # fmt: skip
def test_the_leads_own_letters_are_found_in_its_printed_name(name: str, lead: str, letters: str) -> None:
    start, stop = find_lead_letters(name, lead)
    assert name[start:stop] == letters


def test_letters_are_found_in_every_name_that_pages_print() -> None:
    for seed in range(200):
        spelling = random_spelling(np.random.default_rng(seed), unicode=bool(seed % 2))
        for lead in LEADS:
            name = spelling.of(lead, strip=bool(seed % 3))
            start, stop = find_lead_letters(name, lead)
            assert 1 <= stop - start <= 5, (name, lead)


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("25mm/sec 10mm/mV", [("25mm", "25 mm/s"), ("10mm", "10 mm/mV")]),
        (
            "Speed: 25 mm/sec  Limb: 10 mm/mV  Chest: 5.0 mm/mV 0.05-150Hz",
            [("25 mm", "25 mm/s"), ("10 mm", "10 mm/mV"), ("5.0 mm", "5 mm/mV")],
        ),
        ("12,5 MM/S 2 cm/mV", [("12,5 MM", "12.5 mm/s"), ("2 cm", "20 mm/mV")]),
        ("50 mm / s", [("50 mm", "50 mm/s")]),
        ("10/5 mm/mV", [("10/5 mm", None)]),
        ("2.5 mm/mV  100 mm/s", [("2.5 mm", None), ("100 mm", None)]),
        ("QT 400 ms, 12SL V1.0, 75 Hz", []),
    ],
)
def test_scales_are_found_in_lines_of_words(text: str, scales: list[tuple[str, str | None]]) -> None:
    found = [(text[a:b], WORDS[c] if c != UNCOUNTED else None) for (a, b), c in find_scales(text)]
    assert found == scales


def test_the_place_of_a_word_is_the_middle_of_its_own_letters() -> None:
    text = Label("Rhythm Strip: II", 20.0, 30.0, 4.0, "DejaVuSans")
    x, y = middle_of_letters(text, (14, 16), (8.0, 8.0))
    whole, before = (
        text_box(text, (8.0, 8.0)),
        text_box(Label("Rhythm Strip:", 20.0, 30.0, 4.0, "DejaVuSans"), (8.0, 8.0)),
    )
    assert before[2] < x < whole[2]
    assert x == pytest.approx(whole[2] - 1.0, abs=0.5)  # two strokes of 0.3 em
    assert 27.0 < y < 30.0
    middle = middle_of_letters(text, (0, len(text.text)), (8.0, 8.0))
    assert middle == pytest.approx(((whole[0] + whole[2]) / 2, (whole[1] + whole[3]) / 2))


@pytest.mark.medium
def test_windows_hold_the_words_that_they_name(drawn: Windows) -> None:
    assert drawn.light.shape[1:] == (SIDE, SIDE)
    known = np.isfinite(drawn.places[..., 0]) & (drawn.classes >= 0)
    assert known.any(axis=1).mean() > 0.5
    kinds = set(drawn.classes[known].tolist())
    assert kinds <= set(range(len(WORDS)))
    assert {k < len(LEAD_WORDS) for k in kinds} == {True, False}
    dark = np.stack([darkness(window) for window in drawn.light])
    around, apart = [], []
    for k, word in zip(*np.nonzero(known), strict=True):
        x, y = drawn.places[k, word].astype(int)
        if 10 < x < SIDE - 10 and 10 < y < SIDE - 10:
            around.append(dark[k, y - 4 : y + 5, x - 6 : x + 7].max())
            apart.append(np.median(dark[k]))
    assert np.median(around) > np.median(apart) + 0.15


@pytest.mark.medium
def test_the_seed_decides_the_windows(drawn: Windows) -> None:
    again = draw_windows(record(), FS, [4, 0])
    np.testing.assert_array_equal(again.light, drawn.light[: len(again)])
    np.testing.assert_array_equal(again.places, drawn.places[: len(again)])
