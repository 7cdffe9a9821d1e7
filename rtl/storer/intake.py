"""Finished psum rows on their way into the storer's lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from rtl import packets
from rtl.block import Block, place
from rtl.bus.fifo import Fifo
from rtl.geometry import DEMAND_BITS, PSUM_BITS, Geometry
from sim.accelerator import Accelerator

TIME_BITS = DEMAND_BITS + 2
"""Of the storer's clock: no row waits for half its range."""


class PsumRowIntake(Block):
    """Takes rows as they come and gives them to the lanes part by part.

    Function: `operand` is the row at hand, which came in cycle `arrival` of the clock `now`; with `issue` the
        lanes take its part `index`, `count` of its `columns` outputs from number `column` on. `row_done`: the
        last part. `overflow` stays 1 from the first row for which there was no room, or no unit of rows.
    Throughput: a row a cycle comes in, a part a cycle goes out: `requant_lanes` outputs, or as many 32-bit
        values of a wide unit as `wide_lanes` says.
    Handshake: `row_valid` knows no ready; prf_depth rows find room. A row goes out from the cycle in which it
        comes if none waits. `unit` (a packet) and `columns` are those of the row at hand while `enable`.
    """

    kind = "row_intake"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        columns = accelerator.columns
        self.layout = packets.stripe(geometry)
        self.wide = accelerator.wide_lanes
        super().__init__(
            {
                "row_valid": In(1),
                "row": In(PSUM_BITS * columns),
                "now": In(TIME_BITS),
                "overflow": Out(1),
                "enable": In(1),
                "unit": In(self.layout.size),
                "columns": In(bits_for(columns)),
                "operand": Out(PSUM_BITS * columns),
                "arrival": Out(TIME_BITS),
                "issue": Out(1),
                "row_done": Out(1),
                "index": Out(range(max(2, columns // self.wide))),
                "column": Out(bits_for(columns)),
                "count": Out(bits_for(columns)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc = self.geometry.accelerator
        wide = View(self.layout, self.unit).wide
        # A pixel has prf_depth rows at most; they have left before the rows of the next one come.
        depth = max(2, 1 << ceil_log2(acc.prf_depth))
        queue = place(m, "queue", Fifo(width=TIME_BITS + len(self.row), depth=depth))
        arriving = Cat(self.now, self.row)
        most = Mux(wide, self.wide, acc.requant_lanes)
        last = Signal()
        m.d.comb += [
            Cat(self.arrival, self.operand).eq(Mux(queue.out_valid, queue.out_data, arriving)),
            self.issue.eq(self.enable & (queue.out_valid | self.row_valid)),
            last.eq(self.column + most >= self.columns),
            self.row_done.eq(self.issue & last),
            self.count.eq(Mux(last, self.columns - self.column, most)),
            queue.in_valid.eq(self.row_valid & (queue.out_valid | ~self.row_done)),
            queue.in_data.eq(arriving),
            queue.out_ready.eq(self.row_done),
        ]
        with m.If(self.issue):
            m.d.sync += [
                self.column.eq(Mux(last, 0, self.column + most)),
                self.index.eq(Mux(last, 0, self.index + 1)),
            ]
        with m.If(self.row_valid & ~self.issue | queue.in_valid & ~queue.in_ready):
            m.d.sync += self.overflow.eq(1)
        return m
