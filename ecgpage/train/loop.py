"""What the trainings share: which parameters decay, the schedule, the averaged weights, checkpoints."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Matrices and kernels; no biases and norms."""
    return parameter.ndim > 1


def parameter_groups(
    network: nn.Module, weight_decay: float, decays: Callable[[str, nn.Parameter], bool] = is_matrix
) -> list[dict[str, Any]]:
    """Two groups for an optimizer: the parameters that decay, by name and parameter, and the others."""
    named = list(network.named_parameters())
    decayed = [p for name, p in named if decays(name, p)]
    others = [p for name, p in named if not decays(name, p)]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def cosine(share: float, last: float = 0.01) -> float:
    """Part of the highest learning rate once ``share`` of the training is over, from 1 down to ``last``."""
    return last + (1 - last) * (1 + math.cos(math.pi * share)) / 2


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, most: float, steps: int) -> None:
    """Move the averaged weights towards the network's after ``steps`` steps: they keep the share ``most``, less at first."""
    keep = min(most, (1 + steps) / (10 + steps))
    new, mean = network.state_dict(), averaged.state_dict()
    real = [key for key, value in mean.items() if value.is_floating_point()]
    torch._foreach_lerp_([mean[key] for key in real], [new[key] for key in real], 1 - keep)
    for key in mean.keys() - set(real):
        mean[key].copy_(new[key])


def write_checkpoint(saved: Mapping[str, Any], path: Path) -> None:
    """Store a checkpoint; the one before stays until the new one is complete."""
    torch.save(dict(saved), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
