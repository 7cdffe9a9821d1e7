"""What each ONNX operator between DequantizeLinear and QuantizeLinear is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sim.importers.quantized import (
    blocks,
    combining,
    cutting,
    moving,
    pointwise,
    products,
    quantizing,
    reducing,
)
from sim.importers.quantized.builder import Builder
from sim.importers.quantized.graph import GraphNode
from sim.importers.quantized.values import Value

Operator = Callable[[Builder, GraphNode, Sequence[Value | None]], Value | list[Value]]

OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(pointwise.FUNCTIONS, pointwise.function),
    "Add": combining.add,
    "AveragePool": reducing.average,
    "BatchNormalization": combining.normalization,
    "Cast": moving.same,
    "Clip": pointwise.clip,
    "Concat": combining.concat,
    "Conv": products.convolution,
    "DequantizeLinear": quantizing.dequantize,
    "Div": combining.divide,
    "Dropout": moving.same,
    "Flatten": moving.flatten,
    "Gather": cutting.gather,
    "Gemm": products.gemm,
    "GlobalAveragePool": reducing.global_average,
    "GlobalMaxPool": reducing.global_largest,
    "Identity": moving.same,
    "LayerNormalization": reducing.layer_norm,
    "MatMul": products.matmul,
    "MaxPool": reducing.largest,
    "Mul": combining.multiply,
    "com.microsoft.MatMulNBits": blocks.matmul_n_bits,
    "Pad": moving.pad,
    "Pow": pointwise.function,
    "QuantizeLinear": quantizing.quantize,
    "ReduceMean": reducing.mean,
    "Relu": pointwise.relu,
    "Reshape": moving.reshape,
    "Resize": moving.resize,
    "Shape": moving.shape,
    "Slice": cutting.cut,
    "Softmax": reducing.softmax,
    "Split": cutting.split,
    "Squeeze": moving.squeeze,
    "Sub": combining.subtract,
    "Transpose": moving.transpose,
    "Unsqueeze": moving.unsqueeze,
    "Upsample": moving.resize,
}
