"""Draw windows of printed pages with the words in them, for the training of the text reader.

    python -m ecgpage.synth.text_windows --data FOLDER --folds 1234567 --out DIR --minutes 20
    python -m ecgpage.synth.text_windows --data FOLDER --folds 8 --out VALID --minutes 2 --seed 8

FOLDER as in ``ecgpage.synth.training_records``. A window is 28 mm of a drawn page, 4 px/mm, as a flat page shows it: around a
lead's name, the words of the scale, other words, pulses, anything. Names stand in any order, in upper case or as C1 to
C6 now and then, further names and scales anywhere, on traces, too, and speeds and gains are any, so that nothing but
the word itself tells. Windows are kept in shards.

Conventions:
    places  x, y of words in px of a window, edge coordinates
    class   index in ``ecgpage.layout.text_reader.WORDS``
"""

import argparse
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Light, Rng
from ecgpage.image.decode import brightest_channel
from ecgpage.layout.text_reader import GAINS, LEAD_WORDS, PX_PER_MM, SPEEDS
from ecgpage.synth import DrawnPage
from ecgpage.synth.flat_pages import MIX_ODDS, page_mix
from ecgpage.synth.page.layout import build_page
from ecgpage.synth.page.looks import random_plotter, random_style, shuffled
from ecgpage.synth.page.model import Box, Page, Text
from ecgpage.synth.page.rasterize import name_text
from ecgpage.synth.page.text import FONTS as PAGE_FONTS
from ecgpage.synth.picture import invent_page, photograph
from ecgpage.synth.training_records import TRAINING_FOLDS, TrainingRecords
from ecgpage.synth.truth import PageTruth, text_box

log = logging.getLogger(__name__)

Spot = tuple[float, float]
"""Page x, y, mm."""

SIDE: Final = 112
"""Side, px, of a window: 28 mm."""
MOST_WORDS: Final = 12
"""Number of words of one window, at most; more are left out."""
SHARD_WINDOWS: Final = 4096
"""Number of windows of a shard, about."""
FONTS: Final = (
    "DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneralItalic", "STIXGeneralBolIta", "cmb10", "cmti10",
)  # fmt: skip
"""Fonts of words beyond those of pages."""
ODDS: Final = {"name": 15, "printed": 20, "word": 3, "pulse": 1, "anything": 3}
"""Number of windows of each kind on a page, at most."""
ON_PICTURE: Final = 3
"""Number of windows of a page anywhere on its picture."""
MOST_LINES: Final = 4
"""Number of lines of scales on a page, at most."""
MOST_MORE: Final = 12
"""Number of further names on a page, at most."""
ASIDE: Final = 0.2
"""Share of pages whose names are moved left of their leads, besides pages whose style has them there."""
BEFORE: Final = {0: ("Speed: ", "Paper ", "v = "), len(SPEEDS): ("Gain: ", "Limb: ", "Chest: ", "Sens. ")}
"""Words printed before a speed and a gain now and then."""
BEHIND: Final = (
    "0.05-150Hz", "40Hz", "~ 50Hz", "50 Hz", "F 60~ 0.15-100 Hz", "AC 50Hz", "0.5-25 Hz", "100 ms", "10 s", "12SL v241",
    "HR 50", "25", "BF on",
)  # fmt: skip
"""Words printed behind the scales now and then."""
ROOM_MM: Final = 1.0
"""Distance, mm, between words, at least."""
TRIES: Final = 12
"""Number of places that are tried for a word."""


@dataclass(frozen=True)
class Windows:
    """Windows with the words in them."""

    light: Light
    """(n, SIDE, SIDE) windows, light."""
    places: NDArray[np.float32]
    """(n, MOST_WORDS, 2) places of the words, px, NaN where there is no further word."""
    classes: NDArray[np.int64]
    """(n, MOST_WORDS) class of each word."""

    def __len__(self) -> int:
        return len(self.light)


DrawWindows = Callable[[NDArray[np.floating[Any]], float, Sequence[int]], Windows]
"""Windows of one page that is drawn of a signal (n_samples, 12) mV, its sampling frequency, Hz, and a seed."""


