"""A network of integers: the graph, its tensors and what they compute.

Activations are INT8 with a scale and a zero point for each tensor; weights are INT8, dense or
vector-quantized. `run` is the functional model: layer by layer, no hardware.
"""

from sim.network.graph import Layer, Network, TensorSpec
from sim.network.layers import Conv, MatMul, Requantization
from sim.network.model import convolve, finish, pad, run, run_layer
from sim.network.passes import (
    Add,
    AveragePool,
    Concat,
    LayerNorm,
    Multiply,
    Pool,
    Reshape,
    Scan,
    Softmax,
    Table,
    Upsample,
)
from sim.network.tables import activation_table, exponent_table, norm_constants
from sim.network.weights import WEIGHTS, CodebookWeight, DenseWeight, Weight

__all__ = [
    "WEIGHTS",
    "Add",
    "AveragePool",
    "CodebookWeight",
    "Concat",
    "Conv",
    "DenseWeight",
    "Layer",
    "LayerNorm",
    "MatMul",
    "Multiply",
    "Network",
    "Pool",
    "Requantization",
    "Reshape",
    "Scan",
    "Softmax",
    "Table",
    "TensorSpec",
    "Upsample",
    "Weight",
    "activation_table",
    "convolve",
    "exponent_table",
    "finish",
    "norm_constants",
    "pad",
    "run",
    "run_layer",
]
