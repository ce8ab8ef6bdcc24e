"""Evaluate boosted decision trees stored as arrays, without the library that grew them.

Source: Friedman 2001, Greedy function approximation: a gradient boosting machine.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEPTH: Final = 6
"""Largest number of decisions from the root to a leaf."""
ARRAYS: Final = ("feature", "left", "right", "threshold", "value", "base", "covered")
"""Names of the arrays of trees: the first five (outputs, count, nodes), then (outputs,)."""


def walk_trees(trees: Mapping[str, NDArray[Any]], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, outputs) of features (n, f): ``base`` plus the sum of ``count`` trees of each output.

    Outputs that are not ``covered`` are 0. A row goes to the ``left`` node where its ``feature`` is at most
    ``threshold``, else to the ``right`` one; a leaf leads to itself. Nodes beyond a tree's own are never reached.
    """
    logits = np.tile(np.asarray(trees["base"], np.float32), (len(x), 1))
    feature, left, right = trees["feature"], trees["left"], trees["right"]
    tree = np.arange(feature.shape[1])
    for output in np.flatnonzero(trees["covered"]):
        node = np.zeros((len(x), len(tree)), np.int64)  # (n, count)
        threshold = np.asarray(trees["threshold"][output], np.float32)
        for _ in range(DEPTH):
            asked = np.take_along_axis(x, feature[output][tree, node].astype(np.int64), 1)
            low = asked <= threshold[tree, node]
            node = np.where(low, left[output][tree, node], right[output][tree, node]).astype(np.int64)
        logits[:, output] += np.asarray(trees["value"][output], np.float32)[tree, node].sum(1)
    return logits
