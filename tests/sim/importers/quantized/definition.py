"""ONNX's definition of quantized networks in NumPy's float32, and models made by hand.

It shares nothing with the importer.

https://onnx.ai/onnx/operators: QuantizeLinear is saturate(round(x / y_scale) + y_zero_point), halves to even;
DequantizeLinear is (x - x_zero_point) * x_scale. Sums of products are taken in float64, as exact as they can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray


class Model:
    """A quantized model, node by node; methods give the name of a result."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = list(shape)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.count = 0

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        return self.nodes_of(operator, inputs, 1, domain, **attributes)[0]

    def nodes_of(
        self, operator: str, inputs: Sequence[str], outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Names of several results of one node."""
        self.count += 1
        name = f"{operator.lower()}{self.count}"
        names = [name, *(f"{name}.{n}" for n in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        return names

    def quantize(self, tensor: str, scale: float, zero: int = 0, dtype: Any = np.int8) -> str:
        """QuantizeLinear and DequantizeLinear."""
        given = [self.constant(scale), self.constant(zero, dtype)]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [tensor, *given]), *given])

    def weight(self, shape: Sequence[int], scale: Any, axis: int = 0) -> str:
        """int8 weights with one scale or one an index of `axis`."""
        integers = self.constant(self.rng.integers(-127, 128, shape), np.int8)
        return self.node("DequantizeLinear", [integers, self.constant(scale)], axis=axis)

    def bias(self, size: int, scale: Any) -> str:
        integers = self.constant(self.rng.integers(-2000, 2000, size), np.int32)
        return self.node("DequantizeLinear", [integers, self.constant(scale)], axis=0)

    def save(
        self, path: Path, output: str, shape: Sequence[int] | None = None, also: Sequence[str] = ()
    ) -> Path:
        """Writes the model.

        Args:
            also: further outputs.
            shape: of the output, where operators have no definition here.
        """
        if shape is None:
            shape = self.run(np.zeros(self.shape))[output].shape
        more = self.run(np.zeros(self.shape)) if also else {}
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shape)],
            [
                helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape),
                *(helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, more[n].shape) for n in also),
            ],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        domains = {node.domain for node in self.nodes} - {""}
        opsets = [helper.make_opsetid("", 21), *(helper.make_opsetid(domain, 1) for domain in domains)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return path

    def run(self, x: Array) -> dict[str, Array]:
        """Every tensor for one image."""
        tensors = {**self.constants, "x": np.asarray(x, np.float32)}
        for node in self.nodes:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            given = [tensors[name] if name else None for name in node.input]
            found = DEFINITIONS[node.op_type](given, attributes)
            results = found if isinstance(found, list) else [found]
            tensors |= zip(node.output, results, strict=True)
        return tensors


def _spread(scale: Array, ndim: int, axis: int) -> Array:
    return scale if scale.ndim == 0 else scale.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _quantize(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    value, scale, zero = x
    limits = np.iinfo(zero.dtype)
    rounded = np.rint(value.astype(np.float32) / scale) + zero.astype(np.float32)
    return np.clip(rounded, limits.min, limits.max).astype(zero.dtype)


def _dequantize(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    value, scale = x[:2]
    zero = x[2].astype(np.int64) if len(x) > 2 else 0
    whole = (value.astype(np.int64) - zero).astype(np.float32)
    return whole * _spread(scale, value.ndim, a.get("axis", 1))


def _matmul_n_bits(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    """https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits"""
    value, packed, scales = x[:3]
    outputs, inputs, size, bits = (a[name] for name in ("N", "K", "block_size", "bits"))
    blocks = -(-inputs // size)
    points = x[3] if len(x) > 3 else None
    matrix = np.zeros((outputs, inputs), np.float32)
    per = 8 // bits
    for n, k in np.ndindex(outputs, inputs):
        block, place = divmod(k, size)
        byte = int(packed[n, block, place // per])
        level = byte >> place % per * bits & 2**bits - 1
        zero = 2 ** (bits - 1)
        if points is not None:
            zero = int(points.reshape(outputs, -1)[n, block // per]) >> block % per * bits & 2**bits - 1
        matrix[n, k] = np.float32(level - zero) * scales.reshape(outputs, blocks)[n, block]
    found = value.astype(np.float64) @ matrix.T.astype(np.float64)
    return (found + (x[5] if len(x) > 5 else 0)).astype(np.float32)


def _conv(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    value, weight = (v.astype(np.float64) for v in x[:2])
    k, c, *kernel = weight.shape
    rank, groups = len(kernel), a.get("group", 1)
    pads = a.get("pads", [0] * 2 * rank)
    strides, steps = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    value = np.pad(value, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    out = [
        (n - (e - 1) * d - 1) // s + 1
        for n, e, s, d in zip(value.shape[2:], kernel, strides, steps, strict=True)
    ]
    result = np.zeros((1, k, *out))
    for place in np.ndindex(*out):
        window = [
            slice(p * s, p * s + (e - 1) * d + 1, d)
            for p, s, e, d in zip(place, strides, kernel, steps, strict=True)
        ]
        for o in range(k):
            first = o // (k // groups) * c
            part = value[0, first : first + c][(slice(None), *window)]
            result[0, o][place] = (part * weight[o]).sum()
    if len(x) > 2 and x[2] is not None:
        result += x[2].astype(np.float64).reshape(1, -1, *[1] * rank)
    return result.astype(np.float32)


def _gemm(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    matrix = x[1].astype(np.float64).T if a.get("transB") else x[1].astype(np.float64)
    total = x[0].astype(np.float64) @ matrix
    return np.asarray(total + (x[2] if len(x) > 2 else 0), np.float32)


def _pool(x: Sequence[Any], a: Mapping[str, Any], reduce: Callable[..., Array], fill: float) -> Array:
    kernel, strides = a["kernel_shape"], a.get("strides", [1, 1])
    pads = a.get("pads", [0] * 4)
    more = [
        strides[axis] - 1 if a.get("ceil_mode") else 0 for axis in (0, 1)
    ]  # what no window needs is not read
    around = [(0, 0), (0, 0), (pads[0], pads[2] + more[0]), (pads[1], pads[3] + more[1])]
    value = np.pad(x[0], around, constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(value, kernel, (2, 3))
    return reduce(windows[:, :, :: strides[0], :: strides[1]], (-2, -1))


def _reshape(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    return np.asarray(x[0].reshape([x[0].shape[i] if n == 0 else n for i, n in enumerate(x[1].tolist())]))


def _slice(x: Sequence[Any], a: Mapping[str, Any]) -> Array:
    value, axes = x[0], x[3] if len(x) > 3 else range(len(x[1]))
    steps = x[4] if len(x) > 4 else [1] * len(x[1])
    for first, last, axis, step in zip(x[1], x[2], axes, steps, strict=True):
        value = np.moveaxis(np.moveaxis(value, axis, 0)[int(first) : int(last) : int(step)], 0, axis)
    return np.asarray(value)


def _exact(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], Array]:
    """A function of the operands in float32."""
    return lambda x, a: np.asarray(function(*x), np.float32)


def _sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v.astype(np.float64)))


DEFINITIONS: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Array | list[Array]]] = {
    "Add": _exact(lambda p, q: p + q),
    "AveragePool": lambda x, a: _pool(
        x, a, lambda w, axes: w.mean(axes, dtype=np.float64).astype(np.float32), 0
    ),
    "Clip": lambda x, a: np.clip(*x),
    "Concat": lambda x, a: np.concatenate(x, a["axis"]),
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Flatten": lambda x, a: np.asarray(x[0].reshape(1, -1)),
    "Gather": lambda x, a: np.take(x[0], x[1], a.get("axis", 0)),
    "Gemm": _gemm,
    "GlobalAveragePool": _exact(lambda v: v.astype(np.float64).mean((2, 3), keepdims=True)),
    "HardSigmoid": lambda x, a: np.clip(np.float32(a["alpha"]) * x[0] + np.float32(a["beta"]), 0, 1),
    "MatMulNBits": _matmul_n_bits,
    "MatMul": _exact(lambda p, q: p.astype(np.float64) @ q.astype(np.float64)),
    "MaxPool": lambda x, a: _pool(x, a, np.max, -np.inf),
    "Mul": _exact(lambda p, q: p * q),
    "Pad": lambda x, a: np.pad(x[0], [(0, 0), (0, 0), *zip(x[1][2:4], x[1][6:8], strict=True)]),
    "QuantizeLinear": _quantize,
    "Relu": _exact(lambda v: np.maximum(v, 0)),
    "Reshape": _reshape,
    "Resize": lambda x, a: np.repeat(np.repeat(x[0], int(x[2][2]), 2), int(x[2][3]), 3),
    "Sigmoid": _exact(_sigmoid),
    "Slice": _slice,
    "Split": lambda x, a: list(np.split(x[0], np.cumsum(x[1])[:-1], a.get("axis", 0))),
    "Softmax": _exact(lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True)),
    "Transpose": lambda x, a: x[0].transpose(a["perm"]),
}
"""Operators as functions of their operands and attributes."""
