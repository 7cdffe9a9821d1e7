"""Ifmap loader: activation vectors from L1 through the ARF to the array."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.array.array import delay, delays
from rtl.block import Block, place
from rtl.geometry import COUNT_BITS, Geometry
from rtl.ifmap.arf import Arf
from rtl.ifmap.arf_window import ArfWindow
from rtl.ifmap.segments import Segments
from rtl.ifmap.vector_walk import VectorWalk
from sim.accelerator import Accelerator
from sim.errors import InputError

WINDOW_STAGES = 2
"""Cycles from the turn of a vector to its place in the ARF: its segment, then its column."""
TILE_BITS = 2
"""Counts tiles in L1 whose visits have not begun."""


class IfmapLoader(Block):
    """Fetches the activation vectors of the next pixel while a slot uses those of its own.

    Function: the window of a pixel is D x B vectors, kernel position outer, channel group inner. Their
        bytes lie in a map group as `packets.chunk` says; a vector must lie within `map_banks` words (channel
        a multiple of 4). Lanes without a channel carry anything. Of a window that slides along x only the
        new vectors are fetched (fetch(p) of docs/timing.md section 2), one a cycle; padding takes its cycle
        and is no access. `ready`: all vectors of the next slot had their turn in earlier cycles.
        `tile_missing`: the next chunk waits for its tile.
    Throughput: one vector fetched and one given a cycle. A vector whose turn comes in cycle t is read in
        t + `operand_stages` and may be requested in the cycle after that.
    Handshake: `starts` marks the first cycle of a slot; the fetch of the next pixel begins in it. Behind a
        chunk's last pixel that is pixel 0 of `chunk`, the head of the queue, as soon as `chunk_valid`, and
        the loader keeps it. From a chunk's first `starts` on the head must be the chunk behind it. `load`
        makes the loader take the head as a layer's first chunk; its fetch also waits for `allowed`, and that
        of a chunk that `opens` for a `tile_there`, a pulse in the cycle before it may begin.
        `read_enable`, `read_map`, `read_word` in cycle t, `read_data` in t+1.
        `request` in cycle t, `operand_stages` - 1 after `starts` or later, in window order: `activation` in t+2 and
        until two cycles after the next request.
    """

    kind = "ifmap_loader"

    def __init__(self, *, accelerator: Accelerator) -> None:
        needed = -(-accelerator.rows // 8)
        if accelerator.rows % 4:
            raise InputError(
                "rows",
                accelerator.rows,
                "the ifmap loader shifts activations by 4 bytes",
                "use a multiple of 4",
            )
        if accelerator.ifmap_banks < needed:
            raise InputError(
                "ifmap_banks",
                accelerator.ifmap_banks,
                "a vector must take one cycle",
                f"use at least {needed} for {accelerator.rows} rows",
            )
        if accelerator.arf_depth < 2:
            raise InputError(
                "arf_depth", accelerator.arf_depth, "a window and the next one do not fit", "use at least 2"
            )
        self.accelerator = accelerator
        geometry = Geometry(accelerator)
        self.layout = packets.chunk(geometry)
        super().__init__(
            {
                "chunk_valid": In(1),
                "chunk": In(self.layout.size),
                "load": In(1),
                "allowed": In(1),
                "starts": In(1),
                "tile_there": In(1),
                "ready": Out(1),
                "tile_missing": Out(1),
                "read_enable": Out(1),
                "read_map": Out(1),
                "read_word": Out(packets.WORD_ADDRESS_BITS),
                "read_data": In(packets.WORD_BITS * accelerator.map_banks),
                "request": In(1),
                "activation": Out(8 * accelerator.rows),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = self.accelerator.arf_depth // 2
        walk = place(m, "walk", VectorWalk(accelerator=self.accelerator))
        window = place(
            m, "window", ArfWindow(words=columns, lag=self.accelerator.operand_stages - 1 - WINDOW_STAGES)
        )
        arf = place(m, "arf", Arf(depth=2 * columns, width=8 * self.accelerator.rows))
        held_bits = Signal(self.layout.size)
        held = View(self.layout, held_bits)
        takes, begins = self._order(m, held)
        with m.If(takes):
            m.d.sync += held_bits.eq(self.chunk)
        # The walk follows a cycle behind.
        step = Signal()
        m.d.sync += [walk.takes.eq(takes), walk.begins.eq(begins), step.eq(walk.step & ~walk.pixel_end)]
        m.d.comb += [
            walk.load.eq(takes),
            walk.coming.eq(self.chunk),
            walk.chunk.eq(held_bits),
            walk.step.eq(walk.begins | step),
        ]
        self._fetch(m, walk, window, arf)
        self._give(m, window, arf, held)
        return m

    def _order(self, m: Module, held: View) -> tuple[Signal, Signal]:
        """When the next chunk is taken, and when the fetch of a pixel begins; how long it takes the packet says."""
        chunk = View(self.layout, self.chunk)
        takes, begins, ends = Signal(name="takes"), Signal(name="begins"), Signal(name="ends")
        # The next chunk is due, in this cycle and from an earlier one; so is the fetch of a first pixel.
        seeks, sought = Signal(name="seeks"), Signal(name="sought")
        opens, opening, opened = Signal(name="opens"), Signal(name="opening"), Signal(name="opened")
        tiles = Signal(TILE_BITS)
        may, may_now = Signal(name="may"), Signal(name="may_now")
        exhausted, row_starts = self._pixels(m, held, takes, ends)
        m.d.comb += [
            seeks.eq(sought | (self.starts & exhausted & ~held.ends)),
            takes.eq(self.load | (seeks & self.chunk_valid)),
            opens.eq(takes | opening),
            may.eq((~held.opens | (tiles != 0)) & (~held.begins | self.allowed)),
            may_now.eq((~chunk.opens | (tiles != 0)) & (~chunk.begins | self.allowed)),
            opened.eq(Mux(takes, may_now, opening & may)),
            begins.eq(opened | (self.starts & ~exhausted)),
            self.tile_missing.eq(opening & held.opens & (tiles == 0)),
        ]
        m.d.sync += [
            sought.eq(seeks & ~self.chunk_valid),
            opening.eq(opens & ~opened),
            tiles.eq(tiles + self.tile_there - (opened & Mux(takes, chunk.opens, held.opens))),
            self.ready.eq(ends | (self.ready & ~self.starts)),
        ]
        # Vectors of the pixel whose turn is still to come, and those of the next one.
        left, vectors = (Signal(len(held.fetch_row), name=name) for name in ("left", "vectors"))
        m.d.comb += [
            vectors.eq(Mux(row_starts, held.fetch_row, held.fetch_in)),
            ends.eq((left == 1) | (begins & Mux(takes, chunk.fetch_row == 1, vectors == 1))),
        ]
        with m.If(begins):
            m.d.sync += left.eq(Mux(takes, chunk.fetch_row - 1, vectors - 1))
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return takes, begins

    def _pixels(self, m: Module, held: View, takes: Signal, ends: Signal) -> tuple[Signal, Value]:
        """Whether all pixels of the chunk are fetched, and whether the next one to be fetched begins a row."""
        chunk = View(self.layout, self.chunk)
        pixel, column = Signal(COUNT_BITS, name="pixel"), Signal(COUNT_BITS, name="column")
        exhausted = Signal(init=1)
        last, row_end = Signal(name="last"), Signal(name="row_end")
        m.d.comb += [
            last.eq(Mux(takes, chunk.pixels == 1, pixel + 1 == held.pixels)),
            row_end.eq(Mux(takes, chunk.width == 1, column + 1 == held.width)),
        ]
        with m.If(takes):
            m.d.sync += exhausted.eq(0)
        with m.If(ends):
            m.d.sync += [
                exhausted.eq(last),
                pixel.eq(Mux(last, 0, pixel + 1)),
                column.eq(Mux(row_end, 0, column + 1)),
            ]
        return exhausted, column == 0

    def _fetch(self, m: Module, walk: VectorWalk, window: ArfWindow, arf: Arf) -> None:
        """Reads a vector, or pads, `operand_stages` after its turn, and writes it into the ARF a cycle later."""
        arrives = Signal()
        in_tile = Signal()
        upper = Signal()
        zero = Signal(8, reset_less=True)
        target = Signal.like(arf.write_address)
        m.d.comb += [
            self.read_enable.eq(walk.reads & walk.in_tile),
            self.read_word.eq(walk.word),
            self.read_map.eq(walk.map),
            window.starts.eq(delays(m, self.starts, WINDOW_STAGES, "window_starts")[-1]),
            arf.write_enable.eq(arrives),
            arf.write_address.eq(target),
            arf.write_data.eq(
                Mux(
                    in_tile,
                    Mux(upper, self.read_data >> 32, self.read_data),
                    zero.replicate(self.accelerator.rows),
                )
            ),
        ]
        m.d.sync += [
            window.full.eq(walk.full),
            window.store.eq(walk.step),
            window.store_end.eq(walk.segment_end),
            window.store_segment.eq(walk.segment),
            window.store_origin.eq(walk.origin),
            window.store_words.eq(walk.words),
        ]
        stores = delays(m, window.store, self.accelerator.operand_stages - WINDOW_STAGES, "stores")
        address = delay(m, window.store_address, stores[:-1], "target")
        m.d.sync += arrives.eq(walk.reads)
        with m.If(walk.reads):
            m.d.sync += [
                in_tile.eq(walk.in_tile),
                zero.eq(walk.zero),
                upper.eq(walk.upper),
                target.eq(address),
            ]

    def _give(self, m: Module, window: ArfWindow, arf: Arf, held: View) -> None:
        """The vectors of the slot; the loader may fetch from the next chunk already."""
        layout: dict[str, Value] = {}
        lag = self.accelerator.operand_stages - 1
        for field in ("b", "d", "kx", "kernel_x"):
            kept = Signal.like(held[field], name=f"given_{field}")
            now = Signal.like(kept, name=f"given_{field}_now")
            m.d.comb += now.eq(Mux(self.starts, held[field], kept))
            with m.If(self.starts):
                m.d.sync += kept.eq(held[field])
            layout[field] = delays(m, now, lag - 1, f"given_{field}")[-1]
        segments = place(
            m, "segments", Segments(words=window.columns, extent_bits=len(held.b), kernel_bits=len(held.kx))
        )
        m.d.comb += [getattr(segments, field).eq(value) for field, value in layout.items()]
        starts = delays(m, self.starts, lag, "starts")
        m.d.comb += [
            segments.load.eq(starts[-2]),
            segments.restart.eq(starts[-1]),
            segments.step.eq(self.request & window.read_end),
            window.read.eq(self.request),
            window.read_segment.eq(segments.segment),
            window.read_origin.eq(segments.origin),
            window.read_words.eq(segments.words),
            self.activation.eq(arf.read_data),
        ]
        m.d.sync += [arf.read_enable.eq(self.request), arf.read_address.eq(window.read_address)]
