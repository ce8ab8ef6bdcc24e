"""Recognise the text of a flat page that names a lead, the paper speed or the gain: a small convolutional network.

The network sees the page in grey at 4 px/mm, with the grid. For each square millimetre it tells whether a known word is
centred there, and which. It sees 12 mm around, so it reads the word itself and learns nothing from its place on the page.

Conventions:
    light   uint8 (h, w), ``PX_PER_MM`` pixels a millimetre, brightest of the colour channels
    cell    square of ``CELL`` x ``CELL`` pixels of light
    place   page x, y, mm, of a word's middle; of a scale, the middle of its number and first unit ("25 mm")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecgpage.core.runtime import Network, Runtime, choose_runtime
from ecgpage.core.types import Array, Light
from ecgpage.core.weights import load_card, load_state
from ecgpage.grid.flat_page import AROUND_PX_PER_MM, FlatPage
from ecgpage.layout.words import GAINS, LEAD_WORDS, SPEEDS, WORDS

NAME: Final = "words"
"""Name of the weights in the model folder."""
PX_PER_MM: Final = AROUND_PX_PER_MM
"""Resolution, px/mm, of the page that the network sees."""
CELL: Final = 4
"""Side, px, of a cell: one millimetre."""
MIN_SCORE: Final = 0.3
"""Probability of a word in a cell above which it is found."""
SURE_SCALE: Final = 0.85
"""Probability of a speed or a gain, by all words together, above which it counts."""
CLEAR_SCALE: Final = 0.8
"""Probability that the clearest word alone must exceed: many vague words are the texture of the background."""
LIKELY_SCALE: Final = 0.7
"""Probability that a word is a scale, above which it is used: dirt and edges give swarms of weak ones."""
MISREAD: Final = 0.03
"""Share of words read as a scale that tell nothing about it."""
APART_CELLS: Final = 2
"""Distance, cells, of two words, above which both are kept."""
EVEN: Final = 0.01
"""Weight of a cell's neighbours in its score, which settles ties for the middle of equally sure cells."""
BORDER_CELLS: Final = 3
"""Width, cells, of the border added around a picture: cells at an edge see too little."""
PAPER_PX: Final = 41
"""Side, px, of the window whose mean is the paper's brightness."""
BEYOND_MM: Final = 30.0
"""Distance, mm, around the leads within which text is searched."""

NEARLY_ALL: Final = 0.8
"""Share of what is seen of a page from which all of it is read at once: it may be asked for later."""


@dataclass(frozen=True)
class RecognisedText:
    """Words recognised on a page, surest first."""

    places: Array
    """(n, 2) page x, y, mm, of each word."""
    scores: Array
    """(n,) probability, 0 to 1, that a word stands there."""
    chances: Array
    """(n, len(WORDS)) probability of each word of ``WORDS``, given that one stands there."""

    def scale(self, values: Sequence[float]) -> float | None:
        """Scale among ``values`` (``SPEEDS`` or ``GAINS``) that one word shows clearly and all words together make sure; None
        without one.
        """
        pairs = self.scale_chances()
        chances = pairs.sum(axis=1 if values is SPEEDS else 0)[: len(values)]
        best = int(chances.argmax())
        word = len(LEAD_WORDS) + (0 if values is SPEEDS else len(SPEEDS)) + best
        clearest = (self.chances[:, word] * self.scores).max(initial=0.0)
        return values[best] if chances[best] > SURE_SCALE and clearest > CLEAR_SCALE else None

    def scale_chances(self) -> Array:
        """(len(SPEEDS) + 1, len(GAINS) + 1) probability of each pair of printed speed and gain; last entries: none printed.

        A page has one speed and one gain, so the other words decide whether an unclear one is "50 mm/s" or "5 mm/mV". By
        Bayes' rule; the prior is even, as the network learned from all speeds and gains equally often.
        """
        first = len(LEAD_WORDS)
        told = self.chances[:, first:] * self.scores[:, None]
        told = told[told.sum(axis=1) > LIKELY_SCALE]
        speeds, gains = (np.pad(part, ((0, 0), (0, 1))) for part in np.split(told, [len(SPEEDS)], axis=1))
        other = 1 - told.sum(axis=1)
        fits = len(SPEEDS) * speeds[:, :, None] + len(GAINS) * gains[:, None, :] + other[:, None, None]
        logs = np.log(MISREAD + (1 - MISREAD) * fits).sum(axis=0)
        share = np.exp(logs - logs.max())
        return np.asarray(share / share.sum())


