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
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.logistic import sigmoid
from ecgpage.core.runtime import Network, Runtime, choose_runtime
from ecgpage.core.weights import COUNTER, load_arrays, load_card
from ecgpage.diagnosis.packed_weights import unpack_weights
from ecgpage.diagnosis.page_view import SIZE
from ecgpage.diagnosis.types import Diagnosis

NAME: Final = "page_classifier"
"""Entry of the weights in the model folder."""


class PageClassifier:
    """Trained network with its classes and thresholds; ``load`` it, then ``predict``."""

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        thresholds: Sequence[float],
        size: tuple[int, int] = SIZE,
    ) -> None:
        """``network``: from pages (n, 1, rows, columns), 0 to 1, to logits (n, classes); ``size``: rows and columns."""
        if len(classes) != len(thresholds):
            raise EcgPageError(
                f"page classifier's weights do not fit: {len(classes)} classes, {len(thresholds)} thresholds"
            )
        self.network = network
        self.size = size
        self.classes = list(classes)
        self.thresholds = [float(t) for t in thresholds]

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime | None = None) -> "PageClassifier":
        """Classifier with the weights of a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        try:
            rows, columns = settings["network"]["size"]
            network = _load_network(folder, settings, runtime or choose_runtime())
            return cls(network, settings["classes"], settings["thresholds"], (rows, columns))
        except (KeyError, TypeError, ValueError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def predict(self, page: NDArray[np.uint8]) -> Diagnosis:
        """Diagnosis of one flat page, uint8 (h, w) or (h, w, 3); EcgPageError when it is no such picture."""
        (p,) = self.probabilities(to_input(page, self.size)[None]).tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)

    def probabilities(self, pages: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (n, classes) of pages (n, rows, columns) as ``to_input`` makes them."""
        (logits,) = self.network(pages[:, None].astype(np.float32) / 255)
        return sigmoid(logits)


def graph_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is built from, of a card's settings."""
    return {"network": settings["network"], "outputs": len(settings["classes"])}


def _load_network(folder: str | Path, settings: Mapping[str, Any], runtime: Runtime) -> Network:
    if runtime.name == "torch":
        from ecgpage.core.torch_runtime import TorchNetwork  # noqa: PLC0415 - only this way needs PyTorch
        from ecgpage.diagnosis.page_network import load_network  # noqa: PLC0415

        return TorchNetwork(load_network(folder, NAME), runtime.device, exact=True)
    from ecgpage.core.onnx_runtime import load_graph  # noqa: PLC0415

    weights = unpack_weights(load_arrays(folder, NAME))
    state = {key: value for key, value in weights.items() if not key.endswith(COUNTER)}
    return load_graph(folder, NAME, state, graph_settings(settings))


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
