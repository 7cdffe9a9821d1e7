"""The same elements, or some of them, elsewhere."""

from __future__ import annotations

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from algos.frontend.lower import Held, Lowering
from algos.frontend.movement import move
from algos.frontend.operator import Call, Operator
from sim.importers.steps import Step, view


class View(Operator):
    """Elements in the same order: the layout stays, whatever the shape."""

    names = ("reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as")
    view = True

    def steps(self, call: Call) -> list[Step]:
        return [view(call.name, call.source, call.out)]

    def moved(self, node: Node, layout: Layout) -> Layout | None:
        return layout

    def lower(self, node: Node, to: Lowering) -> None:
        held = to.held[node.source]
        layout = self.moved(node, held.layout)
        if layout is None:
            move(to, node)
            return
        to.held[node.out] = Held(held.tensor, held.activation, layout)


class Flat(View):
    """Of tensors that lie together, as they did when the graph was recorded and need not in a batch of images."""

    names = ("view", "_unsafe_view")
    function = torch.ops.aten.view_copy.default


class Permutation(View):
    """Axes in another order."""

    names = ("permute", "transpose", "t", "movedim", "numpy_T", "swapaxes")

    def moved(self, node: Node, layout: Layout) -> Layout | None:
        extent = node.source.extent
        try:
            return layout.permuted(extent, self._axes(node, len(extent)))
        except ValueError:
            return None

    def _axes(self, node: Node, count: int) -> list[int]:
        """The source's axis at each place of the result, found by moving their numbers."""
        sizes = torch.empty(tuple(range(2, 2 + count)), device="meta")
        moved = node.function(sizes, *list(node.arguments.values())[1:])
        return [size - 2 for size in moved.shape]


class Expansion(View):
    """Broadcast: nothing moves where nothing is repeated."""

    names = ("expand", "expand_as")

    def moved(self, node: Node, layout: Layout) -> Layout | None:
        return layout if node.out.elements == node.source.elements else None


class Part(Operator):
    """Some of the elements, or all of them elsewhere."""

    names = (
        "slice",
        "select",
        "narrow",
        "repeat",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "roll",
        "flip",
        "unfold",
        "index_select",
        "embedding",
    )
    fix = "a layer that takes a part of a map"

    def steps(self, call: Call) -> list[Step]:
        return [view(call.name, call.source, call.out)]

    def lower(self, node: Node, to: Lowering) -> None:
        """Where it takes everything."""
        source = node.source
        if node.operation in ("aten.slice", "aten.narrow") and node.out.extent == source.extent:
            to.held[node.out] = to.held[source]
        elif node.operation == "aten.select" and node.out.elements == source.elements:
            to.held[node.out] = to.held[source]
        else:
            super().lower(node, to)


class Parts(Operator):
    """Lists of parts."""

    names = ("chunk", "split", "split_with_sizes", "unbind", "tensor_split")
    fix = Part.fix

    def steps(self, call: Call) -> list[Step]:
        first, *others = call.outputs
        return [view(call.name, call.source, first)] + [
            view(f"{call.name}.{number}", call.source, out) for number, out in enumerate(others, 1)
        ]


def is_view(value: Value) -> bool:
    """Whether a value is another shape of one that is there."""
    return value.producer is not None and bool(value.producer.operator and value.producer.operator.view)
