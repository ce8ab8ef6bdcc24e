"""Draw windows of pages of any device or viewer with the words in them, for the training of the text reader.

    python -m ecgpage.synth.world_text_windows --data FOLDER --folds 1234567 --out DIR --minutes 20

Windows, places, classes and shards are those of ``ecgpage.synth.text_windows``; shards of both may stand in one folder if
their seeds differ. The pages are those of ``ecgpage.synth.world`` (screens, scans, faxes; not photos, nor dark pages), with
further names in all spellings and lines of scales, speeds and gains equally often.

A name counts where the lead's own letters stand: "II" in "Rhythm Strip: II", "DII" in "long DII". Words that mean no lead
here ("RV5/SV1", "V6.73") are no words. Scales that no class has ("10/5 mm/mV") do not count.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.types import Image, Light, Rng
from ecgpage.image.decode import brightest_channel
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, PX_PER_MM, SPEEDS, WORDS
from ecgpage.synth.page.model import Box, Page, Text
from ecgpage.synth.page.rasterize import MM_PER_INCH
from ecgpage.synth.page.text import DEVICE_FONTS, FONTS
from ecgpage.synth.picture import develop, photograph_sheet
from ecgpage.synth.scene.page_map import PageMap
from ecgpage.synth.text_windows import (
    ON_PICTURE,
    SIDE,
    Spot,
    Windows,
    cut_window,
    find_free_place,
    join_windows,
    run,
)
from ecgpage.synth.world.invent import MIN_EM_PX, UNICODE_FONTS, invent_device_page
from ecgpage.synth.world.mixes import SCENES, Scene
from ecgpage.synth.world.model import DevicePage, Label
from ecgpage.synth.world.names import random_spelling
from ecgpage.synth.world.picture import lengthened
from ecgpage.synth.world.sheet import Scale, draw_device_page
from ecgpage.synth.world.texts import scale_line
from ecgpage.synth.world.truth import scale_at, text_box

Span = tuple[int, int]
"""First letter of a text and the one behind the last."""

UNCOUNTED: Final = -2
"""Class of a word whose cells do not count in the training, neither as a word nor as none."""
SCENE_ODDS: Final[dict[Scene, float]] = {"screen": 0.6, "scan": 0.32, "fax": 0.08}
"""Share of each kind of picture."""
ODDS: Final = {"name": 15, "more": 16, "scale": 14, "word": 6, "anything": 3}
"""Number of windows of each kind on a page, at most."""
MOST_LINES: Final = 7
"""Number of further lines of scales on a page, at most."""
MOST_NAMES: Final = 20
"""Number of further names on a page, at most."""
CHEST_GAINS: Final = 0.15
"""Share of scales with a gain of the chest leads of its own."""
MOST_PX_PER_MM: Final = 8.0
"""Resolution of a page, at most: windows have half of it."""
MOST_LONG_SIDE: Final = (1100, 2200)
"""Range of the longer side, px, of pictures from a scanner: smaller ones do not show words, larger ones take time."""
LEGIBLE_EM_PX: Final = 6.0
"""Size, px of the picture, of letters, below which a word does not count."""
STRETCH: Final = ((0.86, 1.14), (0.94, 1.06))
"""Range of the factors of the scale along x and y: fonts may be narrower or wider than those drawn here."""
_LETTERS: Final = {
    "I": "D?I|[DL]1", "II": "D?II|I I|[DL]2", "III": "D?III|I I I|[DL]3",
    "aVR": "-?a ?[VU]R", "aVL": "-?a ?[VU]L", "aVF": "-?a ?[VU]F",
    **{f"V{k}": f"[VUC] ?[{k}{'₀₁₂₃₄₅₆'[k]}]" for k in range(1, 7)},
}  # fmt: skip
"""The lead's own letters in its printed name, as a regular expression."""
_SCALE: Final = re.compile(
    r"(?P<other>[\d.,]+/)?(?P<number>\d+(?:[.,]\d+)?) ?(?P<length>mm|cm) ?/ ?(?P<unit>s|mv)", re.IGNORECASE
)


