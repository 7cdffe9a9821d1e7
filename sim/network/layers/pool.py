"""Pooling: over windows, over the whole map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Literal

import numpy as np

from sim.network.check import require, require_output, require_window
from sim.network.integer import pad
from sim.network.layers.base import Operand, Scaled, Single
from sim.network.layers.fields import Int8, Map, Multiplier, Natural, Pair, Shift
from sim.shapes import Axis, PassShape, pooling


@dataclass(frozen=True)
class AveragePool(Single, Scaled):
    """Global average pool: round(sum(x - z_x) * m, s); 1/(H W) is part of m."""

    kind: ClassVar = "average_pool"
    summary: ClassVar = "Global average pool; 1/(H W) is part of the multiplier."

    name: str
    input: str
    multiplier: Multiplier
    shift: Shift
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)

    def ofmap(self, x: Map) -> Map:
        return x[0], 1, 1

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "pool", prod(x), 1, x[0], chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        return self.scale(x.real.sum((2, 3), keepdims=True), self.multiplier)


@dataclass(frozen=True)
class Pool(Single, Scaled):
    """Pooling over windows; ofmap (C, floor((H + 2 p_y - k_y) / s_y) + 1, the same in x).

    max: the largest x inside the map (padding is ignored), clamped; the scale stays, and zero_point
    must be the input's. multiplier and shift are not used.
    average: round(sum(x - z_x) * m, s); padding adds nothing to the sum but counts in the divisor,
    since 1/(k_y k_x) is part of m.

    Padding is at most half the kernel, so that each window holds a value.
    """

    kind: ClassVar = "pool"
    summary: ClassVar = "Pooling over windows; multiplier and shift are of the average."

    name: str
    input: str
    mode: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: tuple[Natural, Natural] = (0, 0)
    multiplier: Multiplier = 1
    shift: Shift = 1
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require(
            self.mode in ("max", "average"),
            f"{self.name}.mode",
            self.mode,
            "unknown",
            "use 'max' or 'average'",
        )
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)
        require_window(self.name, self.kernel, self.stride, (1, 1), self.padding)
        fits = all(2 * p <= k for p, k in zip(self.padding, self.kernel, strict=True))
        require(
            fits, f"{self.name}.padding", self.padding, f"more than half the kernel {self.kernel}", "pad less"
        )

    @property
    def keeps_zero_point(self) -> bool:
        return self.mode == "max"

    def ofmap(self, x: Map) -> Map:
        h, w = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(x[1:], self.padding, self.kernel, self.stride, strict=True)
        )
        require(
            h >= 1 and w >= 1,
            f"{self.name}.kernel",
            self.kernel,
            f"larger than the padded ifmap {x[1:]}",
            "pad the ifmap",
        )
        return x[0], h, w

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        _, *out = self.ofmap(x)
        windows = None
        if self.mode == "max":
            rows, columns = zip(x[1:], self.kernel, self.stride, self.padding, strict=True)
            windows = Axis(*rows), Axis(*columns)
        return pooling(self.name, x[0], x[1:], (out[0], out[1]), self.kernel, self.stride, chained, windows)

    @property
    def along_x(self) -> Pool:
        """What is left of it behind a storer that took the largest along y (`sim.shapes.ridden`)."""
        return replace(
            self, kernel=(1, self.kernel[1]), stride=(1, self.stride[1]), padding=(0, self.padding[1])
        )

    def compute(self, x: Operand) -> np.ndarray:
        if self.mode == "max":
            largest = self._windows(x.values, -128).max((-2, -1))
            return np.clip(largest, self.low, self.high).astype(np.int8)
        total = self._windows(x.values, x.zero_point).sum((-2, -1), dtype=np.int64)
        return self.scale(total - x.zero_point * prod(self.kernel), self.multiplier)

    def _windows(self, x: np.ndarray, fill: int) -> np.ndarray:
        """View [batch, C, OH, OW, k_y, k_x] of a map with `fill` around it."""
        sy, sx = self.stride
        around = pad(x, self.padding, fill)
        return np.lib.stride_tricks.sliding_window_view(around, self.kernel, (2, 3))[:, :, ::sy, ::sx]
