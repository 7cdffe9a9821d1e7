"""The kinds of layers, one file a family.

A kind has in one place its fields and their checks, its shape rule, its functional definition and its
cost. `KINDS` is the one list of them: graph, file and schema ask it. The engine
(`sim.systolic.engine.passes`) and the PyTorch reference (`algos.reference`) hold tables of their own by
type, since they prove the definition.
"""

from __future__ import annotations

from sim.network.layers.base import Layer, Operand, by_kind
from sim.network.layers.constant import Constant
from sim.network.layers.conv import Conv, Requantization, convolve, finish
from sim.network.layers.elementwise import Add, Multiply, Table
from sim.network.layers.fields import Map
from sim.network.layers.layer_norm import LayerNorm
from sim.network.layers.matmul import MatMul
from sim.network.layers.move import Concat, Reshape, Upsample
from sim.network.layers.pool import AveragePool, Pool
from sim.network.layers.rearrange import Rearrange
from sim.network.layers.scan import Scan
from sim.network.layers.softmax import Softmax

KINDS: dict[str, type[Layer]] = {
    layer.kind: layer
    for layer in (
        Conv,
        MatMul,
        Add,
        AveragePool,
        Pool,
        Concat,
        Upsample,
        Reshape,
        Table,
        Multiply,
        Softmax,
        LayerNorm,
        Scan,
        Rearrange,
        Constant,
    )
}
"""Kinds by their name in the network file, in the order of its schema."""

__all__ = [
    "KINDS",
    "Add",
    "AveragePool",
    "Concat",
    "Constant",
    "Conv",
    "Layer",
    "LayerNorm",
    "Map",
    "MatMul",
    "Multiply",
    "Operand",
    "Pool",
    "Rearrange",
    "Requantization",
    "Reshape",
    "Scan",
    "Softmax",
    "Table",
    "Upsample",
    "by_kind",
    "convolve",
    "finish",
]
