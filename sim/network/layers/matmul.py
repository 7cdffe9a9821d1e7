"""Product of two activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_output
from sim.network.layers.base import Operand, Scaled
from sim.network.layers.fields import Int8, Map, Multiplier, Positive, Shift
from sim.shapes import ConvShape


@dataclass(frozen=True)
class MatMul(Scaled):
    """Product of two activations, head by head; tokens lie along H, W = 1, channels = heads * size.

    With `transpose_b` (Q K^T): a (heads*dh, Nq, 1), b (heads*dh, Nk, 1) -> (heads*Nk, Nq, 1),
    acc[h*Nk + j, i] = sum_c (a[h*dh + c, i] - z_a) (b[h*dh + c, j] - z_b).
    Without (A V): a (heads*Nk, Nq, 1), b (heads*dh, Nk, 1) -> (heads*dh, Nq, 1),
    acc[h*dh + c, i] = sum_j (a[h*Nk + j, i] - z_a) (b[h*dh + c, j] - z_b).
    Then y = clamp(((acc*m + 2^(s-1)) >> s) + z_y), one m and s for the tensor.

    The array computes raw products, b in the place of the weights; with n terms a sum,
    acc = raw - z_b * (sum of a at the token) - z_a * (sum of b at the output) + n * z_a * z_b.
    """

    kind: ClassVar = "matmul"
    summary: ClassVar = "Product of two activations, head by head."

    name: str
    inputs: tuple[str, str]
    heads: Positive
    transpose_b: Annotated[bool, Field(description="true: Q K^T, false: A V")]
    multiplier: Multiplier
    shift: Shift
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)
        require(self.heads >= 1, f"{self.name}.heads", self.heads, "must be positive", "use 1")

    def shape(self, a: Map, b: Map, *, chained: bool = True) -> ConvShape:
        """A 1x1 convolution of a with one group a head, whose weights are b."""
        channels, queries, _ = self._checked(a, b)
        outputs = self.heads * b[1] if self.transpose_b else b[0]
        return ConvShape(
            self.name, channels, outputs, size=(queries, 1), groups=self.heads, dynamic=True, chained=chained
        )

    def ofmap(self, a: Map, b: Map) -> Map:
        shape = self.shape(a, b)
        return shape.outputs, shape.out_h, 1

    def _checked(self, a: Map, b: Map) -> Map:
        require(
            a[2] == b[2] == 1,
            f"{self.name}.inputs",
            (a, b),
            "tokens lie along H, with W = 1",
            "reshape the maps to (channels, tokens, 1)",
        )
        for m in (a, b):
            require(
                m[0] % self.heads == 0,
                f"{self.name}.heads",
                self.heads,
                f"does not divide {m[0]} channels",
                "give heads * size channels",
            )
        expected = b[0] if self.transpose_b else self.heads * b[1]
        require(
            a[0] == expected,
            f"{self.name}.inputs",
            (a, b),
            f"the first operand needs {expected} channels",
            "match the inner sizes",
        )
        terms = a[0] // self.heads
        require(
            terms * 255**2 < 2**31,
            f"{self.name}.inputs",
            terms,
            "terms may overflow the 32-bit psum",
            "split the product",
        )
        return a

    def compute(self, a: Operand, b: Operand) -> np.ndarray:
        """In float64, which is exact: sums stay below 2^31."""
        batch, tokens = len(a.values), a.values.shape[2]
        left = a.values.reshape(batch, self.heads, -1, tokens).astype(np.float64) - a.zero_point
        right = b.values.reshape(batch, self.heads, -1, b.values.shape[2]).astype(np.float64) - b.zero_point
        if self.transpose_b:
            right = right.swapaxes(2, 3)
        return self.scale((right @ left).astype(np.int64).reshape(batch, -1, tokens, 1), self.multiplier)
