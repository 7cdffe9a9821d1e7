"""Layers of multiply-accumulates: convolution (and linear), product of two activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.network.check import require, require_array, require_clamp, require_output, require_window
from sim.network.weights import Weight
from sim.shapes import ConvShape

Map = tuple[int, int, int]
"""(C, H, W) of a tensor."""


@dataclass(frozen=True, eq=False)
class Requantization:
    """Per-output-channel m (uint16 [K]) and s (uint8 [K], 1..47); output zero point and clamp.

    With a `table` (int8 [256]) the layer emits table[y + 128] of the clamped y: any activation rides
    on the storer. `zero_point` is that of y, `table_zero_point` that of the entries.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int = 0
    low: int = -128
    high: int = 127
    table: np.ndarray | None = None
    table_zero_point: int = 0

    def __post_init__(self) -> None:
        require(
            self.multiplier.dtype == np.uint16,
            "multiplier",
            self.multiplier.dtype,
            "must be uint16",
            "scale m and s together",
        )
        ok = self.shift.dtype == np.uint8 and self.shift.min() >= 1 and self.shift.max() <= 47
        require(
            ok,
            "shift",
            f"{self.shift.dtype} {self.shift.min()}..{self.shift.max()}",
            "must be uint8 from 1 to 47",
            "rescale m",
        )
        require_clamp("requantization", self.low, self.high)
        if self.table is not None:
            require_array("table", self.table, np.int8, (256,))

    @property
    def output_zero_point(self) -> int:
        """Zero point of the tensor that leaves the layer."""
        return self.zero_point if self.table is None else self.table_zero_point


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution; a linear layer is a 1x1 kernel on a 1x1 map, or on (tokens, 1).

    The weight is [K, C/groups, Ky, Kx]; output channels k of group g = k // (K/groups) read input
    channels g*C/groups and on. `bias` is int32 [K] and contains the fold of the input's zero point.
    Padding inserts the input's zero point. Without `requantization` the layer emits int32 acc + bias
    (logits).
    """

    name: str
    input: str
    weight: Weight
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    requantization: Requantization | None = None
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        outputs = self.weight.shape[0]
        require(
            self.bias.dtype == np.int32 and self.bias.shape == (outputs,),
            f"{self.name}.bias",
            f"{self.bias.dtype}{list(self.bias.shape)}",
            f"must be int32 [{outputs}]",
            "store one bias for each output channel",
        )
        if self.requantization is not None:
            n = self.requantization.multiplier.shape
            require(
                {n, self.requantization.shift.shape} == {(outputs,)},
                f"{self.name}.multiplier",
                list(n),
                f"must be [{outputs}]",
                "store one multiplier for each channel",
            )
        require_window(self.name, self.weight.shape[2:], self.stride, self.dilation, self.padding)
        require(
            self.groups >= 1 and outputs % self.groups == 0,
            f"{self.name}.groups",
            self.groups,
            f"does not divide {outputs} output channels",
            "use a divisor, 1 without groups",
        )
        worst = self.worst_accumulator
        require(
            worst < 2**31,
            f"{self.name}.bias",
            worst,
            "|acc + bias| may reach 2^31 and the 32-bit psum would wrap",
            "use smaller weights or split the layer",
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def zero_point(self) -> int:
        return self.requantization.output_zero_point if self.requantization else 0

    @cached_property
    def worst_accumulator(self) -> int:
        """Upper bound of |acc + bias| over all INT8 ifmaps."""
        magnitude = np.abs(self.weight.decode(), dtype=np.int16).sum((1, 2, 3), dtype=np.int64) * 128
        return int((magnitude + np.abs(self.bias.astype(np.int64))).max())

    def shape(self, ifmap: Map, *, chained: bool = True) -> ConvShape:
        """What mapping and the closed form need to know, on an ifmap (C, H, W)."""
        outputs, c, ky, kx = self.weight.shape
        require(
            c * self.groups == ifmap[0],
            f"{self.name}.weight",
            list(self.weight.shape),
            f"the ifmap has {ifmap[0]} channels in {self.groups} groups",
            "give one kernel plane for each input channel of a group",
        )
        return ConvShape(
            self.name,
            ifmap[0],
            outputs,
            (ky, kx),
            self.stride,
            self.padding,
            ifmap[1:],
            dilation=self.dilation,
            groups=self.groups,
            chained=chained,
            wide=self.requantization is None,
        )

    def ofmap(self, ifmap: Map) -> Map:
        """(K, OH, OW)."""
        shape = self.shape(ifmap)
        return shape.outputs, shape.out_h, shape.out_w


@dataclass(frozen=True)
class MatMul:
    """Product of two activations, head by head; tokens lie along H, W = 1, channels = heads * size.

    With `transpose_b` (Q K^T): a (heads*dh, Nq, 1), b (heads*dh, Nk, 1) -> (heads*Nk, Nq, 1),
    acc[h*Nk + j, i] = sum_c (a[h*dh + c, i] - z_a) (b[h*dh + c, j] - z_b).
    Without (A V): a (heads*Nk, Nq, 1), b (heads*dh, Nk, 1) -> (heads*dh, Nq, 1),
    acc[h*dh + c, i] = sum_j (a[h*Nk + j, i] - z_a) (b[h*dh + c, j] - z_b).
    Then y = clamp(((acc*m + 2^(s-1)) >> s) + z_y), one m and s for the tensor.

    The array computes raw products, b in the place of the weights; with n terms a sum,
    acc = raw - z_b * (sum of a at the token) - z_a * (sum of b at the output) + n * z_a * z_b.
    """

    name: str
    inputs: tuple[str, str]
    heads: int
    transpose_b: bool
    multiplier: int
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127

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
