"""Softmax."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_array, require_output
from sim.network.integer import rounding_shift
from sim.network.layers.base import Clamped, Operand, Single, stored_bytes
from sim.network.layers.fields import Int8, Map, Positive, Presence, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class Softmax(Single, Clamped):
    """Softmax over each of `groups` equal runs of channels, at each position; output scale 2^(shift - 40).

    With M the largest x of the run: e_j = table[M - x_j], S = sum e_j, r = 2^40 // S and
    y_j = clamp(round(e_j r, shift) + z_y). One division a run; e_j r <= 2^40. With the default shift a
    probability p is 256 p, so that with the default zero point -128 a p of 1 saturates at 255/256.

    With `mask` (uint8 [M, n, H, W], n channels a run, M a divisor of `groups`) run g has mask
    g // (groups / M): where it is 0, x takes no part in M and e_j is 0. Each run keeps one x at least.

    table: uint16 [256], table[d] ~ 65535 exp(-d * scale), table[0] > 0 (`exponent_table`).
    """

    kind: ClassVar = "softmax"
    summary: ClassVar = (
        "Over equal runs of channels. Tensors `LAYER.table`: uint16 [256] exponents, and `LAYER.mask`\n"
        "(uint8 [M, channels/groups, H, W]): 1 where a value takes part."
    )

    name: str
    input: str
    table: Annotated[np.ndarray, Stored(np.uint16)]
    groups: Positive = 1
    zero_point: Int8 = -128
    low: Int8 = -128
    high: Int8 = 127
    shift: Annotated[int, Field(ge=1, le=47), Presence.SPARING] = 32
    mask: Annotated[np.ndarray | None, Stored(np.uint8), Presence.SPARING] = None

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
        require_output(self.name, [], self.shift, self.low, self.high)
        if self.mask is not None:
            self._require_mask(self.mask)

    def _require_mask(self, mask: np.ndarray) -> None:
        field = f"{self.name}.mask"
        require(
            mask.dtype == np.uint8 and mask.ndim == 4 and mask.size > 0 and self.groups % len(mask) == 0,
            field,
            f"{mask.dtype}{list(mask.shape)}",
            f"must be uint8 [M, n, H, W], M a divisor of {self.groups} groups",
            "store a mask for equally many groups each",
        )
        require(mask.max() <= 1, field, int(mask.max()), "must be 0 or 1", "store 1 where a value takes part")
        require(bool(mask.any(1).all()), field, 0, "leaves no value to a position", "keep one at least")

    def ofmap(self, x: Map) -> Map:
        require(
            x[0] % self.groups == 0,
            f"{self.name}.groups",
            self.groups,
            f"does not divide {x[0]} channels",
            "use the number of heads",
        )
        if self.mask is not None:
            expected = (x[0] // self.groups, *x[1:])
            require(
                self.mask.shape[1:] == expected,
                f"{self.name}.mask",
                list(self.mask.shape),
                f"must be [M, {expected[0]}, {expected[1]}, {expected[2]}]",
                "give it the sizes of a run",
            )
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        reads = 0
        if self.mask is not None:
            masks, own, h, w = self.mask.shape
            reads = stored_bytes(x, (masks * own, h, w))
        return PassShape(self.name, "softmax", prod(x), 1, prod(x), chained, reads, x[0])

    def compute(self, x: Operand) -> np.ndarray:
        batch, channels, *places = x.values.shape
        runs = x.values.reshape(batch, self.groups, channels // self.groups, *places).astype(np.int64)
        kept = np.ones(runs.shape[1:], bool)
        if self.mask is not None:
            kept = self.mask.repeat(self.groups // len(self.mask), 0).astype(bool)
        top = np.where(kept, runs, -128).max(2, keepdims=True)
        exponents = np.where(kept, self.table.astype(np.int64)[np.maximum(top - runs, 0)], 0)
        reciprocal = 2**40 // exponents.sum(2, keepdims=True)
        return self.emit(rounding_shift(exponents * reciprocal, self.shift)).reshape(x.values.shape)
