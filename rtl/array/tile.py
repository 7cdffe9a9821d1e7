"""What the two kinds of tile have in common: ports, operand registers and psum register."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive, gated
from rtl.clocking import hold, word_clocks


class Tile(Block):
    """TH rows by TL columns of PEs with registers at the right and lower edge.

    A token passes on to the right in the next cycle. Its weights are read in the cycle in which it enters, multiplied
    in the next one, and meet `psum_in` in the one after that.
    """

    def __init__(
        self, *, rows: int, columns: int, words: int, word_bits: int, depth: int, sum_bits: int, latches: bool
    ) -> None:
        """`latches`: the words of a gated export are latches."""
        check_positive(rows=rows, columns=columns, words=words, depth=depth, sum_bits=sum_bits)
        self.rows, self.columns, self.words = rows, columns, words
        self.word_bits, self.depth, self.sum_bits = word_bits, depth, sum_bits
        self.latches = latches
        address = address_bits(depth)
        super().__init__(
            {
                "valid_in": In(1),
                "address_in": In(address),
                "activation_in": In(8 * rows),
                "valid_out": Out(1),
                "address_out": Out(address),
                "activation_out": Out(8 * rows),
                "psum_in": In(columns * sum_bits),
                "psum_out": Out(columns * sum_bits),
                "write_enable": In(rows),
                "write_address": In(address),
                "write_data": In(words * word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if gated():
            # One gate a word for all PEs of a row: they are written together.
            self._clocks = [
                word_clocks(m, f"row_{row}", self.write_enable[row], self.write_address, self.depth)
                for row in range(self.rows)
            ]
        self._written = self.write_data
        if gated() and self.latches:
            # Latches are open in the cycle behind the write, when the loader has the next row.
            self._written = Signal.like(self.write_data, name="written", reset_less=True)
            hold(m, "written", self.write_enable.any(), [self._written.eq(self.write_data)])
        psums = [self.psum_in.word_select(c, self.sum_bits) for c in range(self.columns)]
        for row in range(self.rows):
            psums = self._row(m, row, psums)
        # Registers of the datapath need no reset: `valid` decides what counts.
        address, activation, psum = (
            Signal.like(port, name=f"{port.name}_register", reset_less=True)
            for port in (self.address_out, self.activation_out, self.psum_out)
        )
        adds = Signal()
        m.d.sync += [self.valid_out.eq(self.valid_in), adds.eq(self.valid_out)]
        hold(m, "token", self.valid_in, [address.eq(self.address_in), activation.eq(self.activation_in)])
        hold(m, "sums", adds, [psum.eq(Cat(psums))])
        m.d.comb += [self.address_out.eq(address), self.activation_out.eq(activation), self.psum_out.eq(psum)]
        return m

    def _row(self, m: Module, row: int, psums: list[Value]) -> list[Value]:
        """Places the PEs of one row; returns psums below it from psums above it."""
        raise NotImplementedError

    def _connect(self, m: Module, pe: Block, row: int, word: int) -> None:
        if gated():
            m.d.comb += pe.write_clk.eq(self._clocks[row])
        else:
            m.d.comb += [pe.write_enable.eq(self.write_enable[row]), pe.write_address.eq(self.write_address)]
        m.d.comb += [
            pe.write_data.eq(self._written.word_select(word, self.word_bits)),
            pe.read_address.eq(self.address_in),
            pe.valid.eq(self.valid_in),
            pe.activation.eq(self.activation_in.word_select(row, 8)),
            pe.multiplies.eq(self.valid_out),
            pe.held.eq(self.activation_out.word_select(row, 8)),
        ]
