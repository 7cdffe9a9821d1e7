"""A tensor that the file holds."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np

from sim.network.check import require, require_filled
from sim.network.layers.base import Layer
from sim.network.layers.fields import Int8, Map, Stored
from sim.shapes import PassShape


@dataclass(frozen=True, eq=False)
class Constant(Layer):
    """The same int8 [C, H, W] for every image: positions, class tokens, rotation tables.

    Its pass brings it from DRAM for each inference.
    """

    kind: ClassVar = "constant"
    summary: ClassVar = "Tensor `LAYER.values`: int8 [C, H, W], for every image."

    name: str
    values: Annotated[np.ndarray, Stored(np.int8)]
    zero_point: Int8 = 0

    def __post_init__(self) -> None:
        require_filled(f"{self.name}.values", self.values)
        require(
            self.values.dtype == np.int8 and self.values.ndim == 3,
            f"{self.name}.values",
            f"{self.values.dtype}{list(self.values.shape)}",
            "must be int8 [C, H, W]",
            "store it so",
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    def ofmap(self) -> Map:
        c, h, w = self.values.shape
        return c, h, w

    def shape(self, *, chained: bool = True) -> PassShape:
        total = prod(self.values.shape)
        return PassShape(self.name, "constant", total, 1, total, False, channels=self.ofmap()[0], stored=True)

    def compute(self) -> np.ndarray:
        """int8 [1, C, H, W]."""
        return self.values[None]
