"""Operators of two tensors, or of a tensor and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.importers.quantized import pointwise
from sim.importers.quantized.builder import Builder, Sums, vector
from sim.importers.quantized.channelwise import Affine
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.layout import Atom, Layout
from sim.importers.quantized.rounding import fit_pair, nearest
from sim.importers.quantized.values import (
    CODES,
    Codes,
    Comparison,
    Pending,
    Quantizer,
    Tensor,
    Value,
    misplaced,
    refusal,
)
from sim.network import Add, Concat, Multiply

Values = Sequence[Value | None]


def add(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Of two tensors with one rounding, or of a constant."""
    return _sum(builder, node, values, 1)


def subtract(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Of a constant, or from one."""
    return _sum(builder, node, values, -1)


def _sum(builder: Builder, node: GraphNode, values: Values, sign: int) -> Value:
    left, right = values
    constants = [vector(value) for value in values]
    if constants[0] is None and constants[1] is None:
        a, b = builder.codes(node, left), builder.codes(node, right)
        if a.tensor == b.tensor:
            return pointwise.function(builder, node, values)
        if sign < 0:
            raise refusal(
                node.name, "Sub", "subtracts one tensor from another", "write it as Add of the negative"
            )
        return _two(builder, node, a, b)
    varies, constant = (left, constants[1]) if constants[0] is None else (right, constants[0])
    assert constant is not None
    if (
        isinstance(varies, Pending)
        and varies.bias is not None
        and varies.bounds.low == -np.inf
        and varies is left
    ):
        added = _channels(node, varies.layout, constant) * sign / varies.scales
        whole = np.rint(added)
        if np.abs(whole - added).max() > 1e-3:
            builder.notes.append(
                f"{node.name}: its constant is rounded to steps of the sums of {varies.label}"
            )
        return replace(varies.bias(whole.astype(np.int64)), label=node.name)
    if constant.size == 1:
        return pointwise.function(builder, node, values)
    one = np.float32(1)
    gain, offset = (one, constant * sign) if varies is left else (one * sign, constant)
    return _affine(builder, node, varies, gain, offset)


def _affine(
    builder: Builder,
    node: GraphNode,
    value: Value | None,
    gain: np.ndarray | np.float32,
    offset: np.ndarray | np.float32,
) -> Pending:
    """A gain and an offset of each channel."""
    tensor, scale = builder.scaled(node, value)
    full = [np.asarray(v, np.float32) for v in (gain, offset)]
    gains, offsets = (_channels(node, tensor.layout, v) for v in full)
    return Affine(node, tensor, scale, gains, offsets).pending(builder)


def _channels(node: GraphNode, layout: Layout, constant: np.ndarray) -> np.ndarray:
    """float32 [C]: a constant that differs along the channels alone."""
    shape = (1,) * (len(layout.axes) - constant.ndim) + constant.shape
    along = [axis for axis, n in enumerate(shape) if n > 1]
    if along and (len(along) > 1 or layout.axes[along[0]] != layout.map[0]):
        problem = f"a constant of shape {list(constant.shape)} differs along other axes than channels"
        raise misplaced(node.name, node.operator, problem, "give one value, or one a channel")
    return np.broadcast_to(constant.reshape(-1), (layout.extent[0],)).astype(np.float32)


def _two(builder: Builder, node: GraphNode, left: Codes, right: Codes) -> Pending:
    """Two tensors of one shape."""
    (a, scale_a), (b, scale_b) = (builder.scaled(node, value) for value in (left, right))
    b = _aligned(builder, node, a, b)

    def emit(it: Pending, q: Quantizer) -> Tensor:
        x, y = (np.arange(t.low, t.high + 1) - t.zero_point for t in (a, b))
        real = x.astype(np.float32)[:, None] * scale_a + y.astype(np.float32)[None, :] * scale_b
        found = fit_pair(
            q.codes(real),
            x,
            y,
            (float(scale_a / q.scale), float(scale_b / q.scale)),
            lambda total: np.clip(total + q.zero_point, q.low, q.high),
        )
        name = builder.named(it.label)
        builder.comparisons.append(Comparison(name, found.apart, found.of))
        layer = Add(name, (a.name, b.name), found.multipliers, found.shift, q.zero_point, q.low, q.high)
        return builder.add(layer, it.layout, q.low, q.high)

    return Pending(node.name, node.operator, a.layout, emit)


def _aligned(builder: Builder, node: GraphNode, a: Tensor, b: Tensor) -> Tensor:
    """The second operand where the first one's values lie."""
    shapes = a.layout.shape, b.layout.shape
    layout = b.layout.like(a.layout) if shapes[0] == shapes[1] else None
    if layout is None:
        problem = f"shapes {list(shapes[0])} and {list(shapes[1])} differ"
        raise refusal(node.name, node.operator, problem, "give operands of one shape")
    return builder.place(node, replace(b, layout=layout), a.layout.map)


def multiply(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Of two tensors, the second of which may be one value a channel; or by a constant."""
    constants = [vector(value) for value in values]
    if constants[0] is None and constants[1] is None:
        a, b = (builder.codes(node, value) for value in values)
        if a.tensor == b.tensor:
            return pointwise.function(builder, node, values)
        return _times(builder, node, a, b)
    varies, constant = (values[0], constants[1]) if constants[0] is None else (values[1], constants[0])
    assert constant is not None
    return _scaled(builder, node, varies, constant, values)


def divide(builder: Builder, node: GraphNode, values: Values) -> Value:
    """By a constant."""
    constant = vector(values[1])
    if constant is None:
        return pointwise.function(builder, node, values)
    return _scaled(builder, node, values[0], np.float32(1) / constant, values)


def _scaled(
    builder: Builder, node: GraphNode, varies: Value | None, constant: np.ndarray, values: Values
) -> Value:
    if (
        isinstance(varies, Pending)
        and varies.scales.size
        and constant.size == 1
        and constant.reshape(-1)[0] > 0
    ):
        factor = float(constant.reshape(-1)[0])
        bounds = replace(varies.bounds, low=varies.bounds.low * factor, high=varies.bounds.high * factor)
        return replace(
            varies,
            scales=varies.scales * np.float32(factor),
            bounds=bounds,
            bias=None,
            wide=None,
            label=node.name,
        )
    if constant.size == 1:
        return pointwise.function(builder, node, values)
    return _affine(builder, node, varies, constant, np.float32(0))


def normalization(builder: Builder, node: GraphNode, values: Values) -> Value:
    """BatchNormalization, with its statistics constant."""
    scale, bias, mean, variance = (vector(value) for value in values[1:5])
    if scale is None or bias is None or mean is None or variance is None:
        raise refusal(node.name, node.operator, "its parameters are computed", "make them constants")
    gain = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    tensor, step = builder.scaled(node, values[0])
    return Affine(
        node, tensor, step, gain.astype(np.float32), (bias - mean * gain).astype(np.float32)
    ).pending(builder)


def _times(builder: Builder, node: GraphNode, left: Codes, right: Codes) -> Pending:
    if left.layout.extent[1:] == (1, 1) and right.layout.extent != left.layout.extent:
        left, right = right, left
    (a, scale_a), (b, scale_b) = (builder.scaled(node, value) for value in (left, right))
    if a.layout.shape == b.layout.shape:
        b = _aligned(builder, node, a, b)
    else:
        shape, channels = b.layout.shape, a.layout.map[0]
        shape = (1,) * (len(a.layout.axes) - len(shape)) + shape
        wide = [axis for axis, n in enumerate(shape) if n > 1]
        fits = len(wide) == 1 and a.layout.axes[wide[0]] == channels and b.layout.extent[1:] == (1, 1)
        if not fits or shape[wide[0]] != a.layout.extent[0]:
            problem = f"shapes {list(a.layout.shape)} and {list(b.layout.shape)}"
            raise refusal(node.name, node.operator, problem, "give one shape, or one value a channel")
    corners = np.outer(
        [a.low - a.zero_point, a.high - a.zero_point], [b.low - b.zero_point, b.high - b.zero_point]
    )
    sums = Sums(
        np.array([scale_a * scale_b], np.float32),
        np.array([corners.min()]),
        np.array([corners.max()]),
        lambda name, found, q: Multiply(
            name, (a.name, b.name), int(found.multiplier[0]), int(found.shift[0]), q.zero_point, q.low, q.high
        ),
    )
    return builder.pending(node, a.layout, sums)


@dataclass(frozen=True)
class _Joined:
    """Tensors one after another along C (0) or H (1)."""

    node: GraphNode
    parts: tuple[Codes, ...]
    layout: Layout
    axis: int

    def emit(self, builder: Builder, it: Pending, q: Quantizer) -> Tensor:
        """One multiplier a part if that rounds all 256 values as float32 does, else a table before it."""
        scales = [part.scale() for part in self.parts]
        ratios = [1.0 if scale is None else float(scale / q.scale) for scale in scales]
        _, shift = nearest(max(ratios))
        shift = min(shift, 15)  # 2^shift, of a part that is in the scale already, is a multiplier
        names, multipliers = [], []
        for part, scale, ratio in zip(self.parts, scales, ratios, strict=True):
            found = None if scale is None else _exact(part, q, ratio, shift)
            tensor = part.tensor if found is not None else builder.tabled(part, q)
            if found is None and tensor.zero_point != q.zero_point:
                raise AssertionError("a table has the zero point of its quantizer")
            names.append(tensor.name)
            multipliers.append(1 << shift if found is None else found)
        name = builder.named(it.label)
        layer = Concat(name, tuple(names), tuple(multipliers), shift, self.axis, q.zero_point, q.low, q.high)  # type: ignore[arg-type]
        builder.comparisons.append(Comparison(name, 0, 256 * len(names)))
        return builder.add(layer, it.layout, q.low, q.high)


def _exact(part: Codes, q: Quantizer, ratio: float, shift: int) -> int | None:
    """A multiplier that gives every code of a part its value; None if there is none."""
    wanted, x = q.codes(part.real)[part.reached], CODES[part.reached] - part.tensor.zero_point
    for step in (0, 1, -1):
        m = round(ratio * 2**shift) + step
        if 0 <= m < 2**16 and np.array_equal(
            np.clip(((x * m + (1 << (shift - 1))) >> shift) + q.zero_point, q.low, q.high), wanted
        ):
            return m
    return None


def concat(builder: Builder, node: GraphNode, values: Values) -> Value:
    """Along channels or along rows."""
    parts = [builder.codes(node, value) for value in values]
    first = parts[0].layout
    axis = node.attributes["axis"] % len(first.axes)
    along = next((i for i in (0, 1) if first.map[i] == first.axes[axis] and first.axes[axis]), None)
    if along is None:
        along = 0 if first.extent[0] == 1 and not first.axes[axis] else None
    total = sum(part.layout.shape[axis] for part in parts)
    fits = along is not None and all(_beside(first, part.layout, axis, along) for part in parts[1:])
    if not fits or any(any(part.tensor.pads) for part in parts):
        fix = "concatenate along channels, or tokens"
        raise misplaced(
            node.name, node.operator, f"axis {axis} is neither channels nor rows of its operands", fix
        )
    assert along is not None
    new = (Atom(total),)
    groups = [group if i != along else new for i, group in enumerate(first.map)]
    axes = tuple(new if i == axis else a for i, a in enumerate(first.axes))
    layout = Layout(axes, (groups[0], groups[1], groups[2]))
    joined = _Joined(node, tuple(parts), layout, along)
    return Pending(node.name, "Concat", layout, lambda it, q: joined.emit(builder, it, q))


def _beside(first: Layout, other: Layout, axis: int, along: int) -> bool:
    """Whether a layout is another one's beside one axis."""
    sizes = [tuple(a.size for a in group) for group in first.map]
    mine = [tuple(a.size for a in group) for group in other.map]
    same = all(sizes[i] == mine[i] for i in range(3) if i != along)
    shapes = [layout.shape[:axis] + layout.shape[axis + 1 :] for layout in (first, other)]
    return same and shapes[0] == shapes[1] and other.map[along] == other.axes[axis]
