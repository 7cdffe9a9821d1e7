"""Layers that work value by value."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np

from sim.network.check import require, require_array, require_output
from sim.network.layers.base import Operand, Scaled, Single, stored_bytes
from sim.network.layers.fields import Int8, Map, Multiplier, Shift, Stored
from sim.shapes import PassShape


def broadcast(name: str, a: Map, b: Map) -> Map:
    """Shape of a, along whose sizes a size of 1 of b repeats."""
    require(
        all(n in (m, 1) for m, n in zip(a, b, strict=True)),
        f"{name}.inputs",
        b,
        f"fits not to {a}",
        "give a second operand with each size that of the first or 1",
    )
    return a


@dataclass(frozen=True)
class Add(Scaled):
    """Addition with one rounding: round((a-z_a) m_a + (b-z_b) m_b, s); a size of b may be 1 instead of a's."""

    kind: ClassVar = "add"
    summary: ClassVar = "Addition; sizes of the second operand may be 1."

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[Multiplier, Multiplier]
    shift: Shift
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_output(self.name, self.multipliers, self.shift, self.low, self.high)

    def ofmap(self, a: Map, b: Map) -> Map:
        return broadcast(self.name, a, b)

    def shape(self, a: Map, b: Map, *, chained: bool = True) -> PassShape:
        reads = 0 if a == b else stored_bytes(a, b)
        return PassShape(self.name, "add", prod(a), 2, prod(a), chained, reads, a[0])

    def compute(self, a: Operand, b: Operand) -> np.ndarray:
        return self.round(a.real * self.multipliers[0] + b.real * self.multipliers[1])


@dataclass(frozen=True, eq=False)
class Table(Single):
    """y = table[x + 128]; table int8 [256]: any function of one value."""

    kind: ClassVar = "table"
    summary: ClassVar = "Tensor `LAYER.table`: int8 [256], looked up at x + 128."

    name: str
    input: str
    table: Annotated[np.ndarray, Stored(np.int8)]
    zero_point: Int8 = 0

    def __post_init__(self) -> None:
        require_array(f"{self.name}.table", self.table, np.int8, (256,))

    def ofmap(self, x: Map) -> Map:
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "table", prod(x), 1, prod(x), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        return self.table[x.values.astype(np.int16) + 128]


@dataclass(frozen=True)
class Multiply(Scaled):
    """Element-wise product: round((a-z_a) (b-z_b) m, s); a size of b may be 1 instead of a's."""

    kind: ClassVar = "multiply"
    summary: ClassVar = "Element-wise product; sizes of the second operand may be 1."

    name: str
    inputs: tuple[str, str]
    multiplier: Multiplier
    shift: Shift
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)

    def ofmap(self, a: Map, b: Map) -> Map:
        return broadcast(self.name, a, b)

    def shape(self, a: Map, b: Map, *, chained: bool = True) -> PassShape:
        reads = 0 if a == b else stored_bytes(a, b)
        return PassShape(self.name, "multiply", prod(a), 2, prod(a), chained, reads, a[0])

    def compute(self, a: Operand, b: Operand) -> np.ndarray:
        return self.scale(a.real * b.real, self.multiplier)
