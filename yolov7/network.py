"""The YOLOv7 network and its configurations (paper, figure 2 and appendix A)."""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from .blocks import ConvNormAct, Down, Elan, HeadConv, RepConv, SppCspc, SppCspcTiny
from .boxes import decode

STRIDES: Final = (8, 16, 32)
"""Pixels per cell of the three levels of the heads."""
LEAKY: Final = 0.1

Anchors = tuple[tuple[tuple[float, float], ...], ...]
"""For each level the anchors' (width, height) in pixels."""

COCO_ANCHORS: Final[dict[str, Anchors]] = {
    "yolov7": (
        ((12, 16), (19, 36), (40, 28)),
        ((36, 75), (76, 55), (72, 146)),
        ((142, 110), (192, 243), (459, 401)),
    ),
    "tiny": (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    ),
}
"""Anchors for COCO at 640 px, used where a configuration names none."""


@dataclass(frozen=True)
class Config:
    """What a network looks like."""

    family: Literal["yolov7", "tiny"] = "tiny"
    classes: int = 80
    channels: int = 3
    """Of the image: 3 for colour, 1 for grey."""
    width: float = 1.0
    """Factor of all channel counts, which are rounded to multiples of 8."""
    anchors: Anchors = ()
    """Empty takes COCO's."""

    def __post_init__(self) -> None:
        if self.family not in COCO_ANCHORS:
            raise ValueError(f"family must be one of {', '.join(COCO_ANCHORS)}, got {self.family!r}")
        if self.classes < 1 or self.channels < 1 or not 0 < self.width <= 2:
            raise ValueError(f"classes, channels and width must be positive, width at most 2: {self}")
        anchors = self.anchors or COCO_ANCHORS[self.family]
        anchors = tuple(tuple((float(w), float(h)) for w, h in level) for level in anchors)
        if len(anchors) != len(STRIDES) or len({len(level) for level in anchors}) != 1 or not anchors[0]:
            raise ValueError(f"{len(STRIDES)} levels with the same number of anchors are needed: {anchors}")
        object.__setattr__(self, "anchors", anchors)

    def settings(self) -> dict[str, Any]:
        """JSON values from which ``Config(**settings)`` makes the same configuration."""
        return {
            "family": self.family,
            "classes": self.classes,
            "channels": self.channels,
            "width": self.width,
            "anchors": [[list(anchor) for anchor in level] for level in self.anchors],
        }

    def scaled(self, n: int) -> int:
        """``n`` channels at this width."""
        return max(8, round(n * self.width / 8) * 8)


class YoloV7(nn.Module):
    """Backbone, neck and heads of a configuration."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        trunk = _Full(config) if config.family == "yolov7" else _Tiny(config)
        self.trunk: nn.Module = trunk
        outputs = len(config.anchors[0]) * (5 + config.classes)
        implicit = True  # both reference configurations have it
        self.heads = nn.ModuleList([HeadConv(n, outputs, implicit=implicit) for n in trunk.n_out])
        self._start_rare()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw logits of the three levels, each (b, anchors, h / stride, w / stride, 5 + classes)."""
        maps: list[Tensor] = []
        for head, x in zip(self.heads, self.trunk(images), strict=True):
            y = head(x)
            b, _, h, w = y.shape
            maps.append(y.view(b, len(self.config.anchors[0]), -1, h, w).permute(0, 1, 3, 4, 2))
        return maps

    def predict(self, images: Tensor) -> Tensor:
        """Decoded boxes and probabilities (b, n, 5 + classes): centre x, y, width, height in px,
        objectness, classes.
        """
        return decode(self(images), self.config.anchors, STRIDES)

    def fuse(self) -> "YoloV7":
        """In place: evaluation mode, batch norms, branches and implicit knowledge taken into convolutions.

        The state dict then has the keys of the fused form, which only a fused network loads.
        """
        self.eval()
        for module in list(self.modules()):
            if isinstance(module, ConvNormAct | RepConv | HeadConv):
                module.fuse()
        return self

    def _start_rare(self, objects: float = 16.0, size: float = 640.0) -> None:
        """Biases with which the heads expect ``objects`` in an image and all classes alike."""
        for head, stride in zip(self.heads, STRIDES, strict=True):
            assert isinstance(head, HeadConv)
            assert head.conv.bias is not None
            bias = head.conv.bias.data.view(len(self.config.anchors[0]), -1)
            cells = len(STRIDES) * (size / stride) ** 2
            bias[:, 4] = math.log(objects / cells)
            bias[:, 5:] = -math.log(max(self.config.classes - 1, 1))


