"""The kernel rows of a chunk, one after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive

KINDS = 3
FIRST, MIDDLE, LAST = range(KINDS)
"""Kinds of segments; those of one kind have the same length. A single segment is FIRST."""


class Segments(Block):
    """Cuts the D kernel positions of a chunk, from column `kx` on, into kernel rows of `kernel_x`: segments.

    Function: a segment has `positions` kernel positions from column `start` on, and takes the `words` =
        positions * B ARF words from `origin` on; `segment` is its kind, `final` marks the last one.
    Throughput: one segment a cycle.
    Handshake: in a cycle with `restart` the outputs show the first segment. `step` moves on at the end of the
        cycle. `b`, `d`, `kx` and `kernel_x` stay until the next restart.
    """

    kind = "segments"

    def __init__(self, *, words: int, extent_bits: int, kernel_bits: int) -> None:
        check_positive(words=words, extent_bits=extent_bits, kernel_bits=kernel_bits)
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "b": In(extent_bits),
                "d": In(extent_bits),
                "kx": In(kernel_bits),
                "kernel_x": In(kernel_bits),
                "positions": Out(extent_bits),
                "start": Out(kernel_bits),
                "words": Out(range(words + 1)),
                "origin": Out(address_bits(words)),
                "segment": Out(range(KINDS)),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left, left_now = Signal.like(self.d, name="left"), Signal.like(self.d, name="left_now")
        first, first_now = Signal(name="first"), Signal(name="first_now")
        origin = Signal.like(self.origin)
        room = Signal.like(self.kernel_x)
        m.d.comb += [
            left_now.eq(Mux(self.restart, self.d, left)),
            first_now.eq(self.restart | first),
            self.origin.eq(Mux(self.restart, 0, origin)),
            self.start.eq(Mux(first_now, self.kx, 0)),
            room.eq(self.kernel_x - self.start),
            self.final.eq(left_now <= room),
            self.positions.eq(Mux(self.final, left_now, room)),
            self.words.eq(self.positions * self.b),
            self.segment.eq(Mux(first_now, FIRST, Mux(self.final, LAST, MIDDLE))),
        ]
        m.d.sync += [left.eq(left_now), first.eq(first_now), origin.eq(self.origin)]
        with m.If(self.step):
            m.d.sync += [left.eq(left_now - self.positions), first.eq(0), origin.eq(self.origin + self.words)]
        return m
