"""Make the graph of the trace network that multiplies 8-bit integers.

    python -m ecgpage.train.eight_bit_graph --data DATA --model model

DATA holds packs of signals. What each layer puts out on drawn crops of folds 1 to 7 sets the steps of its numbers, which
the graph holds; its initializers are filled when it is loaded (``ecgpage.core.eight_bits``). The steps fit one file of
weights, whose digest stands on the graph's card: others run in float32, as the attention along time, the crop's contrast
and the last layers always do. Needs onnx.
"""

import argparse
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnxruntime import quantization

from ecgpage.core.eight_bits import BIAS, BIAS_SCALE, SCALE, WEIGHT, Floats, fold_norm
from ecgpage.core.onnx_runtime import EIGHT_BITS, GRAPH
from ecgpage.core.weights import Card, digest, load_bytes, load_card, load_state, save_bytes
from ecgpage.trace.crop_reader import NAME
from ecgpage.train.export_graphs import leave_out_values
from ecgpage.train.trace_crops import draw_fixed_crops, load_signals

log = logging.getLogger(__name__)

FOLDS: Final = frozenset("1234567")
"""Folds of the records whose crops set the steps."""
CROPS: Final = 256
"""Number of these crops."""
WIDTH: Final = 704
"""Their width, columns: that of most crops of pages."""
TOGETHER: Final = 4
"""Number of crops that go through the network at once."""
AMONG: Final = {"Add", "Relu", "Resize", "MaxPool"}
"""Operators between convolutions that also work on integers."""
BEFORE: Final = {"Reshape", "Transpose"}
"""Operators before the first convolution that do."""


class _Crops(quantization.CalibrationDataReader):
    """Crops, one batch after the other, as the library asks for them."""

    def __init__(self, batches: Iterable[dict[str, Floats]]) -> None:
        self._left: Iterator[dict[str, Floats]] = iter(batches)

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._left, None)


def fill(content: bytes, state: Mapping[str, Floats]) -> tuple[onnx.ModelProto, list[str]]:
    """Graph with its weights, each batch norm folded into the convolution before it, and the names of these layers."""
    model = onnx.load_from_string(content)
    graph = model.graph
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization"}
    values, layers = dict(state), []
    for node in graph.node:
        norm = norms.get(node.output[0]) if node.op_type == "Conv" else None
        if norm is None:
            continue
        layer = node.input[1].removesuffix(".conv.weight")
        values[f"{layer}.weight"], values[f"{layer}.bias"] = fold_norm(state, layer)
        node.input[:] = [node.input[0], f"{layer}.weight", f"{layer}.bias"]
        node.output[0] = norm.output[0]
        layers.append(layer)
    kept = [node for node in graph.node if node.op_type != "BatchNormalization"]
    del graph.node[:]
    graph.node.extend(kept)
    own = {one.name: one for one in graph.initializer if one.data_location != onnx.TensorProto.EXTERNAL}
    del graph.initializer[:]
    graph.initializer.extend(own.values())
    needed = {name for node in graph.node for name in node.input} - set(own)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in values.items() if k in needed
    )
    for number, node in enumerate(graph.node):
        node.name = f"{number}"
    return model, layers


def find_nodes(graph: onnx.GraphProto, layers: Sequence[str]) -> list[str]:
    """Names of the nodes that work on integers: layers, what lies between and behind them, and what arranges their input."""
    weights = {f"{layer}.weight" for layer in layers}
    made_by = {name: node for node in graph.node for name in node.output}
    found, whole = [], set[str]()
    for node in graph.node:
        is_layer = node.op_type == "Conv" and node.input[1] in weights
        if is_layer or (node.op_type in AMONG and whole.intersection(node.input)):
            found.append(node.name)
            whole.update(node.output)
        if is_layer and len(found) == 1:
            before = made_by.get(node.input[0])
            while before is not None and before.op_type in BEFORE:
                found.append(before.name)
                before = made_by.get(before.input[0])
    return found


