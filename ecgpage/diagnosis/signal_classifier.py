"""From a digitized signal to diagnoses: networks on what the page shows of the leads and on its beats, trees on numbers.

Conventions:
    signal   float (n_samples, n_leads), mV, NaN where nothing was drawn or can be trusted, any rate and leads
    window   float32 (12, 1000), mV, leads in the order ``ecg.LEADS``, 10 s at 100 Hz, NaN where not known
    planes   float32 (24, 1000): the leads without baseline and 0 where not known, then twelve masks, 0 or 1
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import ArrayLike, NDArray
from scipy.signal import resample_poly
from torch import Tensor, nn

from ecgpage.core.conventions import LEADS, EcgPageError, canonical_lead
from ecgpage.core.weights import load_card, load_tensors
from ecgpage.diagnosis import beats
from ecgpage.diagnosis.beats import read_beats
from ecgpage.diagnosis.trees import Trees

NAME: Final = "signal_classifier"
"""Entry of the weights in the model folder."""

FS: Final = 100
"""Samples per second that the network sees; diagnoses do not need more than the 50 Hz that this keeps."""

WINDOW: Final = 10 * FS
"""Samples of one window: the 10 s of a page."""

BASELINE_SIGMA_S: Final = 0.8
"""Width of the Gaussian that follows the baseline; as a high-pass it halves the power at 0.3 Hz."""

LARGEST_MV: Final = 8.0
"""Larger deflections are digitization errors and are cut here."""


@dataclass(frozen=True)
class Diagnosis:
    """Answer for one record."""

    labels: list[str]
    """Classes whose probability reaches the class's threshold, in the order of the weights' class list."""
    probabilities: dict[str, float]
    """Network's output per class, 0 to 1; NaN when there was no signal."""

    @classmethod
    def by_thresholds(
        cls, classes: Sequence[str], probabilities: Sequence[float], thresholds: Sequence[float]
    ) -> "Diagnosis":
        """Labels of the classes whose probability reaches their threshold."""
        labels = [c for c, p, t in zip(classes, probabilities, thresholds, strict=True) if p >= t]
        return cls(labels, dict(zip(classes, probabilities, strict=True)))

    @classmethod
    def unknown(cls, classes: Sequence[str]) -> "Diagnosis":
        """No labels, and probabilities of NaN."""
        return cls([], dict.fromkeys(classes, math.nan))