class _Full(nn.Module):
    """Backbone and neck of ``yolov7``: features of the three levels for the heads."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        s = config.scaled
        self.stem = nn.Sequential(
            ConvNormAct(config.channels, s(32), 3),
            ConvNormAct(s(32), s(64), 3, 2),
            ConvNormAct(s(64), s(64), 3),
            ConvNormAct(s(64), s(128), 3, 2),
            Elan(s(128), s(64), s(64), s(256), every=2),
        )
        self.stage3 = nn.Sequential(Down(s(256), s(128)), Elan(2 * s(128), s(128), s(128), s(512), every=2))
        self.stage4 = nn.Sequential(Down(s(512), s(256)), Elan(2 * s(256), s(256), s(256), s(1024), every=2))
        self.stage5 = nn.Sequential(Down(s(1024), s(512)), Elan(2 * s(512), s(256), s(256), s(1024), every=2))
        self.pool = SppCspc(s(1024), s(512))
        self.up5 = ConvNormAct(s(512), s(256))
        self.side4 = ConvNormAct(s(1024), s(256))
        self.top4 = Elan(2 * s(256), s(256), s(128), s(256))
        self.up4 = ConvNormAct(s(256), s(128))
        self.side3 = ConvNormAct(s(512), s(128))
        self.top3 = Elan(2 * s(128), s(128), s(64), s(128))
        self.down3 = Down(s(128), s(128))
        self.low4 = Elan(2 * s(128) + s(256), s(256), s(128), s(256))
        self.down4 = Down(s(256), s(256))
        self.low5 = Elan(2 * s(256) + s(512), s(512), s(256), s(512))
        self.n_out = (s(256), s(512), s(1024))
        sizes = zip((s(128), s(256), s(512)), self.n_out, strict=True)
        self.out = nn.ModuleList([RepConv(a, b) for a, b in sizes])

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage3(self.stem(x))  # (b, 512, h / 8, w / 8) at width 1
        c4 = self.stage4(c3)  # (b, 1024, h / 16, w / 16)
        p5 = self.pool(self.stage5(c4))  # (b, 512, h / 32, w / 32)
        p4 = self.top4(torch.cat([self.side4(c4), _twice(self.up5(p5))], 1))  # (b, 256, h / 16, w / 16)
        n3 = self.top3(torch.cat([self.side3(c3), _twice(self.up4(p4))], 1))  # (b, 128, h / 8, w / 8)
        n4 = self.low4(torch.cat([self.down3(n3), p4], 1))  # (b, 256, h / 16, w / 16)
        n5 = self.low5(torch.cat([self.down4(n4), p5], 1))  # (b, 512, h / 32, w / 32)
        return [out(n) for out, n in zip(self.out, (n3, n4, n5), strict=True)]


class _Tiny(nn.Module):
    """Backbone and neck of ``tiny``: shorter chains, max pooling, leaky ReLU (paper, section 5.1)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        s = config.scaled

        def conv(n_in: int, n_out: int, kernel: int = 1, stride: int = 1) -> ConvNormAct:
            return ConvNormAct(n_in, n_out, kernel, stride, act=_leaky)

        def elan(n_in: int, hidden: int, n_out: int) -> Elan:
            return Elan(n_in, hidden, hidden, n_out, depth=2, act=_leaky)

        self.stem = nn.Sequential(
            conv(config.channels, s(32), 3, 2), conv(s(32), s(64), 3, 2), elan(s(64), s(32), s(64))
        )
        self.stage3 = nn.Sequential(nn.MaxPool2d(2), elan(s(64), s(64), s(128)))
        self.stage4 = nn.Sequential(nn.MaxPool2d(2), elan(s(128), s(128), s(256)))
        self.stage5 = nn.Sequential(nn.MaxPool2d(2), elan(s(256), s(256), s(512)))
        self.pool = SppCspcTiny(s(512), s(256), act=_leaky)
        self.up5 = conv(s(256), s(128))
        self.side4 = conv(s(256), s(128))
        self.top4 = elan(2 * s(128), s(64), s(128))
        self.up4 = conv(s(128), s(64))
        self.side3 = conv(s(128), s(64))
        self.top3 = elan(2 * s(64), s(32), s(64))
        self.down3 = conv(s(64), s(128), 3, 2)
        self.low4 = elan(2 * s(128), s(64), s(128))
        self.down4 = conv(s(128), s(256), 3, 2)
        self.low5 = elan(2 * s(256), s(128), s(256))
        self.n_out = (s(128), s(256), s(512))
        sizes = zip((s(64), s(128), s(256)), self.n_out, strict=True)
        self.out = nn.ModuleList([conv(a, b, 3) for a, b in sizes])

    def forward(self, x: Tensor) -> list[Tensor]:
        c3 = self.stage3(self.stem(x))  # (b, 128, h / 8, w / 8) at width 1
        c4 = self.stage4(c3)  # (b, 256, h / 16, w / 16)
        p5 = self.pool(self.stage5(c4))  # (b, 256, h / 32, w / 32)
        p4 = self.top4(torch.cat([self.side4(c4), _twice(self.up5(p5))], 1))  # (b, 128, h / 16, w / 16)
        n3 = self.top3(torch.cat([self.side3(c3), _twice(self.up4(p4))], 1))  # (b, 64, h / 8, w / 8)
        n4 = self.low4(torch.cat([self.down3(n3), p4], 1))  # (b, 128, h / 16, w / 16)
        n5 = self.low5(torch.cat([self.down4(n4), p5], 1))  # (b, 256, h / 32, w / 32)
        return [out(n) for out, n in zip(self.out, (n3, n4, n5), strict=True)]


def _leaky() -> nn.Module:
    return nn.LeakyReLU(LEAKY)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
