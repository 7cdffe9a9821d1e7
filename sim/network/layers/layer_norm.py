"""Layer, RMS, group and instance normalization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_array, require_output
from sim.network.integer import rounding_shift, square_root
from sim.network.layers.base import Operand, Scaled, Single
from sim.network.layers.fields import Int8, Map, Positive, Presence, Shift, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class LayerNorm(Single, Scaled):
    """Normalization over n values: the channels of each of `groups` equal runs, at each position by itself
    or, if `spatial`, at all positions together (group norm; instance norm with a group a channel).

    With u = x - z_x, s = sum u (0 if `rms`), D = n u - s, V = n sum u^2 - s^2 (n^2 times the variance, or
    mean square), e the least with n <= 2^(15+e), root = isqrt((V + epsilon) 2^(16-2e)) rounded down and
    r = 2^(46-e) // root: N = (D r + 2^25) >> 26 is the normalized value in steps of 2^-12, and
    y_c = clamp(round(N gain_c + bias_c, shift) + z_y). n is at most 2^23. One root and one division for n
    values; all intermediates stay below 2^62.

    Attributes:
        gain: int16 [C], real gain / output scale * 2^(shift - 12).
        bias: int32 [C], real bias / output scale * 2^shift.
        epsilon: 1 to 2^(38+2e) - 1, real epsilon / input scale^2 * n^2 (`norm_constants` makes these).
        rms: no mean is subtracted (RMS norm).
    """

    kind: ClassVar = "layer_norm"
    summary: ClassVar = (
        "Over groups of channels, at each position or all. Tensors `LAYER.gain` (int16 [C]), `LAYER.bias`\n"
        "(int32 [C])."
    )

    name: str
    input: str
    gain: Annotated[np.ndarray, Stored(np.int16)]
    bias: Annotated[np.ndarray, Stored(np.int32)]
    shift: Shift
    epsilon: Annotated[int, Field(ge=1, lt=2**54)] = 1
    rms: bool = False
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127
    groups: Annotated[Positive, Presence.SPARING] = 1
    spatial: Annotated[bool, Presence.SPARING] = False

    def __post_init__(self) -> None:
        require_array(f"{self.name}.gain", self.gain, np.int16, (self.gain.size,))
        require_array(f"{self.name}.bias", self.bias, np.int32, (self.gain.size,))
        require(
            self.groups >= 1 and self.gain.size >= 1 and self.gain.size % self.groups == 0,
            f"{self.name}.groups",
            self.groups,
            f"does not divide {self.gain.size} channels",
            "use a divisor, 1 without groups",
        )
        require_output(self.name, [], self.shift, self.low, self.high)

    def ofmap(self, x: Map) -> Map:
        require(
            x[0] == self.gain.size,
            f"{self.name}.gain",
            self.gain.size,
            f"the ifmap has {x[0]} channels",
            "store one gain for each channel",
        )
        count = self._count(x)
        require(count <= 2**23, f"{self.name}.groups", count, "more than 2^23 values", "use more groups")
        bound = 2 ** (38 + 2 * _excess(count))
        require(
            1 <= self.epsilon < bound,
            f"{self.name}.epsilon",
            self.epsilon,
            f"must be from 1 to {bound - 1}",
            "make it with norm_constants",
        )
        return x

    def _count(self, x: Map) -> int:
        """Values that are normalized together."""
        return x[0] // self.groups * (x[1] * x[2] if self.spatial else 1)

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        kind = "rmsnorm" if self.rms else "layernorm"
        return PassShape(self.name, kind, prod(x), 1, prod(x), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        batch, channels, h, w = x.values.shape
        u = x.real.reshape(batch, self.groups, channels // self.groups, h, w)
        over, count = (2, 3, 4) if self.spatial else (2,), self._count((channels, h, w))
        excess = _excess(count)
        total = 0 if self.rms else u.sum(over, keepdims=True)
        spread = count * (u * u).sum(over, keepdims=True) - total * total
        inverse = 2 ** (46 - excess) // square_root((spread + self.epsilon) << (16 - 2 * excess))
        normalized = rounding_shift((count * u - total) * inverse, 26).reshape(x.values.shape)
        gain, bias = (v.astype(np.int64)[:, None, None] for v in (self.gain, self.bias))
        return self.round(normalized * gain + bias)


def _excess(count: int) -> int:
    """Bits by which a count of values is beyond 2^15."""
    return max(0, (count - 1).bit_length() - 15)
