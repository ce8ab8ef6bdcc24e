"""Network that recognises the words of a page, as PyTorch runs and trains it."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ecgpage.core.nn import ConvNorm
from ecgpage.core.torch_runtime import load_module
from ecgpage.core.weights import Card
from ecgpage.layout.words import WORDS


class TextNet(nn.Module):
    """Fully convolutional network from darkness to the logits of words in each cell."""

    def __init__(self, width: int = 48, dilations: Sequence[int] = (1, 2, 1, 4, 1, 2), fine: int = 0) -> None:
        """``width``: channels; ``dilations``: one layer each, at cells; ``fine``: number of layers at pairs of pixels."""
        super().__init__()
        self.settings = {"width": width, "dilations": list(dilations), "fine": fine}
        self.stem = nn.ModuleList([_conv(1, width // 2, 5, stride=2), _conv(width // 2, width, 3, stride=2)])
        self.fine = nn.ModuleList([_conv(width // 2, width // 2, 3) for _ in range(fine)])
        self.body = nn.ModuleList([_conv(width, width, 3, dilation=d) for d in dilations])
        self.head = nn.Conv2d(width, 1 + len(WORDS), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, 1 + len(WORDS), h / CELL, w / CELL) of darkness (b, 1, h, w), h and w multiples of ``CELL``."""
        x = F.relu(self.stem[0](x))
        for layer in self.fine:
            x = F.relu(x + layer(x))
        x = F.relu(self.stem[1](x))
        for layer in self.body:
            x = F.relu(x + layer(x))
        logits: Tensor = self.head(x)
        return logits

    def ready(self) -> "TextNet":
        """Network itself, in place: evaluation mode, batch norms fused into the convolutions, channels last."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self.to(memory_format=torch.channels_last)


def _conv(n_in: int, n_out: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> ConvNorm:
    layer = ConvNorm(n_in, n_out, kernel)
    layer.conv = nn.Conv2d(n_in, n_out, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
    return layer


def load_network(folder: str | Path, name: str) -> tuple[TextNet, Card]:
    """Network of a model folder, batch norms not fused, and its card; ``EcgPageError`` when it is missing or damaged."""
    return load_module(folder, name, lambda settings: TextNet(**settings))
