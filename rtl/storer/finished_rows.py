"""Finished rows in L1, offered to the row mover."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import StructLayout, View
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
        that has rows which were not offered; `left` goes on to the next one. The entry that is offered, and the one
        behind it, lie in registers.
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
        waiting = Signal(COUNT_BITS)  # rows in L1 that have no entry yet
        following = Signal(COUNT_BITS)
        some = Signal()
        later = Signal(packets.ADDRESS_BITS)
        pixel = Signal(packets.ADDRESS_BITS)
        column = Signal.like(stripe.width)
        line_end = Signal()
        byte = Signal(len(stripe.channel) + 1)
        enters = Signal()
        layout = StructLayout(ENTRY)
        entry, first, second = (
            Signal(layout, name=name, reset_less=name != "entry") for name in ("entry", "first", "second")
        )
        behind = Signal()  # the second entry holds one
        m.d.comb += [
            places.unit.eq(self.unit),
            places.pixels.eq(Mux(stripe.pool, stripe.written, stripe.pixels)),
            places.written.eq(1),
            places.step.eq(enters),
            enters.eq(~behind & (some | (self.handed != 0))),
            self.left.eq(enters & places.unit_end),
            following.eq(waiting + self.handed - enters),
            pixel.eq(Mux(places.first_pixel, stripe.address, later)),
            line_end.eq(column + 1 == stripe.width),
            byte.eq(stripe.channel + places.offset),
            entry.map.eq(stripe.map),
            entry.ring.eq(stripe.ring),
            entry.word.eq(places.word + (byte >> 3)),
            entry.offset.eq(byte),
            entry.bytes.eq(Mux(stripe.wide, places.columns << 2, places.columns)),
            entry.address.eq(pixel + byte),
            entry.ends_unit.eq(places.unit_end),
            entry.ends.eq(places.unit_end & stripe.ends),
            *(getattr(self, f"out_{name}").eq(first[name]) for name in ENTRY),
        ]
        m.d.sync += [waiting.eq(following), some.eq(following != 0)]
        with m.If(enters & places.pixel_end):
            m.d.sync += [
                later.eq(pixel + Mux(line_end, stripe.line_step, stripe.stride)),
                column.eq(Mux(line_end | places.unit_end, 0, column + 1)),
            ]
        # Whether the mover takes an entry decides in the registers of the entries alone.
        with m.If(~self.out_valid | self.out_ready):
            m.d.sync += [
                first.eq(Mux(behind, second, entry)),
                self.out_valid.eq(behind | enters),
                behind.eq(0),
            ]
        with m.Elif(enters):
            m.d.sync += behind.eq(1)
        with m.If(~behind):
            m.d.sync += second.eq(entry)
        return m
