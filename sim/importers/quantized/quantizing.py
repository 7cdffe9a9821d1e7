"""QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.importers.quantized.builder import Builder
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.values import (
    Codes,
    Parameter,
    Pending,
    Quantized,
    Quantizer,
    Source,
    Tensor,
    Value,
    Weight,
    refusal,
)
from sim.network import TensorSpec

_RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint4": (0, 15), "int4": (-8, 7)}
"""Of activations that fit into int8, those above 127 less 128."""


def quantizer(node: GraphNode, scale: Value | None, zero: Value | None) -> Quantizer:
    """That of an activation.

    `low` and `high` among the attributes are a range of integers other than that of the type (Quant of QONNX).

    Raises:
        InputError: scales that are computed or not one, or a type beyond 8 bits.
    """
    if not isinstance(scale, Parameter) or not (zero is None or isinstance(zero, Parameter)):
        problem = "its scale is computed from data at run time"
        raise refusal(node.name, node.operator, problem, "quantize statically, with calibration")
    if scale.array.size != 1:
        problem = f"an activation has {scale.array.size} scales"
        raise refusal(node.name, node.operator, problem, "quantize activations per tensor")
    if not (np.isfinite(scale.array).all() and scale.array.min() > 0):
        problem = f"its scale is {float(scale.array.reshape(-1)[0])}"
        raise refusal(node.name, node.operator, problem, "quantize it again")
    kind = "uint8" if zero is None else str(zero.array.dtype)
    if "low" in node.attributes:
        low, high = int(node.attributes["low"]), int(node.attributes["high"])
    elif kind in _RANGES:
        low, high = _RANGES[kind]
    else:
        problem = f"its activations are {kind}"
        raise refusal(node.name, node.operator, problem, "quantize activations to int8 or uint8")
    point = 0 if zero is None else int(zero.array.reshape(-1)[0])
    shift = 128 if high > 127 else 0
    if not -128 <= point - shift <= 127 or high - shift > 127 or low - shift < -128:
        problem = f"integers {low}..{high} around {point} are no 8 bits"
        raise refusal(node.name, node.operator, problem, "quantize activations to int8 or uint8")
    return Quantizer(np.float32(scale.array.reshape(-1)[0]), point - shift, low - shift, high - shift, shift)


def quantize(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Integers of a scale."""
    value, scale, zero = (*values, None)[:3]
    found = quantizer(node, scale, zero)
    if isinstance(value, Source):
        return Quantized(Codes(_input(builder, node, value, found), found.real(), value.name), found, None)
    if isinstance(value, Pending):
        return Quantized(value, found)
    return Quantized(builder.codes(node, value), found)


def _input(builder: Builder, node: GraphNode, source: Source, found: Quantizer) -> Tensor:
    """The network's input, which has one scale; fewer bits are a table behind it."""
    spec = TensorSpec(source.layout.extent, float(found.scale), found.zero_point)
    if builder.input is None:
        builder.input = spec
    if builder.input != spec:
        problem = f"the input {source.name} is quantized in more than one way"
        raise refusal(node.name, node.operator, problem, "quantize it once")
    return Tensor("input", source.layout, found.zero_point)


def dequantize(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Real values of integers: of constants, of the network's input, of a tensor."""
    value, scale, zero = (*values, None)[:3]
    if isinstance(value, Parameter):
        return _weight(node, value, scale, zero)
    found = quantizer(node, scale, zero)
    if isinstance(value, Source):
        return Codes(_input(builder, node, value, found), found.real(), node.name)
    if not isinstance(value, Quantized):
        problem = "reads no result of QuantizeLinear"
        raise refusal(node.name, node.operator, problem, "export the network again")
    tensor = builder.tensor(value)
    return Codes(tensor, found.real(), _label(value, tensor))


def _label(value: Quantized, tensor: Tensor) -> str:
    return value.value.label if tensor.name == "input" else tensor.name


def _weight(node: GraphNode, value: Parameter, scale: Value | None, zero: Value | None) -> Weight:
    if not isinstance(scale, Parameter) or not (zero is None or isinstance(zero, Parameter)):
        raise refusal(node.name, node.operator, "the scale of a weight is computed", "make it a constant")
    if node.attributes.get("block_size"):
        problem = "a weight has a scale for each block"
        raise refusal(node.name, node.operator, problem, "quantize weights per channel or per tensor")
    if not (np.isfinite(scale.array).all() and scale.array.min(initial=0) >= 0):
        raise refusal(node.name, node.operator, "a scale of its weight is no number", "quantize it again")
    integers, scales = value.array.astype(np.int64), scale.array.astype(np.float32).reshape(-1)
    axis = None if scales.size == 1 else int(node.attributes.get("axis", 1)) % integers.ndim
    if zero is not None:
        points = zero.array.astype(np.int64).reshape(-1)
        spread = [-1 if a == axis else 1 for a in range(integers.ndim)]
        integers = integers - (points[0] if points.size == 1 else points.reshape(spread))
    return Weight(integers, scales, axis)


def clipped(node: GraphNode, value: Quantized, low: float, high: float) -> Quantized:
    """Integers of fewer bits: Clip between QuantizeLinear and DequantizeLinear, as Brevitas writes it.

    Raises:
        InputError: the integers are in use already.
    """
    if value.tensor is not None:
        raise refusal(node.name, node.operator, "clips integers that are read elsewhere", "clip before them")
    q = value.quantizer
    least, most = (int(np.clip(limit - q.shift, -128, 127)) for limit in (low, high))
    return Quantized(value.value, replace(q, low=max(q.low, least), high=min(q.high, most)))
