"""Read the waveform of one lead from its crop: a convolutional network with self-attention along time.

The network sees a grey crop of the flat page, 40 mm high around the lead's usual level, and gives for each
2 ms (half a crop column) a distribution over voltage. The value is the distribution's mean around the bin
through which the most likely way runs, so it lies between the bins; two further outputs say whether the lead
is drawn there at all and how far off the value may be. Everything but the attention is convolutional, and the
attention has no absolute positions, so segments and strips of any length go through the same weights; long
ones in overlapping tiles.

Conventions:
    crop      uint8 (ROWS, W) grey, 8 px/mm along voltage, 10 px/mm along time, W a multiple of ``STRIDE``;
              the level runs at edge row ROWS / 2, that is, between the pixel rows 159 and 160
    step      half a pixel along time: 0.05 mm, 2 ms at 25 mm/s; step j lies at edge column (j + 0.5) / 2
    bin       two pixels along voltage; bin b is centred at edge row 2 * b + 1
    height    mm above the level (up is positive), so mV = height / 10 at 10 mm/mV
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgpage.core.weights import fast_bfloat16, load_module
from ecgpage.grid.tracking import GridMap, flatten
from ecgpage.image.decode import Image

Array = NDArray[np.float64]
Grey = NDArray[np.uint8]
Window = tuple[float, float, float]
"""x0_mm, x1_mm, level_mm: left and right end on the page, and the page y around which the trace runs."""

NAME: Final = "trace"
"""Name of the weights in the model folder."""
X_PX_PER_MM: Final = 10
Y_PX_PER_MM: Final = 8
ROWS: Final = 320
"""Crop height, pixels: 20 mm above and below the level."""
BINS: Final = ROWS // 2
STRIDE: Final = 32
"""Crop widths are multiples of this."""
STEP_MM: Final = 0.05
"""Distance of the values along time."""
BIN_MM: Final = 2 / Y_PX_PER_MM
AROUND_MODE: Final = 6
"""Bins on each side of the mode that make up the value."""
CLIMB: Final = 0.1
"""Cost, in nats, of a bin's height between neighbouring steps when the way through the bins is chosen."""
MAX_COST: Final = 8.0
"""Nats; a step that says nothing of the way cannot forbid it either."""
MARGIN_MM: Final = 3.0
"""Context that is cropped before and after a window, so that its ends are not read blindly."""
TILE_PX: Final = 704
"""Longest crop that is read in one piece: 2.5 s with both margins."""
TILE_MARGIN_PX: Final = 32
"""Columns at a tile's inner ends whose values the neighbouring tile gives."""
ERROR_SCALE: Final = 0.99
"""Mean true over mean expected error on drawn crops of fold 8: the averaged weights err less than the weights in
training, from whose errors they learned what to expect."""
TALL: Final = 2
"""Traces that leave the crop are read once more from one that shows so many times its height."""
EDGE_MM: Final = 2.0
"""A trace that comes this close to a crop's edge may leave it."""
BATCH: Final = 2
"""Tiles that go through the network together: more do not fit into a processor's cache."""
SMOOTH_CELLS: Final = 9
"""Side of the window of the local contrast, in cells of 8 x 8 px."""


@dataclass(frozen=True)
class Reading:
    """What was read in one window; arrays have one value a step, from the window's left end to its right."""

    x_mm: Array
    """(n,) page x, ``STEP_MM`` apart; the first is the window's x0."""
    y_mm: Array
    """(n,) page y of the trace, NaN where the lead is not drawn."""
    sigma_mm: Array
    """(n,) expected error (one standard deviation) of ``y_mm``, mm."""
    visible: Array
    """(n,) probability that the lead is drawn here."""


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


# --- network ------------------------------------------------------------------------------------------------


class ConvNorm(nn.Module):
    """Convolution and batch norm; ``fuse`` makes one convolution of the two."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y

    def fuse(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Residual(nn.Module):
    """x + two convolutions, same shape."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(n, n), ConvNorm(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.second(F.relu_(self.first(x))) + x)


