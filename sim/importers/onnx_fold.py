"""Arithmetic on shapes inside an ONNX graph, carried out so that every dimension becomes a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from sim.importers import onnx_sequences as sequences
from sim.importers.onnx_load import LARGEST, symbolic
from sim.importers.onnx_reference import results
from sim.importers.onnx_unroll import turns, unrolled


def infer(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, int]]:
    """Shapes of all tensors; nodes that compute small constants become constants until nothing changes.

    An If whose condition is such a constant becomes the branch that is taken, a Loop with such a number of turns
    its body as often, and what is taken from a list of tensors is taken from it.

    Returns:
        The model, and the conditions and numbers of turns by the name of the node's first output.

    Raises:
        onnx.shape_inference.InferenceError: shapes do not fit.
    """
    decided: dict[str, int] = {}
    while True:
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        graph, values = model.graph, _values(model)
        folded = [node for node in graph.node if any(name in values for name in node.output)]
        for node in folded:
            graph.initializer.extend(
                numpy_helper.from_array(values[name], name) for name in node.output if name in values
            )
            graph.node.remove(node)
        chosen = _decided(graph)
        listed = sequences.resolve(model)
        if not folded and not chosen and not listed:
            return model, decided
        decided |= chosen
        names = {name for node in (*folded, *_deciders(graph, chosen)) for name in node.output}
        nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in taken(graph.node, chosen, model)]
        del graph.node[:]
        graph.node.extend(nodes)
        unknown = [v for v in graph.value_info if v.name in names or symbolic(v)]
        for value in unknown:  # inferred anew with what is now constant
            graph.value_info.remove(value)


def _deciders(graph: onnx.GraphProto, chosen: Collection[str]) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.output and node.output[0] in chosen]


def _decided(graph: onnx.GraphProto) -> dict[str, int]:
    """Conditions of the Ifs and turns of the Loops that are constants."""
    constants = {t.name: t for t in graph.initializer if prod(t.dims) == 1}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "If" and node.input[0] in constants:
            found[node.output[0]] = int(bool(numpy_helper.to_array(constants[node.input[0]]).item()))
        elif node.op_type == "Loop" and (count := turns(node, constants)) is not None:
            found[node.output[0]] = count
    return found


def taken(
    nodes: Iterable[onnx.NodeProto], decided: Mapping[str, int], model: onnx.ModelProto | None = None
) -> list[onnx.NodeProto]:
    """Nodes with the taken branches in the place of their Ifs, and all turns in the place of their Loops.

    Args:
        model: gets the constants of what is inside.
    """
    found = []
    initializers = None if model is None else model.graph.initializer
    version = 13 if model is None else next(o.version for o in model.opset_import if o.domain in _OWN)
    for node in nodes:
        if node.op_type not in ("If", "Loop") or node.output[0] not in decided:
            found.append(node)
            continue
        if node.op_type == "Loop":
            found += taken(unrolled(node, decided[node.output[0]], initializers, version), decided, model)
            continue
        name = "then_branch" if decided[node.output[0]] else "else_branch"
        branch = next(a.g for a in node.attribute if a.name == name)
        if initializers is not None:
            initializers.extend(branch.initializer)
        found += taken(branch.node, decided, model)
        found += [
            onnx.helper.make_node("Identity", [inner.name], [outer])
            for inner, outer in zip(branch.output, node.output, strict=True)
        ]
    return found


_OWN = ("", "ai.onnx")


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
        for v in (*graph.input, *graph.value_info, *graph.output)
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
        return results(node, inputs, {o.domain: o.version for o in model.opset_import})
    except (NotImplementedError, RuntimeError, TypeError, ValueError, KeyError, IndexError):
        return []
