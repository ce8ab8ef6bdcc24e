"""Draw words of printed pages, and train the word reader on them.

    python -m ecgpage.train.text_reader draw --data FOLDER --folds 1234567 --out DIR --minutes 20
    python -m ecgpage.train.text_reader draw --data FOLDER --folds 8 --out VALID --minutes 2 --seed 8
    python -m ecgpage.train.text_reader train --windows DIR --valid VALID --out model --minutes 20

FOLDER as in ``ecgpage.synth.flat_pages``. A window is 28 mm of a drawn page, 4 px/mm, as a flat page shows it: around a
lead's name, the words of the scale, other words, pulses, anything. Names stand in any order, in upper case or as C1 to
C6 now and then, further names and scales anywhere, on traces, too, and speeds and gains are any, so that nothing but
the word itself tells. Windows are kept in shards; in training they are stretched, turned a little, made brighter,
paler, blurred, noisy. ``--work`` holds checkpoint and log; ``--resume`` goes on; ``--start model --lr 1e-3`` trains
weights further.

Conventions:
    places  x, y of words in px of a window, edge coordinates
    class   index in ``words.WORDS``
"""

import argparse
import copy
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.types import Light, Rng
from ecgpage.core.weights import Card, half_precision, save_tensors
from ecgpage.image.decode import brightest_channel
from ecgpage.layout.text_reader import (
    BORDER_CELLS,
    CELL,
    GAINS,
    LEAD_WORDS,
    NAME,
    PX_PER_MM,
    SPEEDS,
    WORDS,
    WordNet,
    darkness,
    load_network,
)
from ecgpage.synth import DrawnPage
from ecgpage.synth.flat_pages import MIX_ODDS, TRAINING_FOLDS, TrainingRecords, page_mix
from ecgpage.synth.page.layout import build_page
from ecgpage.synth.page.looks import random_plotter, random_style, shuffled
from ecgpage.synth.page.model import Box, Page, Text
from ecgpage.synth.page.rasterize import name_text
from ecgpage.synth.page.text import FONTS as PAGE_FONTS
from ecgpage.synth.picture import invent_page, photograph
from ecgpage.synth.truth import text_box
from ecgpage.train.loop import cosine, parameter_groups, update_average, write_checkpoint

log = logging.getLogger(__name__)


SIDE: Final = 112
"""Pixels of a window."""
MOST_WORDS: Final = 12
"""Words of one window; more are left out."""
SEEN_SIDE: Final = 80
"""Pixels of the part of a window that a step of training sees."""
STRETCHED: Final = 0.6
"""Share of windows that a step of training sees stretched."""
AT_WORD: Final = 0.85
"""Share of these parts that show a word, if the window has one."""
SHARD_WINDOWS: Final = 4096
FONTS: Final = (
    "DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneralItalic", "STIXGeneralBolIta", "cmb10", "cmti10",
)  # fmt: skip
"""Beyond those that pages have."""
ODDS: Final = {"name": 15, "printed": 20, "word": 3, "pulse": 1, "anything": 3}
"""Windows of each kind on a page, at most."""
ON_PICTURE: Final = 3
"""Windows of a page anywhere on its picture."""
MOST_LINES: Final = 4
"""Lines of scales on a page."""
MOST_MORE: Final = 12
"""Further names on a page."""
ASIDE: Final = 0.2
"""Share of pages whose names are printed left of their leads, beside those that do so in any case."""
BEFORE: Final = {0: ("Speed: ", "Paper ", "v = "), len(SPEEDS): ("Gain: ", "Limb: ", "Chest: ", "Sens. ")}
"""Printed before a speed and a gain now and then."""
BEHIND: Final = (
    "0.05-150Hz", "40Hz", "~ 50Hz", "50 Hz", "F 60~ 0.15-100 Hz", "AC 50Hz", "0.5-25 Hz", "100 ms", "10 s", "12SL v241",
    "HR 50", "25", "BF on",
)  # fmt: skip
"""Printed behind the scales now and then."""
ROOM_MM: Final = 1.0
"""Between words, at least."""
TRIES: Final = 12
"""Places that are tried for a word."""
NEAR_PX: Final = 4.5
"""Cells with their middle so near a word's are the word's."""
UNSURE_PX: Final = 10.0
"""Cells so near are neither."""


