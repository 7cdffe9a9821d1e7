"""Products: convolutions, linear layers, products of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.importers.quantized.builder import Builder, Sums, vector
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.layout import Atom, Group, Layout, size
from sim.importers.quantized.rounding import Fit
from sim.importers.quantized.values import Pads, Parameter, Pending, Quantizer, Tensor, Value, Weight, refusal
from sim.network import Conv, DenseWeight, MatMul, Requantization, ScaledWeight

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Convolution:
    """A convolution whose output scale is not known yet.

    Attributes:
        weight: int64 [K, C/groups, ky, kx].
        bias: int64 [K], in units of the sums.
        scales: float32 [K], of the sums.
        scaled: the weight in few bits, where it comes so.
    """

    node: GraphNode
    source: Tensor
    layout: Layout
    weight: np.ndarray
    bias: np.ndarray
    scales: np.ndarray
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    scaled: ScaledWeight | None = None

    def pending(self, builder: Builder) -> Pending:
        return replace(
            builder.pending(self.node, self.layout, self._sums()),
            bias=lambda added: replace(self, bias=self.bias + added).pending(builder),
            wide=lambda: builder.add(self._layer(builder.named(self.node.name), None), self.layout),
        )

    def _sums(self) -> Sums:
        positive = self.weight.clip(0).sum((1, 2, 3))
        negative = self.weight.clip(None, 0).sum((1, 2, 3))
        low, high = self.source.low - self.source.zero_point, self.source.high - self.source.zero_point
        low, high = min(low, 0), max(high, 0)  # where the kernel hangs over the border
        return Sums(
            self.scales,
            positive * low + negative * high + self.bias,
            positive * high + negative * low + self.bias,
            lambda name, found, q: self._layer(name, _requantization(found, q)),
        )

    def _layer(self, name: str, requantization: Requantization | None) -> Conv:
        bias = self.bias - self.source.zero_point * self.weight.sum((1, 2, 3))
        return Conv(
            name,
            self.source.name,
            self.scaled or DenseWeight(self.weight.astype(np.int8)),
            np.clip(bias, -(2**31) + 1, 2**31 - 1).astype(np.int32),
            self.stride,
            self.padding,
            requantization,
            self.groups,
            self.dilation,
        )


def _requantization(found: Fit, q: Quantizer) -> Requantization:
    return Requantization(
        found.multiplier.astype(np.uint16), found.shift.astype(np.uint8), q.zero_point, q.low, q.high
    )


def _weight(node: GraphNode, value: Value | None, axis: int) -> Weight:
    """Integers of a weight, with scales along `axis` if there are several.

    Raises:
        InputError: float weights, more than 8 bits, or scales along another axis.
    """
    if not isinstance(value, Weight):
        problem = "its weight is not quantized" if isinstance(value, Parameter) else "its weight is computed"
        raise refusal(node.name, node.operator, problem, "quantize the weight")
    if value.integers.min(initial=0) < -128 or value.integers.max(initial=0) > 127:
        problem = "its weight less its zero point goes beyond int8"
        raise refusal(node.name, node.operator, problem, "quantize weights symmetrically")
    if value.axis not in (None, axis % value.integers.ndim):
        raise refusal(node.name, node.operator, "its weight has scales along its inputs", "scale its outputs")
    return value


def bias_of(
    builder: Builder, node: GraphNode, value: Value | None, scales: np.ndarray, outputs: int
) -> np.ndarray:
    """int64 [K] in units of the sums; integers of the file where it has them."""
    if value is None:
        return np.zeros(outputs, np.int64)
    if isinstance(value, Weight) and np.allclose(value.scale, scales, rtol=1e-5, atol=0):
        return np.broadcast_to(value.integers.reshape(-1), (outputs,)).astype(np.int64)
    real = vector(value)
    if real is None:
        raise refusal(node.name, node.operator, "its bias is computed", "make it a constant")
    exact = np.broadcast_to(real.reshape(-1), (outputs,)).astype(np.float64) / scales
    whole = np.rint(np.clip(exact, -(2.0**31), 2.0**31))
    if np.abs(whole - exact).max(initial=0) > 1e-3:
        builder.notes.append(f"{node.name}: its float bias is rounded to steps of its sums")
    return whole.astype(np.int64)


def convolution(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Conv of maps [1, C, H, W] or sequences [1, C, L]."""
    weight = _weight(node, values[1], 0)
    tensor, scale = builder.scaled(node, values[0], pads=True)
    axes = (*tensor.layout.axes[1:], ())[:3]
    rank = weight.integers.ndim - 2
    if rank > 2 or len(tensor.layout.axes) != rank + 2 or tensor.layout.axes[0]:
        raise refusal(
            node.name, node.operator, "is no convolution of one map", "give a batch of 1 in 2 dimensions"
        )
    integers = weight.integers.reshape(*weight.integers.shape, *[1] * (2 - rank))
    kernel, stride, dilation = (
        integers.shape[2:],
        _pair(node, "strides", rank),
        _pair(node, "dilations", rank),
    )
    extent = [size(axis) for axis in axes[1:]]
    pads = _pads(node, rank, extent, (kernel, stride, dilation))
    pads = tuple(a + b for a, b in zip(pads, tensor.pads, strict=True))  # type: ignore[assignment]
    integers, padding = _symmetric(node, integers, pads, dilation)
    placed = builder.place(node, replace(tensor, pads=(0, 0, 0, 0)), (axes[0], axes[1], axes[2]))
    scales = np.broadcast_to(scale * weight.scale, (len(integers),)).astype(np.float32)
    out = [
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, p, k, d, s in zip(extent, padding, integers.shape[2:], dilation, stride, strict=True)
    ]
    new = tuple((Atom(n),) if n > 1 else () for n in (len(integers), *out))
    layout = Layout(((), *new[: rank + 1]), (new[0], new[1], new[2]))
    bias = bias_of(builder, node, (*values, None)[2], scales, len(integers))
    groups = node.attributes.get("group", 1)
    return _Convolution(
        node, placed, layout, integers, bias, scales, stride, padding, dilation, groups
    ).pending(builder)