@dataclass(frozen=True)
class _Word:
    """Word of a page."""

    middle: Spot
    kind: int
    """Class, or UNCOUNTED."""
    size: float
    """Size of its letters, mm."""


def find_lead_letters(name: str, lead: str) -> Span:
    """Letters of ``lead`` in its printed ``name``: all of them where they are written in an unknown manner."""
    whole = re.search(f"(?<![A-Za-z0-9])(?:{_LETTERS[lead]})(?![A-Za-z0-9])", name, re.IGNORECASE)
    return whole.span() if whole else (0, len(name))


def find_scales(text: str) -> Iterator[tuple[Span, int]]:
    """Number and first unit of each scale in a text, and its class; ``UNCOUNTED`` where it is none of ``WORDS``.

    "1 cm/mV" is 10 mm/mV.
    """
    for found in _SCALE.finditer(text):
        value = float(found["number"].replace(",", ".")) * (10 if found["length"].lower() == "cm" else 1)
        word = f"{value:g} mm/{'s' if found['unit'].lower() == 's' else 'mV'}"
        known = word in WORDS and not found["other"]
        yield (found.start(), found.end("length")), WORDS.index(word) if known else UNCOUNTED


def middle_of_letters(text: Text, span: Span, printed: Scale) -> Spot:
    """Middle, page mm, of the letters ``span`` of a text on a sheet drawn at ``printed`` px/mm."""
    start, stop = span
    x0, y0, x1, y1 = text_box(text, printed)
    letters = text_box(replace(text, text=text.text[start:stop]), printed)
    if isinstance(text, Label) and text.turned:
        return (x0 + x1) / 2, (y0 + y1) / 2
    if stop < len(text.text):
        x1 = text_box(replace(text, text=text.text[:stop]), printed)[2]
    return x1 - (letters[2] - letters[0]) / 2, (letters[1] + letters[3]) / 2


# --- pages ----------------------------------------------------------------------------------------------------


def print_words(page: DevicePage, rng: Rng) -> tuple[DevicePage, list[tuple[Text, int]]]:
    """Page with further names and lines of scales, its own scale another one, and the further names with their classes."""
    texts = [replace(t, text=_any_scale(rng)) if getattr(t, "kind", "") == "scale" else t for t in page.texts]
    scale = (page.px_per_mm, page.px_per_mm)
    names = filter(None, map(page.printed_name, page.segments))
    taken: list[Box] = [text_box(t, scale) for t in (*texts, *names)]
    known: list[tuple[Text, int]] = []
    for _ in range(int(rng.integers(MOST_LINES + 1))):
        line = Label(_any_scale(rng), 0.0, 0.0, *_writing(page, rng), kind="scale")
        level = page.paper.height - rng.uniform(2, 8) if rng.random() < 0.3 else None
        _place(line, page, texts, taken, level, rng)
    for _ in range(int(rng.integers(MOST_NAMES + 1))):
        name, kind = _any_name(page, rng)
        level = None
        if rng.random() < 0.6:  # on or beside a trace
            level = page.segments[int(rng.integers(len(page.segments)))].baseline + rng.uniform(-2, 5)
        if _place(name, page, texts, taken, level, rng):
            known.append((texts[-1], kind))
    return replace(page, texts=tuple(texts)), known


def _place(
    text: Text, page: Page, texts: list[Text], taken: list[Box], level: float | None, rng: Rng
) -> bool:
    """Add a text where there is room; whether there was."""
    assert isinstance(page, DevicePage)
    scale = (page.px_per_mm, page.px_per_mm)
    move = find_free_place(text_box(text, scale), page, taken, rng, level)
    if move is None:
        return False
    texts.append(replace(text, x=text.x + move[0], y=text.y + move[1]))
    taken.append(text_box(texts[-1], scale))
    return True


