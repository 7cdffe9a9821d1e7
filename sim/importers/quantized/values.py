"""What a tensor of a quantized graph is while it is lowered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sim.errors import InputError
from sim.importers.quantized.layout import Layout
from sim.importers.quantized.rounding import Fit
from sim.network import ScaledWeight

CODES = np.arange(-128, 128)
"""All that an int8 tensor may hold."""

Pads = tuple[int, int, int, int]
"""Rows above, columns left, rows below, columns right."""


@dataclass(frozen=True)
class Tensor:
    """An int8 tensor of the network.

    Attributes:
        low, high: no value lies outside.
        pads: places around the map that hold the zero point.
    """

    name: str
    layout: Layout
    zero_point: int
    low: int = -128
    high: int = 127
    pads: Pads = (0, 0, 0, 0)


@dataclass(frozen=True)
class Quantizer:
    """ONNX's QuantizeLinear of one scale: clip(rint(x / scale) + zero_point, low, high), less `shift` of uint8."""

    scale: np.float32
    zero_point: int
    low: int = -128
    high: int = 127
    shift: int = 0

    def codes(self, real: np.ndarray) -> np.ndarray:
        """int64 of float32."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(real / self.scale)
        return np.clip(np.nan_to_num(scaled) + self.zero_point, self.low, self.high).astype(np.int64)

    def real(self) -> np.ndarray:
        """float32 [256] of all codes, as DequantizeLinear computes them."""
        return (CODES - self.zero_point).astype(np.float32) * self.scale


@dataclass(frozen=True)
class Source:
    """An input of the network before it is quantized."""

    name: str
    layout: Layout


@dataclass(frozen=True)
class Weight:
    """Constant integers less their zero point, with one scale or one an index of `axis`.

    Attributes:
        scaled: the same [K, C, 1, 1] in few bits with scales of groups, where it comes so.
    """

    integers: np.ndarray
    scale: np.ndarray
    axis: int | None
    scaled: ScaledWeight | None = None

    @property
    def real(self) -> np.ndarray:
        scale = self.scale
        if self.axis is not None:
            scale = scale.reshape([-1 if a == self.axis else 1 for a in range(self.integers.ndim)])
        return self.integers.astype(np.float32) * scale

    def moved(self, integers: np.ndarray, axis: int | None) -> Weight:
        return Weight(integers, self.scale, axis)


@dataclass(frozen=True)
class Codes:
    """A function of the codes of one tensor, value by value.

    Attributes:
        real: float32 [256], its value for each code.
        label: name of the node that computed it.
        steps: operators since the codes were dequantized.
    """

    tensor: Tensor
    real: np.ndarray
    label: str
    steps: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        return self.tensor.layout

    @property
    def reached(self) -> slice:
        """Of `real`: codes that occur."""
        return slice(self.tensor.low + 128, self.tensor.high + 129)

    def scale(self) -> np.float32 | None:
        """Of codes that are no more than dequantized; None for any other function."""
        reached, codes = self.real[self.reached], CODES[self.reached] - self.tensor.zero_point
        far = int(np.abs(codes).argmax())
        if not codes[far]:
            return None
        scale = np.float32(reached[far] / codes[far])
        near = np.abs(reached - codes * scale) <= np.abs(reached) * np.float32(2.0**-22)
        return scale if scale > 0 and near.all() else None

    def moved(self, layout: Layout) -> Codes:
        return replace(self, tensor=replace(self.tensor, layout=layout))


@dataclass(frozen=True)
class Bounds:
    """A clamp of real values."""

    low: float = -np.inf
    high: float = np.inf

    def within(self, low: float, high: float) -> Bounds:
        return Bounds(min(max(self.low, low), high), max(min(self.high, high), low))

    def of(self, quantizer: Quantizer) -> Quantizer:
        """A quantizer that clamps as this does before it."""
        low, high = quantizer.codes(np.array([self.low, self.high], np.float32)).tolist()
        return replace(quantizer, low=low, high=high)


Emit = Callable[["Pending", Quantizer], Tensor]


@dataclass(frozen=True)
class Pending:
    """A result in float that some layer can emit once its scale is known.

    Attributes:
        emit: adds the layer.
        scales: float32 [K] or [1], of an integer sum; empty if the result is none.
        bias: adds constants [K] in units of the sums to the layer; None if it cannot.
        source: the tensor that it is computed from, if that is one.
    """

    label: str
    operator: str
    layout: Layout
    emit: Emit
    bounds: Bounds = Bounds()
    scales: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    bias: Callable[[np.ndarray], Pending] | None = None
    wide: Callable[[], Tensor] | None = None
    source: Tensor | None = None


@dataclass
class Quantized:
    """The result of QuantizeLinear; its layer is added when someone reads it."""

    value: Codes | Pending
    quantizer: Quantizer
    tensor: Tensor | None = None


@dataclass(frozen=True)
class Parameter:
    """A constant."""

    array: np.ndarray


class Unknown:
    """The result of a node that was refused."""


Value = Source | Weight | Codes | Pending | Quantized | Parameter | Unknown


@dataclass(frozen=True)
class Comparison:
    """How the requantization of a layer differs from the source's.

    Attributes:
        apart: sums (or values, or pairs of values) whose result is one step beside.
        of: all that can occur; 0 where they cannot be counted.
        why: of what cannot be counted.
    """

    layer: str
    apart: int
    of: int
    why: str = ""

    @staticmethod
    def of_fit(layer: str, fit: Fit) -> Comparison:
        return Comparison(layer, fit.apart, fit.of)


class OrderError(InputError):
    """Values would have to lie in another order."""


def refusal(name: str, operator: str, problem: str, fix: str) -> InputError:
    """Why a node cannot be a layer."""
    return InputError(f"node {name}", operator, problem, fix)


def misplaced(name: str, operator: str, problem: str, fix: str) -> OrderError:
    """Why a node cannot read its operand where it lies."""
    return OrderError(f"node {name}", operator, problem, fix)
