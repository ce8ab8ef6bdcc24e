"""Write packs of recorded ECGs for tests, as ``ecgpage.core.signal_packs`` reads them."""

import json
import lzma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def save_pack(path: str | Path, signals: NDArray[np.int16]) -> None:
    """Write int16 (n_records, 8, n_samples) microvolts as a pack; the inverse of ``load_pack``."""
    signals = np.ascontiguousarray(signals, np.int16)
    difference = np.diff(signals, axis=-1, prepend=np.int16(0)).astype(np.int32)
    zigzag = ((difference << 1) ^ (difference >> 31)).astype(np.uint16).ravel()
    header = json.dumps({"shape": signals.shape}).encode() + b"\n"
    low, high = (zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)
    with lzma.open(path, "wb", preset=6) as file:
        file.write(header + low.tobytes() + high.tobytes())
