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
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS
from ecgpage.core.recall import Recall
from ecgpage.core.runtime import Network, Runtime, choose_runtime
from ecgpage.core.weights import load_card, load_state
from ecgpage.core.yolov7 import letterbox, suppress

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


class LeadDetector:
    """Detector of leads and calibration pulses, ready to use."""

    def __init__(self, network: Network, size: int = SIZE) -> None:
        """``network``: from grey canvases (b, 1, size, size), 0 to 1, to predictions as ``YoloV7.predict`` gives them, with
        the classes ``CLASSES``; ``size``: side of its canvas, px.
        """
        self.size = size
        self.network = network

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime | None = None) -> "LeadDetector":
        """Detector of a model folder; ``EcgPageError`` when it is missing or damaged."""
        runtime = runtime or choose_runtime()
        settings = load_card(folder, NAME).settings
        if runtime.name == "torch":
            from ecgpage.core.torch_runtime import TorchNetwork  # noqa: PLC0415 - only this way needs PyTorch
            from ecgpage.layout.detector_network import Predictor, load_network  # noqa: PLC0415

            network = load_network(folder, NAME)[0]
            return cls(Recall(TorchNetwork(Predictor(network), runtime.device)), int(settings["size"]))
        from ecgpage.core.onnx_runtime import load_graph  # noqa: PLC0415

        graph = load_graph(folder, NAME, load_state(folder, NAME), settings)
        return cls(Recall(graph), int(settings["size"]))

    def detect(
        self, page: NDArray[np.uint8], *, score: float = MIN_SCORE, overlap: float = OVERLAP
    ) -> LeadBoxes:
        """Find leads and pulses on a page uint8 (h, w) of any size, which is scaled to the network's canvas.

        Boxes that overlap a better one of their class by more than ``overlap`` (intersection over union) and
        those below ``score`` are left out. Raises ``ValueError`` for a picture that is not grey uint8 or is empty.
        """
        canvas, place = letterbox(page, self.size)
        (predictions,) = self.network(canvas[None, None].astype(np.float32) / 255)  # (1, n, 5 + classes)
        (found,) = suppress(predictions, score=score, overlap=overlap)
        h, w = page.shape
        boxes = place.to_picture(found.boxes).clip(0, np.array([w, h, w, h], np.float32))
        return LeadBoxes(
            np.asarray(boxes, np.float32),
            found.scores,
            found.classes,
            found.probabilities,
        )
