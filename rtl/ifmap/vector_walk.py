"""Which activation vectors a chunk fetches, and where they lie in L1."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, address_bits, place
from rtl.geometry import COUNT_BITS, Geometry
from rtl.ifmap.segments import KINDS, Segments
from sim.accelerator import Accelerator

ADDRESS_STAGES = 3
"""Cycles from the turn of a vector to its address in L1."""
COORDINATE_BITS = 15
"""Lines and pixels of a tile, signed, with what a kernel reaches beyond it on either side."""


class VectorWalk(Block):
    """Walks the pixels of a chunk and the vectors that each of them fetches.

    Function: a pixel fetches all vectors of its window at the start of an output row or without `reuse`
        (then `full` is 1), else of each segment the last `stride_x` positions; position outer, channel group
        inner. `segment`, `origin` and `words` describe its segment (`rtl.segments`);
        `segment_end`, `pixel_end`: the last vector fetched of its segment, its pixel, in this cycle.
        A vector whose turn it was ADDRESS_STAGES ago (`reads`) lies in the words of L1 group `map` from `word` on,
        from byte 4*`upper` on, if it is in the tile (`in_tile`); else it is `zero` in every lane.
    Throughput: one vector a cycle.
    Handshake: `load` in the cycle before `chunk` changes to a new chunk, `coming`; `takes` in the cycle in which it
        does, `begins` in a pixel's first cycle, the same one or a later one; `step` moves on at the end of the cycle.
    """

    kind = "vector_walk"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.layout = packets.chunk(Geometry(accelerator))
        columns = accelerator.arf_depth // 2
        super().__init__(
            {
                "load": In(1),
                "coming": In(self.layout.size),
                "chunk": In(self.layout.size),
                "takes": In(1),
                "begins": In(1),
                "step": In(1),
                "reads": Out(1),
                "in_tile": Out(1),
                "map": Out(1),
                "zero": Out(8),
                "word": Out(packets.WORD_ADDRESS_BITS),
                "upper": Out(1),
                "full": Out(1),
                "segment": Out(range(KINDS)),
                "origin": Out(address_bits(columns)),
                "words": Out(range(columns + 1)),
                "segment_end": Out(1),
                "pixel_end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chunk = View(self.layout, self.chunk)
        # Line and pixel that kernel position (0, 0) of the output pixel reads.
        y, y_now, x, x_now = _coordinates("y", "y_now", "x", "x_now")
        column = Signal(COUNT_BITS)
        row_end = Signal()
        m.d.comb += [
            y_now.eq(Mux(self.takes, chunk.y.as_signed(), y)),
            x_now.eq(Mux(self.takes, chunk.x.as_signed(), x)),
            row_end.eq(column + 1 == chunk.width),
            self.full.eq((column == 0) | ~chunk.reuse),
        ]
        m.d.sync += [y.eq(y_now), x.eq(x_now)]
        with m.If(self.pixel_end):
            m.d.sync += [column.eq(column + 1), x.eq(x_now + chunk.stride_x)]
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
        coming = View(self.layout, self.coming)
        group = Signal.like(chunk.b)
        position = Signal.like(chunk.d)
        new = Signal.like(chunk.d)  # positions of the segment that are fetched, its last ones
        kernel_row, kernel_row_now, kernel_column = (
            Signal(len(chunk.kernel_x) + 1, name=name)
            for name in ("kernel_row", "kernel_row_now", "kernel_column")
        )
        byte = Signal(len(chunk.channel) + 1)
        group_end = Signal()
        m.d.comb += [
            segments.restart.eq(self.begins),
            segments.step.eq(self.segment_end),
            segments.load.eq(self.load),
            *(getattr(segments, name).eq(coming[name]) for name in ("b", "d", "kx", "kernel_x")),
            self.segment.eq(segments.segment),
            self.origin.eq(segments.origin),
            self.words.eq(segments.words),
            new.eq(segments.positions),
            group_end.eq(group + 1 == chunk.b),
            self.segment_end.eq(self.step & group_end & (position + 1 == new)),
            self.pixel_end.eq(self.segment_end & segments.final),
            kernel_row_now.eq(Mux(self.begins, chunk.ky, kernel_row)),
            kernel_column.eq(segments.start + segments.positions - new + position),
            byte.eq(chunk.channel + group * self.accelerator.rows),
        ]
        self._address(m, chunk, (y, x), (kernel_row_now, kernel_column), byte)
        with m.If(~self.full & (chunk.stride_x < segments.positions)):
            m.d.comb += new.eq(chunk.stride_x)
        m.d.sync += kernel_row.eq(kernel_row_now)
        with m.If(self.step):
            m.d.sync += group.eq(Mux(group_end, 0, group + 1))
            with m.If(group_end):
                m.d.sync += position.eq(position + 1)
        with m.If(self.segment_end):
            m.d.sync += [position.eq(0), kernel_row.eq(kernel_row_now + 1)]

    def _address(
        self,
        m: Module,
        chunk: View,
        pixel: tuple[Signal, Signal],
        position: tuple[Signal, Signal],
        byte: Signal,
    ) -> None:
        """Where the vector lies: its coordinates, their products, and the sum, a cycle each."""
        turns = Signal(ADDRESS_STAGES)
        # What the chunk says, for as long as a vector of it is on its way; each stage drops what it has used.
        extents = ("line", "lines", "pitch", "line_pixels", "base", "map", "zero")
        says = [
            {name: Signal(len(chunk[name]), name=f"{name}_{stage}", reset_less=True) for name in names}
            for stage, names in enumerate(
                (("dilation_y", "dilation_x", *extents), extents, ("base", "map", "zero")), 1
            )
        ]
        with m.If(self.takes):
            m.d.sync += [register.eq(chunk[name]) for name, register in says[0].items()]
        for before, after in pairwise(says):
            m.d.sync += [register.eq(before[name]) for name, register in after.items()]
        bytes_ = [Signal.like(byte, name=f"byte_{stage}", reset_less=True) for stage in (1, 2, 3)]
        m.d.sync += [turns.eq(Cat(self.step, turns)), Cat(bytes_).eq(Cat(byte, *bytes_[:-1]))]
        inside, products = [], []
        for axis, start, kernel, dilation, count, pitch in (
            ("y", pixel[0], position[0], "dilation_y", "lines", "line"),
            ("x", pixel[1], position[1], "dilation_x", "line_pixels", "pitch"),
        ):
            first, place = (
                Signal(signed(COORDINATE_BITS), name=f"{what}_{axis}", reset_less=True)
                for what in ("first", "place")
            )
            step = Signal.like(kernel, name=f"kernel_{axis}", reset_less=True)
            product = Signal(packets.WORD_ADDRESS_BITS, name=f"product_{axis}", reset_less=True)
            there = Signal(name=f"inside_{axis}", reset_less=True)
            m.d.sync += [
                first.eq(start),
                step.eq(kernel),
                place.eq(first + step * says[0][dilation]),
                there.eq((place >= 0) & (place < says[1][count])),
                product.eq(place * says[1][pitch]),
            ]
            inside.append(there)
            products.append(product)
        m.d.comb += [
            self.reads.eq(turns[-1]),
            self.in_tile.eq(inside[0] & inside[1]),
            self.map.eq(says[2]["map"]),
            self.zero.eq(says[2]["zero"]),
            self.word.eq(says[2]["base"] + products[0] + products[1] + bytes_[2][3:]),
            self.upper.eq(bytes_[2][2]),
        ]


def _coordinates(*names: str) -> list[Signal]:
    return [Signal(signed(COORDINATE_BITS), name=name) for name in names]
