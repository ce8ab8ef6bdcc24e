"""Diagnose a digitized signal: one network on its windows, one on its beats, and trees on numbers that describe the beats.

Conventions:
    signal   float (n_samples, n_leads), mV, NaN where nothing was drawn or can be trusted, any rate and leads
    window   float32 (12, 1000), mV, leads in the order ``LEADS``, 10 s at 100 Hz, NaN where not known
    planes   float32 (24, 1000): the leads without baseline and 0 where not known, then twelve masks, 0 or 1
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.logistic import sigmoid
from ecgpage.core.runtime import Network, Runtime, choose_runtime
from ecgpage.core.weights import COUNTER, load_arrays, load_card
from ecgpage.diagnosis.beats import read_all_beats
from ecgpage.diagnosis.preprocessing import to_planes, to_windows
from ecgpage.diagnosis.trees import ARRAYS, walk_trees
from ecgpage.diagnosis.types import Diagnosis

NAME: Final = "signal_classifier"
"""Entry of the weights in the model folder."""


class SignalBranch:
    """Both networks with the trees, from windows (n, 12, t) mV with NaN at 100 Hz to logits (n, outputs).

    The logits are the mean of the network on windows, the network on beats and, for the outputs that they cover, the trees
    on rhythm and form.
    """

    def __init__(self, windows: Network, beats: Network, trees: Mapping[str, NDArray[Any]]) -> None:
        """``windows``, ``beats``: as ``SignalNet`` and ``BeatNet`` answer; ``trees``: arrays of ``walk_trees``."""
        self.windows, self.beats, self.trees = windows, beats, trees

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime) -> "SignalBranch":
        """Networks and trees of a model folder; ``EcgPageError`` when they are missing or damaged."""
        settings, arrays = load_card(folder, NAME).settings, load_arrays(folder, NAME)
        trees = _part(arrays, "trees.")
        if missing := [name for name in ARRAYS if name not in trees]:
            raise EcgPageError(f"it has no tensor trees.{missing[0]}")
        if runtime.name == "torch":
            from ecgpage.core.torch_runtime import TorchNetwork  # noqa: PLC0415 - only this way needs PyTorch
            from ecgpage.diagnosis.signal_network import load_nets  # noqa: PLC0415

            nets = load_nets(folder, NAME)
            whole, usual = (TorchNetwork(n, runtime.device, exact=True) for n in (nets.windows, nets.beats))
            return cls(whole, usual, trees)
        from ecgpage.core.onnx_runtime import load_graph  # noqa: PLC0415

        windows, beats = (
            load_graph(
                folder,
                f"signal_{part}",
                {key: np.asarray(value, np.float32) for key, value in _part(arrays, f"{part}.").items()},
                graph_settings(settings, part),
            )
            for part in ("windows", "beats")
        )
        return cls(windows, beats, trees)

    def __call__(self, *windows: NDArray[np.float32]) -> tuple[NDArray[np.float32]]:
        """Logits (n, outputs) of windows (n, 12, t)."""
        (x,) = windows
        usual, sequence, numbers = read_all_beats(x)
        told = walk_trees(self.trees, numbers)
        (of_windows,), (of_beats,) = self.windows(to_planes(x)), self.beats(usual, sequence)
        voters = 2 + np.asarray(self.trees["covered"], np.float32)
        return (np.asarray((of_windows + of_beats + told) / voters, np.float32),)


def graph_settings(settings: Mapping[str, Any], part: str) -> dict[str, Any]:
    """What the network of a part ("windows" or "beats") is built from, of a card's settings."""
    return {"network": settings["networks"][part], "outputs": len(settings["classes"])}


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Arrays whose names begin with ``prefix``, by what follows; no counters of training."""
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return {key: value for key, value in own.items() if not key.endswith(COUNTER)}


class SignalClassifier:
    """Trained networks with their classes and thresholds; ``load`` them, then ``predict``."""

    def __init__(self, network: Network, classes: Sequence[str], thresholds: Sequence[float]) -> None:
        """``network``: from windows (n, 12, t) to one logit for each class, as ``SignalBranch``."""
        if len(classes) != len(thresholds):
            raise EcgPageError(
                f"classifier weights do not fit: {len(classes)} classes, {len(thresholds)} thresholds"
            )
        self.network = network
        self.classes = list(classes)
        self.thresholds = [float(t) for t in thresholds]

    @classmethod
    def load(cls, folder: str | Path, runtime: Runtime | None = None) -> "SignalClassifier":
        """Classifier with the weights of a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        try:
            network = SignalBranch.load(folder, runtime or choose_runtime())
            return cls(network, settings["classes"], settings["thresholds"])
        except (KeyError, TypeError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def predict(self, signal: ArrayLike, fs: float, lead_names: Sequence[str]) -> Diagnosis:
        """Diagnosis of one record; without any finite sample it has no labels, and probabilities of NaN.

        Args:
            signal: float (n_samples, n_leads), mV, NaN where unknown; any length.
            fs: samples per second, Hz.
            lead_names: one for each column, any order and case; names that are no standard lead are left out.

        Of a record longer than 10 s the logits of its 10-s windows are averaged, weighted by the share of known samples.
        """
        windows = to_windows(signal, fs, lead_names)
        if len(windows) == 0:
            return Diagnosis.unknown(self.classes)
        (logits,) = self.network(windows)  # (k, n_classes)
        weight = np.isfinite(windows).mean((1, 2))[:, None]
        p = sigmoid((logits * weight).sum(0) / weight.sum()).tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)
