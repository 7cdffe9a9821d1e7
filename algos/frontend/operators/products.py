"""Convolutions, linear layers and products of two activations."""

from __future__ import annotations

from math import prod

import torch
from torch.nn import functional as F

from algos.frontend.constants import operand
from algos.frontend.emit import Product
from algos.frontend.graph import Node, Value
from algos.frontend.layout import of_axes
from algos.frontend.lower import Lowering, ratio
from algos.frontend.operator import Call, Missing, Operator
from sim.errors import InputError
from sim.importers.steps import Step, Tensor, arithmetic, convolutions, product, view, work
from sim.network import MatMul


def constant_weight(call: Call) -> Tensor:
    """Of a convolution.

    Raises:
        InputError: the network computes it.
    """
    weight: Tensor = call["weight"]
    if not weight.constant:
        raise InputError(
            f"node {call.name}",
            weight.name,
            "the weights are computed by the network",
            "make them a parameter",
        )
    return weight


class Convolution(Operator):
    """One, two or three dimensions; its weights are constant."""

    names = ("conv1d", "conv2d", "conv3d", "convolution")

    def steps(self, call: Call) -> list[Step]:
        if call.arguments.get("transposed"):
            return transposed(call)
        weight = constant_weight(call)
        axes = len(weight.extent) - 2
        dilation = per_axis(call["dilation"], axes)
        begin, end = margins(call["padding"], weight.extent[2:], dilation)
        return convolutions(
            call.name,
            call["input"],
            weight.extent,
            call.out,
            call["groups"],
            stride=per_axis(call["stride"], axes),
            dilation=dilation,
            begin=begin,
            end=end,
        )

    def lower(self, node: Node, to: Lowering) -> None:
        weight, source = node["weight"], node["input"]
        if node.arguments.get("transposed") or not weight.constant or len(weight.extent) > 4:
            raise Missing("only convolutions of 1 or 2 dimensions with constant weights", self.fix)
        axes = len(weight.extent) - 2
        real = weight.data
        dilation, stride = per_axis(node["dilation"], axes), per_axis(node["stride"], axes)
        begin, end = margins(node["padding"], weight.extent[2:], dilation)
        if begin != end:  # the hardware pads both sides alike: zeros in the kernel stand for the difference
            real, begin, dilation = _one_sided(real, begin, end, dilation)
        spatial = list(range(2, 2 + axes))
        made = Product(node, weight, real.reshape(*real.shape, *[1] * (2 - axes)))
        made.place = of_axes(source.extent, [1], *[[axis] for axis in spatial])
        made.result = of_axes(node.out.extent, [1], *[[axis] for axis in spatial])
        made.bias, made.groups = node["bias"], node["groups"]
        made.stride, made.padding, made.dilation = (
            (values + [fill] * 2)[:2] for values, fill in ((stride, 1), (begin, 0), (dilation, 1))
        )
        made.lower(to, source)


class Transposed(Operator):
    """Every weight meets every element of the input."""

    names = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    fix = "use nn.Upsample and a convolution"

    def steps(self, call: Call) -> list[Step]:
        return transposed(call)


