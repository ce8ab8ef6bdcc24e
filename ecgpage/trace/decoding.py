"""Decode the network's distributions over voltage to heights: minimum-cost paths, and means around them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ecgpage.core.conventions import Y_PX_PER_MM
from ecgpage.trace.geometry import ROWS
from ecgpage.trace.options import TraceOptions

BINS: Final = ROWS // 2
"""Number of voltage bins over a crop's height."""
BIN_MM: Final = 2 / Y_PX_PER_MM
"""Height of a bin, mm."""
AROUND_MODE: Final = 6
"""Bins on each side of the mode over which the mean is taken."""
ERROR_SCALE: Final = 0.99
"""Mean true error over mean expected error on drawn crops of fold 8: the averaged weights err less than the weights in
training, from whose errors the expected error was learned."""


@dataclass(frozen=True)
class Decoded:
    """The network's outputs as numbers, tensors of shape (batch, steps)."""

    height_mm: Tensor
    """Mean around the mode, mm above the level."""
    sigma_mm: Tensor
    """Expected error (one standard deviation), mm."""
    visible: Tensor
    """Probability, 0 to 1, that the lead is drawn."""

    def row(self, k: int) -> "Decoded":
        """Item ``k`` of the batch, (1, steps)."""
        return Decoded(*(v[k : k + 1] for v in (self.height_mm, self.sigma_mm, self.visible)))

    def steps(self, first: int, end: int) -> "Decoded":
        """Steps ``first`` to ``end`` (exclusive), (batch, end - first)."""
        return Decoded(*(v[:, first:end] for v in (self.height_mm, self.sigma_mm, self.visible)))


def bin_heights(device: torch.device | None = None) -> Tensor:
    """Heights (BINS,) of the bins' centres, mm above the level."""
    return (BINS / 2 - 0.5 - torch.arange(BINS, device=device, dtype=torch.float32)) * BIN_MM


def mean_around_mode(logits: Tensor, mode: Tensor | None = None) -> Tensor:
    """Heights (b, t), mm, of voltage logits (b, BINS, t): mean over the bins around ``mode`` (b, t).

    ``mode`` is the most likely bin of each step where it is not given.
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

    A bin costs the negative log of its probability, at most ``max_step_cost``, and each bin climbed between steps costs
    ``climb_cost``, so that the path does not jump to a neighbouring lead where the traces cross. The cost of climbing is a
    difference of ramps, so the cheapest path to each bin is a running minimum.
    """
    cost = (
        (-logits.log_softmax(1)).clamp_max(options.max_step_cost).permute(2, 0, 1).cpu().numpy()
    )  # (t, b, BINS)
    steps, batch, _ = cost.shape
    ramp = (options.climb_cost * np.arange(BINS)).astype(np.float32)
    total = np.empty(cost.shape, np.float32)  # cost of the cheapest path to each bin, (t, b, BINS)
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
    """Heights, errors and visibility (b, t) from the outputs of ``TraceNet.forward``.

    A Laplace error of mean size a has the standard deviation 1.41 a.
    """
    sigma = log_error.clamp(-6, 4).exp() * (ERROR_SCALE * 2**0.5)
    height = mean_around_mode(logits, likeliest_path(logits, options))
    return Decoded(height, sigma, drawn.sigmoid())