def print_words(page: Page, rng: Rng) -> tuple[Page, list[tuple[Text, int]]]:
    """Page with names in other spellings, scales and further names, and these words with their classes.

    The returned scales are cut behind their first unit.
    """
    page = _rewrite_names(page, rng)
    names = [t for t in (name_text(page, s) for s in page.segments) if t is not None]
    texts = [t for t in page.texts if "mm/" not in t.text]
    taken = [text_box(t) for t in (*texts, *names)] + [stamp.box for stamp in page.stamps]
    known: list[tuple[Text, int]] = []
    for k in range(int(rng.integers(MOST_LINES + 1))):
        line, scales = compose_scale_line(str(rng.choice([page.name_font, "DejaVuSans", *PAGE_FONTS])), rng)
        foot = page.paper.height - rng.uniform(2, 8) if k == 0 and rng.random() < 0.7 else None
        move = find_free_place(_enclose(line), page, taken, rng, foot)
        if move is not None:
            texts += [_move_text(t, move) for t in line]
            known += [(_move_text(t, move), c) for t, c in scales]
            taken.append(_enclose(texts[-len(line) :]))
    for _ in range(int(rng.integers(MOST_MORE + 1))):
        one, c = _compose_name(page, rng)
        level = None
        if rng.random() < 0.6:  # on or beside a trace
            level = page.segments[int(rng.integers(len(page.segments)))].baseline + rng.uniform(-2, 5)
        move = find_free_place(text_box(one), page, taken, rng, level)
        if move is not None:
            texts.append(_move_text(one, move))
            known.append((texts[-1], c))
            taken.append(text_box(texts[-1]))
    return replace(page, texts=tuple(texts)), known


def _rewrite_names(page: Page, rng: Rng) -> Page:
    """Page with its names in one manner of writing, now and then in another font, aVR now and then turned round."""
    style = rng.random()
    font = str(rng.choice(FONTS)) if rng.random() < 0.25 else page.name_font
    turned = rng.random() < 0.3
    segments = tuple(
        replace(s, gain=-s.gain, name="-aVR") if turned and s.lead == "aVR" and s.gain > 0 else s
        for s in page.segments
    )
    segments = tuple(replace(s, name=spell_name(s.name or s.lead, style)) for s in segments)
    return replace(page, segments=segments, name_font=font)


def _compose_name(page: Page, rng: Rng) -> tuple[Text, int]:
    """Any lead's name at (0, 0) in any size and font, and its class."""
    c = int(rng.integers(len(LEAD_WORDS)))
    font = page.name_font if rng.random() < 0.4 else str(rng.choice([*PAGE_FONTS, *FONTS]))
    return Text(spell_name(LEAD_WORDS[c], rng.random()), 0.0, 0.0, float(rng.uniform(2.3, 5.0)), font), c


def spell_name(name: str, style: float) -> str:
    """Lead's name in a manner of writing, ``style`` 0 to 1, that most pages keep to."""
    if style < 0.15:
        return name.upper()
    if style < 0.20:
        return name.replace("V", "C") if name[0] == "V" else name
    if style < 0.25:
        return name + ":"
    return name


def compose_scale_line(font: str, rng: Rng) -> tuple[list[Text], list[tuple[Text, int]]]:
    """Line from (0, 0) on with a speed, a gain or both and words around them; and its scales with their classes.

    The scales are cut behind their first unit.
    """
    size = float(rng.uniform(2.3, 4.5))
    gap = float(np.exp(rng.uniform(np.log(1.2), np.log(25.0))))
    space, second = " " * int(rng.integers(2)), str(rng.choice(["s", "sec"], p=[0.75, 0.25]))
    digits = rng.random()
    parts = [(SPEEDS, second, 0), (GAINS, "mV", len(SPEEDS))]
    which = rng.random()
    chosen = (
        parts if which < 0.8 else parts[:1] if which < 0.87 else parts[1:] if which < 0.94 else parts[::-1]
    )
    texts: list[Text] = []
    known: list[tuple[Text, int]] = []
    x = 0.0
    titled = rng.random() < 0.2
    for values, unit, first in chosen:
        if titled:
            texts.append(Text(str(rng.choice(BEFORE[first])), x, 0.0, size, font))
            x = text_box(texts[-1])[2] + rng.uniform(0.2, 0.5) * size
        k = int(rng.integers(len(values)))
        written = f"{values[k]:.1f}" if digits < 0.12 else f"{values[k]:g}"
        number = f"{written.replace('.', ',') if digits > 0.95 else written}{space}mm"
        texts.append(Text(f"{number}/{unit}", x, 0.0, size, font))
        known.append((replace(texts[-1], text=number), len(LEAD_WORDS) + first + k))
        x = text_box(texts[-1])[2] + gap
    if rng.random() < 0.5:
        texts.append(Text(str(rng.choice(BEHIND)), x, 0.0, size, font))
    return texts, known


def find_free_place(
    box: Box, page: Page, taken: Sequence[Box], rng: Rng, level: float | None = None
) -> tuple[float, float] | None:
    """Shift, mm, of a box to a place on the paper clear of those ``taken``, by ``level`` in y if given; None without one."""
    for _ in range(TRIES):
        x = rng.uniform(2 - box[0], max(page.paper.width - 2 - box[2], 3 - box[0]))
        y = rng.uniform(2 - box[1], page.paper.height - 2 - box[3]) if level is None else level
        moved = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
        if moved[2] < page.paper.width and not any(
            moved[0] - ROOM_MM < b[2]
            and moved[2] + ROOM_MM > b[0]
            and moved[1] - ROOM_MM < b[3]
            and moved[3] + ROOM_MM > b[1]
            for b in taken
        ):
            return float(x), float(y)
    return None


