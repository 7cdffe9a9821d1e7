"""Several tensors in one, and one in a larger one."""

from __future__ import annotations

from algos.frontend.constants import operand
from algos.frontend.graph import Node
from algos.frontend.layout import Layout, of_axes, split, strides
from algos.frontend.lower import Lowering, ratios
from algos.frontend.operator import Call, Missing, Operator
from sim.importers.steps import Step, work
from sim.network import Concat, Upsample

PARTS = {
    "upsample_nearest1d": 1,
    "upsample_nearest2d": 1,
    "upsample_linear1d": 2,
    "upsample_bilinear2d": 4,
    "upsample_bicubic2d": 16,
}
"""Elements that a result of an upsampling is made of."""


class Join(Operator):
    """One after the other."""

    names = ("cat", "concat", "stack")

    def steps(self, call: Call) -> list[Step]:
        sources = [tensor for tensor in call["tensors"] if not tensor.constant]
        return [work(call.name, "concat", sources, call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        parts, dim = node["tensors"], node["dim"] % len(node.out.extent)
        first = next(part for part in parts if not part.constant)
        near = to.held[first].layout
        axis = _place(near, first.extent, dim)
        wanted = _alike(near, first.extent, [part.extent for part in (*parts, node.out)], dim, axis)
        if axis is None or wanted is None:
            axes = range(len(first.extent))
            groups = [[n for n in axes if n > dim], [dim], [n for n in axes if n < dim]]
            axis = 1
            if not groups[0]:
                groups, axis = [[dim], groups[2], []], 0
            wanted = [of_axes(part.extent, *groups) for part in (*parts, node.out)]
        held = [operand(to, part, layout) for part, layout in zip(parts, wanted, strict=False)]
        tail = to.tail(node.out, wanted[-1])
        out = to.emitted(tail)
        multipliers, shift = ratios([one.scale / out.scale for one in held])
        name = to.name(node.name)
        tensors = tuple(one.tensor for one in held)
        to.add(Concat(name, tensors, multipliers, shift, axis, out.zero_point, out.low, out.high))  # type: ignore[arg-type]
        to.settle(tail, name, out)


def _place(layout: Layout, extent: tuple[int, ...], dim: int) -> int | None:
    """The axis of the map (0 or 1) that begins with an axis of the value; None where neither does."""
    if extent[dim] == 1:
        return None
    inner = strides(extent)[dim]
    for place, digits in enumerate(layout.axes[:2]):
        if digits:
            stride, size = digits[0]
            if stride * size == inner * extent[dim] and stride <= inner:
                return place
    return None


def _alike(
    near: Layout, extent: tuple[int, ...], others: list[tuple[int, ...]], dim: int, axis: int | None
) -> list[Layout] | None:
    """Layouts of other extents like one that is there; None where its digits do not tell axes apart."""
    if axis is None:
        return None
    try:
        return [_joined(near, extent, other, dim, axis) for other in others]
    except ValueError:
        return None


def _joined(layout: Layout, extent: tuple[int, ...], whole: tuple[int, ...], dim: int, place: int) -> Layout:
    """The layout of the whole from that of a part."""
    before, after = strides(extent), strides(whole)
    axes = []
    for number, digits in enumerate(layout.axes):
        parts = [part for digit in digits for part in split(digit, extent)]
        moved = [(stride // before[axis] * after[axis], size) for axis, stride, size in parts if axis != dim]
        if number == place:
            moved.insert(0, (after[dim], whole[dim]))
        axes.append(tuple(moved))
    return Layout(*axes)


class Upsampling(Operator):
    """Nearest neighbour by whole factors."""

    names = tuple(PARTS)
    fix = "use mode='nearest'"

    def steps(self, call: Call) -> list[Step]:
        parts = PARTS[call.operator.removeprefix("aten.")]
        return [work(call.name, "upsample", [call.source], call.out, call.out.elements * parts)]

    def lower(self, node: Node, to: Lowering) -> None:
        source = node.source
        if "nearest" not in node.operation:
            super().lower(node, to)
        factors = [b // a for a, b in zip(source.extent[2:], node.out.extent[2:], strict=True)]
        if any(a * f != b for a, b, f in zip(source.extent[2:], node.out.extent[2:], factors, strict=True)):
            raise Missing("by factors that are not whole", "give a size that is a multiple")
        held = to.read(source, usual4(source.extent))
        y, x = (*factors, 1)[:2]
        name = to.name(node.name)
        to.add(Upsample(name, held.tensor, (y, x), held.activation.zero_point))
        tail = to.tail(node.out, usual4(node.out.extent))
        to.settle(type(tail)(tail.end, tail.layout, tail.gain, tail.offset, tail.end), name, held.activation)


def usual4(extent: tuple[int, ...]) -> Layout:
    """[1, C, H, W] or [1, C, L] with positions along H."""
    return of_axes(extent, [1], *[[axis] for axis in range(2, len(extent))])
