"""Operators that compute nothing: another shape, another order, padding, repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from sim.importers.quantized.builder import Builder, vector
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.layout import Layout, size
from sim.importers.quantized.values import (
    Codes,
    Parameter,
    Pending,
    Quantized,
    Source,
    Tensor,
    Value,
    Weight,
    misplaced,
    refusal,
)
from sim.network import Upsample


def same(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Identity, Dropout, Cast: float stays float."""
    value = values[0]
    if node.operator == "Cast" and isinstance(value, Quantized):
        raise refusal(node.name, "Cast", "casts integers", "use DequantizeLinear")
    assert value is not None
    return value


def layout_of(node: GraphNode, value: Value | None) -> Layout:
    if isinstance(value, Quantized):
        return value.tensor.layout if value.tensor is not None else value.value.layout
    if isinstance(value, Codes | Source | Pending):
        return value.layout
    raise refusal(node.name, node.operator, "its shape is unknown", "export the network again")


def shape(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """The shape of a tensor is a constant."""
    found = layout_of(node, values[0]).shape
    return Parameter(np.array(found[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64))


def _moved(
    builder: Builder,
    node: GraphNode,
    value: Value | None,
    change: Callable[[Layout], Layout | None],
    wanted: Callable[[Layout], Sequence[int]] | None = None,
) -> Value:
    """A value in another layout.

    Args:
        wanted: the shape, for a copy in memory where the layout alone does not do.
    """
    if isinstance(value, Quantized):
        tensor = builder.tensor(value)
        return Quantized(value.value, value.quantizer, _tensor(builder, node, tensor, change, wanted))
    if isinstance(value, Codes):
        return replace(value, tensor=_tensor(builder, node, value.tensor, change, wanted))
    if isinstance(value, Source):
        found = change(value.layout)
        if found is None:
            raise refusal(node.name, node.operator, "cuts the input across its sizes", "leave it to the host")
        return replace(value, layout=found)
    if isinstance(value, Pending):
        found = change(value.layout)
        if found is None or value.source is not None:
            problem = f"reads the result of {value.operator} {value.label} in float"
            raise refusal(node.name, node.operator, problem, f"quantize the output of {value.label}")
        return _later(value, found)
    raise refusal(node.name, node.operator, "an operand is constant", "fold constants before the export")


def _later(value: Pending, layout: Layout) -> Pending:
    """The same pending result, moved once it is emitted."""
    before, emit = value.layout, value.emit
    return replace(
        value,
        layout=layout,
        emit=lambda it, quantizer: replace(emit(replace(it, layout=before), quantizer), layout=layout),
        bias=None,
        wide=None,
    )


def _tensor(
    builder: Builder,
    node: GraphNode,
    tensor: Tensor,
    change: Callable[[Layout], Layout | None],
    wanted: Callable[[Layout], Sequence[int]] | None,
) -> Tensor:
    found = change(tensor.layout)
    if found is not None:
        return replace(tensor, layout=found)
    copy = builder.ordered(tensor, wanted(tensor.layout)) if wanted else None
    if copy is None:
        problem = "its values do not lie in this order in memory"
        raise misplaced(node.name, node.operator, problem, "leave transpositions out of the network")
    return copy


def _constant(value: Value | None) -> list[int] | None:
    array = None if value is None else vector(value)
    return None if array is None else [int(v) for v in array.reshape(-1)]


def reshape(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Another shape of the same values, row by row; 0 keeps a size, -1 is what is left."""
    sizes = _constant(values[1])
    if sizes is None:
        raise refusal(node.name, node.operator, "its shape is computed", "export with fixed sizes")
    value = values[0]
    if isinstance(value, Weight):
        if value.axis is not None:
            raise refusal(
                node.name, node.operator, "reshapes a weight with a scale a channel", "reshape before"
            )
        return value.moved(value.integers.reshape(sizes), None)

    def wanted(layout: Layout) -> list[int]:
        kept = node.attributes.get("allowzero", 0) == 0
        known = [layout.shape[i] if n == 0 and kept else n for i, n in enumerate(sizes)]
        rest = prod(layout.shape) // max(1, prod(n for n in known if n >= 0))
        return [rest if n == -1 else n for n in known]

    return _moved(builder, node, value, lambda layout: layout.reshaped(wanted(layout)), wanted)


def flatten(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Two axes of all: before `axis` and from it on."""

    def wanted(layout: Layout) -> list[int]:
        axis = node.attributes.get("axis", 1)
        axis += len(layout.shape) if axis < 0 else 0
        return [prod(layout.shape[:axis]), prod(layout.shape[axis:])]

    return _moved(builder, node, values[0], lambda layout: layout.reshaped(wanted(layout)), wanted)


def _axes(node: GraphNode, values: Sequence[Value | None], rank: int) -> list[int] | None:
    given = node.attributes.get("axes")
    if given is None and len(values) > 1:
        given = _constant(values[1])
    return None if given is None else [int(axis) % rank for axis in given]


def squeeze(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Axes of size 1 left out."""
    value = values[0]
    if isinstance(value, Weight):
        axes = _axes(node, values, value.integers.ndim)
        return value.moved(np.squeeze(value.integers, None if axes is None else tuple(axes)), None)

    def change(layout: Layout) -> Layout:
        axes = _axes(node, values, len(layout.axes))
        gone = [a for a, axis in enumerate(layout.axes) if not axis] if axes is None else axes
        return Layout(tuple(axis for a, axis in enumerate(layout.axes) if a not in gone), layout.map)

    return _moved(builder, node, value, change)


def unsqueeze(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """New axes of size 1."""
    value = values[0]
    if isinstance(value, Weight):
        axes = _axes(node, values, value.integers.ndim + 1)
        return value.moved(np.expand_dims(value.integers, tuple(axes or [0])), None)

    def change(layout: Layout) -> Layout:
        given = node.attributes.get("axes") or _constant(values[1]) or []
        rank = len(layout.axes) + len(given)
        new, rest = {int(axis) % rank for axis in given}, list(layout.axes)
        return Layout(tuple(() if a in new else rest.pop(0) for a in range(rank)), layout.map)

    return _moved(builder, node, value, change)


def transpose(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Another order of the axes, which moves nothing in memory."""
    value = values[0]
    if isinstance(value, Weight):
        order = list(node.attributes.get("perm") or reversed(range(value.integers.ndim)))
        axis = None if value.axis is None else order.index(value.axis)
        return value.moved(value.integers.transpose(order), axis)

    def change(layout: Layout) -> Layout:
        return layout.transposed(node.attributes.get("perm") or list(reversed(range(len(layout.axes)))))

    return _moved(builder, node, value, change)


def pad(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Zeros around a map, which the convolution behind it adds."""
    codes = builder.codes(node, values[0])
    pads = node.attributes.get("pads") or _constant(values[1]) or []
    fill = vector(values[2]) if len(values) > 2 and values[2] is not None else None
    rank = len(codes.layout.axes)
    axes = _constant(values[3]) if len(values) > 3 and values[3] is not None else list(range(rank))
    assert axes is not None
    around = dict.fromkeys(range(rank), (0, 0))
    around |= {axis % rank: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    if not any(map(any, around.values())):
        return codes
    constant = node.attributes.get("mode", "constant") == "constant" and (fill is None or not fill.any())
    spatial = rank == 4 and around[0] == around[1] == (0, 0)
    if not constant or not spatial or codes.steps or any(codes.tensor.pads):
        fix = "pad maps with zeros, in height and width, right before a convolution"
        raise refusal(node.name, node.operator, "pads with other values or along other axes", fix)
    (top, bottom), (left, right) = around[2], around[3]
    return replace(codes, tensor=replace(codes.tensor, pads=(top, left, bottom, right)))


def resize(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Nearest neighbours by whole factors."""
    codes = builder.codes(node, values[0])
    layout = codes.layout
    given = values[1:] if node.operator == "Resize" else [None, values[1]]
    scales = vector(given[1]) if len(given) > 1 and given[1] is not None else None
    sizes = _constant(given[2]) if len(given) > 2 else None
    if sizes is None and (scales is None or not scales.size):
        raise refusal(node.name, node.operator, "its sizes are computed", "export with fixed sizes")
    assert scales is not None or sizes is not None
    wanted = sizes or [int(n * s) for n, s in zip(layout.shape, scales.reshape(-1), strict=True)]  # type: ignore[union-attr]
    factors = [new // old for new, old in zip(wanted, layout.shape, strict=True)]
    whole = [f * n for f, n in zip(factors, layout.shape, strict=True)] == list(wanted)
    flat = len(factors) == 4 and factors[:2] == [1, 1]
    nearest = node.attributes.get("mode", "nearest") == "nearest"
    if not (
        whole
        and flat
        and nearest
        and all(_repeats(node, f, n) for f, n in zip(factors, layout.shape, strict=True))
    ):
        problem = f"from {list(layout.shape)} to {list(wanted)} is no repetition of values"
        raise refusal(node.name, node.operator, problem, "use mode nearest with whole factors")
    tensor = builder.place(node, codes.tensor, (layout.axes[1], layout.axes[2], layout.axes[3]))
    return replace(codes, tensor=_repeated(builder, node, tensor, factors), label=node.name)


def _repeats(node: GraphNode, factor: int, extent: int) -> bool:
    """Whether result i is value i // factor, by ONNX's definitions of coordinates and of rounding."""
    i = np.arange(factor * extent, dtype=np.float64)
    last, many = factor * extent - 1, factor * extent > 1
    x = {
        "half_pixel": (i + 0.5) / factor - 0.5,
        "half_pixel_symmetric": (i + 0.5) / factor - 0.5,
        "pytorch_half_pixel": (i + 0.5) / factor - 0.5 if many else 0 * i,
        "asymmetric": i / factor,
        "align_corners": i * (extent - 1) / max(last, 1),
    }[
        node.attributes.get(
            "coordinate_transformation_mode", "half_pixel" if node.operator == "Resize" else "asymmetric"
        )
    ]
    rounded = {
        "round_prefer_floor": np.ceil(x - 0.5),
        "round_prefer_ceil": np.floor(x + 0.5),
        "floor": np.floor(x),
        "ceil": np.ceil(x),
    }[node.attributes.get("nearest_mode", "round_prefer_floor" if node.operator == "Resize" else "floor")]
    return bool(np.array_equal(np.clip(rounded, 0, extent - 1), i // factor))


def _repeated(builder: Builder, node: GraphNode, tensor: Tensor, factors: Sequence[int]) -> Tensor:
    from sim.importers.quantized.layout import plain

    shape = [f * n for f, n in zip(factors, tensor.layout.shape, strict=True)]
    layout = plain(shape)
    assert layout is not None
    assert size(layout.map[0]) == shape[1]
    layer = Upsample(builder.named(node.name), tensor.name, (factors[2], factors[3]), tensor.zero_point)
    return builder.add(layer, layout, tensor.low, tensor.high)