class Attention(nn.Module):
    """One pre-norm transformer layer along time, (b, t, n) to (b, t, n).

    Neighbourhood comes from a short convolution instead of positions.
    """

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
    """Crop to voltage distribution, visibility and expected error for each step."""

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
        """Grey crops (b, 1, ROWS, W), values 0 to 1.

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
        for up, decode, skip in zip(reversed(self.up), reversed(self.decode), reversed(skips), strict=True):
            x = decode(F.relu_(skip + F.interpolate(up(x), scale_factor=2.0, mode="nearest")))
        wide = F.interpolate(time.transpose(1, 2), scale_factor=8.0, mode="nearest")  # (b, hidden, W / 2)
        # pooling is ten times as fast as x.mean(2) and x.amax(2) where channels come last
        over_rows = [pool(x, (h // 2, 1)).squeeze(2) for pool in (F.avg_pool2d, F.max_pool2d)]
        column = self.columns(torch.cat([*over_rows, wide], 1))  # (b, 8, W / 2)
        column = column.view(b, 2, 4, -1).transpose(2, 3).reshape(b, 2, -1).float()  # (b, 2, 2 W)
        with torch.autocast(x.device.type, enabled=False):
            logits = self.voltage(x.float())  # (b, 8, ROWS / 4, W / 2)
        logits = logits.view(b, 2, 4, h // 2, w).permute(0, 3, 1, 4, 2).reshape(b, BINS, 4 * w)
        return logits, column[:, 0], column[:, 1]

    @classmethod
    def load(cls, folder: str | Path) -> "TraceNet":
        """The network of a model folder, ready to read; EcgPageError when it is missing or damaged."""
        net, _ = load_module(folder, NAME, lambda settings: cls(**settings))
        return net.ready()

    def ready(self) -> "TraceNet":
        """In place: evaluation mode, batch norms taken into the convolutions, channels last."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self.to(memory_format=torch.channels_last)

    def read(self, image: Image, grid: GridMap, windows: Sequence[Window]) -> list[Reading]:
        """Read windows of a page.

        ``image`` is the original uint8 (H, W, 3) RGB picture: each window is resampled from it once.
        """
        if not windows:
            return []
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        found = self.read_crops([cut_crop(grey, grid, *window) for window in windows])
        leaving = [k for k, decoded in enumerate(found) if _leaves(decoded)]
        tall = self.read_crops([cut_crop(grey, grid, *windows[k], shrink=TALL) for k in leaving])
        for k, decoded in zip(leaving, tall, strict=True):
            found[k] = _completed(found[k], decoded)
        return [_reading(decoded, *window) for decoded, window in zip(found, windows, strict=True)]

    def read_crops(self, crops: Sequence[Grey]) -> list[Decoded]:
        """Decode crops (ROWS, W), each to (1, 2 W); long ones in overlapping tiles.

        Widths are multiples of STRIDE, and may differ.
        """
        tiles = [_Tile(k, a, b) for k, crop in enumerate(crops) for a, b in tile_edges(crop.shape[1])]
        for same in _of_one_width(tiles):
            outputs = [
                self._outputs(np.stack([crops[t.crop][:, t.start : t.stop] for t in same[k : k + BATCH]]))
                for k in range(0, len(same), BATCH)
            ]
            found = decode(*(torch.cat(parts) for parts in zip(*outputs, strict=True)))
            for row, tile in enumerate(same):
                tile.found = found.row(row)
        return [_join([t for t in tiles if t.crop == k]) for k in range(len(crops))]

    def _outputs(self, crops: Grey) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 (b, ROWS, W) through the network, float32."""
        device = self.row.device
        x = torch.from_numpy(crops).to(device)[:, None].float() / 255  # (b, 1, ROWS, W)
        fast = fast_bfloat16(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=fast):
            logits, drawn, log_error = self(x)
        return logits.float(), drawn.float(), log_error.float()


def local_contrast(crop: Tensor) -> Tensor:
    """Grey relative to its surroundings (9 mm x 7 mm), in their standard deviations, (b, 1, ROWS, W)."""
    cells = F.avg_pool2d(torch.cat([crop, crop * crop], 1).float(), 8)  # (b, 2, ROWS / 8, W / 8)
    around = F.avg_pool2d(cells, SMOOTH_CELLS, 1, SMOOTH_CELLS // 2, count_include_pad=False)
    around = F.interpolate(around, scale_factor=8.0, mode="bilinear")  # (b, 2, ROWS, W)
    mean, square = around[:, :1], around[:, 1:]
    spread = (square - mean * mean).clamp_min(0).sqrt()
    return ((crop - mean) / (spread + 0.02)).clamp(-6, 6)


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


def likely_way(logits: Tensor) -> Tensor:
    """Bins (b, t) of the most likely connected way through voltage logits (b, BINS, t), by dynamic programming.

    A step's bin costs the negative log of its probability, at most MAX_COST, and each bin climbed from step to
    step costs CLIMB: neighbouring leads whose traces cross the lead's own do not catch the reading for single
    steps. The best way to a bin is a running minimum, because climbing costs a difference of ramps.
    """
    cost = (-logits.log_softmax(1)).clamp_max(MAX_COST).permute(2, 0, 1).cpu().numpy()  # (t, b, BINS)
    steps, batch, _ = cost.shape
    ramp = (CLIMB * np.arange(BINS)).astype(np.float32)
    total = np.empty(cost.shape, np.float32)  # of the best way to each bin
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
    way = np.empty((steps, batch), np.int64)
    way[-1] = total[-1].argmin(1)
    climbs = (CLIMB * np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))).astype(np.float32)
    for t in range(steps - 1, 0, -1):
        way[t - 1] = (total[t - 1] + climbs[way[t]]).argmin(1)
    return torch.from_numpy(np.ascontiguousarray(way.T)).to(logits.device)


def decode(logits: Tensor, drawn: Tensor, log_error: Tensor) -> Decoded:
    """The network's outputs as numbers; a Laplace error of mean size a has standard deviation 1.41 a."""
    sigma = log_error.clamp(-6, 4).exp() * (ERROR_SCALE * 2**0.5)
    height = mean_around_mode(logits, likely_way(logits))
    return Decoded(height, sigma, drawn.sigmoid())


