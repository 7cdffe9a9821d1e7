"""Lists of tensors in an ONNX graph, as far as it is known what is in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sim.importers.onnx_load import symbolic
from sim.importers.onnx_unroll import stacked


@dataclass(frozen=True)
class _Known:
    """Of a graph so far.

    Attributes:
        lists: names of the tensors in each list, by its name.
        numbers: small constants by name.
        extents: shapes of the tensors that have all sizes.
        version: of ONNX's operators.
        made: all tensors of the graph.
    """

    lists: dict[str, list[str]]
    numbers: Mapping[str, np.ndarray]
    extents: Mapping[str, list[int]]
    version: int
    made: Collection[str]

    def number(self, node: onnx.NodeProto, position: int) -> int | None:
        """An input of one element; None if it is unknown."""
        found = self.numbers.get(node.input[position])
        return None if found is None or found.size != 1 else int(found.item())


def resolve(model: onnx.ModelProto) -> bool:
    """Takes tensors out of the lists that are known, in place; says whether there was one to take."""
    graph = model.graph
    known = _Known(
        {},
        {t.name: numpy_helper.to_array(t) for t in graph.initializer if prod(t.dims) <= _LENGTH},
        {
            v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim]
            for v in (*graph.input, *graph.value_info, *graph.output)
            if v.type.tensor_type.HasField("shape") and not symbolic(v)
        },
        next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 13),
        {name for node in graph.node for name in node.output},
    )
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        taken = _TAKEN.get(node.op_type)
        found = None if taken is None else taken(node, known)
        if found is not None:
            nodes += found
        elif node.op_type in _MADE:
            nodes += _MADE[node.op_type](node, known)
        else:
            if node.op_type == "Identity" and node.input[0] in known.lists:
                known.lists[node.output[0]] = known.lists[node.input[0]]
            nodes.append(node)
    read = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [node for node in nodes if node.output[0] not in known.lists or node.output[0] in read]
    if len(kept) == len(graph.node) and all(a is b for a, b in zip(kept, graph.node, strict=True)):
        return False
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    changed = [str(node) for node in copies] != [str(node) for node in graph.node]
    del graph.node[:]
    graph.node.extend(copies)
    return changed


_LENGTH = 1024  # tensors in a list


def _constructed(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto]:
    known.lists[node.output[0]] = list(node.input)
    return [node]


def _inserted(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto]:
    before = known.lists.get(node.input[0])
    if before is not None:
        place = known.number(node, 2) if len(node.input) > 2 else len(before)
        if place is not None:
            place += len(before) if place < 0 else 0
            known.lists[node.output[0]] = [*before[:place], node.input[1], *before[place:]]
    return [node]


def _erased(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto]:
    before = known.lists.get(node.input[0])
    if before:
        place = known.number(node, 1) if len(node.input) > 1 else -1
        if place is not None:
            place %= len(before)
            known.lists[node.output[0]] = [*before[:place], *before[place + 1 :]]
    return [node]


def _split(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto]:
    """SplitToSequence, as a Split; without sizes each slice of the axis is one, with the axis or without."""
    attributes = {a.name: a.i for a in node.attribute}
    axis, extent = attributes.get("axis", 0), known.extents.get(node.input[0])
    if extent is None:
        return [node]
    whole, given = extent[axis], len(node.input) > 1 and node.input[1]
    if given and node.input[1] not in known.numbers:
        return [node]
    size = known.numbers[node.input[1]] if given else np.array(1)
    step = int(size.item()) if size.ndim == 0 else 0
    sizes = [min(step, whole - at) for at in range(0, whole, step)] if step else [int(n) for n in size]
    name = node.output[0]
    parts = [f"{name}/{place}" for place in range(len(sizes))]
    known.lists[name] = parts
    if parts[0] in known.made:
        return [node]
    flat = not given and not attributes.get("keepdims", 1)
    wide = [f"{part}/kept" for part in parts] if flat else parts
    return [node, *_slices(node.input[0], wide, sizes, axis, known), *_flat(wide, parts, axis, known, flat)]


def _slices(
    source: str, parts: list[str], sizes: list[int], axis: int, known: _Known
) -> Iterator[onnx.NodeProto]:
    if known.version < 13:
        yield helper.make_node("Split", [source], parts, axis=axis, split=sizes)
        return
    lengths = f"{parts[0]}/sizes"
    yield helper.make_node("Constant", [], [lengths], value=numpy_helper.from_array(np.array(sizes)))
    yield helper.make_node("Split", [source, lengths], parts, axis=axis)


def _flat(
    wide: list[str], parts: list[str], axis: int, known: _Known, flat: bool
) -> Iterator[onnx.NodeProto]:
    for before, after in zip(wide, parts, strict=True) if flat else ():
        if known.version < 13:
            yield helper.make_node("Squeeze", [before], [after], axes=[axis])
            continue
        axes = f"{after}/axis"
        yield helper.make_node("Constant", [], [axes], value=numpy_helper.from_array(np.array([axis])))
        yield helper.make_node("Squeeze", [before, axes], [after])


_MADE: Mapping[str, Callable[[onnx.NodeProto, _Known], list[onnx.NodeProto]]] = {
    "SequenceConstruct": _constructed,
    "SequenceEmpty": _constructed,
    "SequenceErase": _erased,
    "SequenceInsert": _inserted,
    "SplitToSequence": _split,
}
"""Operators that give a list; they stay while somebody reads it."""


def _picked(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto] | None:
    parts, place = known.lists.get(node.input[0]), known.number(node, 1)
    if parts is None or place is None or not -len(parts) <= place < len(parts):
        return None
    return [helper.make_node("Identity", [parts[place]], node.output[:1], name=node.name)]


def _length(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto] | None:
    parts = known.lists.get(node.input[0])
    if parts is None:
        return None
    value = numpy_helper.from_array(np.array(len(parts)))
    return [helper.make_node("Constant", [], node.output[:1], name=node.name, value=value)]


def _joined(node: onnx.NodeProto, known: _Known) -> list[onnx.NodeProto] | None:
    """Along an axis, or a new one, which only the first can be."""
    parts, attributes = known.lists.get(node.input[0]), {a.name: a.i for a in node.attribute}
    if not parts or (attributes.get("new_axis") and attributes["axis"]):
        return None
    if attributes.get("new_axis"):
        return list(stacked(parts, node.output[0], known.version))
    return [helper.make_node("Concat", parts, node.output[:1], name=node.name, axis=attributes["axis"])]


_TAKEN: Mapping[str, Callable[[onnx.NodeProto, _Known], list[onnx.NodeProto] | None]] = {
    "ConcatFromSequence": _joined,
    "SequenceAt": _picked,
    "SequenceLength": _length,
}
"""Operators that read a list and give a tensor."""
