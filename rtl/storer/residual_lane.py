"""Residual addition of one output channel."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.storer.requantizer import MULTIPLIER_BITS
from rtl.storer.rounding import SHIFT_BITS, clamp, rounding_shift


class ResidualLane(Block):
    """Adds the residual operand to a requantized value, with one rounding.

    Function: y = clamp((((own - own_zero) * own_multiplier + (other - other_zero) * other_multiplier
        + 2^(shift-1)) >> shift) + zero, low, high).
    Throughput: one sum a cycle.
    Handshake: none. `other` with its zero and multiplier in cycle t, `own` and the rest in t+1, `y` in t+2.
    """

    kind = "residual_lane"

    def __init__(self) -> None:
        super().__init__(
            {
                "own": In(8),
                "own_zero": In(8),
                "own_multiplier": In(MULTIPLIER_BITS),
                "other": In(8),
                "other_zero": In(8),
                "other_multiplier": In(MULTIPLIER_BITS),
                "shift": In(SHIFT_BITS),
                "zero": In(8),
                "low": In(8),
                "high": In(8),
                "y": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        other = Signal(signed(10 + MULTIPLIER_BITS), reset_less=True)
        y = Signal(8, reset_less=True)
        own = (self.own.as_signed() - self.own_zero.as_signed()) * self.own_multiplier
        rounded = rounding_shift(own + other, self.shift) + self.zero.as_signed()
        m.d.sync += [
            other.eq((self.other.as_signed() - self.other_zero.as_signed()) * self.other_multiplier),
            y.eq(clamp(rounded, self.low, self.high)),
        ]
        m.d.comb += self.y.eq(y)
        return m
