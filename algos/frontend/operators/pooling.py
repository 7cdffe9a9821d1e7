"""Windows and sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch.nn import functional as F

from algos.frontend.constants import stored
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout, of_axes, split
from algos.frontend.lower import Held, Lowering, Tail, on_map, ratio
from algos.frontend.operator import Call, Missing, Operator
from algos.frontend.operators.movements import pad
from algos.frontend.operators.products import per_axis
from sim.importers.steps import Step, windows, work
from sim.network import AveragePool, Multiply, Pool


class Window(Operator):
    """Largest or mean over windows."""

    names = (
        *("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices"),
        *("avg_pool1d", "avg_pool2d", "avg_pool3d"),
    )

    def steps(self, call: Call) -> list[Step]:
        axes = int(call.operator.removesuffix("_with_indices")[-2])
        kernel = per_axis(call["kernel_size"], axes)
        return [
            windows(
                call.name,
                call["self"],
                call.out,
                kernel,
                per_axis(call.arguments.get("stride") or kernel, axes),
            )
        ]

    def lower(self, node: Node, to: Lowering) -> None:
        source, axes = node["self"], len(node["self"].extent) - 2
        kernel = per_axis(node["kernel_size"], axes)
        stride = per_axis(node["stride"] or kernel, axes)
        padding = per_axis(node["padding"], axes)
        largest = "max" in node.operation
        if axes > 2:
            raise Missing("pooling over three axes", "pool each frame, then over the frames")
        if max(per_axis(node.arguments.get("dilation") or 1, axes)) > 1:
            raise Missing("dilated pooling", "pool without dilation")
        beyond = [
            max(0, (o - 1) * s + k - n - 2 * p)
            for n, p, k, s, o in zip(
                source.extent[2:], padding, kernel, stride, node.out.extent[2:], strict=True
            )
        ]
        ends = {2 + axis: (0, more) for axis, more in enumerate(beyond) if more}
        grown = (*source.extent[:2], *(n + more for n, more in zip(source.extent[2:], beyond, strict=True)))
        spatial = [[axis] for axis in range(2, len(source.extent))]
        if ends:  # ceil_mode: windows reach beyond the map, which a copy of its border does not change
            held = pad(to, node, ends, "edge" if largest else "zero", grown)
        else:
            held = to.read(source, of_axes(source.extent, [1], *spatial))
        divisor = node.arguments.get("divisor_override") or prod(kernel)
        fixed = largest or bool(node.arguments.get("divisor_override"))
        uneven = not fixed and (bool(ends) or (max(padding) > 0 and not node["count_include_pad"]))
        if not uneven:
            pooled(node, to, held, kernel, stride, padding, None if largest else float(divisor))
            return
        ones = torch.ones(source.extent)
        pool = F.avg_pool1d if axes == 1 else F.avg_pool2d
        ours = pool(F.pad(ones, [w for more in beyond[::-1] for w in (0, more)]), kernel, stride, padding)
        weighted(node, to, held, kernel, stride, padding, node.run({source: ones})[0] / ours)


def weighted(
    node: Node,
    to: Lowering,
    held: Held,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    factor: torch.Tensor,
) -> None:
    """A mean over windows that at the border have fewer elements: times what makes up for those."""
    layout = of_axes(node.out.extent, [1], *[[axis] for axis in range(2, len(node.out.extent))])
    out, name = to.scheme.activation(to.seen[node.out]), to.name(f"{node.name}.windows")
    m, s = ratio(held.scale / out.scale / prod(kernel))
    (ky, kx), (sy, sx), (py, px) = ((v + [f] * 2)[:2] for v, f in ((kernel, 1), (stride, 1), (padding, 0)))
    to.add(Pool(name, held.tensor, "average", (ky, kx), (sy, sx), (py, px), m, s, out.zero_point))
    evened = stored(to, on_map(factor, node.out, layout), node.name)
    tail = to.tail(node.out, layout)
    last, after = to.emitted(tail), to.name(node.name)
    m, s = ratio(out.scale * evened.scale / last.scale)
    to.add(Multiply(after, (name, evened.tensor), m, s, last.zero_point, last.low, last.high))
    to.settle(tail, after, last)


def pooled(
    node: Node,
    to: Lowering,
    held: Held,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    divisor: float | None,
) -> None:
    """A pool over windows of the spatial axes; the largest where there is no divisor."""
    spatial = [[axis] for axis in range(2, len(node.out.extent))]
    tail = to.tail(node.out, of_axes(node.out.extent, [1], *spatial))
    name = to.name(node.name)
    (ky, kx), (sy, sx), (py, px) = (
        (values + [fill] * 2)[:2] for values, fill in ((kernel, 1), (stride, 1), (padding, 0))
    )
    if divisor is None:
        out = held.activation
        low, high = out.low, out.high
        to.add(Pool(name, held.tensor, "max", (ky, kx), (sy, sx), (py, px), 1, 1, out.zero_point, low, high))
        to.settle(unclamped(tail), name, out)
        return
    out = to.emitted(averaged(tail, held))
    m, s = ratio(held.scale / out.scale / divisor)
    to.add(
        Pool(
            name,
            held.tensor,
            "average",
            (ky, kx),
            (sy, sx),
            (py, px),
            m,
            s,
            out.zero_point,
            out.low,
            out.high,
        )
    )
    to.settle(tail, name, out)


def unclamped(tail: Tail) -> Tail:
    """Of a layer that keeps its input's scale: a function behind it is not part of it."""
    return Tail(tail.end, tail.layout, tail.gain, tail.offset, tail.end)


