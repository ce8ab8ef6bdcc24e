"""Grow boosted trees with scikit-learn and copy them into tensors.

scikit-learn has no public access to the trees of its histogram-based gradient boosting. Only ``read_forest`` reads its
private fields; it was checked with scikit-learn 1.9.1, and each copy is compared with the public ``decision_function``.
"""

from typing import Any, Final

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from ecgpage.core.conventions import EcgPageError
from ecgpage.diagnosis.tree_module import Trees
from ecgpage.diagnosis.trees import DEPTH

CHECKED_VERSION: Final = "1.9.1"
"""Version of scikit-learn whose private fields are known."""
COMPARED: Final = 256
"""Number of rows on which copied trees are compared with scikit-learn's."""
TOLERANCE: Final = 1e-3
"""Median difference of the logits of copy and original, at most."""
ITERATIONS: Final = 400
"""Number of trees of each class."""
LEAST_POSITIVES: Final = 20
"""Number of records of a class, at least, for trees to be grown."""


def grow_trees(numbers: Tensor, y: Tensor) -> Trees:
    """Trees for the classes with enough records, from ``numbers`` (views, n, f) and targets ``y`` (n, classes).

    They are grown by scikit-learn's histogram-based gradient boosting; the least size of a leaf is multiplied by the views.
    """
    views, n, _ = numbers.shape
    rows = numbers.flatten(0, 1).numpy()
    grown: dict[int, Any] = {}
    for output in range(y.shape[1]):
        wanted = y[:, output].numpy() > 0.5
        if LEAST_POSITIVES <= wanted.sum() <= n - LEAST_POSITIVES:
            grown[output] = HistGradientBoostingClassifier(
                learning_rate=0.03,
                max_iter=ITERATIONS,
                max_leaf_nodes=16,
                max_depth=DEPTH,
                min_samples_leaf=20 * views,
                l2_regularization=10.0,
                max_features=0.2,
                early_stopping=False,
                random_state=0,
            ).fit(rows, np.tile(wanted, views))
    forests = {output: read_forest(model) for output, model in grown.items()}
    most = max((len(tree) for _, forest in forests.values() for tree in forest), default=1)
    trees = Trees(y.shape[1], count=ITERATIONS if forests else 0, nodes=most)
    for output, (base, forest) in forests.items():
        trees.covered[output] = True
        trees.base[output] = base
        for k, tree in enumerate(forest):
            _copy_tree(tree, trees, output, k)
    for output, model in grown.items():
        _compare(trees, output, model, rows[:COMPARED])
    return trees


def read_forest(model: Any) -> tuple[float, list[NDArray[np.void]]]:
    """Base logit and nodes of each tree of a fitted two-class ``HistGradientBoostingClassifier``, from private fields.

    Raises ``EcgPageError`` when the installed scikit-learn keeps them in another form than ``CHECKED_VERSION``.
    """
    try:
        forest = [trees[0].nodes for trees in model._predictors]
        base = float(model._baseline_prediction.item())
        wanted = {"is_leaf", "feature_idx", "num_threshold", "left", "right", "value"}
        missing = wanted - set(forest[0].dtype.names)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise _unknown_form(str(error)) from error
    if missing:
        raise _unknown_form(f"its nodes lack {', '.join(sorted(missing))}")
    return base, forest


def _copy_tree(tree: NDArray[np.void], trees: Trees, output: int, k: int) -> None:
    """Copy the nodes of one tree into the buffers of ``trees`` as tree ``k`` of an output."""
    leaf, place = tree["is_leaf"].astype(bool), np.arange(len(tree))
    columns = {
        "feature": np.where(leaf, 0, tree["feature_idx"]),
        "threshold": np.where(leaf, 0, tree["num_threshold"]),
        "left": np.where(leaf, place, tree["left"]),
        "right": np.where(leaf, place, tree["right"]),
        "value": np.where(leaf, tree["value"], 0),
    }
    for key, column in columns.items():
        buffer: Tensor = getattr(trees, key)
        buffer[output, k, : len(tree)] = torch.from_numpy(column.astype(np.float64)).to(buffer.dtype)


def _compare(trees: Trees, output: int, model: Any, rows: NDArray[np.float32]) -> None:
    """Raise ``EcgPageError`` where copied trees and their model differ in the logits of ``rows`` (n, f)."""
    found = trees(torch.from_numpy(rows))[:, output].numpy()
    difference = float(np.median(np.abs(found - model.decision_function(rows))))
    if not difference <= TOLERANCE:  # the median: a row at a threshold may fall to the other side in float32
        raise _unknown_form(f"copied trees differ by {difference:.3g}")


def _unknown_form(reason: str) -> EcgPageError:
    return EcgPageError(
        f"scikit-learn {sklearn.__version__} keeps its trees in another form than {CHECKED_VERSION}, with which this was "
        f"checked ({reason}); train with scikit-learn {CHECKED_VERSION}"
    )