# --- pages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Windows:
    """Windows with the words in them."""

    light: Light
    """(n, SIDE, SIDE)."""
    places: NDArray[np.float32]
    """(n, MOST_WORDS, 2) px, NaN where there is no further word."""
    classes: NDArray[np.int64]
    """(n, MOST_WORDS)."""

    def __len__(self) -> int:
        return len(self.light)


def worded(page: Page, rng: Rng) -> tuple[Page, list[tuple[Text, int]]]:
    """The page with its names written in other ways, other scales and further names printed; the scales' texts, cut behind
    the first unit, and the names, with their classes.
    """
    style = rng.random()
    font = str(rng.choice(FONTS)) if rng.random() < 0.25 else page.name_font
    turned = rng.random() < 0.3
    segments = tuple(
        replace(s, gain=-s.gain, name="-aVR") if turned and s.lead == "aVR" and s.gain > 0 else s
        for s in page.segments
    )
    segments = tuple(replace(s, name=spelled(s.name or s.lead, style)) for s in segments)
    page = replace(page, segments=segments, name_font=font)
    texts = [t for t in page.texts if "mm/" not in t.text]
    names = [t for t in (name_text(page, s) for s in segments) if t is not None]
    taken = [text_box(t) for t in (*texts, *names)] + [stamp.box for stamp in page.stamps]
    known: list[tuple[Text, int]] = []
    for k in range(int(rng.integers(MOST_LINES + 1))):
        line, scales = scale_line(str(rng.choice([page.name_font, "DejaVuSans", *PAGE_FONTS])), rng)
        foot = page.paper.height - rng.uniform(2, 8) if k == 0 and rng.random() < 0.7 else None
        move = free_place(_around(line), page, taken, rng, foot)
        if move is not None:
            texts += [_moved(t, move) for t in line]
            known += [(_moved(t, move), c) for t, c in scales]
            taken.append(_around(texts[-len(line) :]))
    for _ in range(int(rng.integers(MOST_MORE + 1))):
        c = int(rng.integers(len(LEAD_WORDS)))
        kind = page.name_font if rng.random() < 0.4 else str(rng.choice([*PAGE_FONTS, *FONTS]))
        one = Text(spelled(LEAD_WORDS[c], rng.random()), 0.0, 0.0, float(rng.uniform(2.3, 5.0)), kind)
        level = None
        if rng.random() < 0.6:  # on or beside a trace
            level = page.segments[int(rng.integers(len(segments)))].baseline + rng.uniform(-2, 5)
        move = free_place(text_box(one), page, taken, rng, level)
        if move is not None:
            texts.append(_moved(one, move))
            known.append((texts[-1], c))
            taken.append(text_box(texts[-1]))
    return replace(page, texts=tuple(texts)), known


def spelled(name: str, style: float) -> str:
    """A lead's name in a manner of writing, 0 to 1, that most pages keep to."""
    if style < 0.15:
        return name.upper()
    if style < 0.20:
        return name.replace("V", "C") if name[0] == "V" else name
    if style < 0.25:
        return name + ":"
    return name


