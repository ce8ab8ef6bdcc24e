"""Simulate on the signal alone how a printed page and its digitization alter a recorded ECG.

Windows are (n, 12, 1000): leads in the order ``LEADS``, 10 s at 100 Hz, mV, NaN where not known.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecgpage.core.conventions import LEADS
from ecgpage.core.types import Rng
from ecgpage.diagnosis.preprocessing import FS, WINDOW
from ecgpage.layout.known_layouts import KNOWN_LAYOUTS, LAYOUT_OF


def page_mask(layout: str, rhythm: Sequence[int], starts: Sequence[float] | None = None) -> NDArray[np.bool_]:
    """Samples (12, 1000) printed on a page: the columns of ``layout`` one after the other, and full rhythm strips.

    ``starts``: start of each column in time, in units of its length (default 0, 1, 2, ...).
    """
    columns = LAYOUT_OF[layout].columns
    mask = np.zeros((len(LEADS), WINDOW), bool)
    length = WINDOW // len(columns)
    for leads, start in zip(columns, starts if starts is not None else range(len(columns)), strict=True):
        first = round(start * length)
        mask[[LEADS.index(lead.removeprefix("-")) for lead in leads], first : first + length] = True
    mask[list(rhythm)] = True
    return mask


STANDARD_MASK: Final = page_mask("3x4", [LEADS.index("II")])
"""Mask of the Challenge's page: 3x4 with lead II as rhythm strip."""
SIMULATED_ODDS: Final = {known.name: known.simulated for known in KNOWN_LAYOUTS if known.simulated}
"""Share of each layout among simulated pages."""


def random_mask(rng: Rng) -> NDArray[np.bool_]:
    """Mask (12, 1000) of a random layout: mostly 3x4, else 6x2 or 12x1; mostly with II as rhythm strip."""
    layout = str(rng.choice(list(SIMULATED_ODDS), p=list(SIMULATED_ODDS.values())))
    columns = len(LAYOUT_OF[layout].columns)
    kind = rng.random()
    rhythm = [1]
    if kind < 0.10:
        rhythm = []
    elif kind < 0.20:
        rhythm = [int(rng.integers(12))]
    elif kind < 0.28:
        rhythm = [1, 6, int(rng.integers(7, 12))]
    order = rng.random()
    starts: Sequence[float] = range(columns)
    if order < 0.04:  # all columns show one moment
        starts = [int(rng.integers(columns))] * columns
    elif order < 0.54:  # any moments: unlike real pages, but with more variety from each record
        starts = rng.uniform(0, columns - 1, columns).tolist()
    return page_mask(layout, rhythm, starts)


def mask_as_page(x: Tensor) -> Tensor:
    """Windows (n, 12, 1000) of a 3x4 page with lead II over 10 s; a partial record keeps its own windows."""
    shown = torch.from_numpy(STANDARD_MASK).to(x.device) | _partial(x)[:, None, None]
    return x.masked_fill(~shown, math.nan)


def _partial(x: Tensor) -> Tensor:
    """Whether a good part of each record is unknown, bool (n,), as after a page."""
    return x.isfinite().float().mean((1, 2)) < 0.85


def simulate_digitization(x: Tensor, rng: Rng, *, mixed_layouts: bool = True) -> Tensor:
    """Windows (n, 12, 1000), mV, after a page and its digitization with light errors.

    Time shift +-30 ms (one record in two up to +-0.4 s) and scale 0.5 %, gain 4 %, low-pass, noise, offset
    and drift per lead, the printed windows, lost leads, gaps. A record that already is partial keeps its own
    windows.
    """
    n, device = len(x), x.device

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(device)

    def chance(p: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.random(shape) < p).to(device)

    # time: linear interpolation at shifted, stretched positions; unknown beyond the ends
    far = torch.from_numpy(rng.uniform(-40, 40, (n, 1, 1)).astype(np.float32)).to(device)
    shift = 1.5 * normal(n, 1, 1) + 0.5 * normal(n, 12, 1) + far * chance(0.5, n, 1, 1)
    centred = torch.arange(WINDOW, device=device) - WINDOW / 2
    position = centred * (1 + 0.0025 * normal(n, 1, 1)) + WINDOW / 2 + shift  # (n, 12, 1000)
    left = position.floor().clamp(0, WINDOW - 2)
    part = position - left
    index = left.long()
    x = torch.lerp(x.gather(2, index), x.gather(2, index + 1), part.clamp(0, 1))
    x = x.masked_fill((part < -0.5) | (part > 1.5), math.nan)

    # printed windows
    partial = _partial(x)
    masks = np.stack([random_mask(rng) if mixed_layouts else STANDARD_MASK for _ in range(n)])
    shown = torch.from_numpy(masks).to(device) | partial[:, None, None]
    lost = chance(0.15, n, 1, 1) & chance(0.2, n, 12, 1)
    known = x.isfinite() & shown & ~lost
    for i in np.flatnonzero(rng.random(n) < 0.2):  # gaps in some leads
        for lead in rng.choice(12, rng.integers(1, 5)):
            start, length = rng.integers(WINDOW), rng.integers(3, 60)
            known[i, lead, start : start + length] = False

    # voltage
    x = torch.where(known, x, 0.0)
    cutoff = torch.from_numpy(rng.uniform(15, 60, (n, 1, 1)).astype(np.float32)).to(device)  # Hz
    frequency = torch.fft.rfftfreq(WINDOW, 1 / FS).to(device)
    x = torch.fft.irfft(torch.fft.rfft(x) * torch.exp(-0.35 * (frequency / cutoff) ** 2), WINDOW)
    x = x * (1 + 0.03 * normal(n, 1, 1)) * (1 + 0.02 * normal(n, 12, 1))
    noise = 0.004 * torch.exp(0.8 * normal(n, 12, 1)) * normal(n, 12, WINDOW)  # mostly 2 to 9 uV
    drift = 0.03 * normal(n, 12, 1) + 0.03 * normal(n, 12, 1) * (centred / (WINDOW / 2))
    return (x + noise + drift).masked_fill(~known, math.nan)
