"""What a lane adds up in a pass."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.geometry import PSUM_BITS


class PassOperand(Block):
    """Turns the first stage of a requantizer into an accumulator, or into a maximum.

    Function: `acc` + `bias` is `total` plus (value - zero), or with `largest` the larger of `total`, then a
        signed byte, and `value`. `first` starts a window; a position that is not `inside` the map changes nothing.
    Throughput: one value a cycle.
    Handshake: none. The operands in cycle t; `total` is read, and `acc` and `bias` are there, in t+1.
    """

    kind = "pass_operand"

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
        value, zero = self.value.as_signed(), self.zero.as_signed()
        term = Signal(signed(9), reset_less=True)
        first, largest = (Signal(name=f"{name}_held", reset_less=True) for name in ("first", "largest"))
        outside = Mux(self.largest, -128, 0)
        m.d.sync += [
            term.eq(Mux(self.inside, Mux(self.largest, value, value - zero), outside)),
            first.eq(self.first),
            largest.eq(self.largest),
        ]
        byte = self.total[:8].as_signed()
        with m.If(largest):
            m.d.comb += self.acc.eq(Mux(first | (term > byte), term, byte))
        with m.Else():
            m.d.comb += [self.acc.eq(Mux(first, 0, self.total)), self.bias.eq(term)]
        return m
