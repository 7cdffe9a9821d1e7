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
    Handshake: `load` takes `b`, `d`, `kx` and `kernel_x`. In a later cycle with `restart` the outputs show the first
        segment, as often as wanted. `step` moves on at the end of the cycle.
    """

    kind = "segments"

    def __init__(self, *, words: int, extent_bits: int, kernel_bits: int) -> None:
        check_positive(words=words, extent_bits=extent_bits, kernel_bits=kernel_bits)
        super().__init__(
            {
                "load": In(1),
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
        shows = ("positions", "start", "words", "origin", "segment", "final")
        # The first segment, the one at hand and the next one; `left`: positions behind it.
        first, held, following = (
            {name: Signal.like(getattr(self, name), name=f"{when}_{name}", reset_less=True) for name in shows}
            | {"left": Signal.like(self.d, name=f"{when}_left", reset_less=True)}
            for when in ("first", "held", "next")
        )
        b = Signal.like(self.b, name="loaded_b")
        kernel_x = Signal.like(self.kernel_x, name="loaded_kernel_x")
        left = Signal.like(self.d)
        self._first(m, first)
        with m.If(self.load):
            m.d.sync += [b.eq(self.b), kernel_x.eq(self.kernel_x)]
        m.d.comb += [
            *(getattr(self, name).eq(Mux(self.restart, first[name], held[name])) for name in shows),
            left.eq(Mux(self.restart, first["left"], held["left"])),
            following["final"].eq(left <= kernel_x),
            following["positions"].eq(Mux(following["final"], left, kernel_x)),
            following["start"].eq(0),
            following["words"].eq(following["positions"] * b),
            following["origin"].eq(self.origin + self.words),
            following["segment"].eq(Mux(following["final"], LAST, MIDDLE)),
            following["left"].eq(left - following["positions"]),
        ]
        now = {name: getattr(self, name) for name in shows} | {"left": left}
        m.d.sync += [
            register.eq(Mux(self.step, following[name], now[name])) for name, register in held.items()
        ]
        return m

    def _first(self, m: Module, first: dict[str, Signal]) -> None:
        """The first segment, of what is loaded."""
        room = Signal.like(self.kernel_x)
        final = Signal(name="loaded_final")
        positions = Signal.like(self.positions, name="loaded_positions")
        m.d.comb += [
            room.eq(self.kernel_x - self.kx),
            final.eq(self.d <= room),
            positions.eq(Mux(final, self.d, room)),
        ]
        with m.If(self.load):
            m.d.sync += [
                first["positions"].eq(positions),
                first["start"].eq(self.kx),
                first["words"].eq(positions * self.b),
                first["origin"].eq(0),
                first["segment"].eq(FIRST),
                first["final"].eq(final),
                first["left"].eq(self.d - positions),
            ]
