"""Pooling with dilation as pooling without."""

from __future__ import annotations

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import Builder

ATEN = torch.ops.aten


def dilated(node: Node, build: Builder) -> Value | None:
    """The largest over elements d apart: every d-th row and column is a map of its own, pooled without dilation.

    Where d divides the map and the padding; strides are taken of the whole result.
    """
    if node.operation not in ("aten.max_pool2d", "aten.max_pool2d_with_indices") or node["ceil_mode"]:
        return None
    kernel, padding, dilation, stride = (
        _pair(node[name]) for name in ("kernel_size", "padding", "dilation", "stride")
    )
    x = node["self"]
    channels, sizes = x.extent[1], x.extent[2:]
    parts = list(zip(sizes, padding, dilation, strict=True))
    if max(dilation) == 1 or any(n % d or p % d for n, p, d in parts):
        return None
    (height, dy), (width, dx) = ((n // d, d) for n, _, d in parts)
    value = build(ATEN.reshape.default, x, [1, channels, height, dy, width, dx])
    value = build(ATEN.permute.default, value, [0, 1, 3, 5, 2, 4])
    value = build(ATEN.reshape.default, value, [1, channels * dy * dx, height, width])
    within = [p // d for _, p, d in parts]
    value = build(ATEN.max_pool2d.default, value, kernel, [1, 1], within)
    height, width = value.extent[2:]
    value = build(ATEN.reshape.default, value, [1, channels, dy, dx, height, width])
    value = build(ATEN.permute.default, value, [0, 1, 4, 2, 5, 3])
    value = build(ATEN.reshape.default, value, [1, channels, height * dy, width * dx])
    for axis, step in enumerate(stride or kernel):
        if step > 1:
            value = build(ATEN.slice.Tensor, value, 2 + axis, 0, None, step)
    return value


def _pair(value: list[int]) -> list[int]:
    return list(value) * 2 if len(value) == 1 else list(value)
