"""Scaled dot-product attention as two products and a softmax between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.operator import Operator

ATTENTION = "aten.scaled_dot_product_attention"


def spell_attention(graph: Graph, known: Mapping[str, Operator]) -> None:
    """Replaces each by product, factor, mask, softmax, product."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _spelled(node, known) if node.operation == ATTENTION else [node]
    graph.nodes = nodes


def _spelled(node: Node, known: Mapping[str, Operator]) -> list[Node]:
    made: list[Node] = []

    def call(
        label: str, operation: str, function: Callable[..., Any], extent: tuple[int, ...], **arguments: Any
    ) -> Value:
        value = Value(f"{node.out.name}/{label}", extent, node.out.dtype)
        new = Node(
            f"{node.name}.{label}", operation, node.path, function, arguments, (value,), known.get(operation)
        )
        value.producer = new
        made.append(new)
        return value

    query, key, value, mask = (node[name] for name in ("query", "key", "value", "attn_mask"))
    *heads, tokens, size = query.extent
    keys = key.extent[-2]
    if heads and key.extent[:-2] != tuple(heads):
        times = heads[-1] // key.extent[-3]
        key, value = (
            call(
                label,
                "aten.repeat_interleave",
                _repeated,
                (*heads, *one.extent[-2:]),
                self=one,
                repeats=times,
            )
            for label, one in (("keys", key), ("repeated", value))
        )
    turned = call(
        "turned",
        "aten.transpose",
        torch.ops.aten.transpose.int,
        (*heads, size, keys),
        self=key,
        dim0=-2,
        dim1=-1,
    )
    scores = call(
        "scores",
        "aten.matmul",
        torch.ops.aten.matmul.default,
        (*heads, tokens, keys),
        self=query,
        other=turned,
    )
    factor = node["scale"] if node["scale"] is not None else 1 / math.sqrt(size)
    scores = call("factor", "aten.mul", torch.ops.aten.mul.Tensor, scores.extent, self=scores, other=factor)
    if mask is not None:
        scores = call(
            "mask", "aten.add", torch.ops.aten.add.Tensor, scores.extent, self=scores, other=mask, alpha=1
        )
    shares = call(
        "softmax",
        "aten.softmax",
        _softmax,
        scores.extent,
        self=scores,
        dim=-1,
        causal=bool(node["is_causal"]),
    )
    made.append(
        Node(
            f"{node.name}.values",
            "aten.matmul",
            node.path,
            torch.ops.aten.matmul.default,
            {"self": shares, "other": value},
            node.outputs,
            known.get("aten.matmul"),
        )
    )
    node.out.producer = made[-1]
    return made


def _repeated(self: Tensor, repeats: int) -> Tensor:
    return self.repeat_interleave(repeats, -3)


def _softmax(self: Tensor, dim: int, causal: bool) -> Tensor:
    if causal:
        hidden = torch.ones(self.shape[-2:], dtype=torch.bool).triu(1)
        self = self.masked_fill(hidden, -math.inf)
    return self.softmax(dim)
