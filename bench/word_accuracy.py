"""How many words of drawn windows the text reader finds, names rightly, and is sure of.

    python -m bench.word_accuracy --windows DIR [DIR ...] --model model

DIR holds shards of ``ecgpage.synth.text_windows`` or ``ecgpage.synth.world_text_windows``, drawn of fold 8. A word is found
where a peak of the reader lies within 2 mm of it; it is sure with a probability of 0.8 (names) or 0.85 (scales). A sure word
that lies 2.5 mm or more from every word is false.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from ecgpage.layout.text_reader import (
    BORDER_CELLS,
    CELL,
    LEAD_WORDS,
    PX_PER_MM,
    SURE_SCALE,
    RecognisedText,
    TextReader,
)
from ecgpage.synth.text_windows import SIDE, WindowPool, Windows

SURE_NAME: Final = 0.8
"""Probability of a name above which it counts here as sure."""
NEAR_PX: Final = 2.0 * PX_PER_MM
"""Distance, px, of a peak from a word that it finds, at most."""
FAR_PX: Final = 2.5 * PX_PER_MM
"""Distance, px, from every word, beyond which a sure word is false."""


@dataclass
class Tally:
    """Counts of one kind of words."""

    words: int = 0
    found: int = 0
    right: int = 0
    sure: int = 0
    sure_right: int = 0
    false: int = 0
    """Number of sure words where there is none."""

    def row(self, kind: str, windows: int) -> str:
        """Row of a table."""
        found, sure = max(self.found, 1), max(self.sure, 1)
        return (
            f"| {self.words:,} {kind} | {self.found / max(self.words, 1):.1%} | {self.right / found:.1%} | "
            f"{self.sure / max(self.words, 1):.1%} | {self.sure_right / sure:.1%} | {self.false / windows:.4f} |"
        )


def count_window(
    told: RecognisedText, places: np.ndarray, classes: np.ndarray, tallies: tuple[Tally, Tally]
) -> None:
    """Add one window's words, ``places`` (n, 2) px and ``classes`` (n,), to the tallies of names and of scales."""
    first = len(LEAD_WORDS)
    word = told.chances.argmax(axis=1)
    chance = told.chances.max(axis=1, initial=0.0) * told.scores
    sure = chance > np.where(word < first, SURE_NAME, SURE_SCALE)
    distance = np.hypot(*(told.places[:, None] - places[None]).transpose(2, 0, 1))
    for k, kind in enumerate(classes):
        if kind < 0:
            continue
        tally = tallies[int(kind >= first)]
        tally.words += 1
        if distance[:, k].min(initial=np.inf) < NEAR_PX:
            peak = int(distance[:, k].argmin())
            right = int(word[peak] == kind)
            tally.found += 1
            tally.right += right
            tally.sure += int(sure[peak])
            tally.sure_right += int(sure[peak]) * right
    for lost in np.flatnonzero(sure & (distance.min(axis=1, initial=np.inf) > FAR_PX)):
        tallies[int(word[lost] >= first)].false += 1


def measure(reader: TextReader, windows: Windows) -> tuple[Tally, Tally]:
    """Tallies of names and of scales that stand whole in the windows."""
    tallies = Tally(), Tally()
    edge = BORDER_CELLS * CELL
    for light, places, classes in zip(windows.light, windows.places, windows.classes, strict=True):
        told = reader.find(light)
        within = ((told.places > edge) & (told.places < SIDE - edge)).all(axis=1)
        told = RecognisedText(told.places[within], told.scores[within], told.chances[within])
        near_edge = ((places < edge + NEAR_PX) | (places > SIDE - edge - NEAR_PX)).any(axis=1)
        known = np.isfinite(places[:, 0])
        kinds = np.where(near_edge, -2, classes)  # cut words count neither as words nor as false
        count_window(told, places[known], kinds[known], tallies)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=Path, nargs="+", required=True)
    parser.add_argument("--model", type=Path, nargs="+", default=[Path("model")])
    parser.add_argument("--most", type=int, default=6000, help="windows of a folder")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print("| words | found | named right | sure | right of the sure | false sure words a window |")
    for folder in args.windows:
        stored = WindowPool(folder).windows()
        windows = Windows(stored.light[: args.most], stored.places[: args.most], stored.classes[: args.most])
        for model in args.model:
            tallies = measure(TextReader.load(model), windows)
            print(f"{folder}, {len(windows)} windows, {model}")
            for kind, tally in zip(("names", "scales"), tallies, strict=True):
                print(tally.row(kind, len(windows)), flush=True)


if __name__ == "__main__":
    main()
