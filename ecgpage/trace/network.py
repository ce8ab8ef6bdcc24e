"""Network that reads the waveform of one lead from its crop: convolutions with self-attention along time.

Everything but the attention is convolutional, and the attention has no absolute positions, so one set of weights reads
segments and strips of any length. Its conventions are those of ``ecgpage.trace.crop_reader``.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ecgpage.core.nn import ConvNorm
from ecgpage.core.torch_runtime import load_module
from ecgpage.trace.decoding import BINS
from ecgpage.trace.geometry import ROWS

SMOOTH_CELLS: Final = 9
"""Side of the window of the local contrast, in cells of 8 x 8 px."""


class Residual(nn.Module):
    """Residual block of two convolutions, (b, n, h, w) to (b, n, h, w)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(n, n), ConvNorm(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.second(F.relu_(self.first(x))) + x)


class Attention(nn.Module):
    """Pre-norm transformer layer along time, (b, t, n) to (b, t, n); a short convolution stands for positions."""

    def __init__(self, n: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.near = nn.Conv1d(n, n, 5, padding=2, groups=n)
        self.norm_mix, self.norm_think = nn.LayerNorm(n), nn.LayerNorm(n)
        self.mix_in, self.mix_out = nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.think = nn.Sequential(nn.Linear(n, 2 * n), nn.GELU(), nn.Linear(2 * n, n))

    def forward(self, x: Tensor) -> Tensor:
        b, t, n = x.shape
        x = x + self.near(x.transpose(1, 2)).transpose(1, 2)
        parts = self.mix_in(self.norm_mix(x)).view(b, t, 3, self.heads, n // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (b, heads, t, n / heads)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, n)
        x = x + self.mix_out(mixed)
        y: Tensor = x + self.think(self.norm_think(x))
        return y


class TraceNet(nn.Module):
    """Network from a crop to voltage distribution, visibility and expected error of each step."""

    def __init__(
        self, widths: Sequence[int] = (48, 64, 96, 128), hidden: int = 160, heads: int = 4, layers: int = 3
    ) -> None:
        """``widths``: channels at 1/2, 1/4, 1/8 and 1/16 of the columns (1/4 ... 1/32 of the rows)."""
        super().__init__()
        self.settings = {"widths": list(widths), "hidden": hidden, "heads": heads, "layers": layers}
        fine, deep = widths[0], widths[-1]
        self.stem = ConvNorm(16, fine)
        self.row = nn.Parameter(torch.zeros(1, fine, ROWS // 4, 1))
        self.encode = nn.ModuleList([Residual(n) for n in widths])
        self.down = nn.ModuleList([ConvNorm(a, b, 2, 2) for a, b in pairwise(widths)])
        rows = ROWS // 4 >> (len(widths) - 1)
        self.gather = nn.Linear(rows * deep, hidden)
        self.attention = nn.ModuleList([Attention(hidden, heads) for _ in range(layers)])
        self.spread = nn.Linear(hidden, rows * deep)
        self.bottom = Residual(deep)
        self.up = nn.ModuleList([ConvNorm(b, a, 1) for a, b in pairwise(widths)])
        self.decode = nn.ModuleList([Residual(n) for n in widths[:-1]])
        self.voltage = nn.Conv2d(fine, 8, 1)
        self.columns = nn.Sequential(
            nn.Conv1d(2 * fine + hidden, 64, 5, padding=2), nn.ReLU(), nn.Conv1d(64, 8, 1)
        )

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs for grey crops (b, 1, ROWS, W), values 0 to 1.

        Returns logits over voltage (b, BINS, 2 W), logits of being drawn (b, 2 W), and the log of the
        expected absolute error in mm (b, 2 W).
        """
        x = torch.cat([2 * crop - 1, local_contrast(crop)], 1)  # (b, 2, ROWS, W)
        x = F.pixel_unshuffle(x, 2)  # (b, 8, ROWS / 2, W / 2)
        b, n, h, w = x.shape
        x = x.view(b, n, h // 2, 2, w).transpose(2, 3)
        x = x.reshape(b, 2 * n, h // 2, w)  # (b, 16, ROWS / 4, W / 2)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # (b, fine, ROWS / 4, W / 2)
        x = F.relu_(x + self.row.to(x.dtype))
        skips: list[Tensor] = []
        for encode, down in zip(self.encode, [*self.down, None], strict=True):
            x = encode(x)
            if down is not None:
                skips.append(x)
                x = F.relu_(down(x))
        time = x.permute(0, 3, 2, 1).flatten(2)  # (b, W / 16, rows * deep)
        time = self.gather(time)  # (b, W / 16, hidden)
        for layer in self.attention:
            time = layer(time)
        back = self.spread(time).view(b, x.shape[3], x.shape[2], x.shape[1])
        x = self.bottom(F.relu_(x + back.permute(0, 3, 2, 1)))  # (b, deep, rows, W / 16)
        for up, block, skip in zip(reversed(self.up), reversed(self.decode), reversed(skips), strict=True):
            x = block(F.relu_(skip + F.interpolate(up(x), scale_factor=2.0, mode="nearest")))
        wide = F.interpolate(time.transpose(1, 2), scale_factor=8.0, mode="nearest")  # (b, hidden, W / 2)
        # with channels last, pooling is ten times as fast as x.mean(2) and x.amax(2)
        over_rows = [pool(x, (h // 2, 1)).squeeze(2) for pool in (F.avg_pool2d, F.max_pool2d)]
        column = self.columns(torch.cat([*over_rows, wide], 1))  # (b, 8, W / 2)
        column = column.view(b, 2, 4, -1).transpose(2, 3).reshape(b, 2, -1).float()  # (b, 2, 2 W)
        with torch.autocast(x.device.type, enabled=False):
            logits = self.voltage(x.float())  # (b, 8, ROWS / 4, W / 2)
        logits = logits.view(b, 2, 4, h // 2, w).permute(0, 3, 1, 4, 2).reshape(b, BINS, 4 * w)
        return logits, column[:, 0], column[:, 1]

    def ready(self) -> "TraceNet":
        """Network itself, in place: evaluation mode, batch norms fused into the convolutions, channels last."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self.to(memory_format=torch.channels_last)


def load_network(folder: str | Path, name: str) -> TraceNet:
    """Network of a model folder, ready to read; EcgPageError when it is missing or damaged."""
    return load_trained(folder, name).ready()


def load_trained(folder: str | Path, name: str) -> TraceNet:
    """Network of a model folder as it was trained, in evaluation mode; EcgPageError as ``load_network``."""
    net, _ = load_module(folder, name, lambda settings: TraceNet(**settings))
    return net.eval()


def local_contrast(crop: Tensor) -> Tensor:
    """Local contrast (b, 1, ROWS, W) of crops: light less its mean over 9 mm x 7 mm, in standard deviations, -6 to 6."""
    cells = F.avg_pool2d(torch.cat([crop, crop * crop], 1).float(), 8)  # (b, 2, ROWS / 8, W / 8)
    # one direction after the other: 18 sums a cell, not 81
    for side in ((SMOOTH_CELLS, 1), (1, SMOOTH_CELLS)):
        cells = F.avg_pool2d(cells, side, 1, (side[0] // 2, side[1] // 2), count_include_pad=False)
    around = F.interpolate(cells, scale_factor=8.0, mode="bilinear")  # (b, 2, ROWS, W)
    mean, square = around[:, :1], around[:, 1:]
    spread = (square - mean * mean).clamp_min(0).sqrt()
    return ((crop - mean) / (spread + 0.02)).clamp(-6, 6)
