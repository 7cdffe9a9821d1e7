"""Embeddings by numbers of things: the host looks rows up, and the network of integers begins behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from algos.frontend.graph import Graph
from sim.errors import InputError


@dataclass(frozen=True, eq=False)
class Lookup:
    """What a host does before the network.

    Attributes:
        table: float [rows, width].
        reads: rows a sample.
    """

    table: Tensor
    reads: int

    def __call__(self, numbers: Tensor) -> Tensor:
        """Rows [..., width] of whole numbers [...]."""
        return F.embedding(numbers, self.table)

    @property
    def metadata(self) -> Mapping[str, object]:
        """What a network's file says of it."""
        rows, width = self.table.shape
        return {"host_lookup": {"rows": rows, "width": width, "rows_a_sample": self.reads}}


def taken_off(graph: Graph) -> list[Lookup | None]:
    """Takes the embeddings that read inputs out of the graph; None for an input of floats.

    Raises:
        InputError: numbers of things go elsewhere than into one embedding.
    """
    return [_taken_off(graph, place) for place in range(len(graph.inputs))]


def _taken_off(graph: Graph, place: int) -> Lookup | None:
    source = graph.inputs[place]
    if source.dtype.is_floating_point:
        return None
    users = dict.fromkeys(source.users)
    (node, *others) = users or [None]
    if node is None or others or node.operation != "aten.embedding" or not node["weight"].constant:
        raise InputError(
            f"input {source.name}",
            str(source.dtype),
            "numbers of things and masks are no quantities that INT8 rounds; one embedding alone may look them up",
            "embed or convert them to floats before the module",
        )
    graph.nodes.remove(node)
    graph.inputs[place] = node.out
    node.out.producer = None
    return Lookup(node["weight"].data, source.elements)