def _pair(node: GraphNode, name: str, rank: int) -> Pair:
    y, x = (*(node.attributes.get(name) or [1] * rank), 1)[:2]
    return int(y), int(x)


def _pads(
    node: GraphNode, rank: int, extent: Sequence[int], window: tuple[Sequence[int], Pair, Pair]
) -> Pads:
    """Rows above, columns left, rows below, columns right."""
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        given = list(node.attributes.get("pads") or [0] * 2 * rank)
        first, last = [*given[:rank], 0][:2], [*given[rank:], 0][:2]
        return first[0], first[1], last[0], last[1]
    if mode == "VALID":
        return 0, 0, 0, 0
    sides = []
    for n, k, s, d in zip(extent, *window, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        sides.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def _symmetric(node: GraphNode, weight: np.ndarray, pads: Pads, dilation: Pair) -> tuple[np.ndarray, Pair]:
    """The same padding on both sides: the kernel gets zeros where one side lacks some.

    Raises:
        InputError: with dilation the lack is no whole number of taps.
    """
    padding, widths = [], [(0, 0), (0, 0)]
    for before, after, step in zip(pads[:2], pads[2:], dilation, strict=True):
        lack = abs(before - after)
        if lack % step or min(before, after) < 0:
            problem = f"pads {before} before and {after} behind"
            raise refusal(node.name, node.operator, problem, "pad both sides alike")
        padding.append(max(before, after))
        widths.append((lack // step, 0) if before < after else (0, lack // step))
    return np.pad(weight, widths), (padding[0], padding[1])


def gemm(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """alpha A B + beta C with B constant."""
    turned = node.attributes.get("transB", 0)
    weight = _weight(node, values[1], 0 if turned else 1)
    if node.attributes.get("transA", 0) or node.attributes.get("beta", 1.0) != 1.0:
        raise refusal(node.name, node.operator, "transposes A or scales C", "export with transA=0 and beta=1")
    integers = weight.integers if turned else weight.integers.T
    alpha = np.float32(node.attributes.get("alpha", 1.0))
    return linear(builder, node, values[0], Weight(integers, weight.scale * alpha, 0), (*values, None)[2])


def matmul(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """By a constant matrix, or of two tensors head by head."""
    if isinstance(values[1], Weight | Parameter):
        weight = _weight(node, values[1], -1)
        if weight.integers.ndim != 2:
            raise refusal(node.name, node.operator, "multiplies by several matrices", "give one matrix")
        return linear(builder, node, values[0], Weight(weight.integers.T, weight.scale, 0), None)
    return _product(builder, node, values)


def linear(
    builder: Builder, node: GraphNode, value: Value | None, weight: Weight, bias: Value | None
) -> Pending:
    """Products with a matrix [K, F], scaled along K, along the last axis, at every place of the others."""
    tensor, step = builder.scaled(node, value)
    axis, others = tensor.layout.axes[-1], tensor.layout.axes[:-1]
    inner = set(axis)
    flat = tensor.layout.flat
    order = tuple(atom for atom in flat if atom in inner)
    rest = tuple(atom for atom in flat if atom not in inner)
    if set(tensor.layout.map[0]) == inner:
        placed = tensor
    else:
        placed = builder.place(node, tensor, (order, rest, ()))
    sizes = [atom.size for atom in axis]
    columns = np.arange(size(axis)).reshape(sizes).transpose([axis.index(atom) for atom in order]).reshape(-1)
    integers = weight.integers[:, columns][:, :, None, None]
    moved = not np.array_equal(columns, np.arange(len(columns)))  # then groups of inputs lie apart
    outputs = len(integers)
    new: Group = (Atom(outputs),) if outputs > 1 else ()
    layout = Layout((*others, new), (new, placed.layout.map[1], placed.layout.map[2]))
    scales = np.broadcast_to(step * weight.scale, (outputs,)).astype(np.float32)
    whole = bias_of(builder, node, bias, scales, outputs)
    scaled = None if moved else weight.scaled
    return _Convolution(node, placed, layout, integers, whole, scales, scaled=scaled).pending(builder)


def _product(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Pending:
    """Two tensors [..., heads, N, D] and [..., heads, D, M]; heads and channels lie along C, tokens along H."""
    (a, scale_a), (b, scale_b) = (builder.scaled(node, value) for value in values)
    heads = tuple(atom for axis in a.layout.axes[:-2] for atom in axis)
    rows, inner = a.layout.axes[-2:]
    if b.layout.shape[:-1] != (*a.layout.shape[:-2], size(inner)):
        raise refusal(node.name, node.operator, "its operands have other batches", "give both the same heads")
    beside = tuple(atom for axis in b.layout.axes[:-2] for atom in axis)
    depth, columns = b.layout.axes[-2:]
    turned = set(columns).isdisjoint(b.layout.map[0])
    a = builder.place(node, a, (heads + inner, rows, ()))
    b = builder.place(node, b, (beside + depth, columns, ()) if turned else (beside + columns, depth, ()))
    layout = Layout((*a.layout.axes[:-2], rows, columns), (heads + columns, rows, ()))
    reach = size(inner) * np.abs([a.low - a.zero_point, a.high - a.zero_point]).max()
    reach = np.array([reach * np.abs([b.low - b.zero_point, b.high - b.zero_point]).max()])
    sums = Sums(
        np.array([scale_a * scale_b], np.float32),
        -reach,
        reach,
        lambda name, found, q: MatMul(
            name,
            (a.name, b.name),
            size(heads),
            turned,
            int(found.multiplier[0]),
            int(found.shift[0]),
            q.zero_point,
            q.low,
            q.high,
        ),
    )
    return builder.pending(node, layout, sums)
