"""Diagnose a digitized signal: one network on its windows, one on its beats, and trees on numbers that describe the beats.

Conventions:
    signal   float (n_samples, n_leads), mV, NaN where nothing was drawn or can be trusted, any rate and leads
    window   float32 (12, 1000), mV, leads in the order ``LEADS``, 10 s at 100 Hz, NaN where not known
    planes   float32 (24, 1000): the leads without baseline and 0 where not known, then twelve masks, 0 or 1
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from numpy.typing import ArrayLike

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.weights import load_card, load_tensors
from ecgpage.diagnosis.preprocessing import to_windows
from ecgpage.diagnosis.signal_network import SignalNets
from ecgpage.diagnosis.types import Diagnosis

NAME: Final = "signal_classifier"
"""Entry of the weights in the model folder."""


class SignalClassifier:
    """Trained networks with their classes and thresholds; ``load`` them, then ``predict``."""

    def __init__(self, network: "SignalNets", classes: Sequence[str], thresholds: Sequence[float]) -> None:
        if not len(classes) == len(thresholds) == network.outputs:
            raise EcgPageError(
                f"classifier weights do not fit: {len(classes)} classes, {len(thresholds)} thresholds, "
                f"{network.outputs} outputs"
            )
        self.network = network.eval()
        self.classes = list(classes)
        self.thresholds = [float(t) for t in thresholds]

    @classmethod
    def load(cls, folder: str | Path) -> "SignalClassifier":
        """Classifier with the weights of a model folder; EcgPageError says what is missing and the way out."""
        settings = load_card(folder, NAME).settings
        tensors = load_tensors(folder, NAME)
        try:
            network = SignalNets(len(settings["classes"]), **settings["networks"])
            network.load_state_dict({key: value.float() for key, value in tensors.items()})
            return cls(network, settings["classes"], settings["thresholds"])
        except (KeyError, TypeError, RuntimeError) as error:
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
        device = next(self.network.parameters()).device
        x = torch.from_numpy(windows).to(device)  # (k, 12, 1000)
        with torch.inference_mode():
            logits = self.network(x)  # (k, n_classes)
            weight = x.isfinite().float().mean((1, 2))[:, None]
            p = torch.sigmoid((logits * weight).sum(0) / weight.sum()).cpu().tolist()
        return Diagnosis.by_thresholds(self.classes, p, self.thresholds)
