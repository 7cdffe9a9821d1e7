"""Requantization of one output channel."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from rtl.geometry import PSUM_BITS
from rtl.storer.rounding import SHIFT_BITS, clamp, rounding_shift

MULTIPLIER_BITS = 16


class Requantizer(Block):
    """One lane of the storer.

    Function: y = clamp((((acc + bias) * multiplier + 2^(shift-1)) >> shift) + zero, low, high);
        multiplier unsigned, shift 1 to 47, acc + bias within 32 bits. On the way `total` shows acc + bias and
        `scaled` the low half of its product.
    Throughput: one value a cycle.
    Handshake: none. `acc`, `bias`, `multiplier` and `shift` in cycle t; `total` in t+1; `scaled` in t+2,
        where `zero`, `low` and `high` are read; `y` in t+3.
    """

    kind = "requantizer"

    def __init__(self) -> None:
        super().__init__(
            {
                "acc": In(PSUM_BITS),
                "bias": In(PSUM_BITS),
                "multiplier": In(MULTIPLIER_BITS),
                "shift": In(SHIFT_BITS),
                "zero": In(8),
                "low": In(8),
                "high": In(8),
                "total": Out(PSUM_BITS),
                "scaled": Out(PSUM_BITS),
                "y": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        shift = [Signal(SHIFT_BITS, name=f"shift_{stage}", reset_less=True) for stage in (1, 2)]
        total = Signal(signed(PSUM_BITS), reset_less=True)
        product = Signal(signed(PSUM_BITS + MULTIPLIER_BITS), reset_less=True)
        y = Signal(8, reset_less=True)
        rounded = rounding_shift(product, shift[1]) + self.zero.as_signed()
        m.d.sync += [
            total.eq(self.acc + self.bias),
            multiplier.eq(self.multiplier),
            shift[0].eq(self.shift),
            product.eq(total * multiplier),
            shift[1].eq(shift[0]),
            y.eq(clamp(rounded, self.low, self.high)),
        ]
        m.d.comb += [self.total.eq(total), self.scaled.eq(product), self.y.eq(y)]
        return m
