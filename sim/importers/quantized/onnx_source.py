"""A quantized graph of an ONNX file. Needs the extra `onnx`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from sim.errors import InputError
from sim.importers.onnx_graph import operator
from sim.importers.onnx_load import free_inputs, load, symbolic
from sim.importers.onnx_reference import results
from sim.importers.quantized.aligned import aligned
from sim.importers.quantized.graph import Evaluate, GraphNode, QuantizedGraph
from sim.importers.quantized.spelled import quantized, spelled


def read(
    path: str | Path,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
) -> QuantizedGraph | None:
    """The graph of a quantized model; None if it has no quantized operator.

    Args:
        input_shapes: sizes of inputs by name, where the file leaves them open or has others.
        values: of inputs of one element, and of conditions of Ifs, by name.

    Raises:
        InputError: an unreadable file, or one without the values of its parameters.
        ModuleNotFoundError: the package onnx is not installed.
    """
    loaded = load(path, input_shapes, values)
    graph = loaded.model.graph
    if not quantized([node.op_type for node in graph.node]):
        return None
    try:
        whole = onnx.load(str(path))
        both = (*graph.initializer, *whole.graph.initializer)  # values that were given are in the first alone
        parameters = {tensor.name: numpy_helper.to_array(tensor) for tensor in both}
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        line = " ".join(str(error).split())
        fix = "keep the file of its weights beside it"
        raise InputError(
            "network", str(path), f"values of its parameters are not there: {line}", fix
        ) from None
    nodes, constants = spelled([_node(node) for node in graph.node], parameters)
    inputs = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in free_inputs(loaded)
    }
    return QuantizedGraph(
        Path(path).stem,
        nodes,
        inputs,
        [value.name for value in graph.output],
        constants,
        evaluator({entry.domain: entry.version for entry in loaded.model.opset_import}),
        _shapes(loaded.model),
        tuple(loaded.notes),
    )


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Of all tensors that ONNX knows the shape of."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
        if not symbolic(value)
    }


def align(path: str | Path, output: str | Path) -> int:
    """Writes a quantized model whose scales are such that integers round as its float32 does (`aligned`).

    Returns:
        How many scales moved.

    Raises:
        InputError: an unreadable file, or a float network.
    """
    graph = read(path)
    if graph is None:
        raise InputError("network", str(path), "is a float network", "quantize it first")
    scales, model, moved = aligned(graph), onnx.load(str(path)), 0
    for tensor in model.graph.initializer:
        if tensor.name in scales:
            tensor.CopyFrom(numpy_helper.from_array(scales[tensor.name], tensor.name))
            moved += 1
    onnx.save(model, str(output))
    return moved


def _node(node: onnx.NodeProto) -> GraphNode:
    attributes: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return GraphNode(
        node.name or node.output[0],
        operator(node),
        tuple(node.input),
        tuple(node.output),
        {name: v.decode() if isinstance(v, bytes) else v for name, v in attributes.items()},
    )


def evaluator(opsets: Mapping[str, int]) -> Evaluate:
    """Results of single nodes by ONNX's reference implementation."""

    def evaluate(node: GraphNode, inputs: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        domain, _, kind = node.operator.rpartition(".")
        names = [f"x{i}" if array is not None else "" for i, array in enumerate(inputs)]
        proto = onnx.helper.make_node(kind, names, list(node.outputs), domain=domain, **node.attributes)
        given = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
        try:
            found = results(proto, given, opsets)
        except (NotImplementedError, RuntimeError, TypeError) as error:
            fix = "fold constants before the export"
            raise InputError(
                f"node {node.name}", node.operator, f"cannot be evaluated: {error}", fix
            ) from None
        return [np.asarray(array) for array in found]

    return evaluate
