"""Layer and RMS normalization."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sim.network.check import require, require_array, require_output
from sim.network.integer import rounding_shift, square_root
from sim.network.layers.base import Operand, Scaled, Single
from sim.network.layers.fields import Int8, Map, Shift, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class LayerNorm(Single, Scaled):
    """Normalization over all C channels at each position, C of at most 32,768.

    With u = x - z_x, s = sum u (0 if `rms`), D_c = C u_c - s, V = C sum u^2 - s^2 (C^2 times the
    variance, or mean square), root = isqrt((V + epsilon) 2^16) rounded down and r = 2^46 // root:
    n_c = (D_c r + 2^25) >> 26 is the normalized value in steps of 2^-12, and
    y_c = clamp(round(n_c gain_c + bias_c, shift) + z_y). One root and one division a position; all
    intermediates stay below 2^62.

    Attributes:
        gain: int16 [C], real gain / output scale * 2^(shift - 12).
        bias: int32 [C], real bias / output scale * 2^shift.
        epsilon: 1 to 2^38 - 1, real epsilon / input scale^2 * C^2 (`norm_constants` makes these).
        rms: no mean is subtracted (RMS norm).
    """

    kind: ClassVar = "layer_norm"
    summary: ClassVar = (
        "Over channels at each position. Tensors `LAYER.gain` (int16 [C]), `LAYER.bias` (int32 [C])."
    )

    name: str
    input: str
    gain: Annotated[np.ndarray, Stored(np.int16)]
    bias: Annotated[np.ndarray, Stored(np.int32)]
    shift: Shift
    epsilon: Annotated[int, Field(ge=1, lt=2**38)] = 1
    rms: bool = False
    zero_point: Int8 = 0
    low: Int8 = -128
    high: Int8 = 127

    def __post_init__(self) -> None:
        require_array(f"{self.name}.gain", self.gain, np.int16, (self.gain.size,))
        require_array(f"{self.name}.bias", self.bias, np.int32, (self.gain.size,))
        require(
            1 <= self.gain.size <= 32768,
            f"{self.name}.gain",
            self.gain.size,
            "channels must be 1 to 32768",
            "normalize fewer channels",
        )
        require(
            1 <= self.epsilon < 2**38,
            f"{self.name}.epsilon",
            self.epsilon,
            "must be from 1 to 2^38 - 1",
            "make it with norm_constants",
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
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        kind = "rmsnorm" if self.rms else "layernorm"
        return PassShape(self.name, kind, prod(x), 1, prod(x), chained, channels=x[0])

    def compute(self, x: Operand) -> np.ndarray:
        u, channels = x.real, x.values.shape[1]
        total = 0 if self.rms else u.sum(1, keepdims=True)
        spread = channels * (u * u).sum(1, keepdims=True) - total * total
        inverse = 2**46 // square_root((spread + self.epsilon) << 16)
        normalized = rounding_shift((channels * u - total) * inverse, 26)
        gain, bias = (v.astype(np.int64)[:, None, None] for v in (self.gain, self.bias))
        return self.round(normalized * gain + bias)
