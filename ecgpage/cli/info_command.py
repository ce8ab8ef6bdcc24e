"""``ecgpage info``: what a report of a bug needs to say about the installation."""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ecgpage import __version__
from ecgpage.core.conventions import EcgPageError
from ecgpage.core.runtime import RUNTIME, choose_runtime, count_threads
from ecgpage.core.shipped_weights import TABLE, find_weights

NEEDED: Final = (
    "numpy", "scipy", "opencv-python-headless", "pillow", "safetensors", "threadpoolctl", "tqdm", "pypdfium2", "pi-heif",
    "onnxruntime",
)  # fmt: skip
"""Distributions that reading needs."""
OPTIONAL: Final = {"torch": "torch", "efficientnet-pytorch": "torch", "pydicom": "dicom", "edfio": "edf"}
"""Distribution -> extra of the package that brings it."""
BLOCK: Final = 1 << 20
"""Bytes that are hashed at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a parser."""
    parser.add_argument("--model", metavar="DIR", help="folder with weights other than those of the package")


def run(options: argparse.Namespace) -> int:
    """Print everything; 2 where reading cannot work, else 0."""
    problems: list[str] = []
    for line in _describe(None if options.model is None else Path(options.model), problems):
        print(line)
    for problem in problems:
        print(f"problem: {problem}")
    return 2 if problems else 0


def _describe(model: Path | None, problems: list[str]) -> Iterator[str]:
    """Lines about the installation; what keeps pages from being read is added to ``problems``."""
    yield f"ecgpage    {__version__} ({Path(__file__).resolve().parents[1]})"
    yield f"Python     {platform.python_version()} ({sys.executable})"
    yield f"system     {platform.platform()}, {os.cpu_count()} processors"
    yield from _describe_runtime(problems)
    for name in NEEDED:
        version = _version(name)
        yield f"{name:<22} {version or 'missing'}"
        if version is None:
            problems.append(f"{name} is missing; install the package again")
    for name, extra in OPTIONAL.items():
        absent = f'not there; install it with: pip install "ecgpage[{extra}]"'
        yield f"{name:<22} {_version(name) or absent}"
    yield from _describe_weights(model, problems)


def _describe_runtime(problems: list[str]) -> Iterator[str]:
    """What runs the networks where nothing else is asked for, the device, and the precision of the networks there."""
    try:
        runtime = choose_runtime()
    except EcgPageError as error:
        problems.append(str(error))
        return
    yield f"runtime    {runtime.name} ({RUNTIME}={os.environ.get(RUNTIME) or 'auto'})"
    if runtime.name == "onnx":
        yield f"device     cpu ({platform.machine()}, {count_threads()} threads)"
        yield "precision  float32"
        return
    import torch  # noqa: PLC0415 - seconds; what else is known stands there already

    from ecgpage.core.torch_runtime import in_bfloat16  # noqa: PLC0415

    device = torch.device(runtime.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    yield f"device     {device.type} ({name})"
    yield f"precision  {'bfloat16' if in_bfloat16(device) else 'float32'}"


def _describe_weights(model: Path | None, problems: list[str]) -> Iterator[str]:
    """Each file of weights with its sha256, and whether it is the one that the table names."""
    try:
        folder = model or find_weights()
        table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
        stated = {str(card["file"]): str(card["sha256"]) for card in table.values()}
    except EcgPageError as error:
        problems.append(str(error))
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problems.append(f"{folder / TABLE}: no table of weights ({error}); name a folder: --model DIR")
        return
    yield f"weights    {folder}"
    for name, wanted in sorted(stated.items()):
        found = _hash(folder / name)
        state = "ok" if found == wanted else "missing" if found is None else "damaged"
        yield f"  {name:<28} {wanted} {state}"
        if state != "ok":
            problems.append(f"{folder / name}: {state}; install the package again")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _hash(path: Path) -> str | None:
    """sha256 of a file, hexadecimal; None when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
