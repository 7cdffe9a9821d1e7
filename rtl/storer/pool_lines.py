"""A max pool along y beside the rows of a stripe: which of them end a window, and the largest values of each."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block
from rtl.geometry import Geometry
from sim.accelerator import Accelerator


class PoolLines(Block):
    """Steps through the pixels of a unit whose windows of lines the storer follows.

    Function: the pixel at hand lies in a line with which a window `ends`; its windows begin with it (`fresh`), or
        continue what is kept of the line before. `line_begin`: it is the first one of its line.
    Throughput: one pixel a cycle.
    Handshake: `step` goes on to the next pixel, with `unit_end` to the first of the next unit; `unit` is the packet of
        the unit to which the pixel at hand belongs.
    """

    kind = "pool_lines"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.layout = packets.stripe(Geometry(accelerator))
        super().__init__(
            {
                "unit": In(self.layout.size),
                "step": In(1),
                "unit_end": In(1),
                "ends": Out(1),
                "fresh": Out(1),
                "line_begin": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stripe = View(self.layout, self.unit)
        begun = Signal()  # behind the first line
        column, line_end = Signal.like(stripe.width, name="column"), Signal(name="line_end")
        fresh = Signal(name="fresh_next")
        left, left_next = (Signal.like(stripe.pool_left, name=name) for name in ("left", "left_next"))
        m.d.comb += [
            left.eq(Mux(begun, left_next, stripe.pool_left)),
            self.fresh.eq(Mux(begun, fresh, stripe.pool_fresh)),
            self.ends.eq(left == 0),
            self.line_begin.eq(column == 0),
            line_end.eq(column + 1 == stripe.width),
        ]
        with m.If(self.step):
            m.d.sync += column.eq(Mux(line_end, 0, column + 1))
            with m.If(line_end):
                m.d.sync += [
                    begun.eq(~self.unit_end),
                    left_next.eq(Mux(self.ends, stripe.stride_y, left) - 1),
                    fresh.eq(self.ends & ~stripe.pool_shared),
                ]
        return m


class LargestOfLines(Block):
    """The larger of each byte of a row and of what is kept of the lines before.

    Function: `best` is `row`, or without `fresh` the larger of `row` and `kept`, byte by byte; `line`, what is
        to be kept, is `row` where a window `ends`, else `best`.
    Throughput: one row a cycle.
    Handshake: none. `kept` in cycle t, `row`, `fresh` and `ends` in t+1, `best` and `line` in t+2.
    """

    kind = "largest_of_lines"

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "kept": In(8 * lanes),
                "row": In(8 * lanes),
                "fresh": In(1),
                "ends": In(1),
                "best": Out(8 * lanes),
                "line": Out(8 * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal.like(self.kept, name="kept_held", reset_less=True)
        largest = []
        for n in range(self.lanes):
            mine, other = (row.word_select(n, 8).as_signed() for row in (self.row, kept))
            largest.append(Mux(self.fresh | (mine > other), mine, other))
        m.d.sync += [
            kept.eq(self.kept),
            self.best.eq(Cat(largest)),
            self.line.eq(Mux(self.ends, self.row, Cat(largest))),
        ]
        return m
