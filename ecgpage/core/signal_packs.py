"""Read recorded ECGs from packs of many records in one file.

A pack holds int16 samples in microvolts, shape (n_records, 8, n_samples), leads I, II, V1..V6. Each lead is stored as
zig-zagged first differences, all low bytes and then all high bytes, xz-compressed behind one JSON line with the shape.
The other four limb leads follow from I and II (Einthoven's and Goldberger's constraints).
"""

import json
import lzma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACK_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""Leads of a pack, in its order."""
"""Leads of a pack, in its order."""


def load_pack(path: str | Path) -> NDArray[np.int16]:
    """Samples of a pack, int16 (n_records, 8, n_samples), microvolts, leads ``PACK_LEADS``."""
    with lzma.open(path, "rb") as file:
        shape = tuple(json.loads(file.readline())["shape"])
        low, high = np.frombuffer(file.read(), np.uint8).reshape(2, -1)
    zigzag = low.astype(np.uint16) | (high.astype(np.uint16) << np.uint16(8))
    difference = (zigzag >> np.uint16(1)) ^ (np.uint16(0) - (zigzag & np.uint16(1)))
    # sums wrap modulo 2^16 exactly as the differences did
    return np.cumsum(difference.view(np.int16).reshape(shape), axis=-1, dtype=np.int16)


def twelve_leads(microvolts: NDArray[np.int16]) -> NDArray[np.float32]:
    """Signals (..., 12, n_samples) mV in the order ``LEADS`` from (..., 8, n_samples) microvolts in pack order."""
    mv = np.asarray(microvolts, np.float32) / 1000.0
    one, two = mv[..., 0, :], mv[..., 1, :]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=-2)
    return np.concatenate([limb, mv[..., 2:, :]], axis=-2)
