"""Products with constants, and linear operators that are such products."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import Builder

ATEN = torch.ops.aten


def stacked(node: Node, build: Builder) -> Value | None:
    """Tensors along a new axis: joined along one of size 1."""
    if node.operation != "aten.stack":
        return None
    dim = node["dim"] % len(node.out.extent)
    return build(ATEN.cat.default, [build(ATEN.unsqueeze.default, one, dim) for one in node["tensors"]], dim)


def constant_factor(node: Node, build: Builder) -> Value | None:
    """A product with one constant matrix as a linear layer."""
    if node.operation in ("aten.matmul", "aten.mm", "aten.bmm"):
        left, right = list(node.arguments.values())[:2]
        if right.constant and not left.constant and (matrix := _matrix(right)) is not None:
            return build(ATEN.linear.default, left, build.constant(matrix.T))
        if left.constant and not right.constant and (matrix := _matrix(left)) is not None:
            turned = build(ATEN.transpose.int, right, -2, -1)
            found = build(ATEN.linear.default, turned, build.constant(matrix))
            return build(ATEN.transpose.int, found, -2, -1)
    if node.operation == "aten.baddbmm":
        product = build(ATEN.matmul.default, node["batch1"], node["batch2"])
        scaled = build(ATEN.mul.Scalar, product, node["alpha"])
        return build(ATEN.add.Tensor, scaled, node["self"], alpha=node["beta"]) if node["beta"] else scaled
    if node.operation == "aten.addmm" and not node["mat1"].constant:
        added, right = node["self"], node["mat2"]
        if added.constant and right.constant and node["beta"] == node["alpha"] == 1:
            bias = build.constant(added.data.expand(right.extent[-1:]))
            return build(ATEN.linear.default, node["mat1"], build.constant(right.data.T), bias)
    return None


def _matrix(value: Value) -> Tensor | None:
    """A constant as a matrix, where it is only one."""
    return (
        value.data.reshape(value.extent[-2:])
        if value.elements == torch.Size(value.extent[-2:]).numel()
        else None
    )


RESAMPLING = (
    "aten.upsample_bilinear2d",
    "aten.upsample_bicubic2d",
    "aten.upsample_linear1d",
    "aten._upsample_bilinear2d_aa",
    "aten._upsample_bicubic2d_aa",
    "aten.adaptive_avg_pool2d",
    "aten._adaptive_avg_pool2d",
    "aten.adaptive_avg_pool1d",
)


def resampled(node: Node, build: Builder) -> Value | None:
    """Interpolation, and means over windows of several sizes: along each axis a product with a constant."""
    if node.operation not in RESAMPLING:
        return None
    if node.source.extent == node.out.extent:
        return node.source
    source, count = node.source, len(node.source.extent)
    before, after = source.extent[2:], node.out.extent[2:]
    if "adaptive" in node.operation and all(n % m == 0 for n, m in zip(before, after, strict=True)):
        return None
    found = source
    for axis, matrix in enumerate(_matrices(node, before), 2):
        if before[axis - 2] == after[axis - 2] and torch.equal(matrix, torch.eye(len(matrix))):
            continue
        turned = build(ATEN.transpose.int, found, axis, -1) if axis < count - 1 else found
        made = build(ATEN.linear.default, turned, build.constant(matrix.T))
        found = build(ATEN.transpose.int, made, axis, -1) if axis < count - 1 else made
    return found


def _matrices(node: Node, before: tuple[int, ...]) -> list[Tensor]:
    """float [size before, size after] of each spatial axis, from what the operator makes of unit vectors.

    A separable operator is along one axis what it does to maps that are constant along the others, since its
    weights sum to 1.
    """
    matrices = []
    for axis, size in enumerate(before):
        shape = [size, 1, *[size if k == axis else n for k, n in enumerate(before)]]
        unit = torch.eye(size).reshape([size, 1, *[size if k == axis else 1 for k in range(len(before))]])
        (found,) = node.run({node.source: unit.expand(shape)})
        for other in reversed(range(len(before))):
            if other != axis:
                found = found.select(2 + other, 0)
        matrices.append(found[:, 0])
    return matrices