def _writing(page: DevicePage, rng: Rng) -> tuple[float, str]:
    """Size and font of a word."""
    font = page.name_font if rng.random() < 0.4 else str(rng.choice((*FONTS, *DEVICE_FONTS)))
    return max(float(rng.uniform(1.8, 4.5)), MIN_EM_PX / page.px_per_mm), font


def _any_scale(rng: Rng) -> str:
    """Line of any speed and gain."""
    gain = float(rng.choice(GAINS))
    chest = float(rng.choice(GAINS)) if rng.random() < CHEST_GAINS else None
    return scale_line(float(rng.choice(SPEEDS)), gain, chest, rng)


def _any_name(page: DevicePage, rng: Rng) -> tuple[Label, int]:
    """Any lead's name at (0, 0) in any spelling, and its class."""
    kind = int(rng.integers(len(LEAD_WORDS)))
    size, font = _writing(page, rng)
    spelling = random_spelling(rng, unicode=font in UNICODE_FONTS)
    name = spelling.of(LEAD_WORDS[kind], strip=rng.random() < 0.3)
    color = page.name_ink if rng.random() < 0.5 else None
    return Label(name, 0.0, 0.0, size, font, color, kind="note"), kind


@dataclass(frozen=True)
class _Shot:
    """Picture, its map, and the scale, px/mm, at which the sheet was drawn."""

    image: Image
    page_map: PageMap
    printed: Scale


def take_picture(page: DevicePage, signal: NDArray[np.floating[Any]], scene: Scene, rng: Rng) -> _Shot:
    """Picture of a page with ``signal`` (n_samples, 12) mV: a screen's as it was drawn, others from a scanner."""
    if scene == "screen":
        sx, sy = (page.px_per_mm * s for s in page.stretch)
        image = draw_device_page(page, signal, (sx, sy))
        page_map = PageMap(np.array([[1 / sx, 0, 0.5 / sx], [0, 1 / sy, 0.5 / sy], [0, 0, 1]]))
        return _Shot(develop(SCENES[scene], image, page.px_per_mm, rng), page_map, (sx, sy))
    printed: list[Scale] = []

    def draw(model: Page, mv: NDArray[np.floating[Any]], dpi: float) -> Image:
        assert isinstance(model, DevicePage)
        printed.append((dpi / MM_PER_INCH, dpi / MM_PER_INCH))
        return draw_device_page(model, mv, printed[-1])

    mix = replace(SCENES[scene], long_side=MOST_LONG_SIDE)
    image, page_map, _ = photograph_sheet(page, signal, mix, rng, draw=draw, stretch=page.stretch)
    return _Shot(image, page_map, printed[-1])


# --- windows --------------------------------------------------------------------------------------------------


def draw_windows(signal: NDArray[np.floating[Any]], fs: float, seed: Sequence[int]) -> Windows:
    """Windows of one device's page of ``signal`` (n_samples, 12) mV."""
    rng = np.random.default_rng(seed)
    scene: Scene = list(SCENE_ODDS)[int(rng.choice(len(SCENE_ODDS), p=list(SCENE_ODDS.values())))]
    page = invent_device_page(len(signal), fs, rng, p_dark=0.0, is_fax=scene == "fax")
    page = replace(page, px_per_mm=min(page.px_per_mm, MOST_PX_PER_MM))
    page, more = print_words(page, rng)
    longer = lengthened(np.asarray(signal, np.float32), fs, max(s.stop for s in page.segments), rng)
    return cut_windows(page, more, take_picture(page, longer, scene, rng), rng)