def transposed(call: Call) -> list[Step]:
    """A 1x1 convolution that gives each element of the input a block, as channels; where blocks are larger than the
    stride they are added up where they overlap."""
    weight, source, out = constant_weight(call), call["input"], call.out
    (batch, channels, *size), (_, outputs, *kernel) = source.extent, weight.extent
    groups, axes, ones, none = call["groups"], len(size), [1] * len(size), [0] * len(size)
    blocks = Tensor(f"{out.name}/blocks", (batch, outputs * groups * prod(kernel), *size))
    shape = (blocks.extent[1], channels // groups, *ones)
    window = {"stride": ones, "dilation": ones, "begin": none, "end": none}
    steps = convolutions(call.name, source, shape, blocks, groups, **window)
    if per_axis(call["stride"], axes) == kernel and per_axis(call["dilation"], axes) == ones:
        return [*steps, view(f"{call.name}.places", blocks, out)]
    return [*steps, work(f"{call.name}.overlaps", "pool", [blocks], out, blocks.elements)]


class Linear(Operator):
    """Over the last axis, at every position."""

    names = ("linear",)

    def steps(self, call: Call) -> list[Step]:
        weight = call["weight"]
        turned = Tensor(weight.name, weight.extent[::-1], weight.constant)
        return biased(call, call["input"], turned, call["bias"])

    def lower(self, node: Node, to: Lowering) -> None:
        weight = node["weight"]
        if not weight.constant:
            raise Missing("its weights are computed by the network", "make them a parameter")
        made = Product(node, weight, weight.data[:, :, None, None])
        made.bias = node["bias"]
        made.lower(to, node["input"])


class MatrixProduct(Operator):
    """mm, bmm and matmul: linear where one side is constant."""

    names = ("mm", "bmm", "matmul")

    def steps(self, call: Call) -> list[Step]:
        left, right = (value for value in call.arguments.values() if isinstance(value, Tensor))
        return biased(call, left, right, None)

    def lower(self, node: Node, to: Lowering) -> None:
        """Head by head: all axes but the last two are heads."""
        left, right = list(node.arguments.values())[:2]
        if right.constant and len(right.extent) == 2:
            Product(node, right, right.data.T[:, :, None, None]).lower(to, left)
            return
        axes = len(node.out.extent)
        if len(left.extent) != axes or len(right.extent) != axes or left.extent[:-2] != right.extent[:-2]:
            raise Missing(
                f"the product of {left.extent} and {right.extent}", "give both the same leading axes"
            )
        *heads, row, column = range(axes)
        a = operand(to, left, of_axes(left.extent, [*heads, column], [row]))
        turned, plain = (
            of_axes(right.extent, [*heads, row], [column]),
            of_axes(right.extent, [*heads, column], [row]),
        )
        transposed = right.constant or to.held[right].layout.order != plain.order
        b = operand(to, right, turned if transposed else plain)
        tail = to.tail(node.out, of_axes(node.out.extent, [*heads, column], [row]))
        out, name = to.emitted(tail), to.name(node.name)
        m, s = ratio(a.scale * b.scale / out.scale)
        count = prod(left.extent[:-2])
        to.add(MatMul(name, (a.tensor, b.tensor), count, transposed, m, s, out.zero_point, out.low, out.high))
        to.settle(tail, name, out)


class GroupedProduct(Operator):
    """Each token times the matrix of its expert: as many products as with one matrix, and the weights of all."""

    names = ("_grouped_mm",)
    fix = "give each expert a linear layer of its own"

    def steps(self, call: Call) -> list[Step]:
        left, right = call.tensors[:2]
        (tokens, inner), (experts, _, columns) = left.extent[-2:], right.extent[-3:]
        parts = experts if tokens % experts == 0 else 1
        each = Tensor(left.name, (parts, tokens // parts, inner), left.constant)
        return [
            product(call.name, each, Tensor(right.name, (parts, inner, columns), right.constant), call.out)
        ]


class ExpertProduct(GroupedProduct):
    """What `transformers` runs in its place, where torch has none for the type of the weights."""

    namespace = "transformers"
    names = ("grouped_mm_fallback",)


class AddedProduct(Operator):
    """addmm and baddbmm: input + left x right."""

    names = ("addmm", "baddbmm")

    def steps(self, call: Call) -> list[Step]:
        added, left, right = (value for value in call.arguments.values() if isinstance(value, Tensor))
        return biased(call, left, right, added)

    def lower(self, node: Node, to: Lowering) -> None:
        added, left, right = (value for value in node.arguments.values() if isinstance(value, Value))
        linear = added.constant and len(added.extent) == 1 and right.constant and len(right.extent) == 2
        if not linear or not node["beta"] == node["alpha"] == 1:
            raise Missing("a product of two activations with a summand", "multiply, then add")
        made = Product(node, right, right.data.T[:, :, None, None])
        made.bias = added
        made.lower(to, left)


def per_axis(value: list[int] | int, axes: int) -> list[int]:
    """One number an axis; torch lets one stand for all."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * axes if len(values) == 1 else values


def margins(
    padding: str | list[int] | int, kernel: tuple[int, ...], dilation: list[int]
) -> tuple[list[int], list[int]]:
    """Rows and columns of padding before and behind the map."""
    if isinstance(padding, str):  # "same" has the odd row at the end
        total = [(k - 1) * d if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        return [t // 2 for t in total], [t - t // 2 for t in total]
    both = per_axis(padding, len(kernel))
    return both, both


def biased(call: Call, left: Tensor, right: Tensor, bias: Tensor | None) -> list[Step]:
    """A product, and the addition of what is no constant."""
    a, b = left.extent, right.extent
    left = Tensor(left.name, (1,) * (2 - len(a)) + a, left.constant)
    right = Tensor(right.name, (*b, 1) if len(b) == 1 else b, right.constant)
    if bias is None or bias.constant:
        return [product(call.name, left, right, call.out)]
    inner = Tensor(f"{call.out.name}/product", call.out.extent)
    return [
        product(call.name, left, right, inner),
        arithmetic(f"{call.name}.add", "add", inner, bias, call.out),
    ]


def _one_sided(
    real: torch.Tensor, begin: list[int], end: list[int], dilation: list[int]
) -> tuple[torch.Tensor, list[int], list[int]]:
    """A kernel with zeros on the side that is padded less, and the padding of the other side.

    A dilated kernel is spelled out where the difference is no multiple of the dilation.
    """
    dilation = list(dilation)
    for axis, (before, behind, step) in enumerate(zip(begin, end, dilation, strict=True)):
        if (before - behind) % step:
            spread = (real.shape[2 + axis] - 1) * step + 1
            shape = [*real.shape]
            shape[2 + axis] = spread
            wide = real.new_zeros(shape)
            wide[(slice(None),) * (2 + axis) + (slice(None, None, step),)] = real
            real, dilation[axis] = wide, 1
    widths: list[int] = []
    for before, behind, step in zip(begin, end, dilation, strict=True):
        more = (before - behind) // step
        widths = [max(-more, 0), max(more, 0), *widths]
    return F.pad(real, widths), [max(b, e) for b, e in zip(begin, end, strict=True)], dilation