def scale_line(font: str, rng: Rng) -> tuple[list[Text], list[tuple[Text, int]]]:
    """A line from (0, 0) on: a speed, a gain or both, with more before and behind; and the scales in it, cut behind the
    first unit, with their classes.
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


def free_place(
    box: Box, page: Page, taken: Sequence[Box], rng: Rng, level: float | None = None
) -> tuple[float, float] | None:
    """How far a box (mm) has to be moved to stand on the paper clear of those that are ``taken``, y = 0 to ``level`` if there
    is one; None without a place.
    """
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


def _around(texts: Sequence[Text]) -> Box:
    boxes = np.array([text_box(t) for t in texts])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _moved(text: Text, move: tuple[float, float]) -> Text:
    return replace(text, x=text.x + move[0], y=text.y + move[1])


def draw_words(signal: NDArray[np.floating[Any]], fs: float, seed: Sequence[int]) -> Windows:
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
    page, printed = worded(page, rng)
    return cut_windows(photograph(page, signal, mix, rng), printed, rng)


def cut_windows(drawn: DrawnPage, printed: Sequence[tuple[Text, int]], rng: Rng) -> Windows:
    """Windows of a drawn page around leads' names, what else is ``printed`` (text, class), other words, pulses, anywhere."""
    truth = drawn.truth
    named = [(name_text(truth.page, s), s) for s in truth.page.segments]
    names = [(t, LEAD_WORDS.index("-aVR" if s.gain < 0 else s.lead)) for t, s in named if t is not None]
    known = [*names, *printed]
    middles = [_middle(text) for text, _ in known]
    own = {(text.x, text.y) for text, _ in printed}
    other = [_middle(t) for t in truth.page.texts if (t.x, t.y) not in own]
    pulses = [(float(p.x.mean()), float(p.y.mean())) for p in truth.page.pulses]
    width, height = truth.paper
    spots = {
        "name": middles[: len(names)],
        "printed": middles[len(names) :],
        "word": other,
        "pulse": pulses,
        "anything": [tuple(rng.uniform((0, 0), (width, height))) for _ in range(2)],
    }
    chosen = [spots[kind][k] for kind, most in ODDS.items() for k in rng.permutation(len(spots[kind]))[:most]]
    # fonts are narrower or wider than those drawn here, and scales a little wrong
    stretch = PX_PER_MM / truth.px_per_mm * np.array([rng.uniform(0.8, 1.12), rng.uniform(0.94, 1.06)])
    light = brightest_channel(drawn.image)
    rows, columns = (max(SIDE, round(n * s)) for n, s in zip(light.shape, stretch[::-1], strict=True))
    how = cv2.INTER_AREA if stretch.min() < 0.9 else cv2.INTER_CUBIC
    light = np.asarray(cv2.resize(light, (columns, rows), interpolation=how), np.uint8)
    stretch = np.array([columns / drawn.image.shape[1], rows / drawn.image.shape[0]])
    on_image = truth.page_map.image_from_page(np.array([*middles, *chosen]))
    anywhere = rng.uniform((0, 0), (columns, rows), (ON_PICTURE, 2))  # beside the paper, too
    at = np.concatenate([(on_image + 0.5) * stretch, anywhere])  # edge coordinates
    inside = np.asarray((at > 0).all(axis=1) & (at < (columns, rows)).all(axis=1), np.bool_)
    places, classes = at[: len(known)][inside[: len(known)]], np.array([c for _, c in known], np.int64)
    classes = classes[inside[: len(known)]]
    windows = []
    for middle in at[len(known) :][inside[len(known) :]]:
        corner = np.rint(middle - SIDE / 2 + rng.uniform(-SIDE / 3, SIDE / 3, 2)).astype(int)
        x, y = np.clip(corner, 0, (columns - SIDE, rows - SIDE))
        windows.append(_window(light[y : y + SIDE, x : x + SIDE], places - (x, y), classes))
    return joined(windows)


def _middle(text: Text) -> tuple[float, float]:
    """Page mm."""
    x0, y0, x1, y1 = text_box(text)
    return (x0 + x1) / 2, (y0 + y1) / 2


def _window(light: Light, places: NDArray[np.float64], classes: NDArray[np.int64]) -> Windows:
    here = np.flatnonzero(((places > 0) & (places < SIDE)).all(axis=1))[:MOST_WORDS]
    at = np.full((1, MOST_WORDS, 2), np.nan, np.float32)
    which = np.zeros((1, MOST_WORDS), np.int64)
    at[0, : len(here)], which[0, : len(here)] = places[here], classes[here]
    return Windows(np.ascontiguousarray(light)[None], at, which)


