"""Parts of the training loop: groups of parameters, rate, averaged weights, checkpoint, line of the log."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a matrix or a kernel, not a bias or a norm's."""
    return parameter.ndim > 1


def parameter_groups(
    network: nn.Module, weight_decay: float, decays: Callable[[str, nn.Parameter], bool] = is_matrix
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: those that decay, as ``decays`` tells by name and parameter, and the others."""
    named = list(network.named_parameters())
    decayed = [p for name, p in named if decays(name, p)]
    others = [p for name, p in named if not decays(name, p)]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def cosine(share: float, last: float = 0.01) -> float:
    """Learning rate over its peak, from 1 down to ``last``, once ``share`` (0 to 1) of the training is over."""
    return last + (1 - last) * (1 + math.cos(math.pi * share)) / 2


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, most: float, steps: int) -> None:
    """Move averaged weights towards the network's, in place: they keep the share ``most``, less while ``steps`` are few."""
    keep = min(most, (1 + steps) / (10 + steps))
    new, mean = network.state_dict(), averaged.state_dict()
    real = [key for key, value in mean.items() if value.is_floating_point()]
    torch._foreach_lerp_([mean[key] for key in real], [new[key] for key in real], 1 - keep)
    for key in mean.keys() - set(real):
        mean[key].copy_(new[key])


def write_checkpoint(saved: Mapping[str, Any], path: Path) -> None:
    """Store a checkpoint; the previous one stays until the new one is complete."""
    torch.save(dict(saved), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def describe_report(entry: Mapping[str, Any]) -> str:
    """Log line of an entry of ``Progress.history``."""
    losses, scores = (
        ", ".join(f"{key} {value:.4g}" for key, value in entry[part].items()) for part in ("loss", "scores")
    )
    return (
        f"{entry['minutes']:.1f} min, {entry['steps']} steps, {entry['seen']} seen ({entry['per_second']:.1f}/s), "
        f"{entry['drawn']} drawn, rate {entry['rate']:.1e} | loss {losses} | {scores}"
    )