def cut_windows(page: DevicePage, more: Sequence[tuple[Text, int]], shot: _Shot, rng: Rng) -> Windows:
    """Windows around leads' names, further names ``more`` (text, class), scales, other words, and anywhere."""
    scale = scale_at(shot.page_map, (page.paper.width / 2, page.paper.height / 2))
    names, others, scales = (
        [w if w.size * scale[1] > LEGIBLE_EM_PX else replace(w, kind=UNCOUNTED) for w in words]
        for words in _words_of(page, more, shot.printed)
    )
    used = [text for text, _ in more]
    boxes = [text_box(t, shot.printed) for t in page.texts if t not in used and not any(find_scales(t.text))]
    spots: dict[str, list[Spot]] = {
        "name": [w.middle for w in names],
        "more": [w.middle for w in others],
        "scale": [w.middle for w in scales],
        "word": [(float(rng.uniform(x0, x1)), (y0 + y1) / 2) for x0, y0, x1, y1 in boxes],
        "anything": [tuple(rng.uniform((0, 0), (page.paper.width, page.paper.height))) for _ in range(3)],
    }
    chosen = [spots[kind][k] for kind, most in ODDS.items() for k in rng.permutation(len(spots[kind]))[:most]]
    words = [*names, *others, *scales]
    light, stretch = _scale_light(shot, scale, rng)
    rows, columns = light.shape
    on_image = shot.page_map.image_from_page(np.array([*(w.middle for w in words), *chosen]))
    anywhere = rng.uniform((0, 0), (columns, rows), (ON_PICTURE, 2))
    at = np.concatenate([(on_image + 0.5) * stretch, anywhere])  # edge coordinates
    inside = np.asarray((at > 0).all(axis=1) & (at < (columns, rows)).all(axis=1), np.bool_)
    known, n = inside[: len(words)], len(words)
    places, classes = at[:n][known], np.array([w.kind for w in words], np.int64)[known]
    windows = []
    for middle in at[n:][inside[n:]]:
        corner = np.rint(middle - SIDE / 2 + rng.uniform(-SIDE / 3, SIDE / 3, 2)).astype(int)
        x, y = np.clip(corner, 0, (columns - SIDE, rows - SIDE))
        windows.append(cut_window(light[y : y + SIDE, x : x + SIDE], places - (x, y), classes))
    return join_windows(windows)


def _words_of(
    page: DevicePage, more: Sequence[tuple[Text, int]], printed: Scale
) -> tuple[list[_Word], list[_Word], list[_Word]]:
    """Names of the drawn leads, further names, scales."""
    named = [
        (name, LEAD_WORDS.index("-aVR" if s.gain < 0 and s.lead == "aVR" else s.lead))
        for s in page.segments
        if (name := page.printed_name(s)) is not None
    ]
    names, others = (
        [
            _Word(
                middle_of_letters(t, find_lead_letters(t.text, LEAD_WORDS[kind].removeprefix("-")), printed),
                kind,
                t.size,
            )
            for t, kind in texts
        ]
        for texts in (named, more)
    )
    scales = [
        _Word(middle_of_letters(text, span, printed), kind, text.size)
        for text in page.texts
        for span, kind in find_scales(text.text)
    ]
    return names, others, scales


def _scale_light(shot: _Shot, scale: Scale, rng: Rng) -> tuple[Light, NDArray[np.float64]]:
    """Light of a picture of ``scale`` px/mm at about ``PX_PER_MM``, and its px per px of the picture (x, y)."""
    stretch = PX_PER_MM / np.array(scale) * [rng.uniform(*STRETCH[0]), rng.uniform(*STRETCH[1])]
    light = brightest_channel(shot.image)
    rows, columns = (max(SIDE, round(n * s)) for n, s in zip(light.shape, stretch[::-1], strict=True))
    how = cv2.INTER_AREA if stretch.min() < 0.9 else cv2.INTER_CUBIC
    light = np.asarray(cv2.resize(light, (columns, rows), interpolation=how), np.uint8)
    return light, np.array([columns / shot.image.shape[1], rows / shot.image.shape[0]])


if __name__ == "__main__":
    run(__doc__, draw_windows)
