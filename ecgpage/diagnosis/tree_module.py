"""Boosted trees as part of a network, so that they are stored with its weights."""

import torch
from torch import Tensor, nn

from ecgpage.diagnosis.trees import ARRAYS, walk_trees


class Trees(nn.Module):
    """Trees of ``walk_trees`` as buffers of a module, from features (n, f) to logits (n, outputs)."""

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
        arrays = {name: getattr(self, name).cpu().numpy() for name in ARRAYS}
        return torch.from_numpy(walk_trees(arrays, x.float().cpu().numpy())).to(x.device)
