"""Arithmetic on shapes inside an ONNX graph, carried out so that every dimension becomes a number."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from sim.importers.onnx_load import LARGEST, symbolic


def infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shapes of all tensors; nodes that compute small constants become constants until nothing changes.

    Raises:
        onnx.shape_inference.InferenceError: shapes do not fit.
    """
    while True:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        values = _values(model)
        folded = [node for node in model.graph.node if any(name in values for name in node.output)]
        if not folded:
            return model
        graph = model.graph
        for node in folded:
            graph.initializer.extend(
                numpy_helper.from_array(values[name], name) for name in node.output if name in values
            )
            graph.node.remove(node)
        names = {name for node in folded for name in node.output}
        unknown = [v for v in graph.value_info if v.name in names or symbolic(v)]
        for value in unknown:  # inferred anew with what is now constant
            graph.value_info.remove(value)


def _values(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Small constants that nodes compute, by name."""
    graph = model.graph
    known = {
        t.name: numpy_helper.to_array(t)
        for t in graph.initializer
        if prod(t.dims) <= LARGEST and t.data_location != onnx.TensorProto.EXTERNAL
    }
    extents = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.value_info)
        if v.type.tensor_type.HasField("shape") and not symbolic(v)
    }
    extents |= {t.name: list(t.dims) for t in graph.initializer}
    found: dict[str, np.ndarray] = {}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if outputs.intersection(node.output) or node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Shape" and node.input[0] in extents:
            inputs = {node.input[0]: np.empty(extents[node.input[0]], np.bool_)}
        elif node.op_type != "Shape" and all(not name or name in known for name in node.input):
            inputs = {name: known[name] for name in node.input if name}
        else:
            continue
        for name, value in zip(node.output, _run(node, inputs, model), strict=False):
            if isinstance(value, np.ndarray | np.generic) and value.size <= LARGEST:
                found[name] = known[name] = np.asarray(value)
    return found


def _run(node: onnx.NodeProto, inputs: dict[str, np.ndarray], model: onnx.ModelProto) -> list[object]:
    """The results of one node; none where the reference cannot run it."""
    try:
        return list(
            ReferenceEvaluator(node, opsets={o.domain: o.version for o in model.opset_import}).run(
                None, inputs
            )
        )
    except (NotImplementedError, RuntimeError, TypeError, ValueError, KeyError, IndexError):
        return []
