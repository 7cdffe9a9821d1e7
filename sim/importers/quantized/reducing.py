"""Operators that look at many values: pooling, means, softmax, norms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.importers.quantized.builder import Builder, Sums, vector
from sim.importers.quantized.cutting import grown
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.layout import Atom, Layout, size
from sim.importers.quantized.rounding import Fit
from sim.importers.quantized.values import (
    Codes,
    Comparison,
    Pending,
    Quantizer,
    Tensor,
    Value,
    misplaced,
    refusal,
)
from sim.network import AveragePool, LayerNorm, Pool, Softmax, exponent_table, norm_constants
from sim.network.layers import Layer

Values = Sequence[Value | None]
Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def _map(builder: Builder, node: GraphNode, tensor: Tensor) -> Tensor:
    """An operand [1, C, H, W] or [1, C, L] with its channels along C."""
    axes = (*tensor.layout.axes[1:], (), ())[:3]
    if len(tensor.layout.axes) not in (3, 4) or tensor.layout.axes[0]:
        raise refusal(node.name, node.operator, "reads no map [1, C, H, W]", "give maps, with a batch of 1")
    return builder.place(node, tensor, (axes[0], axes[1], axes[2]))


def _window(node: GraphNode, tensor: Tensor) -> Window:
    """Kernel, stride and padding (y, x).

    Raises:
        InputError: dilation, padding on one side only, or rows that only a ceiling reaches.
    """
    rank = len(tensor.layout.axes) - 2
    get = node.attributes.get

    def pair(name: str, default: int) -> tuple[int, int]:
        y, x = (*(get(name) or [default] * rank), 1)[:2]
        return int(y), int(x)

    kernel, stride = pair("kernel_shape", 1), pair("strides", 1)
    pads = list(get("pads") or [0] * 2 * rank)
    if get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same(node, tensor, kernel, stride)
    first, last = ([*pads[:rank], 0][:2], [*pads[rank:], 0][:2])
    extent = tensor.layout.extent[1:]
    over = [(n + a + b - k) % s for n, a, b, k, s in zip(extent, first, last, kernel, stride, strict=True)]
    if get("ceil_mode", 0) and any(over):
        raise refusal(node.name, node.operator, "its last window hangs over the map", "use ceil_mode 0")
    if max(get("dilations") or [1]) > 1:
        raise refusal(node.name, node.operator, "is dilated", "pool without dilation")
    fits = [
        a == b or (a > b and (n + a + b - k) // s == (n + 2 * a - k) // s)
        for n, a, b, k, s in zip(extent, first, last, kernel, stride, strict=True)
    ]
    if not all(fits):
        raise refusal(node.name, node.operator, f"pads {pads}", "pad both sides alike")
    return kernel, stride, (first[0], first[1])


def _beyond(node: GraphNode, tensor: Tensor) -> tuple[int, int]:
    """Rows and columns that the last windows lack below and to the right; none begins in the padding there."""
    rank, get = len(tensor.layout.axes) - 2, node.attributes.get
    pads = list(get("pads") or [0] * 2 * rank)
    found = []
    for axis, (n, k) in enumerate(
        zip(tensor.layout.extent[1:], node.attributes["kernel_shape"], strict=False)
    ):
        step, before, after = (get("strides") or [1] * rank)[axis], pads[axis], pads[rank + axis]
        last = -(-(n + before + after - k) // step)
        last -= last * step >= n + before
        found.append(max(0, last * step + k - n - before - after))
    return (found[0], found[1] if rank > 1 else 0)


def _same(node: GraphNode, tensor: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    rank = len(tensor.layout.axes) - 2
    first, last = [], []
    for n, k, s in zip(tensor.layout.extent[1:][:rank], kernel, stride, strict=False):
        total = max(0, (-(-n // s) - 1) * s + k - n)
        sides = (total // 2, total - total // 2)
        upper = node.attributes["auto_pad"] == "SAME_UPPER"
        first.append(sides[0] if upper else sides[1])
        last.append(sides[1] if upper else sides[0])
    return first + last


def _pooled(tensor: Tensor, layer: Layer) -> Layout:
    """[1, C, OH, OW] in new atoms for the rows and columns."""
    _, h, w = layer.ofmap(tensor.layout.extent)
    channels = tensor.layout.map[0]
    y, x = (((Atom(n),) if n > 1 else ()) for n in (h, w))
    return Layout(((), channels, y, x)[: len(tensor.layout.axes)], (channels, y, x))


def largest(builder: Builder, node: GraphNode, values: Values) -> Value:
    """MaxPool; windows that hang over the map read its last values again."""
    codes = _rising(builder, node, values[0])
    tensor = _map(builder, node, codes.tensor)
    if node.attributes.get("ceil_mode", 0) and any(more := _beyond(node, tensor)):
        tensor = grown(builder, tensor, more)
    layer = Pool(
        builder.named(node.name), tensor.name, "max", *_window(node, tensor), zero_point=tensor.zero_point
    )
    return replace(
        codes, tensor=builder.add(layer, _pooled(tensor, layer), tensor.low, tensor.high), label=node.name
    )


def global_largest(builder: Builder, node: GraphNode, values: Values) -> Value:
    """GlobalMaxPool."""
    codes = _rising(builder, node, values[0])
    tensor = _map(builder, node, codes.tensor)
    whole = tensor.layout.extent[1:]
    layer = Pool(builder.named(node.name), tensor.name, "max", whole, whole, zero_point=tensor.zero_point)
    return replace(
        codes, tensor=builder.add(layer, _pooled(tensor, layer), tensor.low, tensor.high), label=node.name
    )


def _rising(builder: Builder, node: GraphNode, value: Value | None) -> Codes:
    """An operand whose largest value has the largest code."""
    codes = builder.codes(node, value)
    if any(codes.tensor.pads):
        raise refusal(node.name, node.operator, "reads a padded map", "let the pooling pad")
    if (np.diff(codes.real[codes.reached]) >= 0).all():
        return codes
    tensor, scale = builder.scaled(node, value)
    return Codes(tensor, Quantizer(scale, tensor.zero_point).real(), codes.label)


def _mean(
    builder: Builder, node: GraphNode, tensor: Tensor, scale: np.float32, window: Window | None
) -> Pending:
    """The mean over windows, or over the whole map."""
    terms = (
        size(tensor.layout.map[1]) * size(tensor.layout.map[2]) if window is None else int(np.prod(window[0]))
    )

    def layer(name: str, found: Fit, q: Quantizer) -> Layer:
        m, s = int(found.multiplier[0]), int(found.shift[0])
        if window is None:
            return AveragePool(name, tensor.name, m, s, q.zero_point, q.low, q.high)
        return Pool(name, tensor.name, "average", *window, m, s, q.zero_point, q.low, q.high)

    low, high = (terms * (end - tensor.zero_point) for end in (tensor.low, tensor.high))
    sums = Sums(
        np.array([scale / np.float32(terms)], np.float32),
        np.array([min(low, 0)]),
        np.array([max(high, 0)]),
        layer,
    )
    one = Fit(np.array([1]), np.array([1]), 0, 0)
    layout = _pooled(tensor, layer("", one, Quantizer(np.float32(1), 0)))
    return builder.pending(node, layout, sums)


def average(builder: Builder, node: GraphNode, values: Values) -> Value:
    """AveragePool, whose divisor is the kernel everywhere."""
    tensor, scale = builder.scaled(node, values[0])
    tensor = _map(builder, node, tensor)
    window = _window(node, tensor)
    if any(window[2]) and not node.attributes.get("count_include_pad", 0):
        problem = "at the border it divides by fewer than its kernel"
        raise refusal(node.name, node.operator, problem, "use count_include_pad=1, or no padding")
    return _mean(builder, node, tensor, scale, window)


def global_average(builder: Builder, node: GraphNode, values: Values) -> Value:
    """GlobalAveragePool."""
    tensor, scale = builder.scaled(node, values[0])
    return _mean(builder, node, _map(builder, node, tensor), scale, None)


def mean(builder: Builder, node: GraphNode, values: Values) -> Value:
    """ReduceMean over all rows and columns."""
    tensor, scale = builder.scaled(node, values[0])
    given = node.attributes.get("axes")
    if given is None and len(values) > 1 and values[1] is not None:
        array = vector(values[1])
        given = None if array is None else array.reshape(-1).tolist()
    rank = len(tensor.layout.axes)
    axes = sorted(int(axis) % rank for axis in given or range(rank))
    gone = tuple(atom for axis in axes for atom in tensor.layout.axes[axis])
    kept = tuple(atom for atom in tensor.layout.flat if atom not in gone)
    tensor = builder.place(node, tensor, _split(tensor.layout, kept, gone))
    found = _mean(builder, node, tensor, scale, None)
    rest = [(() if a in axes else axis) for a, axis in enumerate(tensor.layout.axes)]
    if not node.attributes.get("keepdims", 1):
        rest = [axis for a, axis in enumerate(rest) if a not in axes]
    return replace(found, layout=Layout(tuple(rest), (kept, (), ())))


def _split(
    layout: Layout, kept: tuple[Atom, ...], gone: tuple[Atom, ...]
) -> tuple[tuple[Atom, ...], tuple[Atom, ...], tuple[Atom, ...]]:
    """C of what is kept, H and W of the rest; as it is where it lies so."""
    if layout.map[0] == kept:
        return layout.map
    return kept, tuple(atom for atom in layout.flat if atom in gone), ()


def softmax(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Softmax over the last part of the channels; in integers of its own definition."""
    tensor, scale = builder.scaled(node, values[0])
    axis = node.attributes.get("axis", -1) % len(tensor.layout.axes)
    inner = tensor.layout.axes[axis]
    channels = tensor.layout.map[0]
    if not inner or channels[len(channels) - len(inner) :] != inner:
        raise misplaced(node.name, node.operator, "is not over channels", "transpose so that it is")

    def emit(it: Pending, q: Quantizer) -> Tensor:
        name = builder.named(it.label)
        groups = size(channels) // size(inner)
        layer = Softmax(name, tensor.name, exponent_table(float(scale)), groups)
        given = builder.add(layer, it.layout)
        builder.comparisons.append(Comparison(name, 0, 0, _OWN))
        own = Quantizer(np.float32(1 / 256), -128)
        return builder.tabled(Codes(given, own.real(), name), q)

    return Pending(node.name, node.operator, tensor.layout, emit, source=tensor)


