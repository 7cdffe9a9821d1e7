"""Softmax."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np

from sim.network.check import require, require_array, require_clamp
from sim.network.integer import rounding_shift
from sim.network.layers.base import Clamped, Operand, Single
from sim.network.layers.fields import Int8, Map, Positive, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class Softmax(Single, Clamped):
    """Softmax over each of `groups` equal runs of channels, at each position; output scale 1/256.

    With M the largest x of the run: e_j = table[M - x_j], S = sum e_j, r = 2^40 // S and
    y_j = clamp(((e_j r + 2^31) >> 32) + z_y). One division a run; e_j r <= 2^40. A probability p is
    256 p, so that with the default zero point -128 a p of 1 saturates at 255/256.

    table: uint16 [256], table[d] ~ 65535 exp(-d * scale), table[0] > 0 (`exponent_table`).
    """

    kind: ClassVar = "softmax"
    summary: ClassVar = "Over equal runs of channels. Tensor `LAYER.table`: uint16 [256] exponents."

    name: str
    input: str
    table: Annotated[np.ndarray, Stored(np.uint16)]
    groups: Positive = 1
    zero_point: Int8 = -128
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_array(f"{self.name}.table", self.table, np.uint16, (256,))
        require(
            self.table[0] > 0,
            f"{self.name}.table",
            int(self.table[0]),
            "the entry of the largest value must be positive",
            "make it with exponent_table",
        )
        require(self.groups >= 1, f"{self.name}.groups", self.groups, "must be positive", "use 1")
        require_clamp(self.name, self.low, self.high)

    def ofmap(self, x: Map) -> Map:
        require(
            x[0] % self.groups == 0,
            f"{self.name}.groups",
            self.groups,
            f"does not divide {x[0]} channels",
            "use the number of heads",
        )
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "softmax", prod(x), 1, prod(x), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        batch, channels, *places = x.values.shape
        runs = x.values.reshape(batch, self.groups, channels // self.groups, *places).astype(np.int64)
        exponents = self.table.astype(np.int64)[runs.max(2, keepdims=True) - runs]
        reciprocal = 2**40 // exponents.sum(2, keepdims=True)
        return self.emit(rounding_shift(exponents * reciprocal, 32)).reshape(x.values.shape)
