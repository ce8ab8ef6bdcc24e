"""Read and write model folders: tensors in safetensors files, described by one table, ``weights.json``.

``weights.json`` maps a name to its card: file, sha256, input, output, what it was trained on, by which
command, score, licence, and the settings that the code needs to rebuild the network. A file is read once and its
sha256 compared with the table before the bytes in memory are parsed, so only what the table vouches for is loaded,
and nothing is ever unpickled.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize_tensors
from torch import Tensor, nn

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.shipped_weights import TABLE

Module = TypeVar("Module", bound=nn.Module)

WAY_OUT: Final = (
    "train with train_model.py, or copy the shipped weights from the repository's model/ folder "
    "(in the Docker image: /challenge/pretrained)"
)
"""Advice that ends each error about weights."""

PRECISION: Final = "ECGPAGE_PRECISION"
"""Environment variable that says in which precision networks multiply that read pages or are trained."""
PRECISIONS: Final = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Card:
    """Description of one file of weights; every text is one line for a reader."""

    input: str
    """Shape, rate or size, units or colour, and range that the network expects."""
    output: str
    """Output of the network, with units."""
    trained_on: str
    """Training data, and how they were altered for training."""
    command: str
    """Command line that made the file."""
    score: str
    """Figure, metric and the records it was measured on."""
    licence: str = "BSD-3-Clause (code and weights); training data CC BY 4.0"
    """Terms for the weights and origin of the data."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings that rebuild the network: sizes, class names, thresholds (JSON values only)."""


def load_card(folder: str | Path, name: str) -> Card:
    """Card of ``name``; EcgPageError when folder, table or entry is missing or malformed."""
    entry = _entry(Path(folder), name)
    try:
        return Card(**{f.name: entry[f.name] for f in fields(Card)})
    except KeyError as error:
        raise _unusable(Path(folder) / TABLE, f"the entry {name!r} has no field {error}") from error


def load_tensors(folder: str | Path, name: str) -> dict[str, Tensor]:
    """Tensors of ``name``, on the CPU, in the precision of the file, after its sha256 was checked.

    Raises EcgPageError, which names file, reason and way out, when folder, table, entry or file is missing or
    the sha256 differs.
    """
    entry = _entry(Path(folder), name)
    filename = str(entry.get("file", ""))
    if filename != Path(filename).name or not filename:
        raise _unusable(Path(folder) / TABLE, f"{name!r} names no file of this folder ({filename!r})")
    path = Path(folder) / filename
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, error.strerror or "cannot be read") from error
    found, wanted = hashlib.sha256(content).hexdigest(), entry.get("sha256")
    if found != wanted:
        raise _unusable(path, f"its sha256 is {found}, {TABLE} says {wanted}")
    try:
        return dict(parse_tensors(content))
    except SafetensorError as error:
        raise _unusable(path, f"not a safetensors file ({error})") from error


def load_module(
    folder: str | Path, name: str, build: Callable[[dict[str, Any]], Module]
) -> tuple[Module, Card]:
    """Network that ``build`` makes of the settings of ``name``, with its weights as float32, and its card.

    Raises EcgPageError as ``load_tensors`` does, when settings or weights do not fit the network, and when
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


def digest(folder: str | Path, name: str) -> str | None:
    """Digest (sha256, hexadecimal) that the table of a model folder states for ``name``; None without entry or table.

    Raises EcgPageError when the table is malformed.
    """
    table = _read_table(Path(folder)) if (Path(folder) / TABLE).exists() else {}
    entry = table.get(name)
    return str(entry["sha256"]) if isinstance(entry, dict) and "sha256" in entry else None


def save_tensors(folder: str | Path, name: str, tensors: Mapping[str, Tensor], card: Card) -> Path:
    """Write ``<name>.safetensors`` and its card; makes the folder and returns the file's path.

    Each of the two files appears whole or not at all; an interruption between them leaves a sha256 that
    ``load_tensors`` refuses.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = serialize_tensors({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    path = folder / f"{name}.safetensors"
    _replace(path, content)
    table = _read_table(folder) if (folder / TABLE).exists() else {}
    table[name] = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), **asdict(card)}
    text = json.dumps(table, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    _replace(folder / TABLE, text.encode())
    return path


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with float32 stored as float16, the others unchanged: half the file, about three decimal digits."""
    return {key: value.half() if value.dtype == torch.float32 else value for key, value in tensors.items()}


def _entry(folder: Path, name: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise _unusable(folder, "there is no such folder")
    table = _read_table(folder)
    if not isinstance(table.get(name), dict):
        raise _unusable(folder / TABLE, f"it has no entry {name!r}")
    return dict(table[name])


def _read_table(folder: Path) -> dict[str, Any]:
    try:
        table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(folder / TABLE, error.strerror or "cannot be read") from error
    except ValueError as error:
        raise _unusable(folder / TABLE, f"not JSON ({error})") from error
    if not isinstance(table, dict):
        raise _unusable(folder / TABLE, "not a JSON object")
    return table


def _replace(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that a reader sees the old file or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _unusable(path: Path, reason: str) -> EcgPageError:
    return EcgPageError(f"weights cannot be used: {path}: {reason}; {WAY_OUT}")


def asked_precision() -> str:
    """Precision of the networks' products that the environment variable ``ECGPAGE_PRECISION`` asks for, one of PRECISIONS.

    EcgPageError for any other value.
    """
    asked = os.environ.get(PRECISION) or "auto"
    if asked not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise EcgPageError(f"{PRECISION}={asked} is no precision; it is one of {known}, or not set")
    return asked


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
