"""Occlusion saliency of the signal branch: how much the logit of a class falls without 0.2 s of one lead.

Occlusion (Zeiler and Fergus 2014): each window of each lead is made unknown in turn, as if it had not been printed, which
the network knows from its training. A fall of the logit speaks for the class, a rise against it. Saliency shows what this
network looks at, not what a cardiologist would.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.diagnosis.preprocessing import FS, WINDOW, to_windows
from ecgpage.diagnosis.signal_classifier import SignalClassifier

WINDOW_S: Final = 0.2
"""Length of an occluded window, s: a QRS complex with its edges."""
BATCH: Final = 32
"""Number of occluded signals that go through the network together."""


def measure_saliency(
    classifier: SignalClassifier, signal: ArrayLike, fs: float, label: str
) -> NDArray[np.float64]:
    """Saliency (12, 50) of ``label`` in the first 10 s of a signal.

    Args:
        classifier: the signal branch.
        signal: float (n_samples, 12), mV, leads in the order ``LEADS``, NaN where unknown.
        fs: samples per second.
        label: one of the classifier's classes.

    Returns the fall of the logit without window k of a lead, from 0.2 k s on; NaN where the window has no known sample.
    Raises EcgPageError for a class that the classifier does not know.
    """
    if label not in classifier.classes:
        raise EcgPageError(f"no class {label!r}; there are {', '.join(classifier.classes)}")
    length = round(WINDOW_S * FS)
    found = np.full((len(LEADS), WINDOW // length), np.nan)
    windows = to_windows(np.asarray(signal)[: round(WINDOW / FS * fs)], fs, LEADS)
    if len(windows) == 0:
        return found
    known = np.isfinite(windows[0]).reshape(len(LEADS), -1, length).any(axis=2)
    places = np.argwhere(known)
    without = np.repeat(windows[:1], len(places) + 1, axis=0)  # the last one is complete
    for x, (lead, k) in zip(without, places, strict=False):
        x[lead, k * length : (k + 1) * length] = np.nan
    column = classifier.classes.index(label)
    parts = [without[k : k + BATCH] for k in range(0, len(without), BATCH)]
    logits = np.concatenate([classifier.network(part)[0][:, column] for part in parts])
    found[known] = logits[-1] - logits[:-1]
    return found
