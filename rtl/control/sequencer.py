"""Sequencer: slots, tokens, and the cause of every cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.control.entry_counter import EntryCounter
from rtl.geometry import COUNT_BITS, DEMAND_BITS, Geometry
from sim.accelerator import Accelerator

CAUSES = ("compute", "dma", "rom", "weight", "psum", "store", "ifmap", "control")
"""What a cycle between the first and the last token of a layer may be spent on."""


class _Slot:
    """The chunk at work and its slot; signals are called like the attributes.

    `fetch`, `psum` and `store`: cycles of each demand that remain, in the registers and (`_now`) as of this
    cycle.
    """

    def __init__(self, layout: StructLayout) -> None:
        self.held = Signal(layout.size, reset_less=True)
        self.current = View(layout, self.held)
        self.more = Signal()
        self.pixel = Signal(COUNT_BITS)
        self.column = Signal(COUNT_BITS)
        self.base = Signal(COUNT_BITS)
        self.bank = Signal()
        self.last_bank = Signal(init=1)
        self.in_slot = Signal()
        self.issued = Signal()
        # Registers of their own, since the start of a slot waits for what they say.
        self.first_pixel = Signal(init=1)
        self.last_pixel = Signal()
        self.row_end = Signal()
        self.fence = Signal(DEMAND_BITS + 2)
        self.open = Signal(init=1)  # no fence
        self.fetch = Signal(DEMAND_BITS)
        self.psum = Signal(DEMAND_BITS + 1)
        self.store = Signal(DEMAND_BITS)
        self.fetch_now = Signal.like(self.fetch)
        self.psum_now = Signal.like(self.psum)
        self.store_now = Signal.like(self.store)
        self.known = Signal()
        self.issue = Signal()
        self.over = Signal()
        self.final_token = Signal()
        self.chunk_starts = Signal()


class Sequencer(Block):
    """Issues the tokens of every slot (docs/timing.md sections 2, 4 and 5).

    Function: three counters run down the fetch, psum and store cycles that a slot overlaps; the slot is over
        when they and the tokens are. Between chunks it waits for `full` of the chunk's bank, the fence, room
        for the unit's finished rows and its parameters, and `ready` of its first activation vectors.
        `causes` (in the order of CAUSES) is one-hot while `active`, from the layer's first chunk to its last
        token.
    Throughput: one token a cycle.
    Handshake: `load` takes the head of the chunk queue as first chunk of a layer; `chunk_ready` takes each
        following one. `starts` marks the first cycle of a slot, `visit_end` the last cycle of a visit.
        `settled`: every unit that began was sent, and no chunk is at work. `request` asks for an activation
        vector in the cycle of issue; `valid`, `address`, `lanes` (array rows in use) and `tag` follow one
        cycle later. `unit_loaded`, `unit_sent`: pulses of storer and row mover; `unit_there`: one more
        unit's parameters are there than have been used. `missing`: the awaited job is not in L2; `again`:
        the loader looks up a row once more.
    """

    kind = "sequencer"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        self.layout = packets.chunk(geometry)
        super().__init__(
            {
                "load": In(1),
                "chunk_valid": In(1),
                "chunk_ready": Out(1),
                "chunk": In(self.layout.size),
                "active": Out(1),
                "settled": Out(1),
                "full": In(2),
                "take": Out(1),
                "take_bank": Out(1),
                "take_serial": Out(1),
                "missing": In(1),
                "again": In(1),
                "starts": Out(1),
                "visit_end": Out(1),
                "ready": In(1),
                "tile_missing": In(1),
                "unit_loaded": In(1),
                "unit_sent": In(1),
                "unit_there": Out(1),
                "request": Out(1),
                "valid": Out(1),
                "address": Out(geometry.wrf_address_bits),
                "lanes": Out(accelerator.rows),
                "tag": Out(geometry.tag.size),
                "causes": Out(len(CAUSES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The head of the queue is the next chunk while `slot.current` runs.
        following = View(self.layout, self.chunk)
        slot = _Slot(self.layout)
        entries = place(m, "entry_counter", EntryCounter(depth=self.geometry.accelerator.wrf_depth))
        room = self._room(m, self.take & slot.current.last, slot.current)
        self._begin(m, slot, entries, room)
        self._overlap(m, slot, following, entries)
        self._end(m, slot, following, entries)
        self._next_chunk(m, slot, following)
        self._token(m, slot, entries)
        self._cause(m, slot, room)
        return m

    def _begin(self, m: Module, slot: _Slot, entries: EntryCounter, room: Signal) -> None:
        """When a slot starts, and that its tokens follow one another."""
        current, starts = slot.current, self.starts
        m.d.comb += [
            slot.more.eq(~current.ends),
            # A chunk's last slot prefetches for the next one, whose packet must be there.
            slot.known.eq(~slot.last_pixel | ~slot.more | self.chunk_valid),
            slot.chunk_starts.eq(
                self.full.bit_select(slot.bank, 1)
                & slot.open
                & self.ready
                & (~current.last | (room & self.unit_there))
            ),
            starts.eq(self.active & ~slot.in_slot & slot.known & (~slot.first_pixel | slot.chunk_starts)),
            slot.issue.eq(starts | (slot.in_slot & ~slot.issued & self.active)),
            slot.final_token.eq(slot.issue & entries.complete & slot.last_pixel),
            entries.step.eq(slot.issue),
            entries.a.eq(current.a),
            entries.b.eq(current.b),
            entries.u.eq(current.u),
            entries.d.eq(current.d),
            self.take.eq(starts & slot.first_pixel),
            self.take_bank.eq(slot.bank),
            self.take_serial.eq(current.serial),
            self.request.eq(slot.issue & entries.vector),
            slot.fetch_now.eq(slot.fetch),
            slot.psum_now.eq(slot.psum),
            slot.store_now.eq(slot.store),
        ]

    def _overlap(self, m: Module, slot: _Slot, following: View, entries: EntryCounter) -> None:
        """Cycles that run down beside the tokens; the slot is over when they and the tokens are."""
        current, last_pixel = slot.current, slot.last_pixel
        fetch, psum, prefetch = (
            Signal.like(slot.fetch, name="fetch_left"),
            Signal.like(slot.psum, name="psum_left"),
            Signal.like(current.psum_read, name="prefetch_left"),
        )
        m.d.comb += [
            fetch.eq(
                Mux(
                    last_pixel,
                    Mux(slot.more, following.fetch_row, 0),
                    Mux(slot.row_end, current.fetch_row, current.fetch_in),
                )
            ),
            prefetch.eq(
                Mux(last_pixel, Mux(slot.more & ~following.fence, following.psum_read, 0), current.psum_read)
            ),
            psum.eq(current.psum_write + prefetch),
        ]
        with m.If(self.starts):
            m.d.comb += [slot.fetch_now.eq(fetch), slot.psum_now.eq(psum), slot.store_now.eq(current.store)]
        # Both are known before it is whether the slot starts in this cycle.
        short, ended = Signal(name="short"), Signal(name="ended")
        m.d.comb += [
            short.eq((fetch <= 1) & (psum <= 1) & (current.store <= 1) & entries.complete),
            ended.eq(
                (slot.fetch <= 1) & (slot.psum <= 1) & (slot.store <= 1) & (slot.issued | entries.complete)
            ),
            slot.over.eq((self.starts & short) | (slot.in_slot & self.active & ended)),
        ]
        for register, now in (
            (slot.fetch, slot.fetch_now),
            (slot.psum, slot.psum_now),
            (slot.store, slot.store_now),
            (slot.fence, slot.fence),
        ):
            m.d.sync += register.eq(Mux(now == 0, 0, now - 1))
        m.d.sync += slot.open.eq(slot.fence <= 1)

    def _end(self, m: Module, slot: _Slot, following: View, entries: EntryCounter) -> None:
        """From the first cycle of a slot to the first one of the next, and to the layer's last token."""
        current = slot.current
        with m.If(self.starts):
            m.d.sync += [slot.in_slot.eq(1), slot.issued.eq(0)]
        with m.If(slot.issue & entries.complete):
            m.d.sync += slot.issued.eq(1)
        with m.If(slot.over):
            m.d.sync += [
                slot.in_slot.eq(0),
                slot.pixel.eq(slot.pixel + 1),
                slot.first_pixel.eq(0),
                slot.last_pixel.eq(slot.pixel + 2 == current.pixels),
                slot.row_end.eq(
                    Mux(slot.row_end, current.width == 1, slot.column + 2 == current.width)
                    | (slot.pixel + 2 == current.pixels)
                ),
                slot.base.eq(slot.base + current.a),
                slot.column.eq(Mux(slot.row_end, 0, slot.column + 1)),
            ]
            with m.If(slot.last_pixel):
                m.d.comb += [self.chunk_ready.eq(slot.more), self.visit_end.eq(slot.more & following.opens)]
        with m.If(slot.final_token & slot.more & following.fence):
            latency = self.geometry.accelerator.latency
            m.d.sync += [
                slot.fence.eq(current.psum_write + following.psum_read + (latency - 1)),
                slot.open.eq(0),
            ]
        with m.If(slot.final_token & ~slot.more):
            m.d.sync += [self.active.eq(0), slot.in_slot.eq(0)]

    def _next_chunk(self, m: Module, slot: _Slot, following: View) -> None:
        with m.If(self.load):
            m.d.comb += self.chunk_ready.eq(1)
            m.d.sync += [
                self.active.eq(1),
                slot.open.eq(1),
                *(
                    register.eq(0)
                    for register in (slot.in_slot, slot.fence, slot.fetch, slot.psum, slot.store)
                ),
            ]
        with m.If(self.chunk_ready):
            chosen = Mux(following.serial, 0, ~slot.last_bank)
            m.d.sync += [
                slot.held.eq(self.chunk),
                slot.pixel.eq(0),
                slot.first_pixel.eq(1),
                slot.last_pixel.eq(following.pixels == 1),
                slot.row_end.eq((following.width == 1) | (following.pixels == 1)),
                slot.column.eq(0),
                slot.base.eq(0),
                slot.bank.eq(chosen),
                slot.last_bank.eq(chosen | following.serial),
            ]

    def _room(self, m: Module, stripe_starts: Signal, current: View) -> Signal:
        """Whether enough of earlier stripes' rows have left for a stripe's last chunk."""
        loaded, loaded_next = Signal(3, name="loaded"), Signal(3, name="loaded_next")
        waiting, with_this = Signal(2, name="waiting"), Signal(2, name="with_this")
        none, one = Signal(init=1, name="none"), Signal(name="one")
        m.d.comb += [
            loaded_next.eq(loaded + self.unit_loaded - stripe_starts),
            with_this.eq(waiting + stripe_starts),
        ]
        m.d.sync += [
            loaded.eq(loaded_next),
            self.unit_there.eq(loaded_next != 0),
            waiting.eq(with_this - self.unit_sent),
            none.eq(Mux(self.unit_sent, with_this == 1, with_this == 0)),
            one.eq(Mux(self.unit_sent, with_this == 2, with_this == 1)),
        ]
        room = Signal()
        m.d.comb += [room.eq(none | (one & current.double)), self.settled.eq(~self.active & none)]
        return room

    def _token(self, m: Module, slot: _Slot, entries: EntryCounter) -> None:
        acc, current = self.geometry.accelerator, slot.current
        tag = View(self.geometry.tag, self.tag)
        rows = Mux(entries.group_tail, current.rows_tail, current.rows)
        m.d.sync += [self.valid.eq(slot.issue), tag.valid.eq(slot.issue), tag.retire.eq(slot.final_token)]
        with m.If(slot.issue):
            m.d.sync += [
                self.address.eq(entries.entry + Mux(slot.bank, acc.wrf_depth // 2, 0)),
                tag.word.eq(entries.word),
                tag.first.eq(entries.first),
                tag.stored.eq(entries.first & ~current.first),
                tag.last.eq(entries.last),
                tag.final.eq(current.last),
                tag.bank.eq(slot.bank),
                tag.serial.eq(current.serial),
                tag.address.eq(slot.base + entries.word),
            ]
            for n in range(acc.rows):
                m.d.sync += self.lanes[n].eq(rows > n)

    def _cause(self, m: Module, slot: _Slot, room: Signal) -> None:
        fetch, psum, store = slot.fetch, slot.psum, slot.store
        cause = {name: Signal(name=f"cause_{name}") for name in CAUSES}
        with m.If(self.active):
            with m.If(slot.issue):
                m.d.comb += cause["compute"].eq(1)
            with m.Elif(slot.in_slot):
                with m.If((psum >= store) & (psum >= fetch)):
                    m.d.comb += cause["psum"].eq(1)
                with m.Elif(store >= fetch):
                    m.d.comb += cause["store"].eq(1)
                with m.Else():
                    m.d.comb += cause["ifmap"].eq(1)
            with m.Elif(slot.first_pixel & ~self.full.bit_select(slot.bank, 1)):
                with m.If(self.missing):
                    m.d.comb += cause["dma"].eq(1)
                with m.Elif(self.again):
                    m.d.comb += cause["rom"].eq(1)
                with m.Else():
                    m.d.comb += cause["weight"].eq(1)
            with m.Elif(slot.first_pixel & ~slot.open):
                m.d.comb += cause["psum"].eq(1)
            with m.Elif(slot.first_pixel & slot.current.last & ~room):
                m.d.comb += cause["store"].eq(1)
            with m.Elif(slot.first_pixel & self.tile_missing):
                m.d.comb += cause["dma"].eq(1)
            with m.Elif(slot.first_pixel & ~self.ready):
                m.d.comb += cause["ifmap"].eq(1)
            with m.Else():  # a packet is late: the next chunk's or the stripe's
                m.d.comb += cause["control"].eq(1)
        for n, name in enumerate(CAUSES):
            m.d.comb += self.causes[n].eq(cause[name])
