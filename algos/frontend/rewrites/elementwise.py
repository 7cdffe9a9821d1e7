"""Functions of one and of two tensors."""

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


def sloped(node: Node, build: Builder) -> Value | None:
    """PReLU with a slope a channel: w x + (1 - w) relu(x)."""
    if node.operation != "aten.prelu" or not node["weight"].constant or node["weight"].elements == 1:
        return None
    x, slopes = node["self"], node["weight"].data.reshape(-1, *[1] * (len(node["self"].extent) - 2))
    below = build(ATEN.mul.Tensor, x, build.constant(slopes))
    above = build(ATEN.mul.Tensor, build(ATEN.relu.default, x), build.constant(1 - slopes))
    return build(ATEN.add.Tensor, below, above)
