"""Macro F as the Challenge counts it, the thresholds that maximise it, how well classes rank, and bootstrap intervals."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score


def f_measures(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> NDArray[np.float64]:
    """F = 2 TP / (2 TP + FP + FN) of each class of labels (n, n_classes); NaN where the class is neither true nor given."""
    hits = (truth & guess).sum(0)
    total = truth.sum(0) + guess.sum(0)
    return np.divide(2.0 * hits, total, out=np.full(truth.shape[1], np.nan), where=total > 0)


def roc_areas(truth: NDArray[np.bool_], p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Area under the ROC curve of each class by ``p`` (n, n_classes); NaN of a class that no record or every one has."""
    return np.array(
        [roc_auc_score(t, q) if 0 < t.sum() < len(t) else np.nan for t, q in zip(truth.T, p.T, strict=True)]
    )


def average_precisions(truth: NDArray[np.bool_], p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Average precision of each class by probabilities or logits ``p`` (n, n_classes); NaN of a class that no record has.

    Mean over the true records of the precision among all that rank as high as they do; equal values rank alike.
    """
    found = np.full(truth.shape[1], np.nan)
    for c in range(truth.shape[1]):
        order = np.argsort(-p[:, c], kind="stable")
        falling, hit = p[order, c], truth[order, c]
        last = np.r_[np.flatnonzero(np.diff(falling)), len(falling) - 1]  # last of each run of equal values
        hits = np.cumsum(hit)[last]
        if hits[-1] > 0:
            found[c] = float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hits[-1])
    return found


def choose_thresholds(
    truth: NDArray[np.bool_],
    p: NDArray[np.floating[Any]],
    fallback: Sequence[float] | None = None,
    trust: float = 3.0,
) -> list[float]:
    """Threshold of each class that maximises F: the median of the best cut over 100 bootstrap draws.

    With few positives the best cut is chance, so it is drawn towards ``fallback`` (default 0.4), which counts as
    ``trust`` more positives.
    """
    rng = np.random.default_rng(0)
    chosen = []
    for c in range(truth.shape[1]):
        order = np.argsort(-p[:, c])
        sorted_p, hit = p[order, c].astype(np.float64), truth[order, c]
        weight = rng.poisson(1.0, (100, len(order))).astype(np.float64)
        tp = np.cumsum(weight * hit, axis=1)  # (100, n): hits when the first k are taken
        f = 2 * tp / (np.cumsum(weight, axis=1) + tp[:, -1:] + 1e-9)
        cut = f.argmax(1)
        middle = (sorted_p + np.append(sorted_p[1:], 0.0)) / 2
        positives, default = int(hit.sum()), 0.4 if fallback is None else fallback[c]
        best = float(np.median(middle[cut])) if positives else default
        chosen.append((positives * best + trust * default) / (positives + trust))
    return chosen


def expected_thresholds(p: NDArray[np.floating[Any]]) -> list[float]:
    """Threshold of each class that maximises the expected F where the probabilities ``p`` (n, classes) are calibrated.

    It needs no labels, so the threshold of a rare class does not depend on its few positives. Source: Lipton, Elkan and
    Naryanaswamy 2014, Optimal thresholding of classifiers to maximize F1 measure.
    """
    chosen = []
    for column in np.asarray(p, np.float64).T:
        falling = -np.sort(-column)
        taken = np.arange(1, len(falling) + 1)
        best = int((2 * np.cumsum(falling) / (falling.sum() + taken)).argmax())
        chosen.append(float(np.append(falling, 0.0)[best : best + 2].mean()))
    return chosen


def macro_interval(
    truth: NDArray[np.bool_], guess: NDArray[np.bool_], draws: int = 1000
) -> tuple[float, float, float]:
    """Macro F with the 2.5 and 97.5 % points of its bootstrap over records."""

    def macro(rows: NDArray[np.intp] | slice) -> float:
        return float(np.nanmean(f_measures(truth[rows], guess[rows])))

    low, high = bootstrap_interval(len(truth), macro, draws)
    return macro(slice(None)), float(low), float(high)


def bootstrap_interval(
    n: int, value: Callable[[NDArray[np.intp]], ArrayLike], draws: int = 1000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2.5 and 97.5 % points of each number in ``value`` of rows drawn with replacement from ``n``; NaN does not count."""
    rng = np.random.default_rng(0)
    drawn = [value(rows) for rows in rng.integers(n, size=(draws, n))]
    low, high = np.nanpercentile(np.array(drawn), [2.5, 97.5], axis=0)
    return low, high
