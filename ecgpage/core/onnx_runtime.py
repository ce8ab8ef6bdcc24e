"""Run networks by ONNX Runtime: graphs of the model folder, filled with the same weights that PyTorch loads.

A graph (``<name>.onnx``, written by ``ecgpage.train.export_graphs``) holds operations alone. Its initializers are named as
the tensors of the weights and are given when it is loaded, so new weights of the same network need no new graph.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ecgpage.core.conventions import EcgPageError
from ecgpage.core.eight_bits import in_eight_bits
from ecgpage.core.runtime import RUNTIME, asked_precision, count_threads
from ecgpage.core.shipped_weights import find_weights
from ecgpage.core.weights import digest, load_bytes, load_card

GRAPH: Final = "_graph"
"""Ending of a graph's entry in the table of the model folder."""
EIGHT_BITS: Final = "_8bit_graph"
"""Ending of the entry of a graph that multiplies 8-bit integers."""
ERRORS_ONLY: Final = 3
"""Severity from which ONNX Runtime writes to stderr."""


class OnnxNetwork:
    """A graph with its weights as a function on arrays."""

    def __init__(self, graph: bytes, state: Mapping[str, NDArray[Any]]) -> None:
        """``graph``: operations; ``state``: weights by the names of the graph's initializers."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = count_threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
        options.log_severity_level = ERRORS_ONLY
        options.enable_cpu_mem_arena = (
            False  # it keeps 0.3 GB between pages, and pages take no longer without
        )
        weights = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(v)) for v in state.values()]
        options.add_external_initializers(list(state), weights)  # the session keeps what it needs
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Outputs, float32, for inputs float32; the first axis of each is the batch."""
        return tuple(self._session.run(None, dict(zip(self._names, inputs, strict=True))))


def load_graph(
    folder: str | Path, name: str, state: Mapping[str, NDArray[np.float32]], settings: Mapping[str, Any]
) -> OnnxNetwork:
    """Network of the graph ``name`` with weights ``state``; a folder without a graph that fits uses the shipped one.

    ``settings``: what the network is built from; the graph must have been exported with the same. Raises EcgPageError with
    the way out when no graph fits. Where ``ECGPAGE_PRECISION`` asks for int8 and the folder has a graph that multiplies 8-bit
    integers for these very weights, it is that one.
    """
    network = _load_eight_bits(folder, name, state) if asked_precision() == "int8" else None
    if network is not None:
        return network
    reasons = []
    for place in dict.fromkeys((Path(folder), find_weights())):
        try:
            if load_card(place, name + GRAPH).settings != dict(settings):
                raise EcgPageError(
                    f"{place}: the graph {name!r} was exported from a network of other settings"
                )
            return OnnxNetwork(load_bytes(place, name + GRAPH), state)
        except EcgPageError as error:
            reasons.append(str(error))
        except Exception as error:  # the library has many classes for a graph that it cannot use
            reasons.append(f"{place}: weights do not fit the graph {name!r} ({str(error)[:200]})")
    raise EcgPageError(
        f"{reasons[0]}; export it with: python -m ecgpage.train.export_graphs --model {folder}, or set {RUNTIME}=torch"
    )


def _load_eight_bits(
    folder: str | Path, name: str, state: Mapping[str, NDArray[np.float32]]
) -> OnnxNetwork | None:
    """Network of the graph of ``name`` that multiplies 8-bit integers; None without one for the folder's weights."""
    if digest(folder, name + EIGHT_BITS) is None:
        return None
    settings = load_card(folder, name + EIGHT_BITS).settings
    if settings["weights"] != digest(folder, name):
        return None
    weights = in_eight_bits(state, settings["steps"], settings["held"])
    return OnnxNetwork(load_bytes(folder, name + EIGHT_BITS), weights)
