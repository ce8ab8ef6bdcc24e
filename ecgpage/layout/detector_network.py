"""Network of the detector as PyTorch runs and trains it: YOLOv7, tiny, 0.75 wide."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ecgpage.core.torch_runtime import load_module
from ecgpage.core.weights import Card
from ecgpage.core.yolov7 import Config, YoloV7


class Predictor(nn.Module):
    """Network whose forward pass gives decoded predictions (b, n, 5 + classes)."""

    def __init__(self, network: YoloV7) -> None:
        """``network``: fused."""
        super().__init__()
        self.network = network.eval().to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.network.predict(images)


def load_network(folder: str | Path, name: str) -> tuple[YoloV7, Card]:
    """Fused network of a model folder and its card; ``EcgPageError`` when it is missing or damaged."""
    return load_module(folder, name, lambda settings: YoloV7(Config(**settings)).fuse())
