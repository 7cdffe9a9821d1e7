"""Functions of two tensors."""

from __future__ import annotations

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import Builder

ATEN = torch.ops.aten


def larger(node: Node, build: Builder) -> Value | None:
    """The larger or smaller of two tensors: b + relu(a - b), a - relu(a - b)."""
    if node.operation not in ("aten.maximum", "aten.minimum"):
        return None
    a, b = node["self"], node["other"]
    over = build(ATEN.relu.default, build(ATEN.sub.Tensor, a, b))
    if node.operation == "aten.maximum":
        return build(ATEN.add.Tensor, over, b)
    return build(ATEN.sub.Tensor, a, over)
