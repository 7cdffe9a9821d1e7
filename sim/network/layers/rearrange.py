"""Any fixed movement of values: slices, permutations, windows, padding."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from sim.limits import ELEMENTS
from sim.network.check import require
from sim.network.layers.base import Operand, Single, stored_bytes
from sim.network.layers.fields import Int8, Map, Natural, Positive, Presence
from sim.shapes import WORD, PassShape

Ends = tuple[Natural, Natural]
MODES = {"zero": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}
"""What lies beside a map, and NumPy's name for it."""


@dataclass(frozen=True)
class Rearrange(Single):
    """The padded map, read by strides; zero_point must be the input's.

    Values of the output, row-major, are those of the padded map, flat and row-major, at
    offset + sum_k i_k strides_k, where the i_k count through `sizes`, the last one fastest. A stride of 0
    repeats, a negative one turns around. With n values along an axis, `padding` (before, after) of C, H and
    W holds at position p < 0 or p >= n: z_x (zero), the value at clamp(p, 0, n-1) (edge), that mirrored at
    the first or last value, which is not repeated (reflect; padding below n), or that at p mod n (wrap).
    """

    kind: ClassVar = "rearrange"
    summary: ClassVar = "The map, padded, read by strides."

    name: str
    input: str
    to: Map
    sizes: tuple[Positive, ...]
    strides: tuple[Annotated[int, Field(ge=-ELEMENTS, le=ELEMENTS)], ...]
    offset: Annotated[int, Field(ge=0, le=ELEMENTS), Presence.SPARING] = 0
    padding: Annotated[
        tuple[Ends, Ends, Ends], Presence.SPARING, Field(description="before and after, of C, H, W")
    ] = ((0, 0), (0, 0), (0, 0))
    mode: Annotated[Literal["zero", "edge", "reflect", "wrap"], Presence.SPARING] = "zero"
    zero_point: Int8 = 0

    keeps_zero_point = True

    def __post_init__(self) -> None:
        require(self.mode in MODES, f"{self.name}.mode", self.mode, "unknown", f"use one of {list(MODES)}")
        require(
            1 <= len(self.sizes) == len(self.strides) <= 16 and min(self.sizes) >= 1,
            f"{self.name}.strides",
            self.strides,
            f"must be one for each of 1 to 16 positive sizes {self.sizes}",
            "give a stride for each size",
        )
        require(
            min(self.to) >= 1 and prod(self.to) == prod(self.sizes),
            f"{self.name}.to",
            self.to,
            f"has not the {prod(self.sizes)} values of sizes {self.sizes}",
            "keep the count",
        )

    def ofmap(self, x: Map) -> Map:
        widths = [ends for pair in self.padding for ends in pair]
        require(min(widths) >= 0, f"{self.name}.padding", self.padding, "must be at least 0", "pad no less")
        inside = all(max(ends) < n for ends, n in zip(self.padding, x, strict=True))
        require(
            self.mode != "reflect" or inside,
            f"{self.name}.padding",
            self.padding,
            f"mirrors more than the map {x} has",
            "pad less than the size of each axis",
        )
        padded = prod(n + sum(ends) for n, ends in zip(x, self.padding, strict=True))
        require(padded <= ELEMENTS, f"{self.name}.padding", self.padding, "is too large", "pad less")
        reach = [(n - 1) * s for n, s in zip(self.sizes, self.strides, strict=True)]
        first = self.offset + sum(min(r, 0) for r in reach)
        last = self.offset + sum(max(r, 0) for r in reach)
        require(
            first >= 0 and last < padded,
            f"{self.name}.strides",
            self.strides,
            f"read values {first} to {last} of the {padded} of the padded map",
            "stay inside",
        )
        return self.to

    def shape(self, x: Map, *, chained: bool = True) -> PassShape:
        """Reads the whole map, or a word for each value where that is less."""
        total = prod(self.to)
        reads = min(stored_bytes(x), WORD * total)
        return PassShape(self.name, "rearrange", total, 1, total, chained, reads, self.to[0])

    def compute(self, x: Operand) -> np.ndarray:
        fill = {"constant_values": x.zero_point} if self.mode == "zero" else {}
        padded = np.pad(x.values, ((0, 0), *self.padding), MODES[self.mode], **fill)  # type: ignore[call-overload]
        flat = np.ascontiguousarray(padded).reshape(len(padded), -1)
        steps = (flat.strides[0], *self.strides)
        view = np.lib.stride_tricks.as_strided(flat[:, self.offset :], (len(flat), *self.sizes), steps)
        return view.reshape(len(flat), *self.to)
