"""Sequencer: slots, tokens, and the cause of every cycle."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.entry_counter import EntryCounter
from rtl.geometry import COUNT_BITS, DEMAND_BITS, Geometry
from sim.accelerator import Accelerator

CAUSES = ("compute", "drain", "weight", "psum", "store", "ifmap")


class Sequencer(Block):
    """Issues the tokens of every slot (docs/timing.md sections 2, 4 and 5).

    Function: three counters run down the fetch, psum and store cycles that a slot overlaps; the
        slot is over when they and the tokens are. Between chunks it waits for `full` of the
        chunk's bank and for the fence. `causes` (in the order of CAUSES) is one-hot while `busy`.
    Throughput: one token a cycle.
    Handshake: `start` in cycle -1. `request` asks for an activation vector in the cycle of issue;
        `valid`, `address`, `lanes` (array rows in use) and `tag` follow one cycle later. `chunk`
        answers `chunk_index` in the same cycle.
    """

    kind = "sequencer"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        super().__init__({
            "start": In(1), "chunk_count": In(COUNT_BITS), "overlap": In(1), "busy": In(1),
            "chunk_index": Out(COUNT_BITS), "chunk": In(geometry.slot_chunk.size),
            "full": In(2), "take": Out(1), "take_bank": Out(1),
            "request": Out(1), "valid": Out(1), "address": Out(geometry.wrf_address_bits),
            "lanes": Out(accelerator.rows), "tag": Out(geometry.tag.size),
            "causes": Out(len(CAUSES)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc = self.geometry.accelerator
        # `chunk` shows the next chunk while `current` runs.
        following = View(self.geometry.slot_chunk, self.chunk)
        held = Signal(self.geometry.slot_chunk.size, reset_less=True)
        current = View(self.geometry.slot_chunk, held)
        more = Signal()
        entries = place(m, "entry_counter", EntryCounter(depth=acc.wrf_depth))
        pixel = Signal(COUNT_BITS)
        column = Signal(COUNT_BITS)
        base = Signal(COUNT_BITS)
        bank = Signal()
        active = Signal()
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

        starts = Signal()
        issue = Signal()
        over = Signal()
        final_token = Signal()
        chunk_ready = Signal()
        m.d.comb += [
            more.eq(self.chunk_index < self.chunk_count),
            last_pixel.eq(pixel + 1 == current.pixels),
            row_end.eq((column + 1 == current.width) | last_pixel),
            chunk_ready.eq(self.full.bit_select(bank, 1) & (fence == 0) & (fetch == 0)),
            starts.eq(active & ~in_slot & ((pixel != 0) | chunk_ready)),
            issue.eq(starts | (in_slot & ~issued & active)),
            final_token.eq(issue & entries.complete & last_pixel),
            entries.step.eq(issue),
            entries.a.eq(current.a), entries.b.eq(current.b), entries.u.eq(current.u),
            entries.d.eq(current.d),
            self.take.eq(starts & (pixel == 0)), self.take_bank.eq(bank),
            self.request.eq(issue & entries.vector),
            fetch_now.eq(fetch), psum_now.eq(psum), store_now.eq(store),
        ]
        with m.If(starts):
            prefetch = Mux(last_pixel, Mux(more & ~following.fence, following.psum_read, 0),
                           current.psum_read)
            m.d.comb += [
                fetch_now.eq(Mux(last_pixel, Mux(more, following.fetch_row, 0),
                                 Mux(row_end, current.fetch_row, current.fetch_in))),
                psum_now.eq(current.psum_write + prefetch),
                store_now.eq(current.store),
            ]
        m.d.comb += over.eq(((issue & entries.complete) | (in_slot & issued))
                            & (fetch_now <= 1) & (psum_now <= 1) & (store_now <= 1))
        for register, now in ((fetch, fetch_now), (psum, psum_now), (store, store_now), (fence, fence)):
            m.d.sync += register.eq(Mux(now == 0, 0, now - 1))
        with m.If(starts):
            m.d.sync += [in_slot.eq(1), issued.eq(0)]
        with m.If(issue & entries.complete):
            m.d.sync += issued.eq(1)
        with m.If(over):
            m.d.sync += [in_slot.eq(0), pixel.eq(pixel + 1), base.eq(base + current.a),
                         column.eq(Mux(row_end, 0, column + 1))]
            with m.If(last_pixel):
                m.d.sync += [held.eq(self.chunk), self.chunk_index.eq(self.chunk_index + 1),
                             bank.eq(~bank & self.overlap), pixel.eq(0), base.eq(0)]
        with m.If(final_token & more & following.fence):
            m.d.sync += fence.eq(current.psum_write + following.psum_read + (acc.latency - 1))
        with m.If(final_token & ~more):
            m.d.sync += [active.eq(0), in_slot.eq(0), self.chunk_index.eq(0)]
        with m.If(self.start):
            m.d.sync += [held.eq(self.chunk), self.chunk_index.eq(1), active.eq(1), in_slot.eq(0),
                         bank.eq(0), pixel.eq(0), column.eq(0), base.eq(0), fence.eq(0),
                         fetch.eq(following.fetch_row), psum.eq(0), store.eq(0)]

        self._token(m, current, entries, issue, final_token, more, bank, base)
        self._cause(m, issue, active, in_slot, bank, fence, fetch, psum, store)
        return m

    def _token(self, m: Module, current: View, entries: EntryCounter, issue: Signal,
               final_token: Signal, more: Signal, bank: Signal, base: Signal) -> None:
        acc = self.geometry.accelerator
        tag = View(self.geometry.tag, self.tag)
        rows = Mux(entries.group_tail, current.rows_tail, current.rows)
        m.d.sync += [
            self.valid.eq(issue),
            tag.valid.eq(issue), tag.retire.eq(final_token), tag.end.eq(final_token & ~more),
        ]
        with m.If(issue):
            m.d.sync += [
                self.address.eq(entries.entry + Mux(bank, acc.wrf_depth // 2, 0)),
                tag.word.eq(entries.word), tag.first.eq(entries.first),
                tag.stored.eq(entries.first & ~current.first),
                tag.last.eq(entries.last), tag.final.eq(current.last), tag.bank.eq(bank),
                tag.address.eq(base + entries.word),
            ]
            for n in range(acc.rows):
                m.d.sync += self.lanes[n].eq(rows > n)

    def _cause(self, m: Module, issue: Signal, active: Signal, in_slot: Signal, bank: Signal,
               fence: Signal, fetch: Signal, psum: Signal, store: Signal) -> None:
        cause = {name: Signal(name=f"cause_{name}") for name in CAUSES}
        with m.If(self.busy):
            with m.If(issue):
                m.d.comb += cause["compute"].eq(1)
            with m.Elif(~active):
                m.d.comb += cause["drain"].eq(1)
            with m.Elif(in_slot):
                with m.If((psum >= store) & (psum >= fetch)):
                    m.d.comb += cause["psum"].eq(1)
                with m.Elif(store >= fetch):
                    m.d.comb += cause["store"].eq(1)
                with m.Else():
                    m.d.comb += cause["ifmap"].eq(1)
            with m.Elif(~self.full.bit_select(bank, 1)):
                m.d.comb += cause["weight"].eq(1)
            with m.Elif(fence != 0):
                m.d.comb += cause["psum"].eq(1)
            with m.Else():
                m.d.comb += cause["ifmap"].eq(1)
        for n, name in enumerate(CAUSES):
            m.d.comb += self.causes[n].eq(cause[name])
