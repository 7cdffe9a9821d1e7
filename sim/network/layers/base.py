"""What a layer is, and what families of layers share.

The docstring of a kind is its definition; `>>` is an arithmetic shift and round(v, s) =
(v + 2^(s-1)) >> s, halves towards +infinity. Every layer with low and high ends with
clamp(. + zero_point, low, high). Tables travel in the network file, so that no result depends on a
platform's exp().
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from sim.errors import InputError
from sim.network.integer import rounding_shift
from sim.network.layers.fields import Map
from sim.shapes import Shape, map_bytes

Entry = TypeVar("Entry")


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor that a layer reads: int8 [batch, C, H, W] and its zero point."""

    values: np.ndarray
    zero_point: int

    @property
    def real(self) -> np.ndarray:
        """int64 values less the zero point."""
        return self.values.astype(np.int64) - self.zero_point


class Layer(ABC):
    """A layer of a network; each kind is a frozen dataclass and stands in `KINDS`.

    Attributes:
        kind: the name in the network file.
        summary: of the kind in the published schema of the file.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]

    if TYPE_CHECKING:
        # Fields of some kinds and properties of others. A property of this class would be taken by
        # `dataclass` for the default of the field.
        @property
        def name(self) -> str: ...
        @property
        def inputs(self) -> tuple[str, ...]: ...
        @property
        def zero_point(self) -> int: ...

    @property
    def keeps_zero_point(self) -> bool:
        """Values pass unchanged, so that the zero point must be the first input's."""
        return False

    @property
    def wide(self) -> bool:
        """The layer emits int32, which no layer reads."""
        return False

    @abstractmethod
    def ofmap(self, *maps: Any, **_: Any) -> Map:
        """(C, H, W) of the output from those of the inputs.

        Raises:
            InputError: maps that the layer cannot read.
        """

    @abstractmethod
    def shape(self, *maps: Any, **chained: Any) -> Shape | None:
        """What mapping, the closed form and the cost need to know, on inputs (C, H, W); None: no work.

        `chained`: the first operand is what the layer before wrote.
        """

    @abstractmethod
    def compute(self, *operands: Any, **_: Any) -> np.ndarray:
        """The functional definition: int8 [batch, C, H, W] (int32 if `wide`) from an `Operand` for each input."""


class Single(Layer):
    """A layer that reads one tensor."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)


class Clamped(Layer):
    """A layer that ends with clamp(. + zero_point, low, high)."""

    low: int
    high: int

    def emit(self, value: np.ndarray) -> np.ndarray:
        """int8 of int64."""
        return np.clip(value + self.zero_point, self.low, self.high).astype(np.int8)


class Scaled(Clamped):
    """A clamped layer whose sums end with round(., s) or round(. m, s)."""

    shift: int

    def round(self, total: np.ndarray) -> np.ndarray:
        """int8 of int64 sums: clamp(round(total, s) + zero_point)."""
        return self.emit(rounding_shift(total, self.shift))

    def scale(self, total: np.ndarray, multiplier: int) -> np.ndarray:
        """int8 of int64 sums: clamp(round(total m, s) + zero_point)."""
        return self.round(total * multiplier)


def by_kind(table: Mapping[type[Layer], Entry], layer: Layer, where: str) -> Entry:
    """The entry of the layer's kind in a table of `where`.

    Raises:
        InputError: it has none.
    """
    if (entry := table.get(type(layer))) is None:
        raise InputError(f"{layer.name}.kind", layer.kind, f"unknown to {where}", "add it to that table")
    return entry


def stored_bytes(*maps: Map) -> int:
    """Bytes of all maps, padded to whole words."""
    return sum(map_bytes(c, h * w) for c, h, w in maps)
