"""Run networks by PyTorch: weights as tensors, the precision of products, and a module as a function on arrays."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.runtime import asked_precision
from ecgpage.core.weights import Card, load_arrays, load_card, save_arrays

Module = TypeVar("Module", bound=nn.Module)


class TorchNetwork:
    """A module as a function on arrays."""

    def __init__(self, module: nn.Module, device: str = "cpu", *, exact: bool = False) -> None:
        """``module``: in evaluation mode; ``exact``: in float32 whatever precision is asked for."""
        self.module = module.to(device)
        self.device = torch.device(device)
        self.exact = exact

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs, float32, for inputs float32; the first axis of each is the batch."""
        given = [torch.from_numpy(x).to(self.device) for x in inputs]
        half = not self.exact and in_bfloat16(self.device)
        half = not self.exact and in_bfloat16(self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            found = self.module(*given)
        outputs = [found] if isinstance(found, Tensor) else found
        return tuple(output.float().cpu().numpy() for output in outputs)


def load_tensors(folder: str | Path, name: str) -> dict[str, Tensor]:
    """Tensors of ``name``, on the CPU, in the precision of the file; EcgPageError as ``load_arrays`` raises it."""
    return {key: torch.from_numpy(value.copy()) for key, value in load_arrays(folder, name).items()}


def load_module(
    folder: str | Path, name: str, build: Callable[[dict[str, Any]], Module]
) -> tuple[Module, Card]:
    """Network that ``build`` makes of the settings of ``name``, with its weights as float32, and its card.

    Raises EcgPageError as ``load_arrays`` does, when settings or weights do not fit the network, and when
    ``ECGPAGE_PRECISION`` is none of PRECISIONS.
    """
    asked_precision()  # a wrong precision is refused here, not page by page
    card = load_card(folder, name)
    try:
        module = build(card.settings["network"])
        module.load_state_dict({key: value.float() for key, value in load_tensors(folder, name).items()})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = f"{name} does not fit the network: {error}"
        raise EcgPageError(f"weights cannot be used: {folder}: {reason}") from error
    return module, card


def save_tensors(folder: str | Path, name: str, tensors: Mapping[str, Tensor], card: Card) -> Path:
    """Write ``<name>.safetensors`` and its card as ``save_arrays`` does; returns the file's path."""
    return save_arrays(folder, name, {k: v.detach().cpu().numpy() for k, v in tensors.items()}, card)


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with float32 stored as float16, the others unchanged: half the file, about three decimal digits."""
    return {key: value.half() if value.dtype == torch.float32 else value for key, value in tensors.items()}


def in_bfloat16(device: torch.device) -> bool:
    """Whether the networks' products are in bfloat16 on ``device``: as asked, or with ``auto`` where that is faster."""
    asked = asked_precision()
    if asked != "auto":
        return asked == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_amx_tile_supported())


def network_precision(device: torch.device) -> torch.autocast:
    """While it is entered, what runs on ``device`` multiplies in the precision of ``in_bfloat16``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(device))
