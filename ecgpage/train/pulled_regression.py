"""Logistic regressions of several classes whose weights are drawn to common ones, which rare classes need."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ecgpage.core.types import Array


def fit_near_common(
    x: Array, truth: NDArray[np.bool_], usual: Array, *, common_pull: float, pull: float
) -> tuple[Array, Array]:
    """Weights (k, f) and biases (k,) of the classes ``truth`` (n, k), each from its own features ``x`` (n, k, f).

    Weights common to all classes, with a bias each, are fitted first, ``common_pull`` drawing them to ``usual`` (f,); then
    each class's own, which ``pull`` holds near the common ones: rare classes follow the common weights, frequent ones their
    own rows. A class that none or all of the rows have keeps ``usual`` and no bias.
    """
    count = truth.shape[1]
    weights, bias = np.tile(np.asarray(usual, np.float64), (count, 1)), np.zeros(count)
    held = [c for c in range(count) if 0 < truth[:, c].sum() < len(truth)]
    if held:
        common, _ = regression(x[:, held], truth[:, held], weights[0], common_pull)
        for c in held:
            weights[c], bias[c : c + 1] = regression(x[:, [c]], truth[:, [c]], common, pull)
    return weights, bias


def regression(x: Array, truth: NDArray[np.bool_], prior: Array, pull: float) -> tuple[Array, Array]:
    """Weights (f,) and biases (k,) for ``x`` (n, k, f): least cross-entropy + ``pull`` |standardised weights - prior|^2."""
    mean, spread = x.mean(0), x.reshape(-1, x.shape[2]).std(0)  # (k, 8), (8,)
    centred = x - mean

    def loss(values: Array) -> tuple[float, Array]:
        change, bias = values[: len(prior)], values[len(prior) :]
        z = centred @ (prior + change) + bias  # (n, k)
        error = 1 / (1 + np.exp(-z)) - truth
        penalty = change * spread**2
        entropy = np.logaddexp(0, z).sum() - z[truth].sum()
        slope = np.tensordot(error, centred, 2) + 2 * pull * penalty
        return float(entropy + pull * change @ penalty), np.concatenate([slope, error.sum(0)])

    start = np.zeros(len(prior) + x.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights = prior + found[: len(prior)]
    return weights, found[len(prior) :] - mean @ weights
