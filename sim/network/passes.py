"""Layers of the vector unit: what is no sum of products over channels.

Each docstring is the definition; `>>` is an arithmetic shift and round(v, s) = (v + 2^(s-1)) >> s,
halves towards +infinity. Every layer with low and high ends with clamp(. + zero_point, low, high).
Tables travel in the network file, so that no result depends on a platform's exp().
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from sim.network.check import require, require_array, require_clamp, require_output, require_window
from sim.network.layers import Map
from sim.shapes import PassShape, map_bytes


@dataclass(frozen=True)
class Add:
    """Residual addition with one rounding: round((a-z_a) m_a + (b-z_b) m_b, s)."""

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        require_output(self.name, self.multipliers, self.shift, self.low, self.high)

    def ofmap(self, a: Map, b: Map) -> Map:
        require(a == b, f"{self.name}.inputs", b, f"shapes differ: {a}", "add tensors of one shape")
        return a

    def shape(self, a: Map, b: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "add", prod(a), 2, prod(a), chained, channels=a[0])


def _bytes(*maps: Map) -> int:
    """Of maps as they lie in memory."""
    return sum(map_bytes(c, h * w) for c, h, w in maps)


class _Single:
    """A layer that reads one tensor."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)


@dataclass(frozen=True)
class AveragePool(_Single):
    """Global average pool: round(sum(x - z_x) * m, s); 1/(H W) is part of m."""

    name: str
    input: str
    multiplier: int
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)

    def ofmap(self, x: Map) -> Map:
        return x[0], 1, 1

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "pool", prod(x), 1, x[0], chained, channels=x[0])


@dataclass(frozen=True)
class Pool(_Single):
    """Pooling over windows; ofmap (C, floor((H + 2 p_y - k_y) / s_y) + 1, the same in x).

    max: the largest x inside the map (padding is ignored), clamped; the scale stays, and zero_point
    must be the input's. multiplier and shift are not used.
    average: round(sum(x - z_x) * m, s); padding adds nothing to the sum but counts in the divisor,
    since 1/(k_y k_x) is part of m.

    Padding is at most half the kernel, so that each window holds a value.
    """

    name: str
    input: str
    mode: Literal["max", "average"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    multiplier: int = 1
    shift: int = 1
    zero_point: int = 0
    low: int = -128
    high: int = 127

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
        results = prod(self.ofmap(x))
        return PassShape(self.name, "pool", results * prod(self.kernel), 1, results, chained, channels=x[0])


@dataclass(frozen=True)
class Concat:
    """Tensors one after the other along channels (axis 0) or tokens (axis 1, H).

    Each value becomes round((x - z_x) m_i, s), one rounding into the common scale.
    """

    name: str
    inputs: tuple[str, ...]
    multipliers: tuple[int, ...]
    shift: int
    axis: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        require_output(self.name, self.multipliers, self.shift, self.low, self.high)
        require(
            len(self.inputs) == len(self.multipliers) >= 1,
            f"{self.name}.multipliers",
            self.multipliers,
            f"there are {len(self.inputs)} inputs",
            "give one for each input",
        )
        require(self.axis in (0, 1), f"{self.name}.axis", self.axis, "unknown", "use 0 (C) or 1 (H)")

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
        c, h, w = maps[0]
        return (total, h, w) if self.axis == 0 else (c, total, w)

    def shape(self, *maps: Map, chained: bool = True) -> PassShape:
        ofmap = self.ofmap(*maps)
        total, reads = prod(ofmap), _bytes(*maps)
        return PassShape(
            self.name, "concat", total, 1, total, chained, 0 if reads == _bytes(ofmap) else reads, ofmap[0]
        )


@dataclass(frozen=True)
class Upsample(_Single):
    """Nearest neighbour: y[c, i, j] = x[c, i // f_y, j // f_x]; zero_point must be the input's."""

    name: str
    input: str
    factor: tuple[int, int]
    zero_point: int = 0

    keeps_zero_point = True

    def __post_init__(self) -> None:
        require(min(self.factor) >= 1, f"{self.name}.factor", self.factor, "must be positive", "use (2, 2)")

    def ofmap(self, x: Map) -> Map:
        return x[0], x[1] * self.factor[0], x[2] * self.factor[1]

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "upsample", prod(x), 1, prod(self.ofmap(x)), chained, channels=x[0])


@dataclass(frozen=True)
class Reshape(_Single):
    """The same values, in order, as another (C, H, W): an image's (C, H, W) as tokens (C, H*W, 1), or
    flat (C*H*W, 1, 1). It moves nothing and emits no shape; zero_point must be the input's."""

    name: str
    input: str
    to: Map
    zero_point: int = 0

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


@dataclass(frozen=True, eq=False)
class Table(_Single):
    """y = table[x + 128]; table int8 [256]: any function of one value."""

    name: str
    input: str
    table: np.ndarray
    zero_point: int = 0

    def __post_init__(self) -> None:
        require_array(f"{self.name}.table", self.table, np.int8, (256,))

    def ofmap(self, x: Map) -> Map:
        return x

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        return PassShape(self.name, "table", prod(x), 1, prod(x), chained, channels=x[0])


@dataclass(frozen=True)
class Multiply:
    """Element-wise product: round((a-z_a) (b-z_b) m, s); b is of a's shape or (C, 1, 1)."""

    name: str
    inputs: tuple[str, str]
    multiplier: int
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        require_output(self.name, [self.multiplier], self.shift, self.low, self.high)

    def ofmap(self, a: Map, b: Map) -> Map:
        require(
            b in (a, (a[0], 1, 1)),
            f"{self.name}.inputs",
            b,
            f"neither {a} nor {(a[0], 1, 1)}",
            "give a second operand of the same shape or one value a channel",
        )
        return a

    def shape(self, a: Map, b: Map, *, chained: bool = True) -> PassShape:
        reads = 0 if a == b else _bytes(a, b)
        return PassShape(self.name, "multiply", prod(a), 2, prod(a), chained, reads, a[0])


@dataclass(frozen=True, eq=False)
class Softmax(_Single):
    """Softmax over each of `groups` equal runs of channels, at each position; output scale 1/256.

    With M the largest x of the run: e_j = table[M - x_j], S = sum e_j, r = 2^40 // S and
    y_j = clamp(((e_j r + 2^31) >> 32) + z_y). One division a run; e_j r <= 2^40. A probability p is
    256 p, so that with the default zero point -128 a p of 1 saturates at 255/256.

    table: uint16 [256], table[d] ~ 65535 exp(-d * scale), table[0] > 0 (`exponent_table`).
    """

    name: str
    input: str
    table: np.ndarray
    groups: int = 1
    zero_point: int = -128
    low: int = -128
    high: int = 127

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


@dataclass(frozen=True, eq=False)
class LayerNorm(_Single):
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

    name: str
    input: str
    gain: np.ndarray
    bias: np.ndarray
    shift: int
    epsilon: int = 1
    rms: bool = False
    zero_point: int = 0
    low: int = -128
    high: int = 127

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


@dataclass(frozen=True, eq=False)
class Scan:
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

    name: str
    inputs: tuple[str, str, str, str]
    decay: np.ndarray
    table: np.ndarray
    skip: np.ndarray
    decay_shift: int
    step_multiplier: int
    step_shift: int
    multiplier: int
    shift: int
    reverse: bool = False
    zero_point: int = 0
    low: int = -128
    high: int = 127

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
            reads=_bytes(x, delta, b, c),
            channels=x[0],
        )
