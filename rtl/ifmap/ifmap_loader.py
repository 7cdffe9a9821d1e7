"""Ifmap loader: activation vectors from L1 through the ARF to the array."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.array.array import delay, delays
from rtl.block import Block, place
from rtl.geometry import Geometry
from rtl.ifmap.arf import Arf
from rtl.ifmap.arf_window import ArfWindow
from rtl.ifmap.segments import Segments
from rtl.ifmap.vector_walk import VectorWalk
from sim.accelerator import Accelerator
from sim.errors import InputError

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
        `request` in cycle t, `operand_stages` after `starts` or later, in window order: `activation` in t+1 and until
        the cycle after the next request.
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
        window = place(m, "window", ArfWindow(words=columns, lag=self.accelerator.operand_stages))
        arf = place(m, "arf", Arf(depth=2 * columns, width=8 * self.accelerator.rows))
        held_bits = Signal(self.layout.size)
        held = View(self.layout, held_bits)
        # `walk.chunk` is the chunk that is fetched from in this cycle.
        m.d.comb += walk.chunk.eq(Mux(walk.takes, self.chunk, held_bits))
        with m.If(walk.takes):
            m.d.sync += held_bits.eq(self.chunk)
        self._order(m, walk, held)
        self._fetch(m, walk, window, arf)
        self._give(m, window, arf, held)
        return m

    def _order(self, m: Module, walk: VectorWalk, held: View) -> None:
        """Which chunk, and when the fetch of a pixel begins."""
        chunk = View(self.layout, walk.chunk)
        # The next chunk is due, in this cycle and from an earlier one; so is the fetch of a first pixel.
        seeks = Signal()
        sought = Signal()
        opens = Signal()
        opening = Signal()
        opened = Signal()
        fetching = Signal()
        tiles = Signal(TILE_BITS)
        m.d.comb += [
            seeks.eq(sought | (self.starts & walk.exhausted & ~held.ends)),
            walk.takes.eq(self.load | (seeks & self.chunk_valid)),
            opens.eq(walk.takes | opening),
            opened.eq(opens & (~chunk.opens | (tiles != 0)) & (~chunk.begins | self.allowed)),
            walk.begins.eq(opened | (self.starts & ~walk.exhausted)),
            walk.step.eq(walk.begins | fetching),
            self.tile_missing.eq(opening & held.opens & (tiles == 0)),
        ]
        m.d.sync += [
            sought.eq(seeks & ~self.chunk_valid),
            opening.eq(opens & ~opened),
            tiles.eq(tiles + self.tile_there - (opened & chunk.opens)),
            fetching.eq(walk.step & ~walk.pixel_end),
            self.ready.eq(walk.pixel_end | (self.ready & ~self.starts)),
        ]

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
            window.starts.eq(self.starts),
            window.full.eq(walk.full),
            window.store.eq(walk.step),
            window.store_end.eq(walk.segment_end),
            window.store_segment.eq(walk.segment),
            window.store_origin.eq(walk.origin),
            window.store_words.eq(walk.words),
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
        stores = delays(m, walk.step, self.accelerator.operand_stages, "stores")
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
        lag = self.accelerator.operand_stages
        for field in ("b", "d", "kx", "kernel_x"):
            kept = Signal.like(held[field], name=f"given_{field}")
            now = Signal.like(kept, name=f"given_{field}_now")
            m.d.comb += now.eq(Mux(self.starts, held[field], kept))
            with m.If(self.starts):
                m.d.sync += kept.eq(held[field])
            layout[field] = delays(m, now, lag, f"given_{field}")[-1]
        segments = place(
            m, "segments", Segments(words=window.columns, extent_bits=len(held.b), kernel_bits=len(held.kx))
        )
        m.d.comb += [getattr(segments, field).eq(value) for field, value in layout.items()]
        m.d.comb += [
            segments.restart.eq(delays(m, self.starts, lag, "starts")[-1]),
            segments.step.eq(self.request & window.read_end),
            window.read.eq(self.request),
            window.read_segment.eq(segments.segment),
            window.read_origin.eq(segments.origin),
            window.read_words.eq(segments.words),
            arf.read_enable.eq(self.request),
            arf.read_address.eq(window.read_address),
            self.activation.eq(arf.read_data),
        ]
