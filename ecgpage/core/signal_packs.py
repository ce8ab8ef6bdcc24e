"""Read and write recorded ECGs in packs of many records in one file.

A pack holds int16 samples in microvolts, shape (n_records, 8, n_samples), leads I, II, V1..V6. Each lead is stored as
zig-zagged first differences, all low bytes and then all high bytes, xz-compressed behind one JSON line with the shape.
The other four limb leads follow from I and II (Einthoven's and Goldberger's constraints).
"""

import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError

PACK_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""Leads of a pack, in its order."""
ONE_PACK = "signals.xz"
"""File of the records of a table without the column ``pack``."""


def load_pack(path: str | Path) -> NDArray[np.int16]:
    """Samples of a pack, int16 (n_records, 8, n_samples), microvolts, leads ``PACK_LEADS``."""
    with lzma.open(path, "rb") as file:
        shape = tuple(json.loads(file.readline())["shape"])
        low, high = np.frombuffer(file.read(), np.uint8).reshape(2, -1)
    zigzag = low.astype(np.uint16) | (high.astype(np.uint16) << np.uint16(8))
    difference = (zigzag >> np.uint16(1)) ^ (np.uint16(0) - (zigzag & np.uint16(1)))
    # sums wrap modulo 2^16 exactly as the differences did
    return np.cumsum(difference.view(np.int16).reshape(shape), axis=-1, dtype=np.int16)


def save_pack(path: str | Path, microvolts: NDArray[np.integer], *, preset: int = 6) -> None:
    """Write int16 (n_records, 8, n_samples) microvolts as a pack that appears whole or not at all; inverse of ``load_pack``.

    ``preset``: effort of the compression, 0 to 9; 1 is five times as fast as 6 and a tenth larger.
    """
    path, signals = Path(path), np.ascontiguousarray(microvolts, np.int16)
    difference = np.diff(signals, axis=-1, prepend=np.int16(0))  # wraps modulo 2^16
    zigzag = ((difference << np.int16(1)) ^ (difference >> np.int16(15))).view(np.uint16).ravel()
    temporary = path.with_name(f".{path.name}.new")
    with lzma.open(temporary, "wb", preset=preset) as file:
        file.write(json.dumps({"shape": signals.shape}).encode() + b"\n")
        file.write((zigzag & np.uint16(255)).astype(np.uint8).tobytes())
        file.write((zigzag >> np.uint16(8)).astype(np.uint8).tobytes())
    temporary.replace(path)


def load_rows(
    folder: str | Path, rows: Sequence[Mapping[str, str]], kept: Sequence[int]
) -> NDArray[np.int16]:
    """Samples, int16 (len(kept), 8, n_samples) microvolts, of the rows ``kept`` (ascending) of a folder's table.

    Column ``pack`` names the file of each row, whose records stand there in the table's order; without the column all are in
    ``signals.xz``. Only packs with kept rows are read, one at a time. Raises EcgPageError when a pack has another number of
    records than its table, or another length.
    """
    files = [row.get("pack") or ONE_PACK for row in rows]
    found: NDArray[np.int16] | None = None
    for name in dict.fromkeys(files[k] for k in kept):
        own = [k for k, file in enumerate(files) if file == name]
        signals = load_pack(Path(folder) / name)
        if found is None:
            found = np.empty((len(kept), *signals.shape[1:]), np.int16)
        if len(signals) != len(own) or signals.shape[1:] != found.shape[1:]:
            raise EcgPageError(
                f"{Path(folder) / name}: {signals.shape} samples for {len(own)} rows of its table and records of "
                f"{found.shape[1:]}; prepare the packs again"
            )
        place = {k: at for at, k in enumerate(own)}
        here = [at for at, k in enumerate(kept) if files[k] == name]
        found[here] = signals[[place[kept[at]] for at in here]]
    return np.zeros((0, len(PACK_LEADS), 0), np.int16) if found is None else found


def twelve_leads(microvolts: NDArray[np.int16]) -> NDArray[np.float32]:
    """Signals (..., 12, n_samples) mV in the order ``LEADS`` from (..., 8, n_samples) microvolts in pack order."""
    mv = np.asarray(microvolts, np.float32) / 1000.0
    one, two = mv[..., 0, :], mv[..., 1, :]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=-2)
    return np.concatenate([limb, mv[..., 2:, :]], axis=-2)
