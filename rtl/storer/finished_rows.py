"""Finished rows in L1, offered to the row mover."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.geometry import COUNT_BITS, Geometry
from rtl.storer.places import FinishedRowPlaces
from sim.accelerator import Accelerator

ENTRY = {
    "map": 1,
    "word": packets.WORD_ADDRESS_BITS,
    "offset": 3,
    "bytes": 9,
    "address": packets.ADDRESS_BITS,
    "ring": packets.WORD_ADDRESS_BITS + 1,
    "ends_unit": 1,
    "ends": 1,
}
"""A row: L1 group, first word and byte in it, length, place in memory, words of the ring; whether it is the
last of a stripe, of a layer."""


class FinishedRows(Block):
    """One entry for each row, in order.

    Function: `handed` rows more are in L1 at the end of the cycle. `unit` is the packet of the oldest unit
        that has rows to offer; `left` goes on to the next one.
    Throughput: one entry a cycle.
    Handshake: an entry is offered from the cycle after it was handed over (or after the one before it was
        taken) until `out_valid` and `out_ready`.
    """

    kind = "row_entries"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        geometry = Geometry(accelerator)
        self.layout = packets.stripe(geometry)
        super().__init__(
            {
                "unit": In(self.layout.size),
                "left": Out(1),
                "handed": In(geometry.extent_bits),
                "out_valid": Out(1),
                "out_ready": In(1),
                **{f"out_{name}": Out(width) for name, width in ENTRY.items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stripe = View(self.layout, self.unit)
        places = place(m, "row_places", FinishedRowPlaces(accelerator=self.accelerator))
        waiting = Signal(COUNT_BITS)
        later = Signal(packets.ADDRESS_BITS)
        pixel = Signal(packets.ADDRESS_BITS)
        column = Signal.like(stripe.width)
        line_end = Signal()
        byte = Signal(len(stripe.channel) + 1)
        taken = Signal()
        m.d.comb += [
            places.unit.eq(self.unit),
            places.step.eq(taken),
            self.out_valid.eq(waiting != 0),
            taken.eq(self.out_valid & self.out_ready),
            self.left.eq(taken & places.unit_end),
            pixel.eq(Mux(places.first_pixel, stripe.address, later)),
            line_end.eq(column + 1 == stripe.width),
            byte.eq(stripe.channel + places.offset),
            self.out_map.eq(stripe.map),
            self.out_ring.eq(stripe.ring),
            self.out_word.eq(places.word + (byte >> 3)),
            self.out_offset.eq(byte),
            self.out_bytes.eq(Mux(stripe.wide, places.columns << 2, places.columns)),
            self.out_address.eq(pixel + byte),
            self.out_ends_unit.eq(places.unit_end),
            self.out_ends.eq(places.unit_end & stripe.ends),
        ]
        m.d.sync += waiting.eq(waiting + self.handed - taken)
        with m.If(taken & places.pixel_end):
            m.d.sync += [
                later.eq(pixel + Mux(line_end, stripe.line_step, stripe.stride)),
                column.eq(Mux(line_end | places.unit_end, 0, column + 1)),
            ]
        return m
