"""Rows of ternary adders between two registers of the array."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, gated, place
from rtl.clocking import hold, word_clocks
from rtl.digit_serial.ternary_pe import TernaryPe

ROWS = 4
"""Rows whose sums are one combinational chain, as of an EWS tile; assumed."""
COLUMNS = 8
"""Weights of a word of the stream."""
SUM_BITS = 8 + 3
"""Of the sum of `ROWS` weights, each with a sign: from -512 to 512, since -(-128) is 128."""


class TernaryTile(Block):
    """`ROWS` x `COLUMNS` ternary adders with registers behind them.

    Function: `sums` in t+1 are the sums of a tap in cycle t, `live` says that one of its digits was not 0; where none
        was, the sums keep their value and no register has a clock. The WRF of a row whose digit is 0 keeps its address,
        so that nothing of it toggles.
    Throughput: a tap a cycle.
    Handshake: none. `write_enable` has a bit a row; a write in cycle t counts for taps from t+1 on.
    """

    kind = "ternary_tile"

    def __init__(self, *, depth: int) -> None:
        self.depth = depth
        address = address_bits(depth)
        super().__init__(
            {
                "valid": In(1),
                "digits": In(2 * ROWS),
                "address": In(address),
                "write_enable": In(ROWS),
                "write_address": In(address),
                "write_data": In(8 * COLUMNS),
                "live": Out(1),
                "sums": Out(SUM_BITS * COLUMNS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums: list[Value] = [Signal(SUM_BITS, name=f"none_{column}") for column in range(COLUMNS)]
        for row in range(ROWS):
            sums = self._row(m, row, sums)
        held = Signal(SUM_BITS * COLUMNS, reset_less=True)
        spikes = Signal()
        m.d.comb += [spikes.eq(self.valid & self.digits.any()), self.sums.eq(held)]
        m.d.sync += self.live.eq(spikes)
        hold(m, "spikes", spikes, [held.eq(Cat(sums))])
        return m

    def _row(self, m: Module, row: int, above: list[Value]) -> list[Value]:
        clocks = None
        if gated():
            # One gate a word for all adders of a row: they are written together.
            clocks = word_clocks(m, f"row_{row}", self.write_enable[row], self.write_address, self.depth)
        digit, address, last = (
            self.digits.word_select(row, 2),
            Signal.like(self.address, name=f"address_{row}"),
            Signal.like(self.address, name=f"last_{row}", reset_less=True),
        )
        spikes = self.valid & digit.any()
        m.d.comb += address.eq(Mux(spikes, self.address, last))
        hold(m, f"last_{row}", spikes, [last.eq(self.address)])
        below = []
        for column in range(COLUMNS):
            pe = place(m, f"pe_{row}_{column}", TernaryPe(depth=self.depth, sum_bits=SUM_BITS))
            if clocks is None:
                m.d.comb += [
                    pe.write_enable.eq(self.write_enable[row]),
                    pe.write_address.eq(self.write_address),
                ]
            else:
                m.d.comb += pe.write_clk.eq(clocks)
            m.d.comb += [
                pe.write_data.eq(self.write_data.word_select(column, 8)),
                pe.read_address.eq(address),
                pe.digit.eq(digit),
                pe.psum_in.eq(above[column]),
            ]
            below.append(pe.psum_out)
        return below
