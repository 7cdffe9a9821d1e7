"""Addresses of a three-dimensional transfer."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.packets import ADDRESS_BITS, WORD_ADDRESS_BITS


class Runs(Block):
    """`planes` x `lines` runs, one after another.

    Function: after `load` the address of each run, lines first: lines lie `line_stride` bytes apart, planes
        `plane_stride`. The fields of the transfer may go after `load`; `clear` ends it.
    Throughput: one run a cycle; the first in the cycle after `load`.
    Handshake: valid and ready; `last` comes with the last run.
    """

    kind = "runs"

    def __init__(self) -> None:
        super().__init__(
            {
                "load": In(1),
                "clear": In(1),
                "start": In(ADDRESS_BITS),
                "lines": In(WORD_ADDRESS_BITS),
                "line_stride": In(ADDRESS_BITS),
                "planes": In(WORD_ADDRESS_BITS),
                "plane_stride": In(ADDRESS_BITS),
                "valid": Out(1),
                "ready": In(1),
                "address": Out(ADDRESS_BITS),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line_count, lines_left, planes_left = (
            Signal(WORD_ADDRESS_BITS, name=name) for name in ("line_count", "lines_left", "planes_left")
        )
        line_stride, plane_stride, plane, next_plane = (
            Signal(ADDRESS_BITS, name=name) for name in ("line_stride", "plane_stride", "plane", "next_plane")
        )
        line_ends = Signal()
        m.d.comb += [
            line_ends.eq(lines_left == 1),
            next_plane.eq(plane + plane_stride),
            self.last.eq(line_ends & (planes_left == 1)),
        ]
        with m.If(self.valid & self.ready):
            m.d.sync += [
                self.valid.eq(~self.last),
                self.address.eq(Mux(line_ends, next_plane, self.address + line_stride)),
                lines_left.eq(Mux(line_ends, line_count, lines_left - 1)),
            ]
            with m.If(line_ends):
                m.d.sync += [plane.eq(next_plane), planes_left.eq(planes_left - 1)]
        with m.If(self.load):
            m.d.sync += [
                self.valid.eq(1),
                self.address.eq(self.start),
                plane.eq(self.start),
                line_count.eq(self.lines),
                lines_left.eq(self.lines),
                planes_left.eq(self.planes),
                line_stride.eq(self.line_stride),
                plane_stride.eq(self.plane_stride),
            ]
        with m.If(self.clear):
            m.d.sync += self.valid.eq(0)
        return m
