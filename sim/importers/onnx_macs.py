"""Multiply-accumulates of an ONNX graph: elements of each result times the length of its sums.

Shares nothing with the import of shapes but the inferred model, so that each checks the other.
"""

from __future__ import annotations

from math import prod

import onnx

_WEIGHT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_LEFT = ("MatMul", "MatMulInteger", "QLinearMatMul")


def count(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of every node whose result depends on the network's inputs.

    Args:
        model: with inferred, fixed shapes.
    """
    graph = model.graph
    extents = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*graph.input, *graph.value_info, *graph.output)
    }
    extents |= {t.name: list(t.dims) for t in graph.initializer}
    reached = {v.name for v in graph.input} - {t.name for t in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or reached.isdisjoint(node.input):
            continue
        reached.update(node.output)
        if node.op_type in _WEIGHT:
            length = prod(extents[node.input[_WEIGHT[node.op_type]]][1:])
        elif node.op_type in _LEFT:
            length = extents[node.input[0]][-1]
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            length = extents[node.input[0]][0 if transposed else 1]
        else:
            continue
        total += prod(extents[node.output[0]]) * length
    return total
