"""Functions of one value: exact as tables, whatever they are, by ONNX's own definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sim.importers.quantized.builder import Builder, vector
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.quantizing import clipped
from sim.importers.quantized.values import Codes, Pending, Quantized, Value, refusal

FUNCTIONS = (
    *("Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin"),
    *("Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"),
)
"""ONNX operators that work value by value on one tensor."""


def function(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """Any function of one tensor's codes, and of constants that are one number."""
    codes = [builder.codes(node, value) for value in values if _varies(value)]
    first = codes[0]
    if any(other.tensor != first.tensor for other in codes) or any(first.tensor.pads):
        raise refusal(node.name, node.operator, "is a function of two tensors", "quantize between them")
    operands = [_operand(node, value) for value in values]
    with np.errstate(all="ignore"):
        real = np.asarray(builder.evaluate(node, operands)[0], np.float32)
    return Codes(first.tensor, real, node.name, (*first.steps, node.operator))


def _varies(value: Value | None) -> bool:
    return value is not None and vector(value) is None


def _operand(node: GraphNode, value: Value | None) -> np.ndarray | None:
    if value is None:
        return None
    if isinstance(value, Codes):
        return value.real
    array = vector(value)
    assert array is not None
    if array.size != 1:
        raise refusal(node.name, node.operator, "a constant has more than one value", "give one number")
    return array.reshape(())


def relu(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """A clamp at 0."""
    return _clamped(builder, node, values, 0.0, np.inf)


def clip(builder: Builder, node: GraphNode, values: Sequence[Value | None]) -> Value:
    """A clamp; its limits are inputs or, before version 11, attributes."""
    low, high = -np.inf, np.inf
    limits = [node.attributes.get("min"), node.attributes.get("max")]
    for position, value in enumerate(values[1:3]):
        if value is not None:
            array = vector(value)
            if array is None:
                raise refusal(node.name, "Clip", "its limits are computed", "make them constants")
            limits[position] = float(array.reshape(-1)[0])
    low, high = (
        default if given is None else given for given, default in zip(limits, (low, high), strict=True)
    )
    return _clamped(builder, node, values, low, high)


def _clamped(
    builder: Builder, node: GraphNode, values: Sequence[Value | None], low: float, high: float
) -> Value:
    value = values[0]
    if isinstance(value, Pending):
        return replace(value, bounds=value.bounds.within(low, high))
    if isinstance(value, Quantized):
        return clipped(node, value, low, high)
    codes = builder.codes(node, value)
    real = np.clip(codes.real, np.float32(low), np.float32(high))
    return Codes(codes.tensor, real, node.name, (*codes.steps, node.operator))