_OWN = "in an integer definition of its own; results may be a step beside float32's"


def layer_norm(builder: Builder, node: GraphNode, values: Values) -> Value:
    """LayerNormalization over the channels; in integers of its own definition."""
    tensor, scale = builder.scaled(node, values[0])
    gain, bias = (vector(value) for value in (*values, None, None)[1:3])
    rank = len(tensor.layout.axes)
    axis = node.attributes.get("axis", -1) % rank
    if axis != rank - 1 or tensor.layout.axes[-1] != tensor.layout.map[0] or gain is None:
        raise misplaced(node.name, node.operator, "is not over channels", "normalize the last axis of tokens")

    def emit(it: Pending, q: Quantizer) -> Tensor:
        name, zeros = builder.named(it.label), np.zeros_like(gain)
        epsilon = node.attributes.get("epsilon", 1e-5)
        constants = norm_constants(
            gain, zeros if bias is None else bias, epsilon, float(scale), float(q.scale)
        )
        whole, offset, shift, added = constants
        layer = LayerNorm(name, tensor.name, whole, offset, shift, added, False, q.zero_point, q.low, q.high)
        builder.comparisons.append(Comparison(name, 0, 0, _OWN))
        return builder.add(layer, it.layout, q.low, q.high)

    return Pending(node.name, node.operator, tensor.layout, emit)
