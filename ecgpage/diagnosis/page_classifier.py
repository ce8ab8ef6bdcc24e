"""Diagnose the picture of a flat page: EfficientNet-B0 on the grey page (Tan and Le 2019).

Conventions:
    page     uint8 (h, w) grey or (h, w, 3) RGB, upright, flattened, any size; the ECG with or without its surroundings
    input    uint8 (320, 448), the page stretched to this size: voltage and time have different scales
    network  (n, 1, 320, 448), 0 to 1; the network itself evens out light and contrast
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import Conv2dStaticSamePadding
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.weights import half_precision, load_card, load_tensors
from ecgpage.diagnosis.types import Diagnosis

NAME: Final = "page_classifier"
"""Entry of the weights in the model folder."""

SIZE: Final = (320, 448)
"""Rows and columns of the network's input."""

SCALE: Final = ".scale"
"""Suffix of the name of the tensor that holds the quantisation step of each row of an 8-bit tensor."""

LARGE: Final = 300_000
"""Number of elements from which a tensor is stored in 8 bits."""


class PageClassifier:
    """Trained network with its classes and thresholds; ``load`` it, then ``predict``."""

    def __init__(self, network: "PageNet", classes: Sequence[str], thresholds: Sequence[float]) -> None:
        if not len(classes) == len(thresholds) == network.outputs:
            raise EcgPageError(
                f"page classifier's weights do not fit: {len(classes)} classes, {len(thresholds)} thresholds, "
                f"{network.outputs} outputs"
            )
        self.network = network.eval()
        self.classes = list(classes)
        self.thresholds = [float(t) for t in thresholds]

    @classmethod
    def load(cls, folder: str | Path) -> "PageClassifier":
        """Classifier with the weights of a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        tensors = load_tensors(folder, NAME)
        try:
            network = PageNet.from_settings(settings)
            network.load_state_dict(unpack_weights(tensors))
            return cls(network, settings["classes"], settings["thresholds"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def predict(self, page: NDArray[np.uint8]) -> Diagnosis:
        """Diagnosis of one flat page, uint8 (h, w) or (h, w, 3); EcgPageError when it is no such picture."""
        device = next(self.network.parameters()).device
        x = torch.from_numpy(to_input(page, self.network.size)).to(device)
        with torch.inference_mode():
            p = torch.sigmoid(self.network(as_float(x[None, None])))[0].cpu().tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)


def to_input(page: NDArray[np.uint8], size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Grey page, uint8, stretched to ``size`` (rows, columns); shrinking averages, so thin strokes stay visible.

    Raises EcgPageError when ``page`` is not uint8 (h, w) or (h, w, 3).
    """
    grey = page
    if page.ndim == 3 and page.shape[2] == 3 and page.dtype == np.uint8:
        grey = np.asarray(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), np.uint8)
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise EcgPageError(f"a page must be uint8 (h, w) or (h, w, 3), this is {page.dtype} {page.shape}")
    rows, columns = size
    return np.asarray(cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


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


# --- weights ------------------------------------------------------------------------------------------------


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
    """Tensors to store: float16, and from LARGE elements int8 with one quantisation step a row (``<name>.scale``)."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if value.is_floating_point() and value.numel() >= LARGE:
            rows = value.detach().float().cpu()
            step = (rows.flatten(1).abs().amax(1) / 127).clamp_min(1e-8)  # (rows,)
            found[key] = (rows / step.view(-1, *[1] * (rows.ndim - 1))).round().to(torch.int8)
            found[key + SCALE] = step
        else:
            found[key] = half_precision({key: value})[key]
    return found


def unpack_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State in float32 from tensors of ``pack_weights``; counters stay integers."""
    found = {}
    for key, value in tensors.items():
        if key.endswith(SCALE):
            continue
        if value.dtype == torch.int8:
            found[key] = value.float() * tensors[key + SCALE].view(-1, *[1] * (value.ndim - 1))
        else:
            found[key] = value.float() if value.is_floating_point() else value
    return found
