"""Which activation vectors a chunk fetches, and where they lie in L1."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, address_bits, place
from rtl.geometry import COUNT_BITS, Geometry
from rtl.ifmap.segments import KINDS, Segments
from sim.accelerator import Accelerator

COORDINATE_BITS = 15
"""Lines and pixels of a tile, signed, with what a kernel reaches beyond it on either side."""


class VectorWalk(Block):
    """Walks the pixels of a chunk and the vectors that each of them fetches.

    Function: a pixel fetches all vectors of its window at the start of an output row or without `reuse`
        (then `full` is 1), else of each segment the last `stride_x` positions; position outer, channel group
        inner. The vector at hand lies in the L1 words from `word` on, from byte 4*`upper` on, if it is
        in the tile (`in_tile`). `segment`, `origin` and `words` describe its segment (`rtl.segments`);
        `segment_end`, `pixel_end`: the last vector fetched of its segment, its pixel, in this cycle.
        `exhausted`: those of the chunk's last pixel are fetched.
    Throughput: one vector a cycle.
    Handshake: `takes` in the cycle in which `chunk` changes to a new chunk, `begins` in a pixel's first
        cycle, the same one or a later one; `step` moves on at the end of the cycle.
    """

    kind = "vector_walk"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.layout = packets.chunk(Geometry(accelerator))
        columns = accelerator.arf_depth // 2
        super().__init__(
            {
                "chunk": In(self.layout.size),
                "takes": In(1),
                "begins": In(1),
                "step": In(1),
                "in_tile": Out(1),
                "word": Out(packets.WORD_ADDRESS_BITS),
                "upper": Out(1),
                "full": Out(1),
                "segment": Out(range(KINDS)),
                "origin": Out(address_bits(columns)),
                "words": Out(range(columns + 1)),
                "segment_end": Out(1),
                "pixel_end": Out(1),
                "exhausted": Out(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chunk = View(self.layout, self.chunk)
        # Line and pixel that kernel position (0, 0) of the output pixel reads.
        y, y_now, x, x_now = _coordinates("y", "y_now", "x", "x_now")
        pixel = Signal(COUNT_BITS)
        column = Signal(COUNT_BITS)
        last = Signal()
        row_end = Signal()
        m.d.comb += [
            y_now.eq(Mux(self.takes, chunk.y.as_signed(), y)),
            x_now.eq(Mux(self.takes, chunk.x.as_signed(), x)),
            last.eq(pixel + 1 == chunk.pixels),
            row_end.eq(column + 1 == chunk.width),
            self.full.eq((column == 0) | ~chunk.reuse),
        ]
        m.d.sync += [y.eq(y_now), x.eq(x_now)]
        with m.If(self.takes):
            m.d.sync += self.exhausted.eq(0)
        with m.If(self.pixel_end):
            m.d.sync += [
                self.exhausted.eq(last),
                pixel.eq(Mux(last, 0, pixel + 1)),
                column.eq(column + 1),
                x.eq(x_now + chunk.stride_x),
            ]
            with m.If(row_end):
                m.d.sync += [column.eq(0), x.eq(chunk.x.as_signed()), y.eq(y_now + chunk.stride_y)]
        self._vectors(m, chunk, y_now, x_now)
        return m

    def _vectors(self, m: Module, chunk: View, y: Signal, x: Signal) -> None:
        segments = place(
            m,
            "segments",
            Segments(
                words=self.accelerator.arf_depth // 2, extent_bits=len(chunk.b), kernel_bits=len(chunk.kx)
            ),
        )
        group = Signal.like(chunk.b)
        position = Signal.like(chunk.d)
        new = Signal.like(chunk.d)  # positions of the segment that are fetched, its last ones
        line, column = _coordinates("line", "fetched_column")
        kernel_row, kernel_row_now, kernel_column = (
            Signal(len(chunk.kernel_x) + 1, name=name)
            for name in ("kernel_row", "kernel_row_now", "kernel_column")
        )
        byte = Signal(len(chunk.channel) + 1)
        group_end = Signal()
        m.d.comb += [
            segments.restart.eq(self.begins),
            segments.step.eq(self.segment_end),
            segments.b.eq(chunk.b),
            segments.d.eq(chunk.d),
            segments.kx.eq(chunk.kx),
            segments.kernel_x.eq(chunk.kernel_x),
            self.segment.eq(segments.segment),
            self.origin.eq(segments.origin),
            self.words.eq(segments.words),
            new.eq(segments.positions),
            group_end.eq(group + 1 == chunk.b),
            self.segment_end.eq(self.step & group_end & (position + 1 == new)),
            self.pixel_end.eq(self.segment_end & segments.final),
            kernel_row_now.eq(Mux(self.begins, chunk.ky, kernel_row)),
            kernel_column.eq(segments.start + segments.positions - new + position),
            line.eq(y + kernel_row_now * chunk.dilation_y),
            column.eq(x + kernel_column * chunk.dilation_x),
            byte.eq(chunk.channel + group * self.accelerator.rows),
            self.in_tile.eq(
                (line >= 0) & (line < chunk.lines) & (column >= 0) & (column < chunk.line_pixels)
            ),
            # line * chunk.line + column * chunk.pitch, multiplied out: no product waits for another sum.
            self.word.eq(
                chunk.base
                + y * chunk.line
                + kernel_row_now * (chunk.dilation_y * chunk.line)
                + x * chunk.pitch
                + kernel_column * (chunk.dilation_x * chunk.pitch)
                + byte[3:]
            ),
            self.upper.eq(byte[2]),
        ]
        with m.If(~self.full & (chunk.stride_x < segments.positions)):
            m.d.comb += new.eq(chunk.stride_x)
        m.d.sync += kernel_row.eq(kernel_row_now)
        with m.If(self.step):
            m.d.sync += group.eq(Mux(group_end, 0, group + 1))
            with m.If(group_end):
                m.d.sync += position.eq(position + 1)
        with m.If(self.segment_end):
            m.d.sync += [position.eq(0), kernel_row.eq(kernel_row_now + 1)]


def _coordinates(*names: str) -> list[Signal]:
    return [Signal(signed(COORDINATE_BITS), name=name) for name in names]
