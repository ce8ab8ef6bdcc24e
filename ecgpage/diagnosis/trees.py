"""Evaluate boosted decision trees stored as tensors, without the library that grew them.

Source: Friedman 2001, Greedy function approximation: a gradient boosting machine.
"""

from typing import Final

import torch
from torch import Tensor, nn

DEPTH: Final = 6
"""Largest number of decisions from the root to a leaf."""


class Trees(nn.Module):
    """Trees from features (n, f) to logits (n, outputs): ``base`` plus the sum of ``count`` trees of each output.

    Outputs that are not ``covered`` are 0. A row goes to the ``left`` node where its ``feature`` is at most
    ``threshold``, else to the ``right`` one; a leaf leads to itself. Nodes beyond a tree's own are never reached.
    """

    def __init__(self, outputs: int, *, count: int = 0, nodes: int = 1) -> None:
        super().__init__()
        shape = (outputs, count, nodes)
        self.feature: Tensor
        self.left: Tensor
        self.right: Tensor
        self.threshold: Tensor
        self.value: Tensor
        self.base: Tensor
        self.covered: Tensor
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int16))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("base", torch.zeros(outputs))
        self.register_buffer("covered", torch.zeros(outputs, dtype=torch.bool))

    @property
    def settings(self) -> dict[str, int]:
        """Settings that the constructor takes beside the outputs."""
        return {"count": self.feature.shape[1], "nodes": self.feature.shape[2]}

    def forward(self, x: Tensor) -> Tensor:
        logits = self.base.float().repeat(len(x), 1)
        for output in self.covered.nonzero().flatten().tolist():
            tree = torch.arange(self.feature.shape[1], device=x.device)
            node = torch.zeros(len(x), len(tree), dtype=torch.int64, device=x.device)  # (n, count)
            for _ in range(DEPTH):
                asked = x.float().gather(1, self.feature[output, tree, node].long())
                left, right = self.left[output, tree, node], self.right[output, tree, node]
                node = torch.where(asked <= self.threshold[output, tree, node], left, right).long()
            logits[:, output] += self.value[output, tree, node].float().sum(1)
        return logits
