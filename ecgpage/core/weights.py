"""Read and write model folders: arrays in safetensors files, described by one table, ``weights.json``.

``weights.json`` maps a name to its card: file, sha256, input, output, what it was trained on, by which
command, score, licence, and the settings that the code needs to rebuild the network. A file is read once and its
sha256 compared with the table before the bytes in memory are parsed, so only what the table vouches for is loaded,
and nothing is ever unpickled.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as serialize_arrays

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.shipped_weights import TABLE

WAY_OUT: Final = (
    "train with train_model.py, or copy the shipped weights from the repository's model/ folder "
    "(in the Docker image: /challenge/pretrained)"
)
"""Advice that ends each error about weights."""

COUNTER: Final = "num_batches_tracked"
"""Ending of the names of batch norms' counters, which only training reads."""


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


def load_arrays(folder: str | Path, name: str) -> dict[str, NDArray[Any]]:
    """Arrays of ``name``, in the precision of the file, after its sha256 was checked; they cannot be written to.

    Raises EcgPageError, which names file, reason and way out, when folder, table, entry or file is missing or
    the sha256 differs.
    """
    path, content = _read_file(folder, name)
    try:
        return dict(parse_arrays(content))
    except SafetensorError as error:
        raise _unusable(path, f"not a safetensors file ({error})") from error


def load_state(folder: str | Path, name: str) -> dict[str, NDArray[np.float32]]:
    """Arrays of ``name`` as float32, without counters of training; EcgPageError as ``load_arrays`` raises it."""
    arrays = load_arrays(folder, name)
    return {k: np.asarray(v, np.float32) for k, v in arrays.items() if not k.endswith(COUNTER)}


def load_bytes(folder: str | Path, name: str) -> bytes:
    """Content of the file of ``name`` after its sha256 was checked; EcgPageError as ``load_arrays`` raises it."""
    return _read_file(folder, name)[1]


def digest(folder: str | Path, name: str) -> str | None:
    """Digest (sha256, hexadecimal) that the table of a model folder states for ``name``; None without entry or table.

    Raises EcgPageError when the table is malformed.
    """
    table = _read_table(Path(folder)) if (Path(folder) / TABLE).exists() else {}
    entry = table.get(name)
    return str(entry["sha256"]) if isinstance(entry, dict) and "sha256" in entry else None


def save_arrays(folder: str | Path, name: str, arrays: Mapping[str, NDArray[Any]], card: Card) -> Path:
    """Write ``<name>.safetensors`` and its card; makes the folder and returns the file's path."""
    content = serialize_arrays({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    return save_bytes(folder, name, f"{name}.safetensors", content, card)


def save_bytes(folder: str | Path, name: str, file: str, content: bytes, card: Card) -> Path:
    """Write ``file`` and the card of ``name``; makes the folder and returns the file's path.

    Each of the two files appears whole or not at all; an interruption between them leaves a sha256 that
    ``load_arrays`` refuses.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    _replace(path, content)
    table = _read_table(folder) if (folder / TABLE).exists() else {}
    table[name] = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), **asdict(card)}
    _replace(folder / TABLE, _format_table(table))
    return path


def copy_weights(source: str | Path, target: str | Path, names: Collection[str] | None = None) -> None:
    """Copy entries with their files into another model folder, which is valid at any moment: its table changes once.

    ``names``: entries to copy, beside which the target's others stay; None copies all, and the target's others go, also
    where its table cannot be read. A file whose name the target has for other content gets the first digits of its digest
    in its name. Raises EcgPageError when an entry or a file of the source is missing or wrong.
    """
    source, target = Path(source), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    try:
        old = _read_table(target) if (target / TABLE).exists() else {}
    except EcgPageError:
        if names is not None:
            raise
        old = {}
    table = {} if names is None else dict(old)
    for name in _read_table(source) if names is None else names:
        path, content = _read_file(source, name)
        entry = _entry(source, name)
        place = target / path.name
        if place.exists() and place.read_bytes() != content:
            place = target / f"{path.stem.split('.')[0]}.{str(entry['sha256'])[:8]}{path.suffix}"
        if not place.exists():
            _replace(place, content)
        table[name] = entry | {"file": place.name}
    _replace(target / TABLE, _format_table(table))
    kept = {str(entry["file"]) for entry in table.values()}
    for file in {str(entry.get("file")) for entry in old.values() if isinstance(entry, dict)} - kept:
        if file == Path(file).name:
            (target / file).unlink(missing_ok=True)


def _format_table(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _read_file(folder: str | Path, name: str) -> tuple[Path, bytes]:
    """Path and content of the file of ``name``, which is the one that the table vouches for."""
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
    return path, content


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
