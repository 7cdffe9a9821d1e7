"""Loops of an ONNX graph whose number of turns is known, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableSequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

MOST = 20_000
"""Nodes that a loop may become."""


def turns(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> int | None:
    """How often a Loop turns, if that is known: a constant number, and no condition that ends it before."""
    body = _body(node)
    count = constants.get(node.input[0])
    begins = not node.input[1] or (node.input[1] in constants and _true(constants[node.input[1]]))
    if count is None or not begins or not _goes_on(body):
        return None
    number = int(numpy_helper.to_array(count).item())
    return number if 0 < number * len(body.node) <= MOST else None


def _body(node: onnx.NodeProto) -> onnx.GraphProto:
    return next(a.g for a in node.attribute if a.name == "body")


def _true(tensor: onnx.TensorProto) -> bool:
    return bool(numpy_helper.to_array(tensor).item())


def _goes_on(body: onnx.GraphProto) -> bool:
    """Whether the condition after a turn is the one before it, or a constant that holds."""
    name = body.output[0].name
    makers = {out: node for node in body.node for out in node.output}
    while (maker := makers.get(name)) is not None and maker.op_type in ("Identity", "Cast"):
        name = maker.input[0]
    if maker is not None:
        return maker.op_type == "Constant" and any(a.name == "value" and _true(a.t) for a in maker.attribute)
    fixed = {tensor.name: tensor for tensor in body.initializer}
    return name == body.input[1].name or (name in fixed and _true(fixed[name]))


def unrolled(
    node: onnx.NodeProto, count: int, initializers: MutableSequence[onnx.TensorProto] | None, version: int
) -> Iterator[onnx.NodeProto]:
    """The nodes of all turns, then the results; what each turn gives lies along a new first axis.

    Args:
        initializers: gets the constants of the body.
        version: of ONNX's operators.
    """
    body, name = _body(node), node.output[0]
    number, condition, *places = (value.name for value in body.input)
    carried, given = list(node.input[2:]), len(node.input) - 2
    each: list[list[str]] = [[] for _ in body.output[1 + given :]]
    inner = _names(body)
    for turn in range(count):
        new = {old: f"{name}/{turn}/{old}" for old in inner}
        for place, value in ((number, np.array(turn)), (condition, np.array(True))):
            new[place] = f"{name}/{turn}/{place}"
            yield helper.make_node("Constant", [], [new[place]], value=numpy_helper.from_array(value))
        new |= dict(zip(places, carried, strict=True))
        for tensor in body.initializer if initializers is not None else ():
            copy = onnx.TensorProto.FromString(tensor.SerializeToString())
            copy.name = new[tensor.name]
            initializers.append(copy)  # type: ignore[union-attr]
        yield from (_renamed(inside, new) for inside in body.node)
        results = [new.get(value.name, value.name) for value in body.output[1:]]
        carried = results[:given]
        for found, result in zip(each, results[given:], strict=True):
            found.append(result)
    for last, out in zip(carried, node.output[:given], strict=True):
        yield helper.make_node("Identity", [last], [out])
    for parts, out in zip(each, node.output[given:], strict=True):
        yield from stacked(parts, out, version)


def stacked(parts: list[str], out: str, version: int) -> Iterator[onnx.NodeProto]:
    """Tensors along a new first axis."""
    axes = f"{out}/axes"
    if version >= 13:
        yield helper.make_node("Constant", [], [axes], value=numpy_helper.from_array(np.array([0])))
    for place, part in enumerate(parts):
        wide = [f"{out}/{place}"]
        if version >= 13:
            yield helper.make_node("Unsqueeze", [part, axes], wide)
        else:
            yield helper.make_node("Unsqueeze", [part], wide, axes=[0])
    yield helper.make_node("Concat", [f"{out}/{place}" for place in range(len(parts))], [out], axis=0)


def _names(graph: onnx.GraphProto) -> set[str]:
    """Of all tensors that a graph and those inside it make."""
    found = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        found.update(name for name in node.output if name)
        for inside in _graphs(node):
            found |= _names(inside) | {value.name for value in inside.input}
    return found


def _graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def _renamed(node: onnx.NodeProto, new: Mapping[str, str]) -> onnx.NodeProto:
    found = onnx.NodeProto.FromString(node.SerializeToString())
    _rename(found, new)
    return found


def _rename(node: onnx.NodeProto, new: Mapping[str, str]) -> None:
    """In place, in the graphs inside it, too."""
    node.input[:] = [new.get(name, name) for name in node.input]
    node.output[:] = [new.get(name, name) for name in node.output]
    if node.name and node.output:
        node.name = f"{node.name}@{node.output[0]}"
    for graph in _graphs(node):
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = new.get(value.name, value.name)
        del graph.value_info[:]
        for inside in graph.node:
            _rename(inside, new)
