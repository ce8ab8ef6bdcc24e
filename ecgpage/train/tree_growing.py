"""Grow boosted trees with scikit-learn and copy them into tensors.

scikit-learn has no public access to the trees of its histogram-based gradient boosting. Only ``read_forest`` reads its
private fields; it was checked with scikit-learn 1.9.1, and each copy is compared with the public ``decision_function``.
"""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
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

log = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Forest:
    """Trees of one class."""

    base: float
    """Logit to which the trees add theirs."""
    trees: list[NDArray[np.void]]
    """Nodes of each tree."""
    logits: NDArray[np.float64]
    """Logits of the first ``COMPARED`` rows by scikit-learn."""

    def save(self, path: Path) -> None:
        """Write a file that appears whole or not at all; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("wb") as file:
            sizes = [len(tree) for tree in self.trees]
            np.savez(file, base=self.base, nodes=np.concatenate(self.trees), sizes=sizes, logits=self.logits)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Forest":
        with np.load(path, allow_pickle=False) as file:
            trees = np.split(file["nodes"], np.cumsum(file["sizes"])[:-1])
            return cls(float(file["base"]), trees, file["logits"])


def grow_trees(numbers: Tensor, y: Tensor, kept: Path | None = None, seconds: float = math.inf) -> Trees:
    """Trees for the classes with enough records, from ``numbers`` (views, n, f) and targets ``y`` (n, classes).

    They are grown by scikit-learn's histogram-based gradient boosting; the least size of a leaf is multiplied by the views.
    The trees of each class are kept in the folder ``kept``, where a stopped training finds them. Once ``seconds`` are over,
    no further class gets trees; the most frequent come first.
    """
    began = time.monotonic()
    views, n, _ = numbers.shape
    rows = numbers.flatten(0, 1).numpy()
    forests: dict[int, Forest] = {}
    for output in torch.argsort(-y.sum(0), stable=True).tolist():
        wanted = y[:, output].numpy() > 0.5
        if LEAST_POSITIVES <= wanted.sum() <= n - LEAST_POSITIVES:
            path = None if kept is None else kept / f"trees{output}.npz"
            if path is not None and path.exists():
                forests[output] = Forest.load(path)
                continue
            if time.monotonic() - began > seconds:
                log.warning("trees for %d classes: their time, %.0f s, is over", len(forests), seconds)
                break
            forests[output] = _grow(rows, np.tile(wanted, views), 20 * views)
            if path is not None:
                forests[output].save(path)
    most = max((len(tree) for forest in forests.values() for tree in forest.trees), default=1)
    trees = Trees(y.shape[1], count=ITERATIONS if forests else 0, nodes=most)
    for output, forest in forests.items():
        trees.covered[output] = True
        trees.base[output] = forest.base
        for k, tree in enumerate(forest.trees):
            _copy_tree(tree, trees, output, k)
    for output, forest in forests.items():
        _compare(trees, output, forest.logits, rows[:COMPARED])
    return trees


def _grow(rows: NDArray[np.float32], wanted: NDArray[np.bool_], least: int) -> Forest:
    """Trees of one class from ``rows`` (n, f); a leaf has at least ``least`` of them."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=ITERATIONS,
        max_leaf_nodes=16,
        max_depth=DEPTH,
        min_samples_leaf=least,
        l2_regularization=10.0,
        max_features=0.2,
        early_stopping=False,
        random_state=0,
    ).fit(rows, wanted)
    return Forest(*read_forest(model), model.decision_function(rows[:COMPARED]))


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


def _compare(trees: Trees, output: int, wanted: NDArray[np.float64], rows: NDArray[np.float32]) -> None:
    """Raise ``EcgPageError`` where copied trees differ from their model's logits ``wanted`` (n,) of ``rows`` (n, f)."""
    found = trees(torch.from_numpy(rows))[:, output].numpy()
    difference = float(np.median(np.abs(found - wanted)))
    if not difference <= TOLERANCE:  # the median: a row at a threshold may fall to the other side in float32
        raise _unknown_form(f"copied trees differ by {difference:.3g}")


def _unknown_form(reason: str) -> EcgPageError:
    return EcgPageError(
        f"scikit-learn {sklearn.__version__} keeps its trees in another form than {CHECKED_VERSION}, with which this was "
        f"checked ({reason}); train with scikit-learn {CHECKED_VERSION}"
    )
