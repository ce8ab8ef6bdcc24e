"""Networks of the signal branch: on windows, on beats, and both with trees."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.torch_runtime import load_tensors
from ecgpage.core.weights import load_card
from ecgpage.diagnosis import beats
from ecgpage.diagnosis.beats import read_all_beats
from ecgpage.diagnosis.preprocessing import LARGEST_MV, baseline_kernel
from ecgpage.diagnosis.tree_module import Trees


class Convolution(nn.Conv1d):
    """Convolution along time of (n, c, 1, t), no bias; channels last in memory, a third faster than ``Conv1d`` on a CPU."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, None]
        return F.conv2d(x, weight, None, (1, self.stride[0]), (0, self.kernel_size[0] // 2))


class SqueezeExcite(nn.Module):
    """Gate for each channel of (n, c, 1, t), computed from the means of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 8)
        self.excite = nn.Linear(channels // 8, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))  # (n, c)
        return x * gate[..., None, None]


class Block(nn.Module):
    """Residual block of two convolutions and a gate (He et al. 2016) on (n, c, 1, t); ``stride`` 2 halves the rate."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inside, outside, kernel, stride)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = Convolution(outside, outside, kernel)
        self.norm2 = nn.BatchNorm2d(outside)
        self.gate = SqueezeExcite(outside)
        same = inside == outside and stride == 1
        self.skip = nn.Identity() if same else Convolution(inside, outside, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.gate(self.norm2(self.conv2(y))) + self.skip(x))


class TimeAttention(nn.Module):
    """Self-attention along time, (n, c, t) to (n, c, t), with a learned bias per distance (Vaswani et al. 2017).

    It compares beats.
    """

    REACH: Final = 64
    """Distance in steps (10 s) beyond which all distances share one bias."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * self.REACH + 1))

    def forward(self, x: Tensor) -> Tensor:
        n, c, t = x.shape
        y = self.norm(x.transpose(1, 2))
        q, k, v = self.qkv(y).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        at = torch.arange(t, device=x.device)
        distance = (at[None] - at[:, None]).clamp(-self.REACH, self.REACH) + self.REACH  # (t, t)
        weight = q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5 + self.bias[:, distance]  # (n, h, t, t)
        y = torch.softmax(weight.float(), dim=-1).to(v.dtype) @ v  # (n, h, t, c/h)
        return x + self.out(y.transpose(1, 2).reshape(n, t, c)).transpose(1, 2)


class AttentionPool(nn.Module):
    """Pooling over time, (n, c, t) to (n, (queries + 2) c): ``queries`` means with learned weights, mean and maximum."""

    def __init__(self, channels: int, queries: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(channels, queries, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.softmax(self.score(x).float(), dim=-1).to(x.dtype)  # (n, q, t)
        pooled = torch.einsum("nqt,nct->nqc", weight, x).flatten(1)  # (n, q*c)
        return torch.cat([pooled, x.mean(-1), x.amax(-1)], dim=1)  # (n, (q+2)*c)


class SignalNet(nn.Module):
    """Network from planes (n, 24, t) at 100 Hz to logits (n, outputs); stem and each later stage halve the rate."""

    def __init__(
        self,
        outputs: int,
        *,
        widths: Sequence[int] = (48, 96, 160, 224),
        depths: Sequence[int] = (1, 1, 2, 1),
        kernel: int = 5,
        queries: int = 4,
        hidden: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "widths": list(widths),
            "depths": list(depths),
            "kernel": kernel,
            "queries": queries,
            "hidden": hidden,
            "dropout": dropout,
        }
        self.stem = Convolution(2 * len(LEADS), widths[0], 9, 2)
        self.norm = nn.BatchNorm2d(widths[0])
        blocks: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                blocks.append(Block(channels, width, kernel, 2 if stage > 0 and block == 0 else 1))
                channels = width
        self.body = nn.Sequential(*blocks)
        self.context = TimeAttention(channels)
        self.pool = AttentionPool(channels, queries)
        self.mix = nn.Linear((queries + 2) * channels, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        x = planes[:, :, None].contiguous(memory_format=torch.channels_last)  # (n, 24, 1, t)
        x = F.relu(self.norm(self.stem(x)))  # (n, 48, 1, t/2), 50 Hz
        x = self.context(self.body(x)[:, :, 0])  # (n, 224, t/16), 6.25 Hz
        x = F.relu(self.mix(self.dropout(self.pool(x))))
        return self.head(self.dropout(x))


def to_planes(windows: Tensor) -> Tensor:
    """Planes (n, 24, t) as ``ecgpage.diagnosis.preprocessing.to_planes`` makes them, on the device of the windows."""
    known = windows.isfinite()
    mask = known.to(windows.dtype)
    level = torch.nan_to_num(windows.masked_fill(~known, math.nan).nanmedian(-1, keepdim=True).values)
    x = torch.where(known, windows - level, 0.0).clamp(-LARGEST_MV, LARGEST_MV)
    baseline = _smooth(x.clamp(-0.3, 0.3)) / _smooth(mask).clamp_min(1e-3)
    return torch.cat([(x - baseline) * mask, mask], dim=1)


def _smooth(x: Tensor) -> Tensor:
    """Signals (n, 12, t) after a Gaussian low-pass along time; zeros stand beyond the ends."""
    kernel = torch.from_numpy(baseline_kernel()).to(x)
    size = x.shape[-1] + len(kernel) - 1
    spectrum = torch.fft.rfft(x, size) * torch.fft.rfft(kernel, size)
    start = len(kernel) // 2
    return torch.fft.irfft(spectrum, size)[..., start : start + x.shape[-1]]


def to_beats(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Usual beats (n, 12, 88) mV with NaN, sequences (n, 86) and all numbers (n, 492) of windows (n, 12, t) mV at 100 Hz."""
    found = read_all_beats(windows.cpu().numpy())
    usual, sequence, numbers = (torch.from_numpy(part).to(windows.device) for part in found)
    return usual, sequence, numbers


class BeatNet(nn.Module):
    """Network from usual beats (n, 12, 88) mV with NaN and sequences (n, 86) to logits (n, outputs).

    The beats are aligned, so there is no pooling over time: the meaning of a sample is its place in the beat.
    """

    def __init__(
        self,
        outputs: int,
        *,
        widths: Sequence[int] = (64, 96, 128),
        kernel: int = 5,
        hidden: int = 192,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "widths": list(widths),
            "kernel": kernel,
            "hidden": hidden,
            "dropout": dropout,
        }
        first, last = widths[0], widths[-1]
        self.stem = Convolution(2 * len(LEADS), first, 7)
        self.norm = nn.BatchNorm2d(first)
        blocks = [Block(first, first, kernel, 1)]
        blocks += [Block(i, o, kernel, 2) for i, o in zip(widths, [*widths[1:], last], strict=True)]
        self.body = nn.Sequential(*blocks)
        self.wave = nn.Linear(last * math.ceil(beats.LENGTH / 2 ** len(widths)), hidden)
        self.scale = nn.BatchNorm1d(len(beats.SEQUENCE))
        self.rhythm = nn.Sequential(
            nn.Linear(2 * len(beats.SEQUENCE), 96),
            nn.ReLU(),
            nn.Dropout(dropout / 2),
            nn.Linear(96, 64),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(hidden + 64, 128)
        self.head = nn.Linear(128, outputs)

    def forward(self, usual: Tensor, sequence: Tensor) -> Tensor:
        known = usual.isfinite()
        x = torch.cat([torch.nan_to_num(usual).clamp(-LARGEST_MV, LARGEST_MV), known.to(usual.dtype)], 1)
        x = x[:, :, None].contiguous(memory_format=torch.channels_last)  # (n, 24, 1, 88)
        x = self.body(F.relu(self.norm(self.stem(x)))).flatten(1)
        x = F.relu(self.wave(self.dropout(x)))
        scaled = self.scale(sequence)
        tails = scaled.sign() * scaled.abs().log1p()
        x = torch.cat([x, self.rhythm(torch.cat([scaled.clamp(-4, 4), tails], 1))], 1)
        return self.head(self.dropout(F.relu(self.mix(self.dropout(x)))))


class SignalNets(nn.Module):
    """Networks of the signal branch, from windows (n, 12, t) mV with NaN at 100 Hz to logits (n, outputs).

    The logits are the mean of the network on windows, the network on beats and, for the outputs that they cover, the trees
    on rhythm and form.
    """

    def __init__(
        self,
        outputs: int,
        windows: Mapping[str, Any] | None = None,
        beats: Mapping[str, Any] | None = None,
        trees: Mapping[str, int] | None = None,
    ) -> None:
        """``windows``, ``beats``, ``trees``: settings of ``SignalNet``, ``BeatNet`` and ``Trees``."""
        super().__init__()
        self.outputs = outputs
        self.windows = SignalNet(outputs, **(windows or {}))
        self.beats = BeatNet(outputs, **(beats or {}))
        self.trees = Trees(outputs, **(trees or {}))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of networks and trees, for a card."""
        return {name: getattr(self, name).settings for name in ("windows", "beats", "trees")}

    def forward(self, windows: Tensor) -> Tensor:
        usual, sequence, numbers = to_beats(windows)
        told = self.trees(numbers)
        logits: Tensor = self.windows(to_planes(windows)) + self.beats(usual, sequence) + told
        return logits / (2 + self.trees.covered.float())


def load_nets(folder: str | Path, name: str) -> SignalNets:
    """Networks and trees of a model folder, in evaluation mode; EcgPageError says what is missing and the way out."""
    settings = load_card(folder, name).settings
    tensors = load_tensors(folder, name)
    try:
        nets = SignalNets(len(settings["classes"]), **settings["networks"])
        nets.load_state_dict({key: value.float() for key, value in tensors.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise EcgPageError(f"weights {name!r} in {folder} do not fit this version: {error}") from error
    return nets.eval()
