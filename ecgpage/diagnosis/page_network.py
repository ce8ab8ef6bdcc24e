"""Network of the page branch as PyTorch runs and trains it: EfficientNet-B0 on the grey page (Tan and Le 2019)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import Conv2dStaticSamePadding
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.weights import load_arrays, load_card
from ecgpage.diagnosis import packed_weights
from ecgpage.diagnosis.page_view import SIZE


def as_float(images: Tensor) -> Tensor:
    """Images (n, 1, h, w) in float, 0 to 1, from uint8."""
    return images.float() / 255


class PageNet(nn.Module):
    """Network from grey pages (n, 1, rows, columns), 0 to 1, to logits (n, outputs)."""

    def __init__(
        self, outputs: int, *, size: Sequence[int] = SIZE, dropout: float = 0.2, drop_connect: float = 0.2
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.size: tuple[int, int] = (int(size[0]), int(size[1]))
        self.settings: dict[str, Any] = {
            "size": list(self.size),
            "dropout": dropout,
            "drop_connect": drop_connect,
        }
        self.body = EfficientNet.from_name(
            "efficientnet-b0",
            in_channels=1,
            num_classes=outputs,
            image_size=self.size,
            dropout_rate=dropout,
            drop_connect_rate=drop_connect,
            batch_norm_momentum=0.95,
        )
        self.body.set_swish(memory_efficient=False)  # True is slower and cannot be compiled
        _pad_within(self.body)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "PageNet":
        """Network built from a card's settings: ``classes`` and ``network`` (keyword arguments)."""
        return cls(len(settings["classes"]), **settings["network"])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(normalize_light(images))
        return logits


def normalize_light(images: Tensor) -> Tensor:
    """Ink (n, 1, h, w) of pages, 0 to 1, relative to the paper around it, scaled to a standard deviation of 1 a page.

    The light of the paper is the mean over squares of an eighth of the page's height, so ink keeps its contrast in shadows.
    """
    side = max(8, 2 * (images.shape[2] // 16))
    light = F.avg_pool2d(images, side, side // 2, side // 4, count_include_pad=False)
    light = F.interpolate(light, size=images.shape[2:], mode="bilinear", align_corners=False)
    ink = images / light.clamp_min(0.02) - 1
    return ink / (ink.std((1, 2, 3), keepdim=True) + 0.01)


def _pad_within(body: nn.Module) -> None:
    """Let convolutions with equal padding on both sides pad themselves, which saves a copy of each plane."""
    for layer in body.modules():
        if isinstance(layer, Conv2dStaticSamePadding) and isinstance(layer.static_padding, nn.ZeroPad2d):
            left, right, top, bottom = layer.static_padding.padding
            if left == right and top == bottom:
                layer.padding = (top, left)
                layer.static_padding = nn.Identity()


def start_from_lite0(network: PageNet, tensors: Mapping[str, Tensor]) -> None:
    """Take over the ImageNet weights of EfficientNet-lite0 (state dict of efficientnet-pytorch's names).

    All layers fit except squeeze-and-excite, which lite0 does not have: its gates start nearly open, at 0.95. The first
    layer's weights are summed over the colours, as if the grey picture stood in all three channels. The last layer stays
    as it is. Raises EcgPageError when a tensor is missing or has another shape.
    """
    state = network.body.state_dict()
    for key, own in state.items():
        if key.startswith("_fc."):
            continue
        if "_se_" in key:
            if key.endswith("_se_expand.bias"):
                own.fill_(3.0)
            continue
        if key not in tensors:
            raise EcgPageError(f"the start weights have no tensor {key!r}")
        given = tensors[key].sum(1, keepdim=True) if key == "_conv_stem.weight" else tensors[key]
        if given.shape != own.shape:
            raise EcgPageError(f"start weights: {key} is {tuple(given.shape)}, wanted {tuple(own.shape)}")
        own.copy_(given)


def pack_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors to store, as ``packed_weights.pack_weights`` makes them."""
    packed = packed_weights.pack_weights({key: value.detach().cpu().numpy() for key, value in state.items()})
    return {key: torch.from_numpy(np.asarray(value)) for key, value in packed.items()}


def unpack_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State in float32 from tensors of ``pack_weights``; counters stay integers."""
    arrays = packed_weights.unpack_weights({key: value.numpy() for key, value in tensors.items()})
    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


def load_network(folder: str | Path, name: str) -> PageNet:
    """Network of a model folder, in evaluation mode; EcgPageError when weights are missing or do not fit."""
    settings = load_card(folder, name).settings
    state = packed_weights.unpack_weights(load_arrays(folder, name))
    try:
        network = PageNet.from_settings(settings)
        network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in state.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise EcgPageError(f"weights {name!r} in {folder} do not fit this version: {error}") from error
    return network.eval()
