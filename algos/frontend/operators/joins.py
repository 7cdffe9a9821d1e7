"""Several tensors in one, and one in a larger one."""

from __future__ import annotations

from algos.frontend.graph import Node
from algos.frontend.layout import Layout, split, strides, usual
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

    names = ("cat", "stack")

    def steps(self, call: Call) -> list[Step]:
        sources = [tensor for tensor in call["tensors"] if not tensor.constant]
        return [work(call.name, "concat", sources, call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        parts, dim = node["tensors"], node["dim"] % len(node.out.extent)
        if node.operation == "aten.stack" or any(part.constant for part in parts):
            raise Missing("joins along a new axis, or with a constant", "a layer that joins with constants")
        held = [to.held[part] for part in parts]
        places = [_place(one.layout, part.extent, dim) for one, part in zip(held, parts, strict=True)]
        whole = [
            _joined(one.layout, part.extent, node.out.extent, dim, place)
            for one, part, place in zip(held, parts, places, strict=True)
            if place is not None
        ]
        if len(set(whole)) != 1 or len(whole) != len(parts):
            held = [to.read(part, usual(part.extent)) for part in parts]
            places = [_place(one.layout, part.extent, dim) for one, part in zip(held, parts, strict=True)]
            if places[0] is None:
                raise Missing(
                    "joins along an axis that is neither channels nor rows", "a layer that permutes a map"
                )
            whole = [_joined(held[0].layout, parts[0].extent, node.out.extent, dim, places[0])]
        axis = places[0]
        assert axis is not None
        tail = to.tail(node.out, whole[0])
        out = to.emitted(tail)
        multipliers, shift = ratios([one.scale / out.scale for one in held])
        name = to.name(node.name)
        tensors = tuple(one.tensor for one in held)
        to.add(Concat(name, tensors, multipliers, shift, axis, out.zero_point, out.low, out.high))  # type: ignore[arg-type]
        to.settle(tail, name, out)


def _place(layout: Layout, extent: tuple[int, ...], dim: int) -> int | None:
    """The axis of the map (0 or 1) that begins with an axis of the value; None where neither does."""
    if extent[dim] == 1:
        return 0
    inner = strides(extent)[dim]
    for place, digits in enumerate(layout.axes[:2]):
        if digits:
            stride, size = digits[0]
            if stride * size == inner * extent[dim] and stride <= inner:
                return place
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


class Padding(Operator):
    """Copying next to constants."""

    names = ("pad", "constant_pad_nd")
    fix = "pad in the convolution behind it"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "concat", [call["self"]], call.out)]


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
    from algos.frontend.layout import of_axes

    return of_axes(extent, [1], *[[axis] for axis in range(2, len(extent))])
