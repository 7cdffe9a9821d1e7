"""A network of integers: the graph, its tensors and what they compute.

Activations are INT8 with a scale and a zero point for each tensor; weights are INT8, dense or
vector-quantized. `run` is the functional model: layer by layer, no hardware.
"""

from sim.network import layers
from sim.network.graph import Network, TensorSpec
from sim.network.integer import pad
from sim.network.layers import *  # noqa: F403  each kind is handed on without a second list
from sim.network.model import run, run_layer
from sim.network.narrow import (
    AqlmWeight,
    Int2Weight,
    Int3Weight,
    Int4Weight,
    Mxfp4Weight,
    Mxint8Weight,
    Nvfp4Weight,
    ScaledWeight,
    TernaryWeight,
)
from sim.network.tables import activation_table, exponent_table, norm_constants
from sim.network.weights import WEIGHTS, CodebookWeight, DenseWeight, Weight

__all__ = [
    "WEIGHTS",
    "AqlmWeight",
    "CodebookWeight",
    "DenseWeight",
    "Int2Weight",
    "Int3Weight",
    "Int4Weight",
    "Mxfp4Weight",
    "Mxint8Weight",
    "Network",
    "Nvfp4Weight",
    "ScaledWeight",
    "TensorSpec",
    "TernaryWeight",
    "Weight",
    "activation_table",
    "exponent_table",
    "norm_constants",
    "pad",
    "run",
    "run_layer",
]
__all__ += layers.__all__