def _enclose(texts: Sequence[Text]) -> Box:
    boxes = np.array([text_box(t) for t in texts])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _move_text(text: Text, move: tuple[float, float]) -> Text:
    return replace(text, x=text.x + move[0], y=text.y + move[1])


def draw_windows(signal: NDArray[np.floating[Any]], fs: float, seed: Sequence[int]) -> Windows:
    """Windows of one drawn page of ``signal`` (n_samples, 12) mV."""
    rng = np.random.default_rng(seed)
    mix = page_mix(
        str(rng.choice(list(MIX_ODDS), p=list(MIX_ODDS.values()))), int(rng.integers(1000, 1700)), rng, 1.0
    )
    if rng.random() < 0.2:
        page = invent_page(replace(mix, p_any_look=0.0), len(signal), fs, rng)
    else:
        style = random_style(rng)
        if rng.random() < ASIDE:
            style = replace(style, name_place="left")
        page = build_page(shuffled(style, rng) if rng.random() < 0.8 else style, len(signal), fs)
        page = replace(page, plotter=random_plotter(rng) if rng.random() < 0.1 else None)
    page, printed = print_words(page, rng)
    return cut_windows(photograph(page, signal, mix, rng), printed, rng)


def cut_windows(drawn: DrawnPage, printed: Sequence[tuple[Text, int]], rng: Rng) -> Windows:
    """Windows of a drawn page around leads' names, further ``printed`` words (text, class), other text, pulses, anywhere."""
    truth = drawn.truth
    named = [(name_text(truth.page, s), s) for s in truth.page.segments]
    names = [(t, LEAD_WORDS.index("-aVR" if s.gain < 0 else s.lead)) for t, s in named if t is not None]
    known = [*names, *printed]
    words = [_find_middle(text) for text, _ in known]
    chosen = _choose_spots(truth, words[: len(names)], words[len(names) :], printed, rng)
    light, stretch = _scale_light(drawn, rng)
    rows, columns = light.shape
    on_image = truth.page_map.image_from_page(np.array([*words, *chosen]))
    anywhere = rng.uniform((0, 0), (columns, rows), (ON_PICTURE, 2))  # beside the paper, too
    at = np.concatenate([(on_image + 0.5) * stretch, anywhere])  # edge coordinates
    inside = np.asarray((at > 0).all(axis=1) & (at < (columns, rows)).all(axis=1), np.bool_)
    places, classes = at[: len(known)][inside[: len(known)]], np.array([c for _, c in known], np.int64)
    classes = classes[inside[: len(known)]]
    windows = []
    for middle in at[len(known) :][inside[len(known) :]]:
        corner = np.rint(middle - SIDE / 2 + rng.uniform(-SIDE / 3, SIDE / 3, 2)).astype(int)
        x, y = np.clip(corner, 0, (columns - SIDE, rows - SIDE))
        windows.append(cut_window(light[y : y + SIDE, x : x + SIDE], places - (x, y), classes))
    return join_windows(windows)


def _choose_spots(
    truth: PageTruth, names: list[Spot], more: list[Spot], printed: Sequence[tuple[Text, int]], rng: Rng
) -> list[Spot]:
    """Middles of windows, page mm, the number of each kind by ``ODDS``; ``names``: of leads; ``more``: further words."""
    own = {(text.x, text.y) for text, _ in printed}
    spots: dict[str, list[Spot]] = {
        "name": names,
        "printed": more,
        "word": [_find_middle(t) for t in truth.page.texts if (t.x, t.y) not in own],
        "pulse": [(float(p.x.mean()), float(p.y.mean())) for p in truth.page.pulses],
        "anything": [tuple(rng.uniform((0, 0), truth.paper)) for _ in range(2)],
    }
    return [spots[kind][k] for kind, most in ODDS.items() for k in rng.permutation(len(spots[kind]))[:most]]


def _scale_light(drawn: DrawnPage, rng: Rng) -> tuple[Light, NDArray[np.float64]]:
    """Light of a page at about ``PX_PER_MM``, and its px per px of the picture (x, y).

    The scales vary, as fonts may be narrower or wider than those drawn here and maps a little wrong.
    """
    stretch = PX_PER_MM / drawn.truth.px_per_mm * np.array([rng.uniform(0.8, 1.12), rng.uniform(0.94, 1.06)])
    light = brightest_channel(drawn.image)
    rows, columns = (max(SIDE, round(n * s)) for n, s in zip(light.shape, stretch[::-1], strict=True))
    how = cv2.INTER_AREA if stretch.min() < 0.9 else cv2.INTER_CUBIC
    light = np.asarray(cv2.resize(light, (columns, rows), interpolation=how), np.uint8)
    return light, np.array([columns / drawn.image.shape[1], rows / drawn.image.shape[0]])


