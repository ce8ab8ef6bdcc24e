"""Decode the network's distributions over voltage to heights: minimum-cost paths, and means around them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import Y_PX_PER_MM
from ecgpage.core.logistic import sigmoid
from ecgpage.trace.geometry import ROWS
from ecgpage.trace.options import TraceOptions

Outputs = NDArray[np.float32]
"""What a network puts out: batch first."""

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
    """The network's outputs as numbers, float32 (batch, steps)."""

    height_mm: Outputs
    """Mean around the mode, mm above the level."""
    sigma_mm: Outputs
    """Expected error (one standard deviation), mm."""
    visible: Outputs
    """Probability, 0 to 1, that the lead is drawn."""

    def row(self, k: int) -> "Decoded":
        """Item ``k`` of the batch, (1, steps)."""
        return Decoded(*(v[k : k + 1] for v in (self.height_mm, self.sigma_mm, self.visible)))

    def steps(self, first: int, end: int) -> "Decoded":
        """Steps ``first`` to ``end`` (exclusive), (batch, end - first)."""
        return Decoded(*(v[:, first:end] for v in (self.height_mm, self.sigma_mm, self.visible)))


def bin_heights() -> Outputs:
    """Heights (BINS,) of the bins' centres, mm above the level."""
    return np.asarray((BINS / 2 - 0.5 - np.arange(BINS, dtype=np.float32)) * BIN_MM, np.float32)


def mean_around(logits: Outputs, mode: NDArray[np.int64]) -> Outputs:
    """Heights (b, t), mm, of voltage logits (b, BINS, t): mean over the bins around the bins ``mode`` (b, t)."""
    offsets = np.arange(-AROUND_MODE, AROUND_MODE + 1)
    index = mode[:, None] + offsets[None, :, None]  # (b, 2 * AROUND_MODE + 1, t)
    inside = (index >= 0) & (index < BINS)
    index = index.clip(0, BINS - 1)
    near = np.where(inside, np.take_along_axis(logits, index, 1), np.float32(-np.inf))
    weight = np.exp(near - near.max(1, keepdims=True))
    return np.asarray((weight * bin_heights()[index]).sum(1) / weight.sum(1), np.float32)


def likeliest_path(logits: Outputs, options: TraceOptions = TraceOptions()) -> NDArray[np.int64]:
    """Bins (b, t) of the minimum-cost path through voltage logits (b, BINS, t), by dynamic programming.

    A bin costs the negative log of its probability, at most ``max_step_cost``, and each bin climbed between steps costs
    ``climb_cost``, so that the path does not jump to a neighbouring lead where the traces cross. The cost of climbing is a
    difference of ramps, so the cheapest path to each bin is a running minimum.
    """
    cost = np.minimum(_surprise(logits), options.max_step_cost).transpose(2, 0, 1)  # (t, b, BINS)
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
    return np.ascontiguousarray(path.T)


def _surprise(logits: Outputs) -> Outputs:
    """Negative log of the probability of each bin (b, BINS, t)."""
    most = logits.max(1, keepdims=True)
    return np.asarray(most + np.log(np.exp(logits - most).sum(1, keepdims=True)) - logits, np.float32)


def decode(
    logits: Outputs, drawn: Outputs, log_error: Outputs, options: TraceOptions = TraceOptions()
) -> Decoded:
    """Heights, errors and visibility (b, t) from the outputs of the trace network.

    A Laplace error of mean size a has the standard deviation 1.41 a.
    """
    sigma = np.exp(log_error.clip(-6, 4)) * np.float32(ERROR_SCALE * 2**0.5)
    height = mean_around(logits, likeliest_path(logits, options))
    return Decoded(height, sigma, sigmoid(drawn))
