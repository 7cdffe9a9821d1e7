"""Operators that take some of the values: parts of axes, in equal steps, and maps whose border repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from sim.importers.quantized.builder import Builder, vector
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.layout import Atom, Layout, size
from sim.importers.quantized.values import Codes, Quantized, Tensor, Value, misplaced, refusal
from sim.network import Rearrange

Values = Sequence[Value | None]


@dataclass(frozen=True)
class Part:
    """`count` indices of an axis from `first` on, `step` apart."""

    first: int
    step: int
    count: int


def cut(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Slice: starts, ends, axes and steps from operands, or from attributes before opset 10."""
    tensor = _operand(builder, node, values[0])
    given = [*values[1:], None, None, None, None][:4]
    names = ("starts", "ends", "axes", "steps")
    starts, ends, axes, steps = (
        _whole(value, node.attributes.get(name)) for value, name in zip(given, names, strict=True)
    )
    if starts is None or ends is None:
        raise refusal(node.name, node.operator, "its borders are computed", "export with fixed sizes")
    rank, parts = len(tensor.layout.axes), {}
    for place, (first, last) in enumerate(zip(starts, ends, strict=True)):
        axis = (axes[place] if axes else place) % rank
        indices = range(*slice(first, last, steps[place] if steps else 1).indices(tensor.layout.shape[axis]))
        if not len(indices):
            raise refusal(node.name, node.operator, "takes nothing", "export the network again")
        parts[axis] = Part(indices.start, indices.step, len(indices))
    return _kept(builder, node, values[0], parts)


def split(builder: Builder, node: GraphNode, values: Values) -> list[Value]:
    """Split: one part after the other, of sizes that are given or as equal as can be."""
    tensor = _operand(builder, node, values[0])
    axis = node.attributes.get("axis", 0) % len(tensor.layout.axes)
    extent, count = tensor.layout.shape[axis], len(node.outputs)
    sizes = _whole(values[1] if len(values) > 1 else None, node.attributes.get("split"))
    if sizes is None:
        each = -(-extent // count)
        sizes = [min(each, extent - each * part) for part in range(count)]
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    return [
        _kept(builder, node, values[0], {axis: Part(first, 1, n)})
        for first, n in zip(firsts, sizes, strict=True)
    ]


def gather(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Gather of constant indices in equal steps; one index alone takes the axis away."""
    tensor, array = _operand(builder, node, values[0]), vector(values[1])
    if array is None or array.ndim > 1:
        raise refusal(node.name, node.operator, "its indices are computed, or several axes", "use Slice")
    axis = node.attributes.get("axis", 0) % len(tensor.layout.axes)
    indices = [int(i) % tensor.layout.shape[axis] for i in array.reshape(-1)]
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step == 0 or indices != [indices[0] + step * i for i in range(len(indices))]:
        raise refusal(node.name, node.operator, "its indices are in no equal steps", "use Slice and Concat")
    found = _kept(builder, node, values[0], {axis: Part(indices[0], step, len(indices))})
    return found if array.ndim else _without(found, axis)


def grown(builder: Builder, tensor: Tensor, more: tuple[int, int]) -> Tensor:
    """A map [1, C, H, W] with rows below and columns to the right that repeat the last ones."""
    channels, height, width = tensor.layout.extent
    to = (channels, height + more[0], width + more[1])
    rows, columns = (((Atom(n),) if n > 1 else ()) for n in to[1:])
    axes = (*tensor.layout.axes[:2], rows, columns)[: len(tensor.layout.axes)]
    layer = Rearrange(
        builder.named(f"{tensor.name}.grown"),
        tensor.name,
        to,
        (prod(to),),
        (1,),
        padding=((0, 0), (0, more[0]), (0, more[1])),
        mode="edge",
        zero_point=tensor.zero_point,
    )
    return builder.add(layer, Layout(axes, (tensor.layout.map[0], rows, columns)), tensor.low, tensor.high)


def _operand(builder: Builder, node: GraphNode, value: Value | None) -> Tensor:
    """What is cut: integers, or a function of them, that lie in memory."""
    tensor = builder.tensor(value) if isinstance(value, Quantized) else builder.codes(node, value).tensor
    if any(tensor.pads):
        raise refusal(node.name, node.operator, "reads a padded map", "pad only what a convolution reads")
    return tensor


def _kept(builder: Builder, node: GraphNode, value: Value | None, parts: Mapping[int, Part]) -> Value:
    """The value of some indices alone, as a copy in memory."""
    tensor = _operand(builder, node, value)
    layout = tensor.layout.merged()
    for axis in parts:
        layout = _whole_axis(layout, axis)
    new: dict[Atom, tuple[Part, Atom | None]] = {}
    axes = list(layout.axes)
    for axis, part in parts.items():
        if len(layout.axes[axis]) > 1:
            problem = "cuts an axis whose values do not lie in equal steps"
            raise misplaced(node.name, node.operator, problem, "leave transpositions out of the network")
        if layout.axes[axis]:
            atom = Atom(part.count) if part.count > 1 else None
            new[layout.axes[axis][0]] = part, atom
            axes[axis] = (atom,) if atom else ()
    sizes: list[int] = []
    strides: list[int] = []
    offset, inner = 0, 1
    for one in reversed(layout.flat):
        part = new[one][0] if one in new else Part(0, 1, one.size)
        sizes.insert(0, part.count)
        strides.insert(0, part.step * inner)
        offset += part.first * inner
        inner *= one.size
    c, h, w = (
        tuple(new[a][1] if a in new else a for a in group if a not in new or new[a][1])
        for group in layout.map
    )
    after = Layout(tuple(axes), (c, h, w))  # type: ignore[arg-type]
    layer = Rearrange(
        builder.named(node.name),
        tensor.name,
        after.extent,
        tuple(sizes) or (1,),
        tuple(strides) or (0,),
        offset,
        zero_point=tensor.zero_point,
    )
    return _of(value, builder.add(layer, after, tensor.low, tensor.high))


def _whole_axis(layout: Layout, axis: int) -> Layout:
    """With an axis as one atom, if its values follow one another in memory."""
    atoms, flat = layout.axes[axis], layout.flat
    if len(atoms) < 2 or flat[(at := flat.index(atoms[0])) : at + len(atoms)] != atoms:
        return layout
    whole = Atom(size(atoms))
    c, h, w = (
        tuple(whole if atom is atoms[0] else atom for atom in group if atom not in atoms[1:])
        for group in layout.map
    )
    axes = tuple((whole,) if place == axis else group for place, group in enumerate(layout.axes))
    return Layout(axes, (c, h, w))


def _of(value: Value | None, tensor: Tensor) -> Value:
    """The same function of another tensor."""
    if isinstance(value, Quantized):
        return Quantized(value.value, value.quantizer, tensor)
    assert isinstance(value, Codes)
    return replace(value, tensor=tensor)


def _without(value: Value, axis: int) -> Value:
    """Without an axis of size 1."""
    tensor = value.tensor if isinstance(value, Quantized | Codes) else None
    assert tensor is not None
    axes = tuple(atoms for place, atoms in enumerate(tensor.layout.axes) if place != axis)
    return _of(value, replace(tensor, layout=Layout(axes, tensor.layout.map)))


def _whole(value: Value | None, attribute: Any) -> list[int] | None:
    array = attribute if value is None else vector(value)
    return None if array is None else [int(v) for v in np.asarray(array, np.float64).reshape(-1)]
