"""Export the networks of a model folder as graphs for ONNX Runtime.

    python -m ecgpage.train.export_graphs --model model

A graph holds the operations alone: its initializers are named as the tensors of the weights and are filled when it is loaded.
So new weights of the same network need no new graph; a network of other settings does, and loading it says so. Needs onnx and
onnxscript.
"""

import argparse
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import torch
from torch import Tensor, nn

from ecgpage.core.onnx_runtime import GRAPH
from ecgpage.core.weights import Card, load_card, save_bytes
from ecgpage.diagnosis import beats, page_classifier, page_network, signal_classifier, signal_network
from ecgpage.layout import detector, detector_network, text_network, text_reader
from ecgpage.trace import crop_reader, network
from ecgpage.trace.geometry import ROWS

log = logging.getLogger(__name__)

ANY: Final = torch.export.Dim.AUTO
"""An axis of any length."""
REPEATING: Final = ("Cast", "CastLike", "Expand")
"""Operators that repeat a value and change its type."""
OPSET: Final = 20
"""Version of the operators, which ONNX Runtime knows from 1.17 on."""


@dataclass(frozen=True)
class Plan:
    """One network to be exported."""

    name: str
    """Entry of the graph in the model folder, without its ending."""
    weights: str
    """Entry of the weights."""
    module: nn.Module
    """Network in evaluation mode, batch norms not fused."""
    inputs: tuple[Tensor, ...]
    """Examples of its inputs."""
    free: tuple[dict[int, Any], ...]
    """For each input the axes of any length."""
    outputs: tuple[str, ...]
    settings: dict[str, Any]
    """What the network is built from."""
    inner: str = ""
    """Prefix of the names in the module that those in the weights lack."""


def list_plans(folder: Path) -> list[Plan]:
    """Every network of a model folder."""
    cards = {
        one.NAME: load_card(folder, one.NAME).settings
        for one in (crop_reader, detector, text_reader, page_classifier, signal_classifier)
    }
    trace, words, page = (cards[one.NAME] for one in (crop_reader, text_reader, page_classifier))
    size = cards[detector.NAME]["size"]
    rows, columns = page["network"]["size"]
    nets = signal_network.load_nets(folder, signal_classifier.NAME)
    parts: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "windows": (nets.windows, (torch.rand(2, 24, 1000),)),
        "beats": (nets.beats, (torch.rand(2, 12, 88), torch.rand(2, len(beats.SEQUENCE)))),
    }
    return [
        Plan(
            crop_reader.NAME,
            crop_reader.NAME,
            network.load_trained(folder, crop_reader.NAME),
            (torch.rand(2, 1, ROWS, 704),),
            ({0: ANY, 3: ANY},),
            ("voltage", "drawn", "log_error"),
            trace,
        ),
        Plan(
            detector.NAME,
            detector.NAME,
            detector_network.Predictor(detector_network.load_network(folder, detector.NAME)[0]),
            (torch.rand(2, 1, size, size),),
            ({0: ANY},),
            ("predictions",),
            cards[detector.NAME],
            inner="network.",
        ),
        Plan(
            text_reader.NAME,
            text_reader.NAME,
            text_network.load_network(folder, text_reader.NAME)[0].eval(),
            (torch.rand(2, 1, 400, 800),),
            ({0: ANY, 2: ANY, 3: ANY},),
            ("words",),
            words,
        ),
        Plan(
            page_classifier.NAME,
            page_classifier.NAME,
            page_network.load_network(folder, page_classifier.NAME),
            (torch.rand(2, 1, rows, columns),),
            ({0: ANY},),
            ("classes",),
            page_classifier.graph_settings(page),
        ),
        *(
            Plan(
                f"signal_{part}",
                signal_classifier.NAME,
                module,
                inputs,
                tuple({0: ANY} for _ in inputs),
                ("classes",),
                signal_classifier.graph_settings(cards[signal_classifier.NAME], part),
            )
            for part, (module, inputs) in parts.items()
        ),
    ]


def export(plan: Plan) -> bytes:
    """Graph of a network without its weights."""
    program = torch.onnx.export(
        plan.module,
        plan.inputs,
        dynamo=True,
        dynamic_shapes=plan.free,
        output_names=list(plan.outputs),
        opset_version=OPSET,
        optimize=False,  # else weights are folded into others, which new ones would not fill
        verbose=False,
    )
    assert program is not None
    state = [key for key, _ in plan.module.named_parameters()] + [
        key for key, _ in plan.module.named_buffers()
    ]
    return strip(program.model_proto, state, plan.inner)


def strip(model: onnx.ModelProto, state: Collection[str], inner: str = "") -> bytes:
    """Serialised model whose initializers of ``state`` hold no values and lose the prefix ``inner``; what was noted for
    readers, names among it, is left out.
    """
    graph = model.graph
    _drop_empty_biases(graph)
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for one in graph.initializer:
        names[one.name] = one.name.removeprefix(inner) if one.name in state else one.name
        if one.name in state:
            leave_out_values(one)
        one.name = names[one.name]
        del one.metadata_props[:]
    for node in graph.node:
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
        for k, value in enumerate(node.output):
            node.output[k] = names.setdefault(value, f"v{len(names)}") if value else ""
        for k, value in enumerate(node.input):
            node.input[k] = names[value] if value else ""
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    graph.doc_string = model.doc_string = ""
    model.producer_version = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def leave_out_values(one: onnx.TensorProto) -> None:
    """Make an initializer one whose values are given when the graph is loaded."""
    empty = onnx.TensorProto(name=one.name, dims=one.dims, data_type=one.data_type)
    empty.data_location = onnx.TensorProto.EXTERNAL
    empty.external_data.add(key="location", value="given when the graph is loaded")
    one.CopyFrom(empty)


def _drop_empty_biases(graph: onnx.GraphProto) -> None:
    """Leave out biases of convolutions that are zeros of a computed shape: with them batch norms are not fused into the
    convolutions when the graph is loaded. Nodes that nothing needs then are removed.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and _is_zero(node.input[2], made_by):
            del node.input[2]
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _is_zero(name: str, made_by: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether a value is a constant 0, cast and repeated."""
    node = made_by.get(name)
    while node is not None and node.op_type in REPEATING:
        node = made_by.get(node.input[0])
    if node is None or node.op_type != "Constant":
        return False
    (value,) = (onnx.helper.get_attribute_value(one) for one in node.attribute)
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    return not np.any(value)


def write(folder: Path) -> list[Path]:
    """Export every network of a model folder into it; paths of the graphs."""
    paths = []
    for plan in list_plans(folder):
        content = export(plan)
        card = Card(
            input=load_card(folder, plan.weights).input,
            output=load_card(folder, plan.weights).output,
            trained_on=f"not trained: operations alone, filled with the weights {plan.weights!r} when loaded",
            command="python -m ecgpage.train.export_graphs --model model",
            score="answers as PyTorch does (tests/test_runtimes.py)",
            licence="BSD-3-Clause",
            settings=plan.settings,
        )
        paths.append(save_bytes(folder, plan.name + GRAPH, f"{plan.name}.onnx", content, card))
        log.info("%s: %d bytes", paths[-1], len(content))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(args.model)


if __name__ == "__main__":
    main()
