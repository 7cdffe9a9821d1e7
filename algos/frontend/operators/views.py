"""The same elements, or some of them, elsewhere."""

from __future__ import annotations

from typing import ClassVar

import torch

from algos.frontend.graph import Node
from algos.frontend.layout import Layout
from algos.frontend.lower import Held, Lowering
from algos.frontend.movement import move
from algos.frontend.operator import Call, Operator
from sim.importers.steps import Step, view


class View(Operator):
    """Elements in the same order: the layout stays, whatever the shape."""

    names: ClassVar[tuple[str, ...]] = ("reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as")
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

    names: ClassVar[tuple[str, ...]] = ("view", "_unsafe_view")
    function = torch.ops.aten.view_copy.default


class Permutation(View):
    """Axes in another order."""

    names: ClassVar[tuple[str, ...]] = ("permute", "transpose", "t", "movedim", "numpy_T", "swapaxes")

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
