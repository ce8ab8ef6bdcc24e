"""Processes that train one network together, one a GPU, as torchrun starts them; in a process alone nothing is done.

    torchrun --standalone --nproc-per-node 4 -m ecgpage.train.trace --data FOLDER --out model

Each draws its own examples; a step takes the mean of their gradients, so that ``--batch`` is the number of examples of a
process. The first process keeps the time, validates, and writes.
"""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(days=1)
"""Time that the others wait for the first, which validates."""


def join() -> None:
    """Join the processes that torchrun started with this one, each on its own GPU where there are any."""
    if started() == 1 or dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)


def started() -> int:
    """Number of processes that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def started_rank() -> int:
    """Number of this process, from 0, among those that torchrun started, joined or not."""
    return int(os.environ.get("RANK", "0"))


def joined() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0, among those that train together."""
    return dist.get_rank() if dist.is_initialized() else 0


def share_weights(network: nn.Module) -> None:
    """Give all processes the weights of the first."""
    if joined() > 1:
        for value in network.state_dict().values():
            dist.broadcast(value, 0)


def average_gradients(network: nn.Module) -> None:
    """Replace gradients by their mean over the processes."""
    if joined() == 1:
        return
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    together = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(together)
    together /= joined()
    for grad, part in zip(grads, together.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(part.view_as(grad))


def agree(device: torch.device, *values: float) -> list[float]:
    """Numbers of the first process."""
    if joined() == 1:
        return list(values)
    found: Tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(found, 0)
    return [float(value) for value in found.tolist()]
