"""Layers that move values."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from sim.network.check import require, require_output
from sim.network.layers.base import Operand, Scaled, Single, stored_bytes
from sim.network.layers.fields import Int8, Map, Multiplier, Pair, Shift
from sim.shapes import PassShape


@dataclass(frozen=True)
class Concat(Scaled):
    """Tensors one after the other along C (axis 0), H (1: tokens) or W (2).

    Each value becomes round((x - z_x) m_i, s), one rounding into the common scale.
    """

    kind: ClassVar = "concat"
    summary: ClassVar = "Tensors one after the other, requantized into one scale."

    name: str
    inputs: tuple[str, ...]
    multipliers: tuple[Multiplier, ...]
    shift: Shift
    axis: Annotated[Literal[0, 1, 2], Field(description="of C, H (tokens), W")] = 0
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_output(self.name, self.multipliers, self.shift, self.low, self.high)
        require(
            len(self.inputs) == len(self.multipliers) >= 1,
            f"{self.name}.multipliers",
            self.multipliers,
            f"there are {len(self.inputs)} inputs",
            "give one for each input",
        )
        require(
            self.axis in (0, 1, 2), f"{self.name}.axis", self.axis, "unknown", "use 0 (C), 1 (H) or 2 (W)"
        )

    def ofmap(self, *maps: Map) -> Map:
        rest = {m[: self.axis] + m[self.axis + 1 :] for m in maps}
        require(
            len(rest) == 1,
            f"{self.name}.inputs",
            maps,
            "shapes differ beside the axis",
            "concatenate tensors that match",
        )
        total = sum(m[self.axis] for m in maps)
        c, h, w = (total if axis == self.axis else n for axis, n in enumerate(maps[0]))
        return c, h, w

    def shape(self, *maps: Map, chained: bool = True) -> PassShape:
        ofmap = self.ofmap(*maps)
        total, reads = prod(ofmap), stored_bytes(*maps)
        return PassShape(
            self.name,
            "concat",
            total,
            1,
            total,
            chained,
            0 if reads == stored_bytes(ofmap) else reads,
            ofmap[0],
        )

    def compute(self, *parts: Operand) -> np.ndarray:
        scaled = [self.scale(part.real, m) for part, m in zip(parts, self.multipliers, strict=True)]
        return np.concatenate(scaled, 1 + self.axis)


@dataclass(frozen=True)
class Upsample(Single):
    """Nearest neighbour: y[c, i, j] = x[c, i // f_y, j // f_x]; zero_point must be the input's."""

    kind: ClassVar = "upsample"
    summary: ClassVar = "Nearest neighbour by integer factors (y, x)."

    name: str
    input: str
    factor: Pair
    zero_point: Int8 = 0

    keeps_zero_point = True

    def __post_init__(self) -> None:
        require(min(self.factor) >= 1, f"{self.name}.factor", self.factor, "must be positive", "use (2, 2)")

    def ofmap(self, x: Map) -> Map:
        return x[0], x[1] * self.factor[0], x[2] * self.factor[1]

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "upsample", prod(x), 1, prod(self.ofmap(x)), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        return x.values.repeat(self.factor[0], 2).repeat(self.factor[1], 3)


@dataclass(frozen=True)
class Reshape(Single):
    """The same values, in order, as another (C, H, W): an image's (C, H, W) as tokens (C, H*W, 1), or
    flat (C*H*W, 1, 1). It moves nothing and emits no shape; zero_point must be the input's."""

    kind: ClassVar = "reshape"
    summary: ClassVar = "The same values, in order, as (C, H, W)."

    name: str
    input: str
    to: Map
    zero_point: Int8 = 0

    keeps_zero_point = True

    def ofmap(self, x: Map) -> Map:
        require(
            min(self.to) >= 1 and prod(self.to) == prod(x),
            f"{self.name}.to",
            self.to,
            f"has not the {prod(x)} elements of {x}",
            "keep the count",
        )
        return self.to

    def shape(self, x: Map, *, chained: bool = True) -> None:
        return None

    def compute(self, x: Operand) -> np.ndarray:
        return x.values.reshape(len(x.values), *self.to)