# --- windows, crops, tiles ----------------------------------------------------------------------------------


def cut_crop(
    grey: Grey, grid: GridMap, x0_mm: float, x1_mm: float, level_mm: float, *, shrink: int = 1
) -> Grey:
    """Crop (ROWS, W) of a window with its margins, resampled once from the grey original.

    Step j of the crop lies at page x ``x0_mm - MARGIN_MM + j * STEP_MM``, so that a step falls on x0_mm. With
    ``shrink`` it shows so many times the height, as if the page had been printed at so small a gain.
    """
    columns = int(np.ceil((x1_mm - x0_mm + 2 * MARGIN_MM) * X_PX_PER_MM))
    columns = -(-columns // STRIDE) * STRIDE
    left = x0_mm - MARGIN_MM - STEP_MM / 2
    x_mm = left + (np.arange(columns) + 0.5) / X_PX_PER_MM
    rows = ROWS * shrink
    y_mm = level_mm + (np.arange(rows) + 0.5 - rows / 2) / Y_PX_PER_MM
    crop = np.asarray(flatten(grey, grid, x_mm, y_mm), np.uint8)
    if shrink == 1:
        return crop
    return np.asarray(cv2.resize(crop, (columns, ROWS), interpolation=cv2.INTER_AREA), np.uint8)


def _leaves(decoded: Decoded) -> bool:
    """Whether the trace comes close to the crop's upper or lower edge."""
    return bool(
        ((decoded.height_mm.abs() > ROWS / 2 / Y_PX_PER_MM - EDGE_MM) & (decoded.visible >= 0.5)).any()
    )


def _completed(decoded: Decoded, tall: Decoded) -> Decoded:
    """A crop's reading, from the crop of TALL times its height where the trace runs near its edges or beyond."""
    height, sigma = tall.height_mm * TALL, tall.sigma_mm * TALL
    beyond = (height.abs() > ROWS / 2 / Y_PX_PER_MM - EDGE_MM) & (tall.visible >= 0.5)
    return Decoded(
        torch.where(beyond, height, decoded.height_mm),
        torch.where(beyond, sigma, decoded.sigma_mm),
        torch.where(beyond, tall.visible, decoded.visible),
    )


def tile_edges(width: int) -> list[tuple[int, int]]:
    """Ranges of at most TILE_PX that cover ``width`` columns, neighbours overlapping by two margins."""
    if width <= TILE_PX:
        return [(0, width)]
    most = TILE_PX - 2 * TILE_MARGIN_PX
    count = -(-(width - 2 * TILE_MARGIN_PX) // most)
    starts = np.linspace(0, (width - TILE_PX) // STRIDE, count).round().astype(int) * STRIDE
    return [(int(start), int(start) + TILE_PX) for start in starts[:-1]] + [(width - TILE_PX, width)]


@dataclass
class _Tile:
    """Columns ``start`` to ``stop`` of one crop, and what was found there."""

    crop: int
    start: int
    stop: int
    found: Decoded | None = None


def _of_one_width(tiles: list[_Tile]) -> list[list[_Tile]]:
    """Tiles of equal width together."""
    widths: dict[int, list[_Tile]] = {}
    for tile in tiles:
        widths.setdefault(tile.stop - tile.start, []).append(tile)
    return list(widths.values())


def _join(tiles: list[_Tile]) -> Decoded:
    """Tiles of one crop, from left to right, put together in the middle of their overlaps."""
    cuts = [0, *(a.stop + b.start for a, b in pairwise(tiles)), 2 * tiles[-1].stop]  # steps: two a column
    pieces = [
        tile.found.steps(low - 2 * tile.start, high - 2 * tile.start)
        for tile, (low, high) in zip(tiles, pairwise(cuts), strict=True)
        if tile.found is not None
    ]
    return Decoded(
        torch.cat([p.height_mm for p in pieces], 1),
        torch.cat([p.sigma_mm for p in pieces], 1),
        torch.cat([p.visible for p in pieces], 1),
    )


def _reading(decoded: Decoded, x0_mm: float, x1_mm: float, level_mm: float) -> Reading:
    """The window's own steps of a decoded crop, in page coordinates."""
    first = round(MARGIN_MM / STEP_MM)
    count = int(np.floor((x1_mm - x0_mm) / STEP_MM + 1e-6)) + 1
    height, sigma, visible = (
        np.asarray(v[0, first : first + count].cpu(), np.float64)
        for v in (decoded.height_mm, decoded.sigma_mm, decoded.visible)
    )
    x_mm = x0_mm + STEP_MM * np.arange(len(height), dtype=np.float64)
    return Reading(x_mm, np.where(visible >= 0.5, level_mm - height, np.nan), sigma, visible)
