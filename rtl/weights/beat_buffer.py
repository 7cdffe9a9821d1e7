"""Bit buffer between the weight port and the rows of a job."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from rtl.block import Block, check_positive
from sim.errors import InputError


class BeatBuffer(Block):
    """Takes whole beats, gives rows of any width at any bit position.

    Function: beats are written behind one another in a ring; `row` shows the bits from the read
        position on, of which `fill` are valid; `consume` removes `width` of them. `clear` empties
        the ring.
    Throughput: one beat and one row a cycle.
    Handshake: `write` only while `ready`. A beat written in cycle t counts in `fill` from t+1.
    """

    kind = "beat_buffer"

    def __init__(self, *, port_bits: int, ring_bits: int, rows: int, row_bits: int) -> None:
        check_positive(port_bits=port_bits, rows=rows, row_bits=row_bits)
        for name, value in (("port_bits", port_bits), ("ring_bits", ring_bits), ("rows", rows)):
            if value & (value - 1):
                raise InputError(name, value, "not a power of two", "round it up")
        if not port_bits <= ring_bits or row_bits > ring_bits:
            raise InputError("ring_bits", ring_bits, "narrower than a beat or a row", "widen it")
        self.port_bits, self.ring_bits, self.rows, self.row_bits = (port_bits, ring_bits, rows, row_bits)
        self.capacity = ring_bits * rows
        super().__init__(
            {
                "clear": In(1),
                "write": In(1),
                "data": In(port_bits),
                "ready": Out(1),
                "fill": Out(range(self.capacity + 1)),
                "row": Out(row_bits),
                "consume": In(1),
                "width": In(bits_for(row_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self.ring_bits // self.port_bits
        m.submodules.ring = ring = Memory(shape=unsigned(self.ring_bits), depth=self.rows, init=[])
        write = ring.write_port(granularity=self.port_bits)
        low = ring.read_port(domain="comb")
        high = ring.read_port(domain="comb")
        lane = Signal(ceil_log2(lanes))
        beat_row = Signal(ceil_log2(self.rows))
        offset = Signal(ceil_log2(self.ring_bits))
        row = Signal(ceil_log2(self.rows))
        m.d.comb += [
            write.addr.eq(beat_row),
            write.data.eq(self.data.replicate(lanes)),
            write.en.eq(self.write << lane),
            low.addr.eq(row),
            high.addr.eq(row + 1),
            self.row.eq(Cat(low.data, high.data) >> offset),
            # A partly consumed beat still takes its place.
            self.ready.eq(self.fill <= self.capacity - 2 * self.port_bits),
        ]
        taken = Signal.like(self.width)
        m.d.comb += taken.eq(self.width & self.consume.replicate(len(self.width)))
        m.d.sync += [
            Cat(lane, beat_row).eq(Cat(lane, beat_row) + self.write),
            Cat(offset, row).eq(Cat(offset, row) + taken),
            self.fill.eq(self.fill + (self.write << ceil_log2(self.port_bits)) - taken),
        ]
        with m.If(self.clear):
            m.d.sync += [Cat(lane, beat_row, offset, row).eq(0), self.fill.eq(0)]
        return m