def quantise(content: bytes, state: Mapping[str, Floats], crops: Floats) -> tuple[bytes, dict[str, Any]]:
    """Graph without weights that multiplies 8-bit integers, and how its weights are made.

    The latter are ``steps``, by layer what one step of its input is worth, and ``held``, names of the few arrays that the
    graph holds itself, as integers.

    ``content``: graph in float32, without its weights; ``crops``: (n, 1, ROWS, W), 0 to 1.
    """
    model, layers = fill(content, state)
    name = model.graph.input[0].name
    batches = ({name: crops[k : k + TOGETHER]} for k in range(0, len(crops), TOGETHER))
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "float.onnx"), Path(folder, "integers.onnx")
        onnx.save(model, before)
        quantization.quantize_static(
            before, after, _Crops(batches),
            quant_format=quantization.QuantFormat.QDQ,
            nodes_to_quantize=find_nodes(model.graph, layers),
            per_channel=True, reduce_range=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        made = onnx.load(after)
    return _without_values(made, layers, set(state))


def _without_values(
    model: onnx.ModelProto, layers: Sequence[str], floats: set[str]
) -> tuple[bytes, dict[str, Any]]:
    """Serialised graph whose weights are to be given when it is loaded, and how they are made, as ``quantise`` says."""
    graph = model.graph
    new: dict[str, str] = {}
    for layer in layers:
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        new |= {f"{weight}_quantized": f"{layer}.{WEIGHT}", f"{weight}_scale": f"{layer}.{SCALE}"}
        new |= {f"{bias}_quantized": f"{layer}.{BIAS}", f"{bias}_quantized_scale": f"{layer}.{BIAS_SCALE}"}
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    steps = {
        layer: float((values[f"{layer}.bias_quantized_scale"] / values[f"{layer}.weight_scale"])[0])
        for layer in layers
    }
    for one in graph.initializer:
        is_given = one.name in new or one.name in floats
        one.name = new.get(one.name, one.name)
        if is_given:
            leave_out_values(one)
    for node in graph.node:
        node.name, node.doc_string = "", ""
        node.input[:] = [new.get(value, value) for value in node.input]
    del graph.value_info[:], model.metadata_props[:]
    model.producer_name = model.producer_version = ""
    content: bytes = model.SerializeToString(deterministic=True)
    held = sorted(floats.intersection(name.removesuffix("_quantized") for name in values) - values.keys())
    return content, {"steps": steps, "held": held}


def write(folder: Path, crops: NDArray[np.uint8]) -> Path:
    """Make the graph of a model folder's trace network by drawn crops (n, ROWS, W); path of the graph."""
    weights, state = load_card(folder, NAME), load_state(folder, NAME)
    shown = crops[:, None].astype(np.float32) / np.float32(255)
    content, made = quantise(load_bytes(folder, NAME + GRAPH), state, shown)
    card = Card(
        input=weights.input,
        output=weights.output,
        trained_on=f"not trained: operations in 8 bits, filled with the weights {NAME!r} when loaded; "
        f"steps by {len(crops)} drawn crops of folds 1 to 7",
        command="python -m ecgpage.train.eight_bit_graph --data DATA --model model",
        score="heights as in float32 within hundredths of a millimetre (tests/test_runtimes.py)",
        licence="BSD-3-Clause",
        settings={"weights": digest(folder, NAME), **made},
    )
    return save_bytes(folder, NAME + EIGHT_BITS, f"{NAME}_8bit.onnx", content, card)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with packs of signals")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signals, _ = load_signals(args.data, set(FOLDS))
    images, _, _ = draw_fixed_crops(signals, CROPS, WIDTH, seed=7)
    path = write(args.model, np.asarray(images.numpy(), np.uint8))
    log.info("%s: %d bytes", path, path.stat().st_size)


if __name__ == "__main__":
    main()
