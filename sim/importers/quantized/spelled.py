"""Operators on integers, and quantizers of other producers, as QuantizeLinear, DequantizeLinear and a float operator.

Sources: the ONNX operator QLinearConv, ContribOperators.md of ONNX Runtime (QLinearAdd, QGemm, ...), and the
operator pages of QONNX (Quant, BipolarQuant), which Brevitas and FINN write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.importers.quantized.graph import GraphNode

_UNARY = {
    name: name.removeprefix("QLinear")
    for name in (
        *("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearReduceMean"),
        *("QLinearSigmoid", "QLinearSoftmax"),
    )
}
"""Inputs x, its scale and zero point, scale and zero point of the result."""

_BINARY = {"QLinearAdd": "Add", "QLinearConv": "Conv", "QLinearMatMul": "MatMul", "QLinearMul": "Mul"}
"""Two operands with scale and zero point each, scale and zero point of the result, perhaps a bias."""

QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QGemm",
    "QLinearConcat",
    "Quant",
    "IntQuant",
    "BipolarQuant",
)
"""With those of `_UNARY` and `_BINARY`: operators that only a quantized network has."""


def quantized(operators: Sequence[str]) -> bool:
    """Whether operators are those of a quantized network."""
    known = {*_UNARY, *_BINARY, *QUANTIZED}
    return any(operator.rpartition(".")[2] in known for operator in operators)


@dataclass
class _Words:
    """Nodes in the place of one, and the constants they need."""

    node: GraphNode
    constants: dict[str, np.ndarray]
    nodes: list[GraphNode]

    def say(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        name = output or f"{self.node.outputs[0]}/{len(self.nodes)}"
        inputs = list(inputs)
        while inputs and not inputs[-1]:
            inputs.pop()
        self.nodes.append(GraphNode(self.node.name, operator, tuple(inputs), (name,), attributes))
        return name

    def real(self, first: int, axis: int = 0) -> str:
        """An operand with its scale and zero point behind it, dequantized."""
        return self.say("DequantizeLinear", [self.node.input(first + i) for i in range(3)], axis=axis)

    def constant(self, array: np.ndarray) -> str:
        name = f"{self.node.outputs[0]}/constant{len(self.constants)}"
        self.constants[name] = array
        return name

    def end(self, tensor: str, scale: int) -> None:
        """The result quantized, if its scale is given."""
        self.say(
            "QuantizeLinear",
            [tensor, self.node.input(scale), self.node.input(scale + 1)],
            self.node.outputs[0],
        )

    def bias(self, position: int, scales: tuple[int, int]) -> str:
        """int32 in steps of the product of two scales; "" if there is none."""
        if not self.node.input(position):
            return ""
        a, b = (self.constants[self.node.input(i)].reshape(-1).astype(np.float32) for i in scales)
        return self.say("DequantizeLinear", [self.node.input(position), self.constant(a * b)], axis=0)


def _unary(words: _Words) -> None:
    node = words.node
    result = words.say(_UNARY[node.operator], [words.real(0)], **node.attributes)
    words.end(result, 3)


def _binary(words: _Words) -> None:
    node, operator = words.node, _BINARY[words.node.operator]
    operands = [words.real(0), words.real(3, axis=1 if operator == "MatMul" else 0)]
    if operator == "Conv":
        operands.append(words.bias(8, (1, 4)))
    words.end(words.say(operator, operands, **node.attributes), 6)


def _gemm(words: _Words) -> None:
    node = words.node
    axis = 0 if node.attributes.get("transB") else 1
    operands = [words.real(0), words.real(3, axis), words.bias(6, (1, 4))]
    result = words.say("Gemm", operands, "" if node.input(7) else node.outputs[0], **node.attributes)
    if node.input(7):
        words.end(result, 7)


def _concat(words: _Words) -> None:
    parts = [words.real(first) for first in range(2, len(words.node.inputs), 3)]
    words.end(words.say("Concat", parts, **words.node.attributes), 0)


def _quant(words: _Words) -> None:
    """q = clip(round(x / scale + zero), low, high); constants become integers at once."""
    node, get = words.node, words.node.attributes.get
    scale, zero, bits = (words.constants[node.input(i)] for i in (1, 2, 3))
    width, signed = int(bits.reshape(-1)[0]), bool(get("signed", 1))
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
    low, high = (low + 1, high) if signed and get("narrow", 0) else (low, high - int(bool(get("narrow", 0))))
    _quantizer(words, scale.astype(np.float32), np.rint(zero).astype(np.int64), (low, high))


def _bipolar(words: _Words) -> None:
    scale = words.constants[words.node.input(1)].astype(np.float32)
    signs = np.where(words.constants[words.node.input(0)] >= 0, 1, -1)
    words.say("DequantizeLinear", _channelwise(words, signs, scale), words.node.outputs[0], axis=_axis(scale))


def _quantizer(words: _Words, scale: np.ndarray, zero: np.ndarray, limits: tuple[int, int]) -> None:
    node = words.node
    if node.input(0) in words.constants:
        real = words.constants[node.input(0)].astype(np.float32)
        integers = np.clip(np.rint(real / scale + zero), *limits).astype(np.int64) - zero
        inputs = _channelwise(words, integers, scale)
        words.say("DequantizeLinear", inputs, node.outputs[0], axis=_axis(scale))
        return
    given = [words.constant(scale.reshape(-1)), words.constant(zero.reshape(-1))]
    low, high = limits
    integers_of = words.say("QuantizeLinear", [node.input(0), *given], low=low, high=high)
    words.say("DequantizeLinear", [integers_of, *given], node.outputs[0], low=low, high=high)


def _channelwise(words: _Words, integers: np.ndarray, scale: np.ndarray) -> list[str]:
    return [words.constant(integers), words.constant(scale.reshape(-1))]


def _axis(scale: np.ndarray) -> int:
    """Of a scale that is broadcast, the axis along which it differs."""
    return next((axis for axis, n in enumerate(scale.shape) if n > 1), 0)


_SPELLINGS: dict[str, Callable[[_Words], None]] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    "BipolarQuant": _bipolar,
    "IntQuant": _quant,
    "QGemm": _gemm,
    "QLinearConcat": _concat,
    "Quant": _quant,
}


def spelled(
    nodes: Sequence[GraphNode], constants: Mapping[str, np.ndarray]
) -> tuple[list[GraphNode], dict[str, np.ndarray]]:
    """The nodes with quantizers and float operators alone, and all constants.

    An operator whose scales are no constants, or that rounds or lies in memory in another way, stays as it is.
    """
    known, found = dict(constants), []
    for node in nodes:
        plain = replace(node, operator=node.operator.rpartition(".")[2])
        words = _Words(plain, known, [])
        odd = node.attributes.get("channels_last") or node.attributes.get("rounding_mode", "ROUND") != "ROUND"
        try:
            if odd or plain.operator not in _SPELLINGS:
                raise KeyError(plain.operator)
            _SPELLINGS[plain.operator](words)
        except KeyError:
            own = plain.operator in ("QuantizeLinear", "DequantizeLinear", "Gelu")
            found.append(plain if own else node)
            continue
        found += words.nodes
    return found, known
