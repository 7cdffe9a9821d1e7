"""Layers as they are added, and what all operators ask for: operands, places, scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.importers.quantized.graph import Evaluate, GraphNode
from sim.importers.quantized.layout import Group, Layout, plain, size
from sim.importers.quantized.rounding import Fit, fit
from sim.importers.quantized.values import (
    CODES,
    Codes,
    Comparison,
    Parameter,
    Pending,
    Quantized,
    Quantizer,
    Source,
    Tensor,
    Value,
    Weight,
    misplaced,
    refusal,
)
from sim.network import Constant, Layer, Reshape, Table, TensorSpec

Groups = tuple[Group, Group, Group]


@dataclass(frozen=True)
class Sums:
    """Integer sums and their scale, which some layer rounds.

    Attributes:
        scales: float32 [K] or [1].
        low, high: int64, the least and the largest.
        layer: of a name, multipliers, shifts and the output's quantizer.
    """

    scales: np.ndarray
    low: np.ndarray
    high: np.ndarray
    layer: Callable[[str, Fit, Quantizer], Layer]


class Builder:
    """The network so far.

    Attributes:
        nodes: that are lowered.
        input: once it is known.
        comparisons: one a layer that rounds.
    """

    def __init__(self, nodes: Sequence[GraphNode], evaluate: Evaluate) -> None:
        self.nodes, self.evaluate = nodes, evaluate
        self.layers: list[Layer] = []
        self.input: TensorSpec | None = None
        self.comparisons: list[Comparison] = []
        self.notes: list[str] = []
        self._names = {"input"}

    def named(self, label: str) -> str:
        """A name that no layer has."""
        name, number = label, 2
        while name in self._names:
            name, number = f"{label}#{number}", number + 1
        self._names.add(name)
        return name

    def add(self, layer: Layer, layout: Layout, low: int = -128, high: int = 127) -> Tensor:
        """What a new layer gives."""
        self.layers.append(layer)
        return Tensor(layer.name, layout, layer.zero_point, low, high)

    def tensor(self, value: Quantized) -> Tensor:
        """The tensor of a quantized value, whose layer is added if it is not there."""
        if value.tensor is None:
            if isinstance(value.value, Pending):
                value.tensor = value.value.emit(value.value, value.value.bounds.of(value.quantizer))
            else:
                value.tensor = self.tabled(value.value, value.quantizer)
        return value.tensor

    def tabled(self, codes: Codes, quantizer: Quantizer) -> Tensor:
        """Codes as integers of a scale: by a table, or by nothing where no code changes."""
        table, reached, tensor = quantizer.codes(codes.real), codes.reached, codes.tensor
        same = np.array_equal(table[reached], CODES[reached])
        if same and quantizer.zero_point == tensor.zero_point:
            return tensor
        if any(tensor.pads) and table[tensor.zero_point + 128] != quantizer.zero_point:
            problem, fix = "is a function of padding that is not 0 afterwards", "pad after it"
            raise refusal(codes.label, codes.steps[-1] if codes.steps else "QuantizeLinear", problem, fix)
        name = self.named(codes.label if codes.steps else f"{tensor.name}.requantized")
        low, high = int(table[reached].min()), int(table[reached].max())
        layer = Table(name, tensor.name, table.astype(np.int8), quantizer.zero_point)
        found = self.add(layer, tensor.layout, low, high)
        return replace(found, pads=tensor.pads)

    def codes(self, node: GraphNode, value: Value | None) -> Codes:
        """An operand as a function of codes.

        Raises:
            InputError: it is a constant in float or of several scales, in float, or the network's input.
        """
        if isinstance(value, Codes):
            return value
        if isinstance(value, Weight) and (found := self._constant(node, value)) is not None:
            return found
        if isinstance(value, Pending):
            problem = f"reads the result of {value.operator} {value.label} in float"
            fix = f"quantize the output of {value.label}"
        elif isinstance(value, Source):
            problem, fix = f"reads the input {value.name} in float", "quantize the input, and what follows it"
        elif isinstance(value, Quantized):
            problem, fix = "reads integers without DequantizeLinear", "export with QDQ"
        else:
            problem, fix = "an operand is a constant in float", "quantize it, with one scale"
        raise refusal(node.name, node.operator, problem, fix)

    def _constant(self, node: GraphNode, value: Weight) -> Codes | None:
        """Quantized constants of one scale as a layer; None for others."""
        layout = plain(value.integers.shape)
        if value.scale.size != 1 or layout is None or not value.integers.size:
            return None
        low, high = int(value.integers.min()), int(value.integers.max())
        if low < -128 or high > 127:
            return None
        q = Quantizer(np.float32(value.scale.item()), 0)
        layer = Constant(
            self.named(f"{node.name}.constant"), value.integers.astype(np.int8).reshape(layout.extent)
        )
        return Codes(self.add(layer, layout, low, high), q.real(), layer.name)

    def scaled(
        self, node: GraphNode, value: Value | None, *, pads: bool = False
    ) -> tuple[Tensor, np.float32]:
        """An operand as integers of one scale; a function whose values are steps of the scale becomes a table.

        Args:
            pads: whether the operator may read beyond the map.

        Raises:
            InputError: its values are no steps of one scale.
        """
        codes = self.codes(node, value)
        scale = codes.scale()
        if scale is None:
            quantizer = _grid(codes)
            if quantizer is None:
                last = codes.steps[-1] if codes.steps else "DequantizeLinear"
                raise refusal(
                    node.name,
                    node.operator,
                    f"reads {last} {codes.label} in float",
                    f"quantize the output of {codes.label}",
                )
            codes = Codes(self.tabled(codes, quantizer), quantizer.real(), codes.label)
            scale = quantizer.scale
        if any(codes.tensor.pads) and not pads:
            raise refusal(node.name, node.operator, "reads a padded map", "pad only what a convolution reads")
        return codes.tensor, scale

    def place(self, node: GraphNode, tensor: Tensor, groups: Groups) -> Tensor:
        """A tensor whose map has these atoms as C, H and W.

        Raises:
            InputError: values would have to change their order.
        """
        if tensor.layout.map == groups:
            return tensor
        if tensor.layout.flat != groups[0] + groups[1] + groups[2] or any(tensor.pads):
            raise misplaced(
                node.name,
                node.operator,
                "reads its operand in another order than memory has it",
                "leave transpositions out, or export with channels first",
            )
        c, h, w = (size(group) for group in groups)
        layer = Reshape(self.named(f"{tensor.name}.reshaped"), tensor.name, (c, h, w), tensor.zero_point)
        return self.add(layer, Layout(tensor.layout.axes, groups), tensor.low, tensor.high)

    def ordered(self, tensor: Tensor, shape: Sequence[int]) -> Tensor | None:
        """The same values as a tensor of another shape; None where they do not lie in its order."""
        found = plain(shape)
        if found is None or not tensor.layout.ordered or any(tensor.pads):
            return None
        layer = Reshape(self.named(f"{tensor.name}.reshaped"), tensor.name, found.extent, tensor.zero_point)
        return self.add(layer, found, tensor.low, tensor.high)

    def emitted(self, label: str, layout: Layout, sums: Sums, quantizer: Quantizer) -> Tensor:
        """The layer that rounds sums as float32 does: rint(float32(sum) * (scale / output scale)), then clamps."""
        ratios = (sums.scales / quantizer.scale).astype(np.float32)

        def function(total: np.ndarray) -> np.ndarray:
            scaled = np.rint(total.astype(np.float32) * ratios[:, None])
            return np.clip(scaled + quantizer.zero_point, quantizer.low, quantizer.high).astype(np.int64)

        found = fit(function, ratios, quantizer.zero_point, sums.low, sums.high)
        name = self.named(label)
        self.comparisons.append(Comparison.of_fit(name, found))
        return self.add(sums.layer(name, found, quantizer), layout, quantizer.low, quantizer.high)

    def pending(self, node: GraphNode, layout: Layout, sums: Sums) -> Pending:
        """Sums that wait for their scale."""
        return Pending(
            node.name,
            node.operator,
            layout,
            lambda it, quantizer: self.emitted(
                it.label, it.layout, replace(sums, scales=it.scales), quantizer
            ),
            scales=sums.scales,
        )


def _grid(codes: Codes) -> Quantizer | None:
    """A quantizer that gives each value of a function exactly, in steps of some code's value."""
    real = codes.real[codes.reached].astype(np.float64)
    steps = np.unique(np.abs(real[real != 0]))
    if not len(steps) or not np.isfinite(real).all():
        return None
    scale = float(np.diff(np.concatenate([[0.0], steps])).min())
    whole = np.rint(real / scale)
    if np.abs(real - whole * scale).max() > scale * 2.0**-12 or whole.max() - whole.min() > 255:
        return None
    low, high = -128 - int(whole.min()), 127 - int(whole.max())
    low, high = max(low, -128), min(high, 127)
    if low > high:
        return None
    exact = np.float32(np.abs(real).max() / np.abs(whole).max())
    return Quantizer(exact, min(max(codes.tensor.zero_point, low), high))


def vector(value: Value | None) -> np.ndarray | None:
    """Real values of a constant, float32; None if it is none."""
    if isinstance(value, Weight):
        return value.real.astype(np.float32)
    return np.asarray(value.array, np.float32) if isinstance(value, Parameter) else None
