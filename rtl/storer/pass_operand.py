"""What a lane adds up in a pass."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.geometry import PSUM_BITS


class PassOperand(Block):
    """Turns the first stage of a requantizer into an accumulator, or into a maximum.

    Function: `acc` + `bias` is `total` plus (value - zero), or with `largest` the larger of `total` and
        `value`. `first` starts a window; a position that is not `inside` the map changes nothing.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "pass_operand"
    clocked = False

    def __init__(self) -> None:
        super().__init__(
            {
                "total": In(PSUM_BITS),
                "value": In(8),
                "zero": In(8),
                "inside": In(1),
                "first": In(1),
                "largest": In(1),
                "acc": Out(PSUM_BITS),
                "bias": Out(PSUM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.value.as_signed()
        before = Signal(signed(PSUM_BITS))
        m.d.comb += [before.eq(Mux(self.first, Mux(self.largest, -128, 0), self.total)), self.acc.eq(before)]
        with m.If(self.inside):
            with m.If(~self.largest):
                m.d.comb += self.bias.eq(value - self.zero.as_signed())
            with m.Elif(value > before):
                m.d.comb += self.acc.eq(value)
        return m
