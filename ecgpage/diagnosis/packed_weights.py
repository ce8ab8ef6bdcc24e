"""Weights stored in 8 bits: whole numbers, and the size of one step for each row."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SCALE: Final = ".scale"
"""Suffix of the name of the tensor that holds the quantisation step of each row of an 8-bit tensor."""

LARGE: Final = 300_000
"""Number of elements from which a tensor is stored in 8 bits."""


def pack_weights(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays to store: float16, and from LARGE elements int8 with one quantisation step a row (``<name>.scale``)."""
    found: dict[str, NDArray[Any]] = {}
    for key, value in state.items():
        if np.issubdtype(value.dtype, np.floating) and value.size >= LARGE:
            rows = np.asarray(value, np.float32)
            step = np.maximum(np.abs(rows.reshape(len(rows), -1)).max(1) / 127, np.float32(1e-8))  # (rows,)
            found[key] = np.rint(rows / _beside(step, rows)).astype(np.int8)
            found[key + SCALE] = step
        else:
            found[key] = value.astype(np.float16) if value.dtype == np.float32 else value
    return found


def unpack_weights(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """State in float32 from arrays of ``pack_weights``; counters stay integers."""
    found = {}
    for key, value in arrays.items():
        if key.endswith(SCALE):
            continue
        if value.dtype == np.int8:
            found[key] = value.astype(np.float32) * _beside(arrays[key + SCALE], value)
        else:
            found[key] = np.asarray(value, np.float32) if np.issubdtype(value.dtype, np.floating) else value
    return found


def _beside(step: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """Steps (rows,) in the shape that multiplies ``rows`` row by row."""
    return step.reshape(-1, *[1] * (rows.ndim - 1))
