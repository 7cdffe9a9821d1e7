"""What a weight format is: one object for its records, its rules and its names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from sim.formats import encoding

Shape = tuple[int, ...]
Draw = Callable[[int, Shape], np.ndarray]
"""(limit, shape) -> uint16 [shape], each below the limit."""
Values = Callable[[Shape], np.ndarray]
"""shape -> int8 [shape]."""


class Pattern(Protocol):
    """What a machine and a weight both have: N and M of N:M."""

    @property
    def keep(self) -> int: ...
    @property
    def group(self) -> int: ...


class Codewords(Pattern, Protocol):
    """What decides the fields of a record."""

    @property
    def codeword_length(self) -> int: ...
    @property
    def scale_group(self) -> int: ...


class Machine(Codewords, Protocol):
    """What a format reads of an accelerator."""

    @property
    def rows(self) -> int: ...
    @property
    def codebook_entries(self) -> int: ...
    @property
    def multipliers_per_codeword(self) -> int: ...
    @property
    def split(self) -> int: ...
    @property
    def rom_banks(self) -> int: ...
    @property
    def rom_ports(self) -> int: ...


class Format(ABC):
    """A weight format, or another order of its bytes on some machines (`layout_of`).

    Attributes:
        name: in descriptions of accelerators, schedules, synthetic networks and reports.
        code, loader: of a machine of this format, in register `weights`; -1 of a layout, which no
            register tells.
        layout_of: the format whose weights this stream carries in an order of its own, or "".
        weight: the format in which the functional model has these weights; of most formats their own.
        coded: the stream carries records, which a decoder of their own reads.
        books: codebooks whose codewords a record adds up; 0 of formats without any.
        universal: the codebook is a ROM of the machine, the same for all layers.
        masks, signs: a record holds them.
        diagonal: a row serves one group of a grouped layer, and groups lie on the array's diagonal.
        sub_records: a row holds Q weights of each codeword, those of one of its U sub-records.
    """

    name: ClassVar[str]
    code: ClassVar[int] = -1
    loader: ClassVar[str] = ""
    layout_of: ClassVar[str] = ""
    coded: ClassVar[bool] = False
    books: ClassVar[int] = 0
    universal: ClassVar[bool] = False
    masks: ClassVar[bool] = False
    signs: ClassVar[bool] = False
    diagonal: ClassVar[bool] = False
    sub_records: ClassVar[bool] = False

    @property
    def weight(self) -> str:
        return self.layout_of or self.name

    @property
    def loads_codebook(self) -> bool:
        """A codebook job precedes the weights of a layer and fills the codebook RF."""
        return self.books > 0 and not self.universal

    @property
    def memory(self) -> str:
        """Where the codewords lie, as accesses and energies call it."""
        return "rom" if self.universal else "crf"

    @abstractmethod
    def check(self, machine: Machine) -> None:
        """Raises InputError where a machine's fields cannot have the format."""

    def check_weight(self, weight: Any, machine: Machine) -> None:  # noqa: B027  most formats have no more rules
        """Raises InputError where a machine of this format cannot run a weight of the same `pattern`."""

    def pattern(self, of: Any) -> str:
        """The name, with what a machine and its weights must have alike.

        Args:
            of: a machine, or a weight of `sim.network`, of this format.
        """
        return self.name

    @abstractmethod
    def text(self, machine: Machine) -> str:
        """For a person, of a machine of this format: in the heads of its Verilog files."""

    def parts(self, machine: Machine) -> int:
        """U, sub-records of a weight."""
        return 1

    def unit(self, codewords: Codewords) -> int:
        """Output channels of a unit of the stream: 1 of a weight, d of a record."""
        return codewords.codeword_length if self.coded else 1

    def index_bits(self, k: int) -> int:
        """Bits of an index of a layer with k codewords, 0 without any."""
        return encoding.index_bits(k // self.books) if self.books else 0

    def scale_rows(self, machine: Machine) -> int:
        """Rows of scales before the weight rows of each group of input channels."""
        return 0

    def scale_span(self, machine: Machine) -> int:
        """Array rows of such a group; it divides H."""
        return 1

    def rows_sent(self, machine: Machine, rows: Any) -> Any:
        """Rows of the stream, those of scales among them, of whole WRF entries with `rows` channels together.

        Args:
            rows: int, or int64 [n]; only the last entry may have fewer channels than the array has rows.
        """
        return rows + self.scale_rows(machine) * -(-rows // self.scale_span(machine))

    @abstractmethod
    def unit_bits(self, codewords: Codewords, k: int) -> int:
        """Bits of a unit whose layer has k codewords."""

    @abstractmethod
    def row_bits(self, machine: Machine, columns: int, k: int, outputs: int) -> int:
        """Bits of a weight row.

        Args:
            columns: output channels that it serves.
            k: codewords of the layer.
            outputs: output channels of a group of the layer.
        """

    @abstractmethod
    def pack(self, weight: Any, codewords: Codewords) -> np.ndarray:
        """The fields of the stream, integers [units, C, Ky, Kx]; a unit is a weight or a record (`unit_bits`).

        Args:
            weight: of `sim.network`, in the format `weight`.
        """

    @abstractmethod
    def decode(self, stream: np.ndarray, codewords: Codewords, codebook: np.ndarray) -> np.ndarray:
        """int8 [K, C, Ky, Kx], the weights that the fields of `pack` stand for; `codebook`: int8 [k, d]."""

    @abstractmethod
    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        """A random weight: the fields of its class in `sim.network.WEIGHTS`.

        Args:
            shape: (K, C, Ky, Kx), K a multiple of d where there are codewords.
            k: codewords.
            draw: of assignments, mask codes and signs.
            values: of weights and codewords.
        """
