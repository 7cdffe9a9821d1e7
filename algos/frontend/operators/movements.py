"""Some of the elements, all of them elsewhere, or several times."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import ClassVar

import numpy as np

from algos.frontend.graph import Node
from algos.frontend.layout import of_axes
from algos.frontend.lower import Held, Lowering
from algos.frontend.movement import affine, move
from algos.frontend.operator import Call, Missing, Operator, Piece
from sim.importers.steps import Step, view, work
from sim.network import Rearrange

APART = ("slice", "select", "narrow", "chunk", "split", "split_with_sizes", "unbind", "tensor_split")
"""Movements that take consecutive entries of one axis."""


class Movement(Operator):
    """Whatever takes elements from fixed places: the operator itself moves their numbers."""

    names: ClassVar[tuple[str, ...]] = (
        "slice",
        "select",
        "narrow",
        "expand",
        "expand_as",
        "broadcast_to",
        "repeat",
        "repeat_interleave",
        "tile",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "flip",
        "index_select",
        "diagonal",
        "chunk",
        "split",
        "split_with_sizes",
        "unbind",
        "tensor_split",
        "unfold",
    )

    def steps(self, call: Call) -> list[Step]:
        first, *others = call.outputs
        return [view(call.name, call.source, first)] + [
            view(f"{call.name}.{number}", call.source, out) for number, out in enumerate(others, 1)
        ]

    def pieces(self, node: Node) -> list[Piece]:
        kind, source = node.operation.removeprefix("aten."), node.source
        step = node.arguments.get("step") or 1
        if kind not in APART or step != 1:
            return []
        axis = (node.arguments.get("dim") or 0) % len(source.extent)
        kept = kind not in ("select", "unbind")
        counts = [value.extent[axis] if kept else 1 for value in node.outputs]
        first = node.arguments.get("index" if kind == "select" else "start") or 0
        firsts = accumulate(counts, initial=first % source.extent[axis])
        return [
            Piece(value, axis, first, count)
            for value, first, count in zip(node.outputs, firsts, counts, strict=False)
        ]

    def lower(self, node: Node, to: Lowering) -> None:
        move(to, node)


class Taken(Movement):
    """Elements by their numbers (`algos.frontend.rewrites.attention.taken`)."""

    namespace = "codeword"
    names = ("taken",)


class Roll(Operator):
    """Axes turned by some places."""

    names = ("roll",)

    def steps(self, call: Call) -> list[Step]:
        return [view(call.name, call.source, call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        source = node.source
        shifts, dims = (
            value if isinstance(value, list | tuple) else [value] for value in (node["shifts"], node["dims"])
        )
        if not dims:
            raise Missing("turns the flat tensor", "turn one of its axes")
        ends = {
            dim % len(source.extent): (shift % source.extent[dim], 0)
            for shift, dim in zip(shifts, dims, strict=True)
        }
        to.held[node.out] = pad(to, node, ends, "wrap", source.extent)


MODES = {"constant": "zero", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""torch's names of what lies beside a map, and those of `Rearrange`."""


