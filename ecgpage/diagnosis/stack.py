"""Combine the predictions of the signal branch and the page branch, weighted by how well the page was digitized.

Each class has a logistic regression (Wolpert 1992: stacked generalization) on its own logits of both branches; adding the
logits of the other classes did not help on fold 8. The weight of the signal's logit depends on the number of leads that
were read and on the signal's expected SNR.

Conventions:
    branch   a ``Diagnosis``; its probabilities are NaN when the branch had no input
    features (n, classes, 8), in the order ``FEATURES``
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import LEADS, EcgPageError
from ecgpage.core.types import Array
from ecgpage.core.weights import Card, digest, load_arrays, load_card, save_arrays
from ecgpage.diagnosis import page_classifier, signal_classifier
from ecgpage.diagnosis.types import Diagnosis

NAME: Final = "stack"
"""Entry of the weights in the model folder."""

FEATURES: Final = (
    "signal", "page", "signal x leads", "signal x SNR", "no signal", "no page", "leads", "SNR",
)  # fmt: skip
"""Names of the features: logits, share of the leads that were read, expected SNR as a share of 30 dB, products of these, and
flags of a branch without input."""

BEST_SNR_DB: Final = 30.0
"""Expected SNR, dB, above which signals count as equally good."""
TYPICAL_SNR_DB: Final = 15.0
"""Expected SNR, dB, assumed where it is not known."""
FINDINGS: Final = ("Acute MI", "Old MI", "STTC", "CD", "HYP")
"""Classes beside which NORM needs a probability of its own (``norm_beside``); rhythms are not among them."""
LEAST_P: Final = 1e-4
"""Probability at which, and at 1 minus it, probabilities are cut, so that logits stay within +-9.2."""


def logit(p: NDArray[np.floating]) -> Array:
    """Log odds of probabilities; NaN stays NaN."""
    cut = np.clip(np.asarray(p, np.float64), LEAST_P, 1 - LEAST_P)
    return np.log(cut / (1 - cut))


def features(
    signal: NDArray[np.floating],
    page: NDArray[np.floating],
    leads_read: NDArray[np.floating],
    snr_db: NDArray[np.floating],
) -> Array:
    """Features (n, classes, 8), in the order ``FEATURES``.

    Args:
        signal: probabilities (n, classes) of the signal branch.
        page: probabilities (n, classes) of the page branch.
        leads_read: number of leads (n,), 0 to 12.
        snr_db: expected SNR (n,), dB, NaN where not known.

    The logit of a branch without input (NaN) is replaced by the other branch's, and a flag is set; where neither has
    input, all but the flags and the two qualities is 0.
    """
    s, p = logit(signal), logit(page)  # (n, classes)
    no_signal, no_page = ~np.isfinite(s), ~np.isfinite(p)
    s, p = np.where(no_signal, p, s), np.where(no_page, s, p)
    s, p = np.nan_to_num(s), np.nan_to_num(p)
    leads = np.broadcast_to(np.clip(leads_read, 0, len(LEADS))[:, None] / len(LEADS), s.shape)
    db = np.where(np.isfinite(snr_db), snr_db, TYPICAL_SNR_DB)
    quality = np.broadcast_to(np.clip(db, 0, BEST_SNR_DB)[:, None] / BEST_SNR_DB, s.shape)
    return np.stack([s, p, s * leads, s * quality, no_signal, no_page, leads, quality], axis=-1)


class Stack:
    """Fitted combination; ``load`` it, then ``combine``."""

    def __init__(
        self,
        weights: Array,
        bias: Array,
        classes: Sequence[str],
        thresholds: Sequence[float],
        *,
        at_least_one: bool,
        norm_beside: float = 0.0,
        branches: Mapping[str, str | None] | None = None,
        uses_snr: bool = False,
    ) -> None:
        """Fitted coefficients: ``weights`` (classes, 8) and ``bias`` (classes,).

        ``at_least_one``: whether a readable page always gets a label. ``norm_beside``: probability that NORM needs beside
        one of ``FINDINGS``. ``branches``: sha256 of the weights of both branches that the stack was fitted to. ``uses_snr``:
        whether it was fitted to pages whose expected SNR was known; otherwise the SNR is ignored.
        """
        if not weights.shape == (len(classes), len(FEATURES)) or len(bias) != len(classes):
            raise EcgPageError(
                f"stack's weights do not fit: {weights.shape} for {len(classes)} classes x {len(FEATURES)}"
            )
        if len(thresholds) != len(classes):
            raise EcgPageError(f"stack: {len(thresholds)} thresholds for {len(classes)} classes")
        self.weights, self.bias = weights, bias
        self.classes = list(classes)
        self.thresholds = np.array(thresholds, np.float64)
        self.at_least_one, self.norm_beside = at_least_one, norm_beside
        self.branches = dict(branches or {})
        self.uses_snr = uses_snr

    @classmethod
    def load(cls, folder: str | Path) -> "Stack":
        """Stack with the coefficients of a model folder; EcgPageError says what is missing and the way out."""
        settings, arrays = load_card(folder, NAME).settings, load_arrays(folder, NAME)
        try:
            if tuple(settings["features"]) != FEATURES:
                raise EcgPageError(f"weights {NAME!r} in {folder} use other features: {settings['features']}")
            return cls(
                np.asarray(arrays["weights"], np.float64),
                np.asarray(arrays["bias"], np.float64),
                settings["classes"],
                settings["thresholds"],
                at_least_one=bool(settings["at_least_one"]),
                norm_beside=float(settings["norm_beside"]),
                branches=settings["branches"],
                uses_snr=bool(settings.get("uses_snr", False)),
            )
        except (KeyError, TypeError) as error:
            raise EcgPageError(f"weights {NAME!r} in {folder} do not fit this version: {error}") from error

    def save(self, folder: str | Path, *, trained_on: str, command: str, score: str) -> Path:
        """Write coefficients and card for the branches that the folder holds; returns the file's path.

        ``trained_on``, ``command`` and ``score`` are texts for the card.
        """
        self.branches = {
            name: digest(folder, name) for name in (signal_classifier.NAME, page_classifier.NAME)
        }
        card = Card(
            input="logits of signal_classifier and page_classifier, leads read (0-12), expected SNR in dB",
            output="one logit per class; a label where its sigmoid reaches the class's threshold (settings)",
            trained_on=trained_on,
            command=command,
            score=score,
            settings={
                "classes": self.classes,
                "thresholds": self.thresholds.tolist(),
                "features": list(FEATURES),
                "at_least_one": self.at_least_one,
                "norm_beside": self.norm_beside,
                "branches": self.branches,
                "uses_snr": self.uses_snr,
            },
        )
        arrays = {
            "weights": np.asarray(self.weights, np.float32),
            "bias": np.asarray(self.bias, np.float32),
        }
        return save_arrays(folder, NAME, arrays, card)

    def features(self, signal: Array, page: Array, leads_read: Array, snr_db: Array) -> Array:
        """Features (n, classes, 8) for this stack: without SNR where it was fitted without."""
        return features(signal, page, leads_read, snr_db if self.uses_snr else np.full_like(snr_db, np.nan))

    def probabilities(self, x: Array) -> Array:
        """Probabilities (n, classes) from ``features`` (n, classes, 8)."""
        found: Array = 1 / (1 + np.exp(-((x * self.weights).sum(-1) + self.bias)))
        return found

    def labels(self, p: Array) -> NDArray[np.bool_]:
        """Labels (n, classes), True or False, of probabilities (n, classes)."""
        held = decide(p, self.thresholds, at_least_one=self.at_least_one)
        return drop_unlikely_norm(held, p, self.classes, self.norm_beside)

    def combine(
        self, signal: Diagnosis | None, page: Diagnosis | None, *, leads_read: int, snr_db: float = math.nan
    ) -> Diagnosis:
        """Diagnosis of a page from the diagnoses of both branches.

        Args:
            signal: diagnosis of the digitized signal, None when there is none.
            page: diagnosis of the picture, None when there is none.
            leads_read: number of leads with values, 0 to 12.
            snr_db: mean of the leads' expected SNR, dB, NaN where not known.

        Without either branch: no labels, and probabilities of NaN. Raises EcgPageError when a branch lacks a class.
        """
        rows = [self._row(branch) for branch in (signal, page)]
        if all(np.isnan(row).all() for row in rows):
            return Diagnosis.unknown(self.classes)
        quality = (np.array([float(leads_read)]), np.array([snr_db]))
        p = self.probabilities(self.features(rows[0][None], rows[1][None], *quality))
        held = self.labels(p)[0]
        labels = [c for c, on in zip(self.classes, held, strict=True) if on]
        return Diagnosis(labels, dict(zip(self.classes, p[0].tolist(), strict=True)))

    def _row(self, branch: Diagnosis | None) -> Array:
        if branch is None:
            return np.full(len(self.classes), np.nan)
        missing = [c for c in self.classes if c not in branch.probabilities]
        if missing:
            raise EcgPageError(f"stack: a branch does not know {', '.join(missing)}; load weights that fit")
        return np.array([branch.probabilities[c] for c in self.classes])


def decide(p: Array, thresholds: Array, *, at_least_one: bool) -> NDArray[np.bool_]:
    """Labels (n, classes), True where a probability reaches its class's threshold; NaN does not.

    With ``at_least_one`` a row without a label gets the class whose odds come nearest to those of its threshold.
    """
    held = np.asarray(p >= thresholds, np.bool_)
    if at_least_one:
        bare = ~held.any(1) & np.isfinite(p).all(1)
        nearest = (logit(p) - logit(thresholds)).argmax(1)
        held[bare, nearest[bare]] = True
    return held


def drop_unlikely_norm(
    held: NDArray[np.bool_], p: Array, classes: Sequence[str], norm_beside: float
) -> NDArray[np.bool_]:
    """Labels (n, classes) without NORM where it stands beside one of ``FINDINGS`` with p below ``norm_beside``."""
    if "NORM" not in classes:
        return held
    norm = list(classes).index("NORM")
    findings = [k for k, c in enumerate(classes) if c in FINDINGS]
    settled = held.copy()
    settled[:, norm] &= ~(held[:, findings].any(axis=1) & (p[:, norm] < norm_beside))
    return settled
