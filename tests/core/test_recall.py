"""Networks that keep their last answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.recall import KEPT, Recall


class Doubling:
    """Network that counts how often it is run."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.runs += 1
        return tuple(2 * x for x in inputs)


def test_what_was_asked_a_moment_before_is_not_computed_again() -> None:
    network = Doubling()
    recall = Recall(network)
    for _ in range(2):
        (found,) = recall(np.ones((1, 3), np.float32))
        assert found.tolist() == [[2.0, 2.0, 2.0]]
    assert network.runs == 1


def test_another_question_has_its_own_answer() -> None:
    network = Doubling()
    recall = Recall(network)
    asked = [np.full((1, 2), k, np.float32) for k in range(KEPT + 1)]
    assert [float(recall(x)[0][0, 0]) for x in asked] == [2.0 * k for k in range(KEPT + 1)]
    assert network.runs == KEPT + 1
    recall(asked[1])
    assert network.runs == KEPT + 1
    recall(asked[0])  # the oldest answer is forgotten
    assert network.runs == KEPT + 2


def test_pictures_of_other_shapes_are_other_questions() -> None:
    network = Doubling()
    recall = Recall(network)
    assert recall(np.zeros((1, 4), np.float32))[0].shape == (1, 4)
    assert recall(np.zeros((1, 2, 2), np.float32))[0].shape == (1, 2, 2)
    assert network.runs == 2
