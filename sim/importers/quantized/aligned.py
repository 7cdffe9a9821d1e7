"""Scales moved a little, so that every requantization is a multiplier of 16 bits.

A quantized network whose scales are any float32 numbers cannot be equal in integers everywhere: a multiplier of
16 bits is off by up to 2^-17. Here the scales give way instead, by less than 2^-11 of themselves: the weights'
first, of which each convolution has its own; those of activations where two meet in an addition or a mean.
Afterwards the file's float32 arithmetic and ours round alike but for single sums, and both run the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from sim.importers.quantized.graph import GraphNode, QuantizedGraph
from sim.importers.quantized.rounding import TOP, Function, Steps, nearest

_KEEPING = ("Concat", "Flatten", "MaxPool", "Reshape", "Resize", "Transpose", "Squeeze", "Unsqueeze")
"""Operators whose operands have the scale of their result, if they had it before."""

_CLAMPS = ("Clip", "Relu", "Identity", "Dropout")


def aligned(graph: QuantizedGraph) -> dict[str, np.ndarray]:
    """New values of scales, by the names of the constants.

    A tensor that two additions read follows the last one alone.
    """
    return _Alignment(graph).scales


class _Alignment:
    def __init__(self, graph: QuantizedGraph) -> None:
        self.constants: Mapping[str, np.ndarray] = graph.constants
        self.writer = {name: node for node in graph.nodes for name in node.outputs}
        self.scales: dict[str, np.ndarray] = {}
        ends = [(node, self._operator(node)) for node in graph.nodes if node.operator == "QuantizeLinear"]
        ends = [(node, operator) for node, operator in ends if operator is not None]
        for node, operator in reversed(ends):
            self._activations(node.input(1), operator)  # type: ignore[arg-type]
        for node, operator in ends:
            self._weights(node.input(1), operator)  # type: ignore[arg-type]

    def _operator(self, node: GraphNode) -> GraphNode | None:
        """What computes the operand of a QuantizeLinear, before clamps."""
        found = self.writer.get(node.input(0))
        while found is not None and found.operator in _CLAMPS:
            found = self.writer.get(found.input(0))
        return found

    def _dequantized(self, operator: GraphNode) -> list[GraphNode]:
        """Operands of an operator that are dequantized, constants left out."""
        nodes = [self.writer.get(name) for name in operator.inputs]
        return [
            node
            for node in nodes
            if node is not None
            and node.operator == "DequantizeLinear"
            and node.input(0) not in self.constants
        ]

    def _scale(self, name: str) -> np.ndarray:
        return self.scales.get(name, self.constants[name])

    def _activations(self, result: str, operator: GraphNode) -> None:
        operands = [node.input(1) for node in self._dequantized(operator)]
        free = [name for name in operands if name not in self.scales and name != result]
        step = float(self._scale(result))
        if operator.operator == "Add" and len(operands) == 2 and len(free) == 2:
            ratios = [float(self._scale(name)) / step for name in operands]
            for name, ratio in zip(operands, _pair(ratios), strict=True):
                self.scales[name] = np.full(self.constants[name].shape, ratio * step, np.float32)
        elif operator.operator in ("AveragePool", "GlobalAveragePool", "ReduceMean", "Mul") and free:
            whole = float(np.prod([self._scale(name) for name in operands])) / step
            terms = float(np.prod(operator.attributes.get("kernel_shape", [1])))
            factor = _odd(whole / terms) * terms / whole
            self.scales[free[0]] = np.asarray(self._scale(free[0]) * np.float32(factor), np.float32)
        elif operator.operator in _KEEPING:
            for name in free:
                if self.constants[name] == self.constants[result]:
                    self.scales[name] = self._scale(result)

    def _weights(self, result: str, operator: GraphNode) -> None:
        if operator.operator not in ("Conv", "Gemm", "MatMul") or not self._dequantized(operator):
            return
        weight = self.writer.get(operator.input(1))
        if weight is None or weight.operator != "DequantizeLinear" or weight.input(0) not in self.constants:
            return
        source = np.float32(self._scale(self._dequantized(operator)[0].input(1)).item())
        step, name = np.float32(self._scale(result).item()), weight.input(1)
        given = self.constants[name].astype(np.float32)
        self.scales[name] = _scales(given.reshape(-1), source, step).reshape(given.shape)
        bias = self.writer.get(operator.input(2))
        if bias is not None and bias.operator == "DequantizeLinear":
            shape = self.constants[bias.input(1)].shape
            self.scales[bias.input(1)] = (source * self.scales[name]).reshape(shape)


def _scales(given: np.ndarray, source: np.float32, step: np.float32) -> np.ndarray:
    """Scales [K] of weights next to those given, with which as few sums as possible round in another way.

    Products of a long multiplier are rounded by float32 before they are rounded to integers, those of a short one
    less often; but its steps are coarser.
    """
    best, found = np.full(len(given), TOP), given.copy()
    for spare, beside in product(range(6), (0, 2, -2)):
        rows = np.flatnonzero(best)
        if not rows.size:
            break
        first = [nearest(float(v), spare) for v in given[rows].astype(np.float64) * source / step]
        m, shift = np.array([((w | 1) + beside, s) for w, s in first], np.int64).T
        m = np.clip(m, 1, 2**16 - 1)
        scales = (m / 2.0**shift * step / source).astype(np.float32)
        ends = np.full(rows.size, -TOP), np.full(rows.size, TOP)
        apart = Steps(_rounding(source * scales / step), rows.size, 0, *ends).apart(m, shift)
        better = apart < best[rows]
        found[rows[better]], best[rows[better]] = scales[better], apart[better]
    return found


def _odd(ratio: float) -> float:
    """The nearest ratio m / 2^s with m odd: no sum below 2^(s-1) lies halfway between two results."""
    m, shift = nearest(ratio)
    return (m | 1) / 2.0**shift


def _pair(ratios: list[float]) -> tuple[float, float]:
    """Two ratios of one shift of which no pair of codes lies halfway, or as few as possible."""
    _, shift = nearest(max(ratios))
    whole = [round(ratio * 2**shift) for ratio in ratios]
    codes = np.arange(-255, 256)
    best, found = codes.size**2, (ratios[0], ratios[1])
    for change in product((0, 1, -1, 2, -2), repeat=2):
        m, n = (w + c for w, c in zip(whole, change, strict=True))
        if not (0 < m < 2**16 and 0 < n < 2**16):
            continue
        half = (codes[:, None] * m + codes * n) % (1 << shift) == 1 << (shift - 1)
        if (halves := int(half.sum())) < best:
            best, found = halves, (m / 2.0**shift, n / 2.0**shift)
        if not best:
            break
    return found


def _rounding(ratios: np.ndarray) -> Function:
    """What float32 makes of sums [K, n], before any zero point."""

    def function(total: np.ndarray) -> np.ndarray:
        scaled = np.rint(total.astype(np.float32) * ratios.astype(np.float32)[:, None])
        return np.clip(scaled, -255, 255).astype(np.int64)

    return function
