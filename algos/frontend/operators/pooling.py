"""Windows and sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout, of_axes, split
from algos.frontend.lower import Held, Lowering, Tail, ratio
from algos.frontend.operator import Call, Missing, Operator
from algos.frontend.operators.products import per_axis
from sim.importers.steps import Step, work
from sim.network import AveragePool, Pool


class Window(Operator):
    """Largest or mean over windows."""

    names = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "max_pool2d_with_indices")

    def steps(self, call: Call) -> list[Step]:
        kernel = call["kernel_size"]
        axes = int(call.operator.removesuffix("_with_indices")[-2])
        window = kernel[0] ** axes if len(kernel) == 1 else prod(kernel)
        return [work(call.name, "pool", [call["self"]], call.out, call.out.elements * window)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, axes = node["self"], len(node["self"].extent) - 2
        kernel = per_axis(node["kernel_size"], axes)
        stride = per_axis(node["stride"] or kernel, axes)
        padding = per_axis(node["padding"], axes)
        largest = "max" in node.operation
        if max(per_axis(node.arguments.get("dilation") or 1, axes)) > 1:
            raise Missing("dilated pooling", "pool without dilation")
        expected = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(source.extent[2:], padding, kernel, stride, strict=True)
        ]
        if expected != list(node.out.extent[2:]):
            raise Missing("ceil_mode has windows beyond the padded map", "use ceil_mode=False")
        divisor = node.arguments.get("divisor_override") or prod(kernel)
        if not largest and max(padding) and not node["count_include_pad"]:
            raise Missing("windows at the border divide by fewer elements", "use count_include_pad=True")
        pooled(node, to, source, kernel, stride, padding, None if largest else float(divisor))


def pooled(
    node: Node,
    to: Lowering,
    source: Value,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    divisor: float | None,
) -> None:
    """A pool over windows of the spatial axes; the largest where there is no divisor."""
    spatial = [[axis] for axis in range(2, len(source.extent))]
    held = to.read(source, of_axes(source.extent, [1], *spatial))
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
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "_adaptive_avg_pool2d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
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
        elif all(n % r == 0 for n, r in zip(before, after, strict=True)):
            kernel = [n // r for n, r in zip(before, after, strict=True)]
            pooled(node, to, source, kernel, kernel, [0] * axes, None if largest else float(prod(kernel)))
        else:
            raise Missing(
                f"windows of {before} into {after} are of several sizes", "give a size that divides the map"
            )


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
        if kind not in ("mean", "sum"):
            super().lower(node, to)
        mean(node, to, source, axes, total=kind == "sum")


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
