"""Widths and depths that follow from an accelerator, and the fields of its chunk descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from amaranth.lib.data import StructLayout
from amaranth.utils import bits_for, ceil_log2

from rtl.block import address_bits
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import encoding
from sim.shapes import WORD

COUNT_BITS = 24
"""Pixels, chunk numbers and psum addresses."""
DEMAND_BITS = 16
"""Slot demands in cycles."""
PSUM_BITS = 32
LARGEST_ARRAY = 64
"""Rows, and columns, of PEs that the Verilog was built and proven with; estimates and the engine go further."""


@dataclass(frozen=True)
class Geometry:
    """What the components need to know of an accelerator.

    Raises:
        InputError: a description that the hardware cannot have.
    """

    accelerator: Accelerator

    def __post_init__(self) -> None:
        acc = self.accelerator
        for field, missing, problem, fix in (
            *(
                (
                    field,
                    getattr(acc, field) > LARGEST_ARRAY,
                    "an array larger than the Verilog was built and proven with",
                    f"use {LARGEST_ARRAY} or fewer; estimate and simulate take larger ones",
                )
                for field in ("rows", "columns")
            ),
            (
                "psum_ports",
                acc.psum_ports == 2,
                "the RTL reads and writes stored psums through one port",
                "set psum_ports = 1",
            ),
            (
                "edge_registers",
                not acc.edge_registers,
                "the RTL has these registers",
                "set edge_registers = true",
            ),
            ("rom_ports", acc.rom_ports > 2, "a ROM macro has two read ports at most", "raise rom_banks"),
        ):
            if missing:
                raise InputError(field, getattr(acc, field), problem, fix)
        port = self.accelerator.weight_port_bits
        if port & (port - 1):
            raise InputError(
                "weight_port_bits", port, "the beat buffer addresses it in binary", "use 64, 128, 256 or 512"
            )

    @property
    def records(self) -> int:
        """Records of a full weight row."""
        return self.accelerator.columns // self.accelerator.codeword_length

    @property
    def words(self) -> int:
        """PEs of an array row."""
        return self.accelerator.columns // self.accelerator.split

    @property
    def position_bits(self) -> int:
        """MRF width, 0 on a dense tile."""
        acc = self.accelerator
        return address_bits(acc.codeword_length) if acc.sparse_tile else 0

    @property
    def word_bits(self) -> int:
        """One PE's WRF word: a weight, and its position on a sparse tile."""
        return 8 + self.position_bits

    @property
    def row_word_bits(self) -> int:
        """The WRF words of an array row."""
        return self.words * self.word_bits

    @property
    def sum_bits(self) -> int:
        """A psum inside the array: H products of 16 bits cannot exceed it."""
        return 16 + ceil_log2(self.accelerator.rows)

    @property
    def wrf_address_bits(self) -> int:
        return address_bits(self.accelerator.wrf_depth)

    @property
    def word_select_bits(self) -> int:
        """PRF address."""
        return address_bits(self.accelerator.prf_depth)

    @property
    def extent_bits(self) -> int:
        """A, B, U, D and counters below them."""
        return bits_for(self.accelerator.wrf_depth)

    @property
    def index_bits(self) -> int:
        """Widest codeword index."""
        return encoding.index_bits(self.accelerator.codebook_entries)

    @property
    def rows_sent(self) -> int:
        """Rows of the stream for a WRF entry, those of group scales among them."""
        acc, form = self.accelerator, self.accelerator.weights
        return acc.rows + form.scale_rows(acc) * (acc.rows // form.scale_span(acc))

    @cached_property
    def row_bits(self) -> int:
        """Widest weight row of any format this machine reads, and of the codebook job."""
        acc = self.accelerator
        widths = [self.words * 8]
        if acc.coded:
            widths += [self.records * acc.record_bits(acc.codebook_entries), 8 * acc.codeword_length]
        return max(widths)

    @cached_property
    def buffer_row_bits(self) -> int:
        """A row of the beat buffer: beats that cover the widest weight row, a power of two."""
        port = self.accelerator.weight_port_bits
        return port << ceil_log2(-(-self.row_bits // port))

    @cached_property
    def buffer_rows(self) -> int:
        """Depth of the beat buffer, such that a full buffer never delays a row.

        While the narrow rows of a last output group pass, one a cycle, the buffer gains up to
        a beat for each row of an entry on them; wide rows that follow use the gain up. Rows that wait for a
        codebook ROM gain as much as its conflicts last; there the same depth is a choice, not a bound.
        """
        acc = self.accelerator
        port = acc.weight_port_bits
        narrowest = min(8, acc.record_bits(2)) if acc.coded else 8
        gains = (acc.dataflow == "ews" or acc.weights.universal) and self.row_bits > port
        gain = self.rows_sent * (port - narrowest) if gains else 0
        needed = gain + 2 * self.row_bits + 3 * port
        return max(2, 1 << ceil_log2(-(-needed // self.buffer_row_bits)))

    @property
    def map_words(self) -> tuple[int, int]:
        """64-bit words of map groups 0 and 1 (docs/hardware.md section 2)."""
        return self.accelerator.ifmap_bytes // WORD, self.accelerator.ofmap_bytes // WORD

    @property
    def residual_words(self) -> int:
        """64-bit words of the residual group."""
        return self.accelerator.residual_bytes // WORD

    @property
    def psum_rows(self) -> int:
        """Rows of L psums that the psum group holds."""
        return self.accelerator.psum_bytes * 8 // (PSUM_BITS * self.accelerator.columns)

    @property
    def tag(self) -> StructLayout:
        """What accompanies a token to the PRF.

        `first` replaces the PRF word, with the stored psum if `stored`; `last` emits it,
        `final` to the storer; `retire` marks the last token of the chunk in `bank` (`serial`: in both);
        `address` is the psum address.
        """
        return StructLayout(
            {
                "valid": 1,
                "word": self.word_select_bits,
                "first": 1,
                "stored": 1,
                "last": 1,
                "final": 1,
                "retire": 1,
                "bank": 1,
                "serial": 1,
                "address": COUNT_BITS,
            }
        )