def _find_middle(text: Text) -> Spot:
    """Middle of a text, page mm."""
    x0, y0, x1, y1 = text_box(text)
    return (x0 + x1) / 2, (y0 + y1) / 2


def cut_window(light: Light, places: NDArray[np.float64], classes: NDArray[np.int64]) -> Windows:
    """One window of ``light`` (SIDE, SIDE) with the words whose ``places`` (n, 2) px lie in it."""
    here = np.flatnonzero(((places > 0) & (places < SIDE)).all(axis=1))[:MOST_WORDS]
    at = np.full((1, MOST_WORDS, 2), np.nan, np.float32)
    which = np.zeros((1, MOST_WORDS), np.int64)
    at[0, : len(here)], which[0, : len(here)] = places[here], classes[here]
    return Windows(np.ascontiguousarray(light)[None], at, which)


# --- shards -------------------------------------------------------------------------------------------------


def join_windows(parts: Sequence[Windows]) -> Windows:
    """Windows of several parts in one."""
    if not parts:
        empty = np.zeros((0, MOST_WORDS), np.int64)
        return Windows(np.zeros((0, SIDE, SIDE), np.uint8), np.zeros((0, MOST_WORDS, 2), np.float32), empty)
    return Windows(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("light", "places", "classes")))


def save_shard(path: Path, windows: Windows, origins: Mapping[int, str] | None = None) -> None:
    """Write windows and the ``origins`` of the records on their pages to an npz file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    origins = origins or {}
    with path.with_suffix(".new").open("wb") as file:
        np.savez(
            file,
            light=windows.light,
            places=windows.places,
            classes=windows.classes,
            records=np.array(list(origins), np.int64),
            origins=np.array(list(origins.values()), np.str_),
        )
    path.with_suffix(".new").replace(path)


def draw_shards(
    records: TrainingRecords, out: Path, seconds: float, seed: int, draw: DrawWindows = draw_windows
) -> None:
    """Draw pages of ``records`` in turn for ``seconds``, the windows of each by ``draw``; shards of SHARD_WINDOWS windows."""
    began, number, shard = time.monotonic(), 0, 0
    parts: list[Windows] = []
    origins: dict[int, str] = {}
    order = np.random.default_rng(seed).permutation(len(records))
    while True:
        over = time.monotonic() - began > seconds
        if parts and (over or sum(len(p) for p in parts) >= SHARD_WINDOWS):
            windows = join_windows(parts)
            save_shard(out / f"words_{seed}_{shard}.npz", windows, origins)
            log.info("%d pages, shard %d: %d windows", number, shard, len(windows))
            parts, origins, shard = [], {}, shard + 1
        if over:
            return
        k = int(order[number % len(order)])
        signal, fs = records.signal(k)
        parts.append(draw(signal, fs, [seed, 2, number]))
        origins[int(records.numbers[k])] = records.origins[k]
        number += 1


class WindowPool:
    """Windows of a folder to which shards are added meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origins: dict[int, str] = {}
        """Origin of each record on the windows' pages; older shards lack it."""
        self._known: set[Path] = set()
        self._windows = join_windows([])

    def windows(self) -> Windows:
        """Windows of all shards at present; ``EcgPageError`` when there are none."""
        new = [path for path in sorted(self.folder.glob("words_*.npz")) if path not in self._known]
        parts = []
        for path in new:
            with np.load(path, allow_pickle=False) as file:
                parts.append(Windows(file["light"], file["places"], file["classes"]))
                if "origins" in file.files:
                    self.origins |= dict(zip(file["records"].tolist(), file["origins"].tolist(), strict=True))
        if parts:
            self._windows = join_windows([self._windows, *parts])
            self._known |= set(new)
        if not len(self._windows):
            raise EcgPageError(
                f"{self.folder}: no words_*.npz; draw with python -m ecgpage.synth.text_windows"
            )
        return self._windows


def run(doc: str | None, draw: DrawWindows) -> None:
    """Command line that draws shards by ``draw``; ``doc`` begins with what it does."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl100/ or hires500/ or both")
    parser.add_argument("--folds", required=True, help="digits: 1234567 to train, 8 to validate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    folds = set(args.folds)
    if folds <= TRAINING_FOLDS:
        folds.add("")
    draw_shards(TrainingRecords(args.data, folds), args.out, 60 * args.minutes, args.seed, draw)


if __name__ == "__main__":
    run(__doc__, draw_windows)