def averaged(tail: Tail, held: Held) -> Tail:
    """A mean of what is never negative is not either."""
    a = held.activation
    never = a.low >= a.zero_point and tail.function is None
    return replace(tail, clamp=(max(tail.clamp[0], 0.0), tail.clamp[1])) if never else tail


class Adaptive(Operator):
    """Windows of about equal size that overlap where the sizes do not divide."""

    names = (
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        *("_adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    )

    def steps(self, call: Call) -> list[Step]:
        source, axes = call["self"], int(call.operator[-2])
        elements = prod(source.extent[:-axes])
        for n, results in zip(source.extent[-axes:], call.out.extent[-axes:], strict=True):
            elements *= sum(-(-(i + 1) * n // results) - i * n // results for i in range(results))
        return [work(call.name, "pool", [source], call.out, elements)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, axes = node["self"], int(node.operation[-2])
        before, after = source.extent[-axes:], node.out.extent[-axes:]
        largest = "max" in node.operation
        if before == after:
            to.held[node.out] = to.held[source]
        elif prod(after) == 1 and not largest:
            mean(node, to, source, list(range(len(source.extent) - axes, len(source.extent))))
        elif axes < 3 and all(n % r == 0 for n, r in zip(before, after, strict=True)):
            kernel = [n // r for n, r in zip(before, after, strict=True)]
            spatial = [[axis] for axis in range(2, len(source.extent))]
            held = to.read(source, of_axes(source.extent, [1], *spatial))
            pooled(node, to, held, kernel, kernel, [0] * axes, None if largest else float(prod(kernel)))
        else:
            raise Missing(
                f"windows of {before} into {after} are of several sizes or over three axes",
                "give a size that divides the map",
            )


class Figure(Operator):
    """A figure of some axes that no layer of integers gives, or of all elements before each."""

    names = (
        *("argmax", "argmin", "any", "prod", "linalg_vector_norm", "median", "histc"),
        *("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"),
    )
    fix = "use a mean or a sum over all positions"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "pool", call.active, call.out, call.source.elements)]


class Ranking(Operator):
    """The largest first: as many passes as are asked for, or a bitonic network, log n (log n + 1) / 2 passes of n."""

    names = ("topk", "sort", "kthvalue")
    fix = "leave the choice to the host"

    def steps(self, call: Call) -> list[Step]:
        source = call.source
        n = source.extent[call.arguments.get("dim") or -1] if source.extent else 1
        bits = max(1, (n - 1).bit_length())
        passes = min(bits * (bits + 1) // 2, call.arguments.get("k") or n)
        return [work(call.name, "pool", [source], call.out, source.elements * passes)]


class Reduction(Operator):
    """Over some axes."""

    names = ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean")
    fix = "use a mean or a sum over all positions"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "pool", [call.source], call.out, call.source.elements)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, kind = node.source, node.operation.removeprefix("aten.")
        dims = node.arguments.get("dim")
        count = len(source.extent)
        axes = list(range(count)) if dims in (None, []) else [d % count for d in per_axis(dims, 1)]  # type: ignore[arg-type]
        if kind == "amax":
            largest_of(node, to, source, axes)
            return
        if kind not in ("mean", "sum"):
            super().lower(node, to)
        mean(node, to, source, axes, total=kind == "sum")


def largest_of(node: Node, to: Lowering, source: Value, axes: list[int]) -> None:
    """The largest over axes."""
    kept = [axis for axis in range(len(source.extent)) if axis not in axes]
    layout = of_axes(source.extent, kept, axes)
    held = to.read(source, layout)
    tail = to.tail(node.out, _reduced(layout.channels, source.extent, axes))
    a, name = held.activation, to.name(node.name)
    size = (layout.map[1], 1)
    to.add(Pool(name, held.tensor, "max", size, size, (0, 0), 1, 1, a.zero_point, a.low, a.high))
    to.settle(unclamped(tail), name, a)


def mean(node: Node, to: Lowering, source: Value, axes: list[int], total: bool = False) -> None:
    """Mean or sum over axes, which lie along the positions of the map.

    Raises:
        Missing: they lie along channels.
    """
    extent = source.extent
    held = to.held[source]
    elements = prod(extent[axis] for axis in axes)
    try:
        over = {axis for digit in held.layout.positions for axis, _, _ in split(digit, extent)}
        along = {axis for digit in held.layout.channels for axis, _, _ in split(digit, extent)}
    except ValueError:
        raise Missing(
            "reduces axes that a layout does not tell apart", "a layer that permutes a map"
        ) from None
    reduced = {axis for axis in axes if extent[axis] > 1}
    if over != reduced or along & reduced:
        kept = [axis for axis in range(len(extent)) if axis not in axes]
        held = to.read(source, of_axes(extent, kept, sorted(reduced)))
    scale = tuple(held.layout.channels)
    tail = to.tail(node.out, _reduced(scale, extent, axes))
    out = to.emitted(averaged(tail, held))
    name = to.name(node.name)
    m, s = ratio(held.scale / out.scale / (1 if total else elements))
    to.add(AveragePool(name, held.tensor, m, s, out.zero_point, out.low, out.high))
    to.settle(tail, name, out)


def _reduced(channels: tuple[tuple[int, int], ...], extent: tuple[int, ...], axes: list[int]) -> Layout:
    """Channels of what is left when axes have size 1."""
    left = tuple(1 if axis in axes else n for axis, n in enumerate(extent))
    digits = []
    for digit in channels:
        for axis, stride, size in split(digit, extent):
            inner = prod(extent[axis + 1 :])
            digits.append((stride // inner * prod(left[axis + 1 :]), size))
    return Layout(tuple(digits))
