"""From the network's distributions over voltage to heights: means around modes, and minimum-cost paths."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ecgpage.core.conventions import Y_PX_PER_MM
from ecgpage.trace.geometry import ROWS
from ecgpage.trace.options import TraceOptions

BINS: Final = ROWS // 2
BIN_MM: Final = 2 / Y_PX_PER_MM
AROUND_MODE: Final = 6
"""Bins on each side of the mode that make up the value."""
ERROR_SCALE: Final = 0.99
"""Mean true over mean expected error on drawn crops of fold 8: the averaged weights err less than the weights in
training, from whose errors they learned what to expect."""


@dataclass(frozen=True)
class Decoded:
    """The network's outputs as numbers, tensors of shape (batch, steps)."""

    height_mm: Tensor
    """Mean around the mode, mm above the level."""
    sigma_mm: Tensor
    """Expected error, mm."""
    visible: Tensor
    """Probability that the lead is drawn."""

    def row(self, k: int) -> "Decoded":
        """One of the batch, (1, steps)."""
        return Decoded(*(v[k : k + 1] for v in (self.height_mm, self.sigma_mm, self.visible)))

    def steps(self, first: int, end: int) -> "Decoded":
        """Some of the steps."""
        return Decoded(*(v[:, first:end] for v in (self.height_mm, self.sigma_mm, self.visible)))


def bin_heights(device: torch.device | None = None) -> Tensor:
    """(BINS,) height of the bins' centres, mm above the level."""
    return (BINS / 2 - 0.5 - torch.arange(BINS, device=device, dtype=torch.float32)) * BIN_MM


def mean_around_mode(logits: Tensor, mode: Tensor | None = None) -> Tensor:
    """Voltage logits (b, BINS, t) to heights (b, t), mm: mean over the bins around ``mode`` (b, t).

    Without it, around the most likely bin of each step.
    """
    mode = logits.argmax(1) if mode is None else mode
    offsets = torch.arange(-AROUND_MODE, AROUND_MODE + 1, device=logits.device)
    index = mode[:, None] + offsets[None, :, None]  # (b, 2 * AROUND_MODE + 1, t)
    inside = (index >= 0) & (index < BINS)
    index = index.clamp(0, BINS - 1)
    near = logits.gather(1, index).masked_fill(~inside, -torch.inf).softmax(1)
    return (near * bin_heights(logits.device)[index]).sum(1)


def likeliest_path(logits: Tensor, options: TraceOptions = TraceOptions()) -> Tensor:
    """Bins (b, t) of the minimum-cost path through voltage logits (b, BINS, t), by dynamic programming.

    A step's bin costs the negative log of its probability, at most ``max_step_cost``, and each bin climbed from step to
    step costs ``climb_cost``: neighbouring leads whose traces cross the lead's own do not catch the reading for single
    steps. The best path to a bin is a running minimum, because climbing costs a difference of ramps.
    """
    cost = (
        (-logits.log_softmax(1)).clamp_max(options.max_step_cost).permute(2, 0, 1).cpu().numpy()
    )  # (t, b, BINS)
    steps, batch, _ = cost.shape
    ramp = (options.climb_cost * np.arange(BINS)).astype(np.float32)
    total = np.empty(cost.shape, np.float32)  # of the best path to each bin
    total[0] = cost[0]
    below, above = np.empty((batch, BINS), np.float32), np.empty((batch, BINS), np.float32)
    for t in range(1, steps):
        np.subtract(total[t - 1], ramp, out=below)
        np.minimum.accumulate(below, 1, out=below)
        below += ramp
        np.add(total[t - 1], ramp, out=above)
        np.minimum.accumulate(above[:, ::-1], 1, out=above[:, ::-1])
        above -= ramp
        np.minimum(below, above, out=below)
        np.add(below, cost[t], out=total[t])
    path = np.empty((steps, batch), np.int64)
    path[-1] = total[-1].argmin(1)
    climbs = (options.climb_cost * np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))).astype(
        np.float32
    )
    for t in range(steps - 1, 0, -1):
        path[t - 1] = (total[t - 1] + climbs[path[t]]).argmin(1)
    return torch.from_numpy(np.ascontiguousarray(path.T)).to(logits.device)


def decode(
    logits: Tensor, drawn: Tensor, log_error: Tensor, options: TraceOptions = TraceOptions()
) -> Decoded:
    """The network's outputs as numbers; a Laplace error of mean size a has standard deviation 1.41 a."""
    sigma = log_error.clamp(-6, 4).exp() * (ERROR_SCALE * 2**0.5)
    height = mean_around_mode(logits, likeliest_path(logits, options))
    return Decoded(height, sigma, drawn.sigmoid())
