"""Numbers printed in a picture: digits by their shape, words by how digits stand beside each other.

Programs that plot write numbers along their axes, in a sans serif font as a rule and often turned by a quarter. Digits are
compared with those of fonts that Pillow and OpenCV bring along; a single one may be misread, so every number keeps all values
that it may have, and what reads a row of numbers weighs them together (``ecgpage.grid.axes``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from ecgpage.core.types import Array, Grey, Light

INK: Final = 0.7
"""Brightness over that of paper, below which a pixel may be print."""
HEIGHTS_PX: Final = (5, 60)
"""Heights, px, of digits, at least and at most."""
MOST_PIECES: Final = 6000
"""Number of pieces of ink, beyond which a picture is texture: no numbers are read in it."""
MOST_DIGITS: Final = 5
"""Number of digits of a number, at most."""
SHAPE_PX: Final = (8, 12)
"""Width and height, px, to which shapes of digits are brought."""
SHARPNESS: Final = 12.0
"""Natural log of the likelihood of a digit for a correlation that is larger by 1. Digits of fifteen other fonts, 9 to 26 px
an em, have the highest correlation with their own kind in 94 of 100 cases."""
ASPECT_ERROR: Final = 0.25
"""Standard deviation of the natural log of a digit's width over its height among fonts."""
ASPECT_WEIGHT: Final = 0.05
"""Correlation that one standard deviation, squared and halved, of a digit's proportions is worth."""
LIKE_A_DIGIT: Final = (0.68, 0.05)
"""Correlation with the likeliest digit at which a piece is one as often as not, and the width of the change; a judgement."""
LEAST_CHANCE: Final = 0.02
"""Probability of a digit, below which it is not followed."""
UNIT_CHANCE: Final = 0.1
"""Share of numbers with a letter of their unit right behind them."""
FACES: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
"""Fonts of OpenCV whose digits are known."""


@dataclass(frozen=True)
class PrintedNumber:
    """One word that may be a number."""

    x0: float
    """Left edge, px, of its digits and sign."""
    x1: float
    y0: float
    """Upper edge, px."""
    y1: float
    chances: Mapping[float, float]
    """Probability, 0 to 1, of each value that it may have; what is missing to 1: it is no number, or another one."""

    @property
    def middle(self) -> tuple[float, float]:
        """x, y, px."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def height(self) -> float:
        return self.y1 - self.y0


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces of ink."""

    boxes: Array
    """(n, 4) left, upper, right and lower edge, px."""
    labels: NDArray[np.int32]
    """(H, W) number of the piece of each pixel, from 1 on; 0 for paper."""
    numbers: NDArray[np.intp]
    """(n,) those numbers."""

    @property
    def sizes(self) -> Array:
        """(n, 2) width and height, px."""
        return self.boxes[:, 2:] - self.boxes[:, :2]


@dataclass(frozen=True)
class Print:
    """What may be print in a picture."""

    dark: Grey
    """(H, W) darkness over that of paper, 0 to 1."""
    pieces: _Pieces | None
    """Pieces of ink; None where there are so many that the picture is texture."""

    def turn_clockwise(self) -> "Print":
        """The print of the picture turned by 90 degrees."""
        dark = np.rot90(self.dark, -1)
        if self.pieces is None:
            return Print(dark, None)
        left, top, right, bottom = self.pieces.boxes.T
        height = self.dark.shape[0]
        boxes = np.stack([height - bottom, left, height - top, right], axis=1)
        return Print(dark, _Pieces(boxes, np.rot90(self.pieces.labels, -1), self.pieces.numbers))

    def read_numbers(self) -> list[PrintedNumber]:
        """Words that may be upright numbers."""
        if self.pieces is None:
            return []
        sizes = self.pieces.sizes
        shape = sizes[:, 0] / sizes[:, 1]
        digit = (sizes[:, 1] >= HEIGHTS_PX[0]) & (sizes[:, 1] <= HEIGHTS_PX[1])
        digit &= (shape > 0.1) & (shape < 1.1)
        small = np.flatnonzero(~digit)
        words = [w for w in _chain(self.pieces.boxes, np.flatnonzero(digit), small) if len(w) <= MOST_DIGITS]
        looked_at = sorted({piece for word in words for piece in word})
        told = dict(zip(looked_at, tell_digits([self._cut(k) for k in looked_at]), strict=True))
        found = [
            _read_word(self.pieces.boxes, word, small, [told[k] for k in word])
            for word in words
            if all(told[k].max() > LEAST_CHANCE for k in word[: max(1, len(word) - 1)])
        ]
        return [number for number in found if number.chances]

    def _cut(self, piece: int) -> Grey:
        """(h, w) darkness of one piece, nothing of what is beside it."""
        assert self.pieces is not None
        x0, y0, x1, y1 = self.pieces.boxes[piece].astype(int)
        own = self.pieces.labels[y0:y1, x0:x1] == self.pieces.numbers[piece]
        return np.where(own, self.dark[y0:y1, x0:x1], np.float32(0))


