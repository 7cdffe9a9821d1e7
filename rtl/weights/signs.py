"""Signs of a codeword's elements."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive


class Signs(Block):
    """Magnitudes to signed weights (SSVQ: a sign bit for each element).

    Function: byte n of `weights` is byte n of `magnitudes`, negated where bit n of `signs` is 1.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "signs"
    clocked = False

    def __init__(self, *, columns: int) -> None:
        check_positive(columns=columns)
        self.columns = columns
        super().__init__({"magnitudes": In(8 * columns), "signs": In(columns), "weights": Out(8 * columns)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n in range(self.columns):
            magnitude = self.magnitudes.word_select(n, 8)
            m.d.comb += self.weights.word_select(n, 8).eq(Mux(self.signs[n], -magnitude, magnitude))
        return m