def joined(parts: Sequence[Windows]) -> Windows:
    """All windows of several parts."""
    if not parts:
        empty = np.zeros((0, MOST_WORDS), np.int64)
        return Windows(np.zeros((0, SIDE, SIDE), np.uint8), np.zeros((0, MOST_WORDS, 2), np.float32), empty)
    return Windows(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("light", "places", "classes")))


def draw_shards(data: Path, folds: set[str], out: Path, seconds: float, seed: int) -> None:
    """Draw for ``seconds``; shards of SHARD_WINDOWS windows."""
    if folds <= TRAINING_FOLDS:
        folds = folds | {""}
    records = TrainingRecords(data, folds)
    out.mkdir(parents=True, exist_ok=True)
    began, number, shard = time.monotonic(), 0, 0
    parts: list[Windows] = []
    order = np.random.default_rng(seed).permutation(len(records))
    while True:
        over = time.monotonic() - began > seconds
        if parts and (over or sum(len(p) for p in parts) >= SHARD_WINDOWS):
            windows = joined(parts)
            path = out / f"words_{seed}_{shard}.npz"
            with path.with_suffix(".new").open("wb") as file:
                np.savez(file, light=windows.light, places=windows.places, classes=windows.classes)
            path.with_suffix(".new").replace(path)
            log.info("%d pages, shard %d: %d windows", number, shard, len(windows))
            parts, shard = [], shard + 1
        if over:
            return
        signal, fs = records.signal(int(order[number % len(order)]))
        parts.append(draw_words(signal, fs, [seed, 2, number]))
        number += 1


# --- training -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """Numbers of one training."""

    minutes: float = 50.0
    """Time with the training loop, all resumed runs together."""
    batch: int = 48
    width: int = 64
    """Channels of the network."""
    fine: int = 1
    """Its layers that look at pairs of pixels."""
    peak_lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 100
    """Steps of linear warm-up."""
    ema: float = 0.998
    """Share of the averaged weights that a step keeps; the averaged weights are validated and stored."""
    nothing_weight: float = 2.0
    """Of the cells without a word, against those with one."""
    valid_windows: int = 1536
    checkpoint_minutes: float = 4.0
    seed: int = 1


def targets(places: Tensor, classes: Tensor, side: int = SIDE) -> Tensor:
    """(b, side / CELL, side / CELL) class + 1 of each cell, 0 without a word, -1 where it is not told.

    ``places`` (b, k, 2) px, NaN for none, ``classes`` (b, k).
    """
    n = side // CELL
    middle = (torch.arange(n, device=places.device) + 0.5) * CELL
    dx = middle[None, None, None, :] - places[:, :, 0, None, None]  # (b, k, 1, n)
    dy = middle[None, None, :, None] - places[:, :, 1, None, None]  # (b, k, n, 1)
    away = torch.hypot(dx, dy).nan_to_num(nan=torch.inf)  # (b, k, n, n)
    nearest, word = away.min(dim=1)
    found = classes[:, :, None, None].expand(-1, -1, n, n).gather(1, word[:, None])[:, 0] + 1
    cell = torch.where(nearest < NEAR_PX, found, torch.where(nearest < UNSURE_PX, -1, 0))
    told = torch.zeros(n, n, dtype=torch.bool, device=places.device)
    told[BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS] = True
    return torch.where(told, cell, -1)


def loss_of(logits: Tensor, cell: Tensor, nothing_weight: float) -> Tensor:
    """Mean cross-entropy of the words' cells, and that of the others, hard ones weighing more, for each word's cell."""
    each = F.cross_entropy(logits.float(), cell.clamp_min(0), reduction="none")
    words, nothing = cell > 0, cell == 0
    count = words.sum().clamp_min(1)
    hard = (1 - torch.exp(-each.detach())) ** 2
    return (each * words).sum() / count + nothing_weight * (each * hard * nothing).sum() / count