def find_print(light: Light) -> Print:
    """What may be print in a picture uint8 (H, W), dark on light paper."""
    dark = 1 - light.astype(np.float32) / max(float(np.median(light[::3, ::3])), 1.0)
    return Print(dark, _find_pieces(dark))


def _find_pieces(dark: Grey) -> _Pieces | None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (dark > 1 - INK).astype(np.uint8), connectivity=8
    )
    left, top, width, height = (stats[:, k].astype(np.float64) for k in range(4))
    kept = np.flatnonzero((np.arange(count) > 0) & (height <= HEIGHTS_PX[1]) & (width <= 2 * HEIGHTS_PX[1]))
    if len(kept) > MOST_PIECES:
        return None
    boxes = np.stack([left, top, left + width, top + height], axis=1)[kept]
    return _Pieces(boxes, np.asarray(labels, np.int32), kept)


def _chain(boxes: Array, digits: NDArray[np.intp], small: NDArray[np.intp]) -> list[list[int]]:
    """Pieces, by their index, of each word: digits of one height beside each other, from left to right, with a point among
    the ``small`` pieces between them or without.
    """
    order = digits[np.argsort(boxes[digits, 0], kind="stable")]
    place = {int(k): n for n, k in enumerate(order)}
    x0, y0, _, y1 = boxes[order].T
    following: dict[int, int] = {}
    for k in order:
        _, top, right, bottom = boxes[k]
        height = bottom - top
        slack = 1.0 + 0.12 * height
        first, last = np.searchsorted(x0, (right - 1.0, right + 1.25 * height))
        beside = np.arange(max(first, place[int(k)] + 1), last)
        level = np.maximum(np.abs(y0[beside] - top), np.abs(y1[beside] - bottom)) <= slack
        for n in beside[level][:1]:
            gap = x0[n] - right
            if gap < 0.4 * height + 0.5 or _is_point(boxes[small], right, x0[n], top, bottom).any():
                following[int(k)] = int(order[n])
    begun = set(following.values())
    words = []
    for k in order:
        if int(k) in begun:
            continue
        word = [int(k)]
        while word[-1] in following:
            word.append(following[word[-1]])
        words.append(word)
    return words


def _is_point(boxes: Array, x0: float, x1: float, y0: float, y1: float) -> NDArray[np.bool_]:
    """(n,) whether pieces (n, 4) are points on the line of digits that reach from y0 to y1, between x0 and x1."""
    height = y1 - y0
    side = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    low = (boxes[:, 1] > y1 - 0.45 * height - 0.5) & (boxes[:, 3] < y1 + 0.2 * height)
    return np.asarray((side < 0.4 * height + 0.5) & low & (boxes[:, 0] >= x0 - 1) & (boxes[:, 2] <= x1 + 1))