class SignalClassifier:
    """Trained network with its classes and thresholds; ``load`` it, then ``predict``."""

    def __init__(self, network: "SignalNets", classes: Sequence[str], thresholds: Sequence[float]) -> None:
        if not len(classes) == len(thresholds) == network.outputs:
            raise EcgPageError(
                f"classifier weights do not fit: {len(classes)} classes, {len(thresholds)} thresholds, "
                f"{network.outputs} outputs"
            )
        self.network = network.eval()
        self.classes = list(classes)
        self.thresholds = [float(t) for t in thresholds]

    @classmethod
    def load(cls, folder: str | Path) -> "SignalClassifier":
        """Read the weights from a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        tensors = load_tensors(folder, NAME)
        try:
            network = SignalNets(len(settings["classes"]), **settings["networks"])
            network.load_state_dict({key: value.float() for key, value in tensors.items()})
            return cls(network, settings["classes"], settings["thresholds"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def predict(self, signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> Diagnosis:
        """Diagnose one record.

        Args:
            signal: float (n_samples, n_leads), mV, NaN where unknown; any length.
            fs: samples per second.
            lead_names: one per column, any order and case; names that are no standard lead are left out.

        A record longer than 10 s is read in 10-s windows and their logits are averaged, weighted by the share
        of samples that each knows. Without any finite sample: no labels, and probabilities of NaN.
        """
        windows = to_windows(signal, fs, lead_names)
        if len(windows) == 0:
            return Diagnosis.unknown(self.classes)
        device = next(self.network.parameters()).device
        x = torch.from_numpy(windows).to(device)  # (k, 12, 1000)
        with torch.inference_mode():
            logits = self.network(x)  # (k, n_classes)
            weight = x.isfinite().float().mean((1, 2))[:, None]
            p = torch.sigmoid((logits * weight).sum(0) / weight.sum()).cpu().tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)


def to_windows(signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> NDArray[np.float32]:
    """(n_samples, n_leads) mV at any rate -> (k, 12, 1000) windows that hold a finite sample; k may be 0.

    A shorter record is filled up with NaN. A longer one is cut into the fewest windows that cover it, at even
    distances.
    """
    leads = to_standard_leads(signal, fs, lead_names)  # (12, n)
    n = leads.shape[1]
    k = max(1, math.ceil(n / WINDOW))
    padded = np.full((len(LEADS), max(n, WINDOW)), np.nan, np.float32)
    padded[:, :n] = leads
    starts = np.linspace(0, padded.shape[1] - WINDOW, k).round().astype(int)
    windows = np.stack([padded[:, start : start + WINDOW] for start in starts])
    return windows[np.isfinite(windows).any((1, 2))]


def to_standard_leads(signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> NDArray[np.float32]:
    """(n_samples, n_leads) at ``fs`` -> (12, n) at 100 Hz in the order ``LEADS``, NaN for a lead not there.

    A lead that is named twice is read from the first column, its gaps from the second. Infinite is unknown.
    """
    mv = np.asarray(signal, np.float64)
    if mv.ndim != 2 or mv.shape[1] != len(lead_names):
        raise EcgPageError(f"signal must be (n_samples, {len(lead_names)} leads), its shape is {mv.shape}")
    if not (math.isfinite(fs) and fs > 0):
        raise EcgPageError(f"sampling frequency must be positive, got {fs} Hz")
    standard = np.full((len(LEADS), len(mv)), np.nan)
    for column, name in zip(mv.T, lead_names, strict=True):
        lead = canonical_lead(name)
        if lead is not None:
            row = standard[LEADS.index(lead)]
            np.copyto(row, column, where=~np.isfinite(row) & np.isfinite(column))
    return resample(standard, fs, FS).astype(np.float32)


def resample(x: NDArray[np.float64], fs_in: float, fs_out: float) -> NDArray[np.float64]:
    """(n_leads, n) -> (n_leads, ceil(n * fs_out / fs_in)), anti-aliased polyphase filter, NaN spans kept.

    Gaps are bridged by straight lines for the filter and put back afterwards, so that no NaN spreads and
    no step rings.
    """
    ratio = Fraction(fs_out / fs_in).limit_denominator(10_000)
    if ratio == 1 or x.shape[1] == 0:
        return x
    if ratio == 0:
        raise EcgPageError(f"sampling frequency of {fs_in} Hz is out of range")
    finite = np.isfinite(x)
    time = np.arange(x.shape[1])
    bridged = np.zeros_like(x)
    for row, known, filled in zip(x, finite, bridged, strict=True):
        if known.any():
            filled[:] = np.interp(time, time[known], row[known])
    up, down = ratio.as_integer_ratio()
    y = resample_poly(bridged, up, down, axis=1, padtype="line")
    source = np.minimum((np.arange(y.shape[1]) * down + up // 2) // up, x.shape[1] - 1)
    y[~finite[:, source]] = np.nan
    return y


def to_planes(windows: Tensor) -> Tensor:
    """(n, 12, t) mV with NaN at 100 Hz -> (n, 24, t) planes.

    Baseline: the lead's median, then a Gaussian average over the known samples within about 2 s (normalised
    convolution, Knutsson and Westin 1993) of the lead cut at +-0.3 mV, so that neither QRS complexes nor the
    edge of a 2.5-s window move it much.
    """
    known = windows.isfinite()
    mask = known.to(windows.dtype)
    level = torch.nan_to_num(windows.masked_fill(~known, math.nan).nanmedian(-1, keepdim=True).values)
    x = torch.where(known, windows - level, 0.0).clamp(-LARGEST_MV, LARGEST_MV)
    baseline = _smooth(x.clamp(-0.3, 0.3)) / _smooth(mask).clamp_min(1e-3)
    return torch.cat([(x - baseline) * mask, mask], dim=1)


def _smooth(x: Tensor) -> Tensor:
    """Gaussian low-pass along the last axis (n, 12, t); zeros beyond the ends."""
    radius = int(2.5 * BASELINE_SIGMA_S * FS)
    t = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (t / (BASELINE_SIGMA_S * FS)) ** 2)
    size = x.shape[-1] + 2 * radius
    spectrum = torch.fft.rfft(x, size) * torch.fft.rfft(kernel / kernel.sum(), size)
    return torch.fft.irfft(spectrum, size)[..., radius : radius + x.shape[-1]]


class Convolution(nn.Conv1d):
    """Along time, without bias, of (n, c, 1, t) with the channels last in memory: a third faster than ``Conv1d`` on a CPU."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, None]
        return F.conv2d(x, weight, None, (1, self.stride[0]), (0, self.kernel_size[0] // 2))


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from all channels' means (Hu et al. 2018)."""

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
    """Self-attention along time (Vaswani et al. 2017) with a learned bias per distance; compares beats."""

    REACH: Final = 64
    """Steps (10 s); farther apart, all distances share one bias."""

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
    """Several means over time, each with its own learned weights, beside the plain mean and the maximum."""

    def __init__(self, channels: int, queries: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(channels, queries, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.softmax(self.score(x).float(), dim=-1).to(x.dtype)  # (n, q, t)
        pooled = torch.einsum("nqt,nct->nqc", weight, x).flatten(1)  # (n, q*c)
        return torch.cat([pooled, x.mean(-1), x.amax(-1)], dim=1)  # (n, (q+2)*c)


class SignalNet(nn.Module):
    """(n, 24, t) planes at 100 Hz -> (n, outputs) logits; the stem and each further stage halve the rate."""

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


def to_beats(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, 12, t) mV with NaN at 100 Hz -> usual beats (n, 12, 88) mV with NaN, rhythm (n, 38), form (n, 358)."""
    found = [read_beats(window) for window in windows.cpu().numpy()]
    parts = [np.stack([getattr(beat, name) for beat in found]) for name in ("usual", "rhythm", "form")]
    usual, rhythm, form = (torch.from_numpy(part).to(windows.device) for part in parts)
    return usual, rhythm, form


class BeatNet(nn.Module):
    """Usual beats (n, 12, 88) mV with NaN, and rhythm (n, 38) -> (n, outputs) logits.

    The beats are aligned, so that their samples need no pooling: a sample's place in the beat is what it means.
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
        self.scale = nn.BatchNorm1d(len(beats.RHYTHM))
        self.rhythm = nn.Sequential(
            nn.Linear(2 * len(beats.RHYTHM), 96),
            nn.ReLU(),
            nn.Dropout(dropout / 2),
            nn.Linear(96, 64),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(hidden + 64, 128)
        self.head = nn.Linear(128, outputs)

    def forward(self, usual: Tensor, rhythm: Tensor) -> Tensor:
        known = usual.isfinite()
        x = torch.cat([torch.nan_to_num(usual).clamp(-LARGEST_MV, LARGEST_MV), known.to(usual.dtype)], 1)
        x = x[:, :, None].contiguous(memory_format=torch.channels_last)  # (n, 24, 1, 88)
        x = self.body(F.relu(self.norm(self.stem(x)))).flatten(1)
        x = F.relu(self.wave(self.dropout(x)))
        scaled = self.scale(rhythm)
        tails = scaled.sign() * scaled.abs().log1p()
        x = torch.cat([x, self.rhythm(torch.cat([scaled.clamp(-4, 4), tails], 1))], 1)
        return self.head(self.dropout(F.relu(self.mix(self.dropout(x)))))


class SignalNets(nn.Module):
    """The signal branch, (n, 12, t) mV with NaN at 100 Hz -> (n, outputs) logits.

    Mean of the network on windows, the one on beats, and, for the outputs that they cover, the trees on the numbers that
    describe rhythm and usual beat.
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
        """Settings of the three, for a card."""
        return {name: getattr(self, name).settings for name in ("windows", "beats", "trees")}

    def forward(self, windows: Tensor) -> Tensor:
        usual, rhythm, form = to_beats(windows)
        told = self.trees(torch.cat([rhythm, form], 1))
        logits: Tensor = self.windows(to_planes(windows)) + self.beats(usual, rhythm) + told
        return logits / (2 + self.trees.covered.float())
