"""Convolution (and linear) with its requantization."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_array, require_clamp, require_filled, require_window
from sim.network.integer import pad, requantize
from sim.network.layers.base import Operand, Single
from sim.network.layers.fields import Int8, Map, Natural, Pair, Positive, Presence, Stored
from sim.network.weights import Weight
from sim.shapes import ConvShape

COLUMNS = 2**22
"""Elements of an im2col block, which bounds the memory of a convolution."""


@dataclass(frozen=True, eq=False)
class Requantization:
    """Per-output-channel m (uint16 [K]) and s (uint8 [K], 1..47); output zero point and clamp.

    With a `table` (int8 [256]) the layer emits table[y + 128] of the clamped y: any activation rides
    on the storer. `zero_point` is that of y, `table_zero_point` that of the entries.
    """

    summary: ClassVar = (
        "With a table: tensor `LAYER.table` (int8 [256]), looked up at y + 128 after the clamp."
    )

    multiplier: Annotated[np.ndarray, Stored(np.uint16)]
    shift: Annotated[np.ndarray, Stored(np.uint8)]
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127
    table: Annotated[np.ndarray | None, Stored(np.int8), Presence.SPARING] = None
    table_zero_point: Annotated[Int8, Presence.SPARING] = 0

    def __post_init__(self) -> None:
        require(
            self.multiplier.dtype == np.uint16,
            "multiplier",
            self.multiplier.dtype,
            "must be uint16",
            "scale m and s together",
        )
        require_filled("shift", self.shift)
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
class Conv(Single):
    """Convolution; a linear layer is a 1x1 kernel on a 1x1 map, or on (tokens, 1).

    The weight is [K, C/groups, Ky, Kx]; output channels k of group g = k // (K/groups) read input
    channels g*C/groups and on. `bias` is int32 [K] and contains the fold of the input's zero point.
    Padding inserts the input's zero point. Without `requantization` the layer emits int32 acc + bias
    (logits).
    """

    kind: ClassVar = "conv"
    summary: ClassVar = (
        "Tensors `LAYER.bias` (int32) and, if requantized, `.multiplier` (uint16), `.shift` (uint8)."
    )

    name: str
    input: str
    weight: Weight
    bias: Annotated[np.ndarray, Stored(np.int32)]
    stride: Annotated[Pair, Presence.REQUIRED] = (1, 1)
    padding: Annotated[tuple[Natural, Natural], Presence.REQUIRED] = (0, 0)
    requantization: Annotated[
        Requantization | None, Presence.REQUIRED, Field(description="null: the layer emits acc + bias")
    ] = None
    groups: Annotated[Positive, Presence.SPARING] = 1
    dilation: Annotated[Pair, Presence.SPARING] = (1, 1)

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
    def zero_point(self) -> int:
        return self.requantization.output_zero_point if self.requantization else 0

    @property
    def wide(self) -> bool:
        return self.requantization is None

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
            wide=self.wide,
        )

    def ofmap(self, ifmap: Map) -> Map:
        """(K, OH, OW)."""
        shape = self.shape(ifmap)
        return shape.outputs, shape.out_h, shape.out_w

    def compute(self, x: Operand) -> np.ndarray:
        return finish(self, convolve(x.values, self, x.zero_point))


def convolve(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int32 accumulators [batch, K, OH, OW] of a convolution, without bias.

    Products are summed in float32 GEMMs, split where a partial sum might reach 2^24; below it all
    integers are exact, in any order. The parts add in int32.
    """
    weight = layer.weight.decode()
    outputs, c, ky, kx = weight.shape
    groups, (sy, sx), (dy, dx) = layer.groups, layer.stride, layer.dilation
    x = pad(ifmap, layer.padding, zero_point)
    oh = (x.shape[2] - (ky - 1) * dy - 1) // sy + 1
    ow = (x.shape[3] - (kx - 1) * dx - 1) // sx + 1
    taps = weight.reshape(groups, outputs // groups, c * ky * kx)
    if c == 1 and outputs <= 4 * groups:
        return _depthwise(x, taps, layer, oh, ow)
    matrix = taps.astype(np.float32)
    cuts = _cuts(taps)
    block = max(1, COLUMNS // (groups * c * ky * kx * ow))
    acc = np.empty((len(x), groups, outputs // groups, oh, ow), np.int32)
    for image, out in zip(x, acc, strict=True):
        for top in range(0, oh, block):
            rows = min(block, oh - top)
            columns = np.empty((groups * c, ky, kx, rows, ow), np.float32)
            for i in range(ky):
                for j in range(kx):
                    y = top * sy + i * dy
                    columns[:, i, j] = image[
                        :, y : y + (rows - 1) * sy + 1 : sy, j * dx : j * dx + (ow - 1) * sx + 1 : sx
                    ]
            flat = columns.reshape(groups, c * ky * kx, rows * ow)
            parts = [matrix[:, :, low:high] @ flat[:, low:high] for low, high in pairwise(cuts)]
            total = parts[0].astype(np.int32)
            for part in parts[1:]:
                total += part.astype(np.int32)
            out[:, :, top : top + rows] = total.reshape(groups, -1, rows, ow)
    return acc.reshape(len(x), outputs, oh, ow)


def _cuts(taps: np.ndarray) -> list[int]:
    """Where to cut the terms so that sum |w| * 128 of no output exceeds 2^24 within a part."""
    bound = 2**24 // 128
    reach = np.abs(taps, dtype=np.int16).max((0, 1)).astype(np.int64)
    if (total := np.abs(taps, dtype=np.int16).sum(2, dtype=np.int64).max(initial=0)) <= bound:
        return [0, taps.shape[2]]
    assert total < 2**31
    cuts, used = [0], 0
    for place, worst in enumerate(reach.tolist()):
        if used + worst > bound:
            cuts.append(place)
            used = 0
        used += worst
    return [*cuts, taps.shape[2]]


def _depthwise(x: np.ndarray, taps: np.ndarray, layer: Conv, oh: int, ow: int) -> np.ndarray:
    """One input channel a group: a product a tap, summed in int32."""
    (sy, sx), (dy, dx) = layer.stride, layer.dilation
    groups, each, _ = taps.shape
    acc = np.zeros((len(x), groups, each, oh, ow), np.int32)
    for place, (i, j) in enumerate(np.ndindex(*layer.weight.shape[2:])):
        window = x[
            :, :, i * dy : i * dy + (oh - 1) * sy + 1 : sy, j * dx : j * dx + (ow - 1) * sx + 1 : sx
        ].astype(np.int32)
        acc += window[:, :, None] * taps[:, :, place].astype(np.int32)[:, :, None, None]
    return acc.reshape(len(x), groups * each, oh, ow)


def finish(layer: Conv, acc: np.ndarray) -> np.ndarray:
    """Bias, requantization and table of accumulators [batch, K, OH, OW]."""
    rows = np.moveaxis(acc, 1, -1)
    q = layer.requantization
    if q is None:
        out = (rows.astype(np.int64) + layer.bias).astype(np.int32)
    else:
        out = requantize(rows, layer.bias, q.multiplier, q.shift, q.zero_point, q.low, q.high)
        if q.table is not None:
            out = q.table[out.astype(np.int16) + 128]
    return np.ascontiguousarray(np.moveaxis(out, -1, 1))