def _read_word(
    boxes: Array, word: Sequence[int], small: NDArray[np.intp], told: Sequence[Array]
) -> PrintedNumber:
    """The number that the digits of a word may make, with the sign and the point among the ``small`` pieces.

    ``told``: (10,) probabilities of each digit, for each piece of the word.
    """
    x0, x1 = boxes[word[0], 0], boxes[word[-1], 2]
    y0, y1 = float(np.median(boxes[word, 1])), float(np.median(boxes[word, 3]))
    height = y1 - y0
    near = small[
        (boxes[small, 2] > x0 - 1.2 * height) & (boxes[small, 0] < x1)
        & (boxes[small, 1] > y0 - 1) & (boxes[small, 3] < y1 + 0.3 * height)
    ]  # fmt: skip
    width, tall = (boxes[near, 2 + k] - boxes[near, k] for k in (0, 1))
    is_point = _is_point(boxes[near], x0, x1, y0, y1)
    level = (boxes[near, 1] + boxes[near, 3]) / 2
    is_minus = (width > 1.5 * tall) & (tall < 0.3 * height + 0.5) & (width < 1.2 * height)
    is_minus &= (abs(level - (y0 + y1) / 2) < 0.25 * height) & (boxes[near, 2] <= x0 + 1)
    point = int(near[is_point][0]) if is_point.sum() == 1 else None
    sign = -1.0 if is_minus.any() else 1.0
    if is_minus.any():
        x0 = float(boxes[near[is_minus], 0].min())
    chances: dict[float, float] = {}
    if is_point.sum() <= 1:
        before = sum(boxes[k, 2] <= boxes[point, 0] + 1 for k in word) if point is not None else len(word)
        for shown, share in ((len(word), 1.0 - UNIT_CHANCE), (len(word) - 1, UNIT_CHANCE)):
            if shown < max(1, before + (point is not None)):
                continue
            for digits in product(*([d for d in range(10) if t[d] > LEAST_CHANCE] for t in told[:shown])):
                chance = share * float(np.prod([t[d] for t, d in zip(told, digits, strict=False)]))
                text = "".join(map(str, digits))
                value = sign * float(f"{text[:before]}.{text[before:]}") + 0.0
                chances[value] = chances.get(value, 0.0) + chance
    return PrintedNumber(float(x0), float(x1), y0, y1, chances)


def tell_digits(pieces: Sequence[Grey]) -> Array:
    """(n, 10) probability of each digit for the darkness (h, w) of n pieces of ink; what is missing to 1: it is none."""
    shapes, aspects, first = _known_digits()
    shape, aspect = _normalise(pieces)
    likeness = shape @ shapes.T - 0.5 * ASPECT_WEIGHT * ((aspect[:, None] - aspects) / ASPECT_ERROR) ** 2
    best = np.maximum.reduceat(likeness, first, axis=1)
    most = best.max(axis=1, keepdims=True)
    share = np.exp(SHARPNESS * (best - most))
    usual, width = LIKE_A_DIGIT
    is_digit = 1 / (1 + np.exp(-(most - usual) / width))
    return np.asarray(is_digit * share / share.sum(axis=1, keepdims=True), np.float64)


def _normalise(pieces: Sequence[Grey]) -> tuple[Array, Array]:
    """Ink (h, w) of n pieces brought to one size, mean 0 and length 1, (n, px); natural logs (n,) of width over height."""
    small = np.empty((len(pieces), SHAPE_PX[1], SHAPE_PX[0]), np.float32)
    for ink, shape in zip(pieces, small, strict=True):
        how = cv2.INTER_AREA if ink.shape[0] > SHAPE_PX[1] else cv2.INTER_LINEAR
        cv2.GaussianBlur(
            cv2.resize(ink.astype(np.float32), SHAPE_PX, interpolation=how), (0, 0), 0.8, dst=shape
        )
    flat = small.reshape(len(pieces), SHAPE_PX[0] * SHAPE_PX[1]).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    sizes = np.array([ink.shape for ink in pieces], np.float64).reshape(-1, 2)
    return flat, np.log(sizes[:, 1] / sizes[:, 0])


@lru_cache(maxsize=1)
def _known_digits() -> tuple[Array, Array, NDArray[np.intp]]:
    """Shapes (n, px) and proportions (n,) of the digits of some fonts, 0 to 9, and where each digit begins (10,)."""
    drawn = [[_trim(picture) for picture in _draw_digit(str(k))] for k in range(10)]
    first = np.cumsum([0, *map(len, drawn[:-1])])
    return *_normalise([picture for one in drawn for picture in one]), first


def _draw_digit(text: str) -> list[Grey]:
    """A digit, 0 to 1, in each font that is at hand."""
    fonts = [ImageFont.load_default(size) for size in (10, 14, 28)]
    found: list[Grey] = []
    for font in (*fonts, ImageFont.load_default_imagefont()):
        canvas = PilImage.new("L", (60, 60))
        ImageDraw.Draw(canvas).text((10, 10), text, fill=255, font=font)
        found.append(np.asarray(canvas, np.float32) * np.float32(1 / 255))
    for face in FACES:
        board = np.zeros((90, 90), np.uint8)
        cv2.putText(board, text, (20, 60), face, 1.0, 255, 2, cv2.LINE_AA)
        found.append(board.astype(np.float32) * np.float32(1 / 255))
    return found


def _trim(picture: Grey) -> Grey:
    """The inked part."""
    rows, columns = np.nonzero(picture > 0.35 * picture.max())
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
