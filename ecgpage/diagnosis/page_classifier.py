"""From the picture of a flat page to diagnoses: EfficientNet-B0 on the grey page (Tan and Le 2019).

Conventions:
    page     uint8 (h, w) grey or (h, w, 3) RGB, upright, flattened, any size; the ECG with or without what is around it
    input    uint8 (320, 448), the page stretched to this size: height and time have each a scale of their own
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
"""Ending of the name of the tensor that holds the step of each row of an 8-bit tensor."""

LARGE: Final = 300_000
"""Tensors of this many numbers are stored in 8 bits."""


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
        """Read the weights from a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        tensors = load_tensors(folder, NAME)
        try:
            network = PageNet.from_settings(settings)
            network.load_state_dict(unpack_weights(tensors))
            return cls(network, settings["classes"], settings["thresholds"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def predict(self, page: NDArray[np.uint8]) -> Diagnosis:
        """Diagnose one flat page, uint8 (h, w) or (h, w, 3); EcgPageError when it is no such picture."""
        device = next(self.network.parameters()).device
        x = torch.from_numpy(to_input(page, self.network.size)).to(device)
        with torch.inference_mode():
            p = torch.sigmoid(self.network(as_float(x[None, None])))[0].cpu().tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)


def to_input(page: NDArray[np.uint8], size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Grey page stretched to ``size`` (rows, columns); shrinking averages, so thin strokes stay.

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
    """uint8 (n, 1, h, w) to 0 ... 1."""
    return images.float() / 255


class PageNet(nn.Module):
    """(n, 1, rows, columns) grey, 0 to 1 -> (n, outputs) logits."""

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
        self.body.set_swish(memory_efficient=False)  # the other one is slower and cannot be compiled
        _pad_within(self.body)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "PageNet":
        """Network of a card's settings: ``classes`` and ``network`` (keyword arguments)."""
        return cls(len(settings["classes"]), **settings["network"])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(normalize_light(images))
        return logits


def normalize_light(images: Tensor) -> Tensor:
    """(n, 1, h, w) pages, 0 to 1, as ink relative to the paper around it, at standard deviation 1 a page.

    The light is the mean over squares of an eighth of the page's height; ink keeps its contrast in shadows.
    """
    side = max(8, 2 * (images.shape[2] // 16))
    light = F.avg_pool2d(images, side, side // 2, side // 4, count_include_pad=False)
    light = F.interpolate(light, size=images.shape[2:], mode="bilinear", align_corners=False)
    ink = images / light.clamp_min(0.02) - 1
    return ink / (ink.std((1, 2, 3), keepdim=True) + 0.01)


def _pad_within(body: nn.Module) -> None:
    """Let convolutions with the same padding on both sides pad themselves: no copy of each plane."""
    for layer in body.modules():
        if isinstance(layer, Conv2dStaticSamePadding) and isinstance(layer.static_padding, nn.ZeroPad2d):
            left, right, top, bottom = layer.static_padding.padding
            if left == right and top == bottom:
                layer.padding = (top, left)
                layer.static_padding = nn.Identity()


# --- weights ------------------------------------------------------------------------------------------------


def start_from_lite0(network: PageNet, tensors: Mapping[str, Tensor]) -> None:
    """Take over the ImageNet weights of EfficientNet-lite0 (state dict of efficientnet-pytorch's names).

    All layers fit but the squeeze-and-excite ones, which lite0 has not: they start nearly open (a gate of
    0.95). The first layer's weights are summed over the colours, which is what a grey picture does. The last
    layer stays as it is. Raises EcgPageError when a tensor is missing or of another shape.
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
    """Tensors to store: float16; the few that are LARGE as int8 with one step a row (``<name>.scale``)."""
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
    """float32 state of ``pack_weights`` tensors; counters stay whole numbers."""
    found = {}
    for key, value in tensors.items():
        if key.endswith(SCALE):
            continue
        if value.dtype == torch.int8:
            found[key] = value.float() * tensors[key + SCALE].view(-1, *[1] * (value.ndim - 1))
        else:
            found[key] = value.float() if value.is_floating_point() else value
    return found
