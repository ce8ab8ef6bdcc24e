"""Draw pages and crops on the fly while a network trains; works as a map-style dataset of any framework."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgpage.synth.crops import Crop, draw_crop
from ecgpage.synth.mixes import Mix
from ecgpage.synth.page.challenge import DrawnPage
from ecgpage.synth.picture import draw_picture
from ecgpage.synth.signal_artifacts import disturb


@dataclass
class DrawnPages:
    """Item k is a picture of signal k; another one in each epoch."""

    signals: NDArray[np.float32]
    """(n, n_samples, 12) mV."""
    fs: float
    mixes: Sequence[str | Mix]
    """One of them at random."""
    seed: int = 0
    epoch: int = 0
    """Set it to draw new pictures of the same signals."""
    disturbed: float = 0.0
    """Chance of each of the disturbances of ``effects.disturb``: another heart rate, wander, hum, faults of
    leads. The page's ``masked_signal`` is the disturbed one.
    """

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, index: int) -> DrawnPage:
        if not 0 <= index < len(self):
            raise IndexError(index)
        seed = (self.seed, self.epoch, index)
        mix = self.mixes[int(np.random.default_rng((*seed, 1)).integers(len(self.mixes)))]
        signal = self.signals[index]
        if self.disturbed:
            signal = disturb(signal, self.fs, np.random.default_rng((*seed, 2)), chance=self.disturbed)
        return draw_picture(signal, self.fs, mix=mix, seed=seed)


@dataclass
class DrawnCrops:
    """Item k is a crop of a random lead of signal k modulo their number."""

    signals: NDArray[np.float32]
    """(n, n_samples, 12) mV."""
    fs: float
    length: int
    """Items in one epoch."""
    width: int = 512
    seed: int = 0
    epoch: int = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Crop:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return draw_crop(self.signals[index % len(self.signals)], self.fs, rng, width=self.width)