def darkness(light: Light | NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) darkness against the paper around: 0 paper, about 1 black ink, negative where brighter."""
    paper = cv2.boxFilter(light, cv2.CV_32F, (PAPER_PX, PAPER_PX), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(1 - light / np.maximum(paper, 8.0), np.float32)


class TextReader:
    """Reader of lead names, paper speed and gain, ready to use."""

    def __init__(self, network: Network) -> None:
        """``network``: from darkness (b, 1, h, w) to the outputs of ``TextNet.forward``."""
        self.network = network
        self._seen: tuple[Light, dict[int, RecognisedText]] | None = None

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime | None = None) -> "TextReader":
        """Reader of a model folder; ``EcgPageError`` when it is missing or damaged."""
        runtime = runtime or choose_runtime()
        if runtime.name == "torch":
            from ecgpage.core.torch_runtime import TorchNetwork  # noqa: PLC0415 - only this way needs PyTorch
            from ecgpage.layout.text_network import load_network  # noqa: PLC0415

            return cls(TorchNetwork(load_network(folder, NAME)[0].ready(), runtime.device))
        from ecgpage.core.onnx_runtime import load_graph  # noqa: PLC0415

        settings = load_card(folder, NAME).settings
        return cls(load_graph(folder, NAME, load_state(folder, NAME), settings))

    def read(
        self, page: FlatPage, leads_mm: Array, beyond_mm: float = BEYOND_MM, *, turned: bool = False
    ) -> RecognisedText:
        """Words of an upright page within ``beyond_mm`` of the boxes of its leads (n, 4), page mm; with ``turned`` those that
        are written from below to above.
        """
        if not len(leads_mm):
            return RecognisedText(np.zeros((0, 2)), np.zeros(0), np.zeros((0, len(WORDS))))
        light, edge, turn = page.around.light, page.around.edge_mm, 3 if turned else 0
        size = np.array(light.shape[::-1])
        first = np.maximum(0, (leads_mm[:, :2].min(axis=0) - beyond_mm - edge) * PX_PER_MM).astype(int)
        last = ((leads_mm[:, 2:].max(axis=0) + beyond_mm - edge) * PX_PER_MM).astype(int)
        last = np.minimum(np.maximum(last, first + 1), size)
        if turn in self._recall(light) or np.prod(last - first) > NEARLY_ALL * size.prod():
            found = self.read_whole(page, turn)
            places = _turn_back(found.places, light) if turned else found.places
            inside = ((places >= first) & (places <= last)).all(axis=1)
            found = RecognisedText(places[inside], found.scores[inside], found.chances[inside])
        else:
            part = light[first[1] : last[1], first[0] : last[0]]
            found = self.find(np.ascontiguousarray(np.rot90(part, turn)))
            places = (_turn_back(found.places, part) if turned else found.places) + first
            found = RecognisedText(places, found.scores, found.chances)
        return RecognisedText(found.places / PX_PER_MM + edge, found.scores, found.chances)

    def read_whole(self, page: FlatPage, turn: int) -> RecognisedText:
        """Words of all that is seen of a page, after ``turn`` quarter turns counter-clockwise, 0 to 3; their places are px of
        the turned picture. They are kept until another page is read.
        """
        light = page.around.light
        known = self._recall(light)
        if turn not in known:
            known[turn] = self.find(np.ascontiguousarray(np.rot90(light, turn)))
        return known[turn]

    def _recall(self, light: Light) -> dict[int, RecognisedText]:
        """Words that were read of all that is seen of a page, by turn; exchanged whole, for threads may read other pages."""
        seen = self._seen
        if seen is None or seen[0] is not light:
            seen = self._seen = (light, {})
        return seen[1]

    def find(self, light: Light) -> RecognisedText:
        """Words of a picture; their places are x, y in its pixels, edge coordinates."""
        border = BORDER_CELLS * CELL
        pad = [(border, border + -n % CELL) for n in light.shape]
        (logits,) = self.network(darkness(np.pad(light, pad, mode="edge"))[None, None])
        told = logits[0, :, BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS]
        odds = np.exp(told - told.max(0))
        return find_peaks(np.asarray(odds / odds.sum(0), np.float32))


def _turn_back(places: Array, light: Light) -> Array:
    """(n, 2) places, px, in a picture (h, w), of (n, 2) places in it after a turn clockwise by 90 degrees."""
    return np.stack([places[:, 1], light.shape[0] - places[:, 0]], axis=1)


def find_peaks(chances: NDArray[np.float32]) -> RecognisedText:
    """Words, places in px, at the maxima of the cells' probabilities ``chances`` (1 + len(WORDS), rows, columns)."""
    is_word = 1 - chances[0]
    side = 2 * APART_CELLS + 1
    # the middle one of equally sure cells
    surest = is_word + EVEN * cv2.boxFilter(is_word, -1, (3, 3), borderType=cv2.BORDER_CONSTANT)
    highest = cv2.dilate(surest, np.ones((side, side), np.uint8))
    rows, columns = np.nonzero((surest == highest) & (is_word > MIN_SCORE))
    order = np.argsort(-surest[rows, columns], kind="stable")
    taken = np.zeros(is_word.shape, bool)
    places, scores, words = [], [], []
    for r, c in zip(rows[order], columns[order], strict=True):
        if taken[r, c]:
            continue
        taken[
            max(0, r - APART_CELLS) : r + APART_CELLS + 1, max(0, c - APART_CELLS) : c + APART_CELLS + 1
        ] = True
        near = chances[1:, max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].astype(np.float64)
        mass = near.sum(axis=0)
        at = np.stack(np.meshgrid(np.arange(near.shape[2]), np.arange(near.shape[1])), -1)
        corner = np.array([max(0, c - 1), max(0, r - 1)]) + 0.5
        places.append(((at * mass[..., None]).sum(axis=(0, 1)) / mass.sum() + corner) * CELL)
        scores.append(float(is_word[r, c]))
        words.append(near.sum(axis=(1, 2)) / mass.sum())
    n = len(scores)
    return RecognisedText(
        np.array(places).reshape(n, 2), np.array(scores), np.array(words).reshape(n, len(WORDS))
    )
