"""Networks that come quantized, with the integers that they have.

A source becomes a `graph.QuantizedGraph` of ONNX operators with QuantizeLinear and DequantizeLinear between
them; `lower` makes the layers of a `sim.network.Network`. What a source computes in float32 is followed
exactly wherever 16-bit multipliers allow: `rounding` chooses them, and counts the sums for which they cannot.
"""

from sim.importers.quantized.graph import GraphNode, QuantizedGraph
from sim.importers.quantized.lower import Lowered, lower

__all__ = ["GraphNode", "Lowered", "QuantizedGraph", "lower"]
