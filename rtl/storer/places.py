"""Where the rows of a stripe lie."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl import packets
from rtl.block import Block
from rtl.geometry import COUNT_BITS, Geometry
from sim.accelerator import Accelerator

BYTE_BITS = 16
"""Bytes of a pixel."""


class FinishedRowPlaces(Block):
    """Steps through the rows of a unit: pixel by pixel, rows s = 0.. of each.

    Function: the row at hand has `columns` outputs and lies `offset` bytes behind the first row of its pixel,
        which lies at word `word`. `first_pixel`, `pixel_end`, `unit_end`: the row belongs to the
        unit's first pixel, is the last one of a pixel, of the unit. `following`: s of the next row.
    Throughput: one row a cycle.
    Handshake: `step` goes on to the next row, behind the last one to the first of the next unit; `unit`
        is the packet of the unit to which the row at hand belongs, of `pixels` pixels; those without `written` take no
        place.
    """

    kind = "row_places"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.layout = packets.stripe(Geometry(accelerator))
        super().__init__(
            {
                "unit": In(self.layout.size),
                "pixels": In(COUNT_BITS),
                "written": In(1),
                "step": In(1),
                "columns": Out(bits_for(accelerator.columns)),
                "offset": Out(BYTE_BITS),
                "word": Out(packets.WORD_ADDRESS_BITS),
                "following": Out(self.layout.members["groups"]),
                "first_pixel": Out(1),
                "pixel_end": Out(1),
                "unit_end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc = self.accelerator
        stripe = View(self.layout, self.unit)
        is_pass = Signal()
        later = Signal()  # behind the first pixel
        group = Signal.like(self.following)
        pixel = Signal(COUNT_BITS)
        place = Signal(packets.WORD_ADDRESS_BITS)
        onwards = Signal(packets.WORD_ADDRESS_BITS + 1)
        m.d.comb += [
            is_pass.eq(stripe["pass"] != packets.PASS_KINDS["rows"]),
            self.first_pixel.eq(~later),
            self.pixel_end.eq(group + 1 == Mux(is_pass, stripe.groups, stripe.a)),
            self.unit_end.eq(self.pixel_end & (pixel + 1 == self.pixels)),
            self.columns.eq(Mux(self.pixel_end, stripe.columns_tail, stripe.columns)),
            self.word.eq(Mux(later, place, stripe.to)),
            onwards.eq(self.word + stripe.to_pitch),
            self.following.eq(group),
        ]
        with m.If(self.step):
            row_bytes = Mux(is_pass, acc.requant_lanes, Mux(stripe.wide, 4 * acc.columns, acc.columns))
            m.d.comb += self.following.eq(Mux(self.pixel_end, 0, group + 1))
            m.d.sync += [group.eq(self.following), self.offset.eq(self.offset + row_bytes)]
            with m.If(self.pixel_end):
                m.d.sync += [
                    self.offset.eq(0),
                    later.eq(~self.unit_end),
                    pixel.eq(Mux(self.unit_end, 0, pixel + 1)),
                    place.eq(self.word),
                ]
                with m.If(self.written):
                    m.d.sync += place.eq(Mux(onwards < stripe.ring, onwards, onwards - stripe.ring))
        return m
