"""Find the leads of a flattened page by name, and its calibration pulses: YOLOv7, tiny, 0.75 wide.

Conventions:
    page    uint8 (h, w) grey, upright, flattened; the network was trained on a longer side of ``SIZE`` px
    boxes   x0, y0, x1, y1 in px of the page, edge coordinates: pixel i spans i to i + 1. A lead's box covers
            its drawn time and its trace's range (``ecgpage.synth.truth``); a rhythm strip carries its lead's
            class
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.weights import Card, load_module, network_precision
from ecgpage.core.yolov7 import Config, YoloV7, letterbox, suppress

NAME: Final = "detector"
"""Name of the weights in the model folder."""
SIZE: Final = 640
"""Side, px, of the square canvas that the network sees."""
PULSE: Final = "pulse"
"""Class name of calibration pulses."""
CLASSES: Final = (*LEADS, PULSE)
"""Classes of boxes, in the network's order."""
MIN_SCORE: Final = 0.25
"""Score, 0 to 1, of a box, at least."""
OVERLAP: Final = 0.5
"""Intersection over union of two boxes of a class, above which they are one."""
ANCHORS: Final = (
    ((13.0, 22.0), (18.0, 23.0), (142.0, 25.0)),
    ((144.0, 38.0), (275.0, 27.0), (145.0, 66.0)),
    ((281.0, 52.0), (567.0, 28.0), (579.0, 51.0)),
)
"""Width and height, px, of the anchors: centres of nine clusters of the drawn boxes' log sides (pulses, columns of 3x4 and
6x2 pages, strips), by ``python -m ecgpage.train.detector --pages DIR --anchors``.
"""
CONFIG: Final = Config("tiny", classes=len(CLASSES), channels=1, width=0.75, anchors=ANCHORS)
"""Settings of the network that ships."""


@dataclass(frozen=True)
class LeadBoxes:
    """Boxes found on a page, surest first."""

    boxes: NDArray[np.float32]
    """(n, 4) boxes, px of the page, clipped to it."""
    scores: NDArray[np.float32]
    """(n,) score of each box, 0 to 1."""
    classes: NDArray[np.int64]
    """(n,) class of each box, an index of ``CLASSES``."""
    probabilities: NDArray[np.float32]
    """(n, 13) probability of each class, 0 to 1 each, given that the box holds an object."""

    @property
    def objectness(self) -> NDArray[np.float32]:
        """(n,) probability, 0 to 1, that the box holds an object of any class."""
        return np.asarray(self.scores / self.probabilities.max(axis=1, initial=1e-6), np.float32)


def load_network(folder: str | Path) -> tuple[YoloV7, Card]:
    """Fused network of a model folder and its card; ``EcgPageError`` when it is missing or damaged."""
    return load_module(folder, NAME, lambda settings: YoloV7(Config(**settings)).fuse())


class LeadDetector:
    """Detector of leads and calibration pulses, ready to use."""

    def __init__(self, network: YoloV7, size: int = SIZE) -> None:
        """``network``: fused, of 1 channel and the classes ``CLASSES``; ``size``: side of its canvas, px."""
        self.size = size
        self.network = network.eval().to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, folder: str | Path) -> "LeadDetector":
        """Detector of a model folder; ``EcgPageError`` when it is missing or damaged."""
        network, card = load_network(folder)
        return cls(network, int(card.settings["size"]))

    def to(self, device: str | torch.device) -> "LeadDetector":
        """Move the network to a device, in place."""
        self.network.to(device)
        return self

    def detect(
        self, page: NDArray[np.uint8], *, score: float = MIN_SCORE, overlap: float = OVERLAP
    ) -> LeadBoxes:
        """Find leads and pulses on a page uint8 (h, w) of any size, which is scaled to the network's canvas.

        Boxes that overlap a better one of their class by more than ``overlap`` (intersection over union) and
        those below ``score`` are left out. Raises ``ValueError`` for a picture that is not grey uint8 or is empty.
        """
        canvas, place = letterbox(page, self.size)
        device = next(self.network.parameters()).device
        x = torch.from_numpy(canvas).to(device)[None, None].float() / 255  # (1, 1, size, size)
        with torch.inference_mode(), network_precision(device):
            predictions = self.network.predict(x)  # (1, n, 5 + classes)
        found = suppress(predictions.float(), score=score, overlap=overlap)[0]
        h, w = page.shape
        boxes = place.to_picture(found.boxes.cpu().numpy()).clip(0, np.array([w, h, w, h], np.float32))
        return LeadBoxes(
            np.asarray(boxes, np.float32),
            found.scores.cpu().numpy(),
            found.classes.cpu().numpy(),
            found.probabilities.cpu().numpy(),
        )