def darkness_of(light: Tensor) -> Tensor:
    """``words.darkness`` of windows float32 (b, 1, h, w), 0 to 255."""
    return torch.from_numpy(np.stack([darkness(one) for one in light[:, 0].numpy()]))[:, None]


def disturb(light: Tensor) -> Tensor:
    """Windows uint8 (b, h, w) as float32 (b, 1, h, w), 0 to 255: some blurred, paler or darker, noisy."""
    x = light[:, None].float()
    b = len(x)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.rand(b, 1, 1, 1) * (torch.rand(b, 1, 1, 1) < 0.4)
    x = torch.lerp(x, soft, share)
    white = x.amax(dim=(2, 3), keepdim=True)
    contrast = 0.5 + 0.7 * torch.rand(b, 1, 1, 1)
    x = white - (white - x) * contrast
    noise = torch.randn_like(x) * (6.0 * torch.rand(b, 1, 1, 1) ** 2)
    return (x + noise).clamp(0, 255)


def with_fine(network: WordNet, fine: int) -> WordNet:
    """A network that does the same, with at least ``fine`` layers that look at pairs of pixels; the new ones do nothing."""
    settings: dict[str, Any] = network.settings | {"fine": max(fine, len(network.fine))}
    wider = WordNet(**settings)
    wider.load_state_dict(network.state_dict(), strict=False)
    for name, parameter in wider.fine[len(network.fine) :].named_parameters():
        if name.endswith("norm.weight"):
            nn.init.zeros_(parameter)
    return wider


