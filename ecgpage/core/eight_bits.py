"""Weights of convolutions as 8-bit integers, for graphs that multiply in them: a third to a half of the time of float32.

A layer is a convolution and the batch norm behind it, which are folded into one; its weights are scaled for each output
channel. What enters a layer is scaled by a constant of the graph, which ``ecgpage.train.eight_bit_graph`` measured.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
WEIGHT, SCALE, BIAS, BIAS_SCALE = "weight_8", "weight_scale", "bias_32", "bias_scale"
"""Ends of the names of a layer's initializers."""
MOST: Final = 63
"""Largest weight: seven bits. Processors without VNNI add pairs of products in 16 bits, where those of 8 bits overflow."""
EPSILON: Final = 1e-5
"""What PyTorch's batch norms add to variances."""


def fold_norm(state: Mapping[str, Floats], layer: str) -> tuple[Floats, Floats]:
    """Weights (n_out, n_in, rows, columns) and bias (n_out,) of a layer ``conv`` with its batch norm ``norm`` folded in."""
    norm = {key: state[f"{layer}.norm.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
    factor = norm["weight"] / np.sqrt(norm["running_var"] + np.float32(EPSILON))
    weight = state[f"{layer}.conv.weight"] * factor[:, None, None, None]
    return np.asarray(weight, np.float32), np.asarray(
        norm["bias"] - norm["running_mean"] * factor, np.float32
    )


def in_eight_bits(
    state: Mapping[str, Floats], steps: Mapping[str, float], held: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """Weights by the names of the graph's initializers, the layers of ``steps`` as integers.

    ``steps``: by layer, what one step of its input is worth; ``held``: names of what the graph holds itself.
    """
    parts = tuple(f"{layer}.{part}." for layer in steps for part in ("conv", "norm"))
    found: dict[str, NDArray[Any]] = {
        key: value for key, value in state.items() if not key.startswith(parts) and key not in held
    }
    for layer, step in steps.items():
        weight, bias = fold_norm(state, layer)
        most = np.abs(weight).max(axis=(1, 2, 3))
        scale = np.asarray(np.maximum(most, np.finfo(np.float32).tiny * MOST) / MOST, np.float32)
        found[f"{layer}.{WEIGHT}"] = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        found[f"{layer}.{SCALE}"] = scale
        found[f"{layer}.{BIAS_SCALE}"] = bias_scale = np.asarray(scale * np.float32(step), np.float32)
        found[f"{layer}.{BIAS}"] = np.rint(bias.astype(np.float64) / bias_scale).astype(np.int32)
    return found
