"""Devices that train: their choice, their names, and how long they took."""

import torch

from ecgpage.core.conventions import EcgPageError


def choose_device(name: str = "auto") -> torch.device:
    """Device by name; "auto" is CUDA where it exists. ``EcgPageError`` when CUDA is named and missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise EcgPageError(
            f"device {name!r} was asked for, but there is no CUDA device; use --device cpu or auto"
        )
    return torch.device(name)


def name_device(device: torch.device) -> str:
    """Name of a device in words, such as "a CPU (2 threads)"."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"a CPU ({threads} thread{'' if threads == 1 else 's'})"


def describe_duration(seconds: float) -> str:
    """Duration with its unit: seconds below two minutes, minutes below two hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"