class Padding(Operator):
    """Values beside the map."""

    names = (
        "pad",
        "constant_pad_nd",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
    )
    fix = "pad with zeros, the border, its mirror image or the other side"

    def steps(self, call: Call) -> list[Step]:
        return [work(call.name, "rearrange", [call["self"]], call.out, call.out.elements)]

    def lower(self, node: Node, to: Lowering) -> None:
        source, widths = node["self"], node.arguments.get("pad") or node.arguments["padding"]
        kind = node.arguments.get("mode") or node.operation.removeprefix("aten.").split("_")[0]
        mode = {"reflection": "reflect", "replication": "edge"}.get(kind) or MODES.get(kind)
        if mode is None or (mode == "zero" and float(node.arguments.get("value") or 0.0) != 0.0):
            raise Missing("pads with another value than zero", self.fix)
        count = len(source.extent)
        ends = {
            count - 1 - axis: (widths[2 * axis], widths[2 * axis + 1])
            for axis in range(len(widths) // 2)
            if widths[2 * axis] or widths[2 * axis + 1]
        }
        to.held[node.out] = pad(to, node, ends, mode, node.out.extent)


def pad(
    to: Lowering, node: Node, ends: dict[int, tuple[int, int]], mode: str, extent: tuple[int, ...]
) -> Held:
    """The source with some of its axes padded; of the result the first elements along each axis, `extent` many.

    Raises:
        Missing: more than three axes.
    """
    source = node.source
    if not ends:
        return to.held[source]
    grown, cut = {}, {}
    for axis, (before, after) in ends.items():
        grown[axis] = (max(before, 0), max(after, 0))
        cut[axis] = (max(-before, 0), max(-after, 0))
    if len(ends) > 3:
        raise Missing("pads more than three axes", "pad them one after the other")
    rest = [axis for axis in range(len(source.extent)) if axis not in ends and source.extent[axis] > 1]
    apart = sorted(ends)
    groups: list[list[int]] = _groups(apart, rest)
    held = to.read(source, of_axes(source.extent, *groups))
    widths = [(0, 0)] * 3
    for place, group in enumerate(groups):
        if group and group[0] in ends:
            widths[place] = grown[group[0]]
    padded = [n + sum(pair) for n, pair in zip(held.layout.map, widths, strict=True)]
    whole = np.arange(int(np.prod(padded))).reshape(padded)
    for place, group in enumerate(groups):
        if group and group[0] in ends:
            low, high = cut[group[0]]
            stop = min(padded[place] - high, low + extent[group[0]])
            whole = whole.take(np.arange(low, stop), place)
    layout = of_axes(extent, *groups)
    found = affine(whole.reshape(-1))
    assert found is not None
    sizes, strides, offset = found
    name = to.name(node.name)
    zero = held.activation.zero_point
    to.add(
        Rearrange(
            name,
            held.tensor,
            layout.map,
            sizes,
            strides,
            offset,
            (widths[0], widths[1], widths[2]),
            mode,  # type: ignore[arg-type]
            zero,
        )
    )
    return replace(held, tensor=name, layout=layout)


def _groups(apart: list[int], rest: list[int]) -> list[list[int]]:
    """Axes along C, H and W so that each one in `apart` is alone.

    Raises:
        Missing: there are three of them, and others.
    """
    if len(apart) == 3:
        if rest:
            raise Missing("pads three of several axes", "pad them one after the other")
        return [[axis] for axis in apart]
    if len(apart) == 2:
        return [rest, [apart[0]], [apart[1]]]
    (axis,) = apart
    if not rest or max(rest) < axis:
        return [rest[:1], rest[1:], [axis]] if len(rest) > 1 else [rest, [], [axis]]
    return (
        [[n for n in rest if n > axis] or rest, [axis], [n for n in rest if n < axis]]
        if max(rest) > axis
        else [rest, [axis], []]
    )


class Embedding(Operator):
    """Rows of a table by whole numbers."""

    names = ("embedding",)
    fix = "give the embedded tokens as the network's input"

    def steps(self, call: Call) -> list[Step]:
        return [view(call.name, call.source, call.out)]


class Gathered(Operator):
    """Elements whose places the network may compute, one moved each."""

    names = (
        *("index", "gather", "masked_select", "index_put", "index_put_", "scatter", "scatter_add"),
        *(
            "scatter_reduce",
            "masked_scatter",
            "slice_scatter",
            "diagonal_scatter",
            "as_strided",
            "bucketize",
            "copy",
        ),
    )

    def steps(self, call: Call) -> list[Step]:
        first, *others = call.outputs
        moved = work(call.name, "rearrange", call.active, first, first.elements)
        return [moved, *(view(f"{call.name}.{n}", first, out) for n, out in enumerate(others, 1))]