class Trainer:
    """Network in training, its running average, and what is needed to go on after a stop."""

    KEPT: Final = ("network", "averaged", "optimizer")

    def __init__(self, recipe: Recipe, start: Path | None = None) -> None:
        """``start``: model folder whose weights are trained further; fine layers that they lack do nothing at first."""
        self.recipe = recipe
        network = WordNet(recipe.width, fine=recipe.fine)
        self.before = ""
        """How the weights were made that it began with."""
        if start is not None:
            stored, card = load_network(start)
            network, self.before = with_fine(stored, recipe.fine), card.trained_on
        self.network = network.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, recipe.weight_decay), lr=recipe.peak_lr
        )
        self.seconds, self.steps = 0.0, 0

    @property
    def share(self) -> float:
        """Part of the time that is over."""
        return min(1.0, self.seconds / (60 * self.recipe.minutes))

    def step(self, light: Tensor, places: Tensor, classes: Tensor) -> float:
        """One step; returns the loss."""
        rate = self.recipe.peak_lr * cosine(self.share) * min(1.0, (self.steps + 1) / self.recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        x = darkness_of(disturb(light)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(x)
        cell = targets(places, classes, light.shape[-1])
        loss = loss_of(logits, cell, self.recipe.nothing_weight)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        update_average(self.averaged, self.network, self.recipe.ema, self.steps)
        self.steps += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        saved = {key: getattr(self, key).state_dict() for key in self.KEPT}
        write_checkpoint(saved | {"steps": self.steps, "seconds": self.seconds}, path)

    def resume(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        for key in self.KEPT:
            getattr(self, key).load_state_dict(saved[key])
        self.steps, self.seconds = saved["steps"], saved["seconds"]


@torch.inference_mode()
def validate(network: WordNet, windows: Windows) -> dict[str, float]:
    """Shares: words found, found words that are named right, cells without a word that are taken for one (per window)."""
    network.eval()
    found = right = words = false = 0
    for start in range(0, len(windows), 64):
        part = slice(start, start + 64)
        x = darkness_of(torch.from_numpy(windows.light[part])[:, None].float())
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x.contiguous(memory_format=torch.channels_last)).float()
        chances = logits.softmax(1)
        cell = targets(torch.from_numpy(windows.places[part]), torch.from_numpy(windows.classes[part]))
        is_word = chances[:, 0] < 0.5
        own = cell > 0
        words += int(own.sum())
        found += int((own & is_word).sum())
        right += int((own & is_word & (chances[:, 1:].argmax(1) + 1 == cell)).sum())
        false += int(((cell == 0) & is_word).sum())
    return {
        "found": found / max(1, words),
        "right": right / max(1, found),
        "false": false / max(1, len(windows)),
    }


def batches(pool: "WindowPool", batch: int, rng: Rng) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless batches of parts of windows, pass after pass in random order; shards that are new join in."""
    while True:
        windows = pool.windows()
        order = rng.permutation(len(windows))
        for start in range(0, max(1, len(order) - batch + 1), batch):
            part = np.sort(order[start : start + batch])
            light, places = parts_seen(*stretched(windows.light[part], windows.places[part], rng), rng)
            yield torch.from_numpy(light), torch.from_numpy(places), torch.from_numpy(windows.classes[part])


def stretched(light: Light, places: NDArray[np.float32], rng: Rng) -> tuple[Light, NDArray[np.float32]]:
    """Windows (b, SIDE, SIDE), STRETCHED of them narrower or wider, turned and slanted a little, and the places in them."""
    seen, moved = light.copy(), places.copy()
    for k in np.flatnonzero(rng.random(len(light)) < STRETCHED):
        turn = rng.uniform(-0.03, 0.03)
        way = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        way = (
            way
            @ np.array([[1.0, rng.uniform(-0.12, 0.12)], [0.0, 1.0]])
            @ np.diag(rng.uniform(0.88, 1.15, 2))
        )
        shift = SIDE / 2 - way @ np.full(
            2, SIDE / 2
        )  # of edge coordinates; OpenCV counts from pixels' middles
        middles = np.column_stack([way, shift + way @ np.full(2, 0.5) - 0.5])
        seen[k] = cv2.warpAffine(
            light[k], middles, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        moved[k] = places[k] @ way.T + shift
    return seen, moved


def parts_seen(light: Light, places: NDArray[np.float32], rng: Rng) -> tuple[Light, NDArray[np.float32]]:
    """A part (b, SEEN_SIDE, SEEN_SIDE) of each window, most around a word that is well inside, and the places in it."""
    margin = (BORDER_CELLS + 1) * CELL
    seen = np.empty((len(light), SEEN_SIDE, SEEN_SIDE), np.uint8)
    moved = places.copy()
    for k, (window, at) in enumerate(zip(light, places, strict=True)):
        corner = rng.integers(0, SIDE - SEEN_SIDE + 1, 2)
        words = at[np.isfinite(at[:, 0])]
        if len(words) and rng.random() < AT_WORD:
            word = words[rng.integers(len(words))]
            corner = word - rng.uniform(margin, SEEN_SIDE - margin, 2)
            corner = np.clip(np.rint(corner), 0, SIDE - SEEN_SIDE).astype(int)
        x, y = corner
        seen[k] = window[y : y + SEEN_SIDE, x : x + SEEN_SIDE]
        moved[k] -= corner
    return seen, moved


class WindowPool:
    """Windows of a folder to which shards are added meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: set[Path] = set()
        self._windows = joined([])

    def windows(self) -> Windows:
        """All that are there by now; EcgPageError when there are none."""
        new = [path for path in sorted(self.folder.glob("words_*.npz")) if path not in self._known]
        parts = []
        for path in new:
            with np.load(path, allow_pickle=False) as file:
                parts.append(Windows(file["light"], file["places"], file["classes"]))
        if parts:
            self._windows = joined([self._windows, *parts])
            self._known |= set(new)
        if not len(self._windows):
            raise EcgPageError(
                f"{self.folder}: no words_*.npz; draw with python -m ecgpage.train.text_reader draw"
            )
        return self._windows


def train(
    pool: "WindowPool",
    valid: Windows,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    resume: bool,
    start: Path | None = None,
) -> None:
    """Train for ``recipe.minutes``, from the weights of the model folder ``start`` on or anew; writes weights and card to
    ``out`` at the end.
    """
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, start)
    checkpoint = work / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainer.resume(checkpoint)
    torch.manual_seed(recipe.seed + trainer.steps)
    valid = Windows(*(getattr(valid, k)[: recipe.valid_windows] for k in ("light", "places", "classes")))
    last = began = time.monotonic()
    losses: list[float] = []
    rng = np.random.default_rng([recipe.seed, trainer.steps])
    for light, places, classes in batches(pool, recipe.batch, rng):
        losses.append(trainer.step(light, places, classes))
        now = time.monotonic()
        trainer.seconds, last = trainer.seconds + now - last, now
        over = trainer.share >= 1
        if over or now - began > 60 * recipe.checkpoint_minutes:
            scores = validate(trainer.averaged, valid)
            log.info(
                "%.1f min, %d steps, loss %.3f | found %.4f, named right %.4f, false cells per window %.4f",
                trainer.seconds / 60, trainer.steps, np.mean(losses), *scores.values(),
            )  # fmt: skip
            trainer.save(checkpoint)
            began, losses = time.monotonic(), []
            write(trainer, len(pool.windows()), scores, len(valid), out if over else work / "model")
        if over:
            return


def write(trainer: Trainer, drawn: int, scores: dict[str, float], valid: int, folder: Path) -> None:
    """Store the averaged network, fused, in float16, and its card."""
    recipe = trainer.recipe
    seen = (
        f"{trainer.steps * recipe.batch} windows seen, {drawn} different ones of pages drawn from records of PTB-XL "
        f"folds 1-7 and records without a fold, in {trainer.seconds / 3600:.2f} hours on a CPU"
    )
    card = Card(
        input=f"darkness against the paper around, about 0 to 1, {PX_PER_MM} px/mm, any size",
        output=f"for each mm2: logits of no word and of {len(WORDS)} words (leads, paper speeds, gains)",
        trained_on=f"{trainer.before}; then {seen}" if trainer.before else seen,
        command=(
            f"python -m ecgpage.train.text_reader train --windows DIR --valid VALID --minutes {recipe.minutes:g} "
            f"--lr {recipe.peak_lr:g}" + (" --start model" if trainer.before else "")
        ),
        score=(
            f"{scores['found']:.1%} of the words' cells found, {scores['right']:.2%} of these named right, "
            f"{scores['false']:.3f} false cells a window, on {valid} drawn windows of fold 8"
        ),
        settings={"network": trainer.averaged.settings, "words": list(WORDS)},
    )
    save_tensors(folder, NAME, half_precision(trainer.averaged.state_dict()), card)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=["draw", "train"])
    parser.add_argument("--data", type=Path, help="folder with ptbxl100/ or hires500/ or both")
    parser.add_argument("--folds", default="1234567", help="digits: 1234567 to train, 8 to validate")
    parser.add_argument("--out", type=Path, default=Path("model"), help="folder of shards, or model folder")
    parser.add_argument("--windows", type=Path, help="folder of training shards")
    parser.add_argument("--valid", type=Path, help="folder of validation shards")
    parser.add_argument("--work", type=Path, default=Path("runs/words"), help="checkpoint and log")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--width", type=int, default=Recipe.width)
    parser.add_argument("--lr", type=float, default=Recipe.peak_lr)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="model folder whose weights are trained further")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
    if args.do == "draw":
        if args.data is None:
            parser.error("--data is needed to draw")
        draw_shards(args.data, set(args.folds), args.out, 60 * args.minutes, args.seed)
        return
    if args.windows is None or args.valid is None:
        parser.error("--windows and --valid are needed to train")
    recipe = Recipe(minutes=args.minutes, width=args.width, peak_lr=args.lr, seed=args.seed)
    train(
        WindowPool(args.windows),
        WindowPool(args.valid).windows(),
        args.out,
        args.work,
        recipe,
        resume=args.resume,
        start=args.start,
    )


if __name__ == "__main__":
    main()
