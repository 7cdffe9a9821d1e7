"""Sequencer: slots, tokens, and the cause of every cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.control.entry_counter import EntryCounter
from rtl.geometry import COUNT_BITS, DEMAND_BITS, Geometry
from sim.accelerator import Accelerator

CAUSES = ("compute", "dma", "rom", "weight", "psum", "store", "ifmap", "control")
"""What a cycle between the first and the last token of a layer may be spent on."""


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
        super().__init__(
            {
                "load": In(1),
                "chunk_valid": In(1),
                "chunk_ready": Out(1),
                "chunk": In(packets.chunk(geometry).size),
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
        acc, layout = self.geometry.accelerator, packets.chunk(self.geometry)
        # The head of the queue is the next chunk while `current` runs.
        following = View(layout, self.chunk)
        held = Signal(layout.size, reset_less=True)
        current = View(layout, held)
        more = Signal()
        entries = place(m, "entry_counter", EntryCounter(depth=acc.wrf_depth))
        pixel = Signal(COUNT_BITS)
        column = Signal(COUNT_BITS)
        base = Signal(COUNT_BITS)
        bank = Signal()
        last_bank = Signal(init=1)
        active = self.active
        in_slot = Signal()
        issued = Signal()
        last_pixel = Signal()
        row_end = Signal()
        fence = Signal(DEMAND_BITS + 2)
        # Cycles of each demand that remain, in the registers and as of this cycle.
        fetch = Signal(DEMAND_BITS)
        psum = Signal(DEMAND_BITS + 1)
        store = Signal(DEMAND_BITS)
        fetch_now = Signal.like(fetch)
        psum_now = Signal.like(psum)
        store_now = Signal.like(store)

        known = Signal()
        room = self._room(m, self.take & current.last, current)
        starts = self.starts
        issue = Signal()
        over = Signal()
        final_token = Signal()
        chunk_starts = Signal()
        m.d.comb += [
            more.eq(~current.ends),
            last_pixel.eq(pixel + 1 == current.pixels),
            row_end.eq((column + 1 == current.width) | last_pixel),
            # A chunk's last slot prefetches for the next one, whose packet must be there.
            known.eq(~last_pixel | ~more | self.chunk_valid),
            chunk_starts.eq(
                self.full.bit_select(bank, 1)
                & (fence == 0)
                & self.ready
                & (~current.last | (room & self.unit_there))
            ),
            starts.eq(active & ~in_slot & known & ((pixel != 0) | chunk_starts)),
            issue.eq(starts | (in_slot & ~issued & active)),
            final_token.eq(issue & entries.complete & last_pixel),
            entries.step.eq(issue),
            entries.a.eq(current.a),
            entries.b.eq(current.b),
            entries.u.eq(current.u),
            entries.d.eq(current.d),
            self.take.eq(starts & (pixel == 0)),
            self.take_bank.eq(bank),
            self.take_serial.eq(current.serial),
            self.request.eq(issue & entries.vector),
            fetch_now.eq(fetch),
            psum_now.eq(psum),
            store_now.eq(store),
        ]
        with m.If(starts):
            prefetch = Mux(
                last_pixel, Mux(more & ~following.fence, following.psum_read, 0), current.psum_read
            )
            m.d.comb += [
                fetch_now.eq(
                    Mux(
                        last_pixel,
                        Mux(more, following.fetch_row, 0),
                        Mux(row_end, current.fetch_row, current.fetch_in),
                    )
                ),
                psum_now.eq(current.psum_write + prefetch),
                store_now.eq(current.store),
            ]
        m.d.comb += over.eq(
            ((issue & entries.complete) | (in_slot & issued))
            & (fetch_now <= 1)
            & (psum_now <= 1)
            & (store_now <= 1)
        )
        for register, now in ((fetch, fetch_now), (psum, psum_now), (store, store_now), (fence, fence)):
            m.d.sync += register.eq(Mux(now == 0, 0, now - 1))
        with m.If(starts):
            m.d.sync += [in_slot.eq(1), issued.eq(0)]
        with m.If(issue & entries.complete):
            m.d.sync += issued.eq(1)
        with m.If(over):
            m.d.sync += [
                in_slot.eq(0),
                pixel.eq(pixel + 1),
                base.eq(base + current.a),
                column.eq(Mux(row_end, 0, column + 1)),
            ]
            with m.If(last_pixel):
                m.d.comb += [self.chunk_ready.eq(more), self.visit_end.eq(more & following.opens)]
        with m.If(final_token & more & following.fence):
            m.d.sync += fence.eq(current.psum_write + following.psum_read + (acc.latency - 1))
        with m.If(final_token & ~more):
            m.d.sync += [active.eq(0), in_slot.eq(0)]
        with m.If(self.load):
            m.d.comb += self.chunk_ready.eq(1)
            m.d.sync += [active.eq(1), in_slot.eq(0), fence.eq(0), fetch.eq(0), psum.eq(0), store.eq(0)]
        with m.If(self.chunk_ready):
            chosen = Mux(following.serial, 0, ~last_bank)
            m.d.sync += [
                held.eq(self.chunk),
                pixel.eq(0),
                column.eq(0),
                base.eq(0),
                bank.eq(chosen),
                last_bank.eq(chosen | following.serial),
            ]

        self._token(m, current, entries, issue, final_token, bank, base)
        self._cause(m, current, known, issue, in_slot, pixel, bank, fence, room, (fetch, psum, store))
        return m

    def _room(self, m: Module, unit_starts: Signal, current: View) -> Signal:
        """Whether enough of earlier units' rows have left for a unit's last chunk."""
        loaded = Signal(3)
        waiting = Signal(2)
        m.d.sync += [
            loaded.eq(loaded + self.unit_loaded - unit_starts),
            waiting.eq(waiting + unit_starts - self.unit_sent),
        ]
        room = Signal()
        m.d.comb += [
            self.unit_there.eq(loaded != 0),
            room.eq(waiting <= current.double),
            self.settled.eq(~self.active & (waiting == 0)),
        ]
        return room

    def _token(
        self,
        m: Module,
        current: View,
        entries: EntryCounter,
        issue: Signal,
        final_token: Signal,
        bank: Signal,
        base: Signal,
    ) -> None:
        acc = self.geometry.accelerator
        tag = View(self.geometry.tag, self.tag)
        rows = Mux(entries.group_tail, current.rows_tail, current.rows)
        m.d.sync += [self.valid.eq(issue), tag.valid.eq(issue), tag.retire.eq(final_token)]
        with m.If(issue):
            m.d.sync += [
                self.address.eq(entries.entry + Mux(bank, acc.wrf_depth // 2, 0)),
                tag.word.eq(entries.word),
                tag.first.eq(entries.first),
                tag.stored.eq(entries.first & ~current.first),
                tag.last.eq(entries.last),
                tag.final.eq(current.last),
                tag.bank.eq(bank),
                tag.serial.eq(current.serial),
                tag.address.eq(base + entries.word),
            ]
            for n in range(acc.rows):
                m.d.sync += self.lanes[n].eq(rows > n)

    def _cause(
        self,
        m: Module,
        current: View,
        known: Signal,
        issue: Signal,
        in_slot: Signal,
        pixel: Signal,
        bank: Signal,
        fence: Signal,
        room: Signal,
        demands: tuple[Signal, Signal, Signal],
    ) -> None:
        fetch, psum, store = demands
        cause = {name: Signal(name=f"cause_{name}") for name in CAUSES}
        with m.If(self.active):
            with m.If(issue):
                m.d.comb += cause["compute"].eq(1)
            with m.Elif(in_slot):
                with m.If((psum >= store) & (psum >= fetch)):
                    m.d.comb += cause["psum"].eq(1)
                with m.Elif(store >= fetch):
                    m.d.comb += cause["store"].eq(1)
                with m.Else():
                    m.d.comb += cause["ifmap"].eq(1)
            with m.Elif((pixel == 0) & ~self.full.bit_select(bank, 1)):
                with m.If(self.missing):
                    m.d.comb += cause["dma"].eq(1)
                with m.Elif(self.again):
                    m.d.comb += cause["rom"].eq(1)
                with m.Else():
                    m.d.comb += cause["weight"].eq(1)
            with m.Elif((pixel == 0) & (fence != 0)):
                m.d.comb += cause["psum"].eq(1)
            with m.Elif((pixel == 0) & current.last & ~room):
                m.d.comb += cause["store"].eq(1)
            with m.Elif((pixel == 0) & self.tile_missing):
                m.d.comb += cause["dma"].eq(1)
            with m.Elif((pixel == 0) & ~self.ready):
                m.d.comb += cause["ifmap"].eq(1)
            with m.Else():  # a packet is late: the next chunk's or the unit's
                m.d.comb += cause["control"].eq(1)
        for n, name in enumerate(CAUSES):
            m.d.comb += self.causes[n].eq(cause[name])
