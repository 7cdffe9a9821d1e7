"""Stored psums in L1."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, place
from rtl.geometry import COUNT_BITS, PSUM_BITS, Geometry
from rtl.l1.sram import SinglePortSram
from sim.accelerator import Accelerator
from sim.errors import InputError


class PsumStore(Block):
    """The psum group: rows of L psums in two single-port SRAMs, even rows and odd rows.

    Function: stores `write_data` in row `write_row`, reads row `read_row`. A read goes first: a write to
        the SRAM that is read waits, one at most, and a second one that would have to is lost: `overflow`.
    Throughput: one read and one write a cycle, in the order of docs/timing.md: the rows of a pixel are
        read in cycles start + LAT - 2 + i and written in start + T - A + LAT + i, and a slot lasts
        max(T, reads + writes) cycles or longer. Where the two runs overlap (A - 2 cycles if T = A,
        else 2 between pixels) consecutive cycles read even and odd rows in turn, so that a write waits one
        cycle. A row is read again LAT cycles or more after it was written (pixels - 1 >= LAT +
        psum_write, or the fence), so that no row that waits is ever read.
    Handshake: none. `read` in cycle t, `read_data` in t+1.
    """

    kind = "psum_store"

    def __init__(self, *, accelerator: Accelerator) -> None:
        needed = -(-accelerator.columns * PSUM_BITS // 64)
        if accelerator.psum_banks < needed:
            raise InputError(
                "psum_banks",
                accelerator.psum_banks,
                "a row of psums must take one cycle",
                f"use at least {needed} for {accelerator.columns} columns",
            )
        self.rows = Geometry(accelerator).psum_rows
        if self.rows > 1 << COUNT_BITS:
            raise InputError(
                "l1_bytes", accelerator.l1_bytes, "its psum group has more rows than addresses", "lower it"
            )
        self.row_bits = PSUM_BITS * accelerator.columns
        row = address_bits(self.rows)
        super().__init__(
            {
                "read": In(1),
                "read_row": In(row),
                "read_data": Out(self.row_bits),
                "write": In(1),
                "write_row": In(row),
                "write_data": In(self.row_bits),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waits = Signal()
        waiting_row = Signal.like(self.write_row, reset_less=True)
        waiting_data = Signal.like(self.write_data, reset_less=True)
        # The oldest write, and whether its SRAM is free.
        row = Signal.like(self.write_row)
        data = Signal.like(self.write_data)
        stored = Signal()
        read_odd = Signal(reset_less=True)
        m.d.comb += [
            row.eq(Mux(waits, waiting_row, self.write_row)),
            data.eq(Mux(waits, waiting_data, self.write_data)),
            stored.eq((waits | self.write) & ~(self.read & (self.read_row[0] == row[0]))),
            self.overflow.eq(waits & self.write & ~stored),
        ]
        m.d.sync += waits.eq(Mux(stored, waits & self.write, waits | self.write))
        with m.If(self.write & (waits == stored)):
            m.d.sync += [waiting_row.eq(self.write_row), waiting_data.eq(self.write_data)]
        with m.If(self.read):
            m.d.sync += read_odd.eq(self.read_row[0])
        halves = []
        for n, name in enumerate(("even_rows", "odd_rows")):
            half = place(m, name, SinglePortSram(depth=-(-self.rows // 2), width=self.row_bits))
            writes = stored & (row[0] == n)
            m.d.comb += [
                half.enable.eq(writes | (self.read & (self.read_row[0] == n))),
                half.write.eq(writes),
                half.write_data.eq(data),
                half.address.eq(Mux(writes, row[1:], self.read_row[1:])),
            ]
            halves.append(half)
        m.d.comb += self.read_data.eq(Mux(read_odd, halves[1].read_data, halves[0].read_data))
        return m
