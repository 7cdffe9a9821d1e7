"""Selective scan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_array, require_output
from sim.network.integer import rounding_shift
from sim.network.layers.base import Operand, Scaled, stored_bytes
from sim.network.layers.fields import Int8, Map, Multiplier, Shift, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class Scan(Scaled):
    """Selective scan over tokens (Mamba): inputs x, delta (C, L, 1), B, C (N, L, 1) -> (C, L, 1).

    With all values less their zero points, d = max(delta, 0), and h = 0 before the first token (the
    last, if `reverse`), at each token for each channel c and state n:
    i = min(round(d decay[c, n], decay_shift), 255),
    h = clamp(round(h table[i], 16) + round(d x B_n step_multiplier, step_shift), -(2^31 - 1), 2^31 - 1),
    then y_c = clamp(round((sum_n h C_n + x skip[c]) m, s) + z_y). All intermediates stay below 2^62.

    Attributes:
        decay: uint16 [C, N], N of at most 64: -A * scale of delta / table step * 2^decay_shift.
        table: uint16 [256], table[i] ~ 65535 exp(-i * table step) (`exponent_table`).
        skip: int32 [C], D in units of the sum.
        step_multiplier, step_shift: from products d x B to units of h.
    """

    kind: ClassVar = "scan"
    summary: ClassVar = (
        "Selective scan of x, delta, B, C. Tensors `LAYER.decay` (uint16 [C, N]), `LAYER.table` (uint16\n"
        "[256] exponents), `LAYER.skip` (int32 [C])."
    )

    name: str
    inputs: tuple[str, str, str, str]
    decay: Annotated[np.ndarray, Stored(np.uint16)]
    table: Annotated[np.ndarray, Stored(np.uint16)]
    skip: Annotated[np.ndarray, Stored(np.int32)]
    decay_shift: Shift
    step_multiplier: Multiplier
    step_shift: Shift
    multiplier: Multiplier
    shift: Shift
    reverse: Annotated[bool, Field(description="from the last token to the first")] = False
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require(
            self.decay.dtype == np.uint16 and self.decay.ndim == 2,
            f"{self.name}.decay",
            f"{self.decay.dtype}{list(self.decay.shape)}",
            "must be uint16 [C, N]",
            "store it so",
        )
        require(
            1 <= self.decay.shape[1] <= 64,
            f"{self.name}.decay",
            self.decay.shape[1],
            "states must be 1 to 64",
            "split the states",
        )
        require_array(f"{self.name}.table", self.table, np.uint16, (256,))
        require_array(f"{self.name}.skip", self.skip, np.int32, self.decay.shape[:1])
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)
        require_output(f"{self.name}.step", [self.step_multiplier], self.step_shift, -128, 127)
        require(
            1 <= self.decay_shift <= 47,
            f"{self.name}.decay_shift",
            self.decay_shift,
            "must be from 1 to 47",
            "rescale decay",
        )

    def ofmap(self, x: Map, delta: Map, b: Map, c: Map) -> Map:
        channels, states = self.decay.shape
        require(
            x == delta == (channels, x[1], 1) and b == c == (states, x[1], 1),
            f"{self.name}.inputs",
            (x, delta, b, c),
            f"must be ({channels}, L, 1) twice and ({states}, L, 1) twice",
            "match the sizes of decay",
        )
        return x

    def shape(self, x: Map, delta: Map, b: Map, c: Map, *, chained: bool = True) -> PassShape:
        return PassShape(
            self.name,
            "scan",
            x[1] * self.decay.size,
            1,
            prod(x),
            chained,
            reads=stored_bytes(x, delta, b, c),
            channels=x[0],
        )

    def compute(self, x: Operand, delta: Operand, b: Operand, c: Operand) -> np.ndarray:
        values, step, inward, outward = (operand.real[..., 0] for operand in (x, delta, b, c))
        step = np.maximum(step, 0)
        decay, table = self.decay.astype(np.int64), self.table.astype(np.int64)
        state = np.zeros((len(values), *decay.shape), np.int64)
        sums = np.empty_like(values)
        order = range(values.shape[2])
        for t in reversed(order) if self.reverse else order:
            index = np.minimum(rounding_shift(step[:, :, t, None] * decay, self.decay_shift), 255)
            product = (step[:, :, t] * values[:, :, t])[:, :, None] * inward[:, None, :, t]
            added = rounding_shift(product * self.step_multiplier, self.step_shift)
            state = rounding_shift(state * table[index], 16) + added
            state = np.clip(state, -(2**31 - 1), 2**31 - 1)
            sums[:, :, t] = (state * outward[:, None, :, t]).sum(2) + values[:, :, t] * self.skip
        return self.scale(sums, self.multiplier)[..., None]
