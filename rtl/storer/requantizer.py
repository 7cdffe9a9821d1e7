"""Requantization of one output channel."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.geometry import PSUM_BITS
from rtl.storer.carry_save import CarrySaveSum, digit_count, recoded
from rtl.storer.rounding import QUOTIENT_BITS, SHIFT_BITS, quotient, rounded

MULTIPLIER_BITS = 16
PRODUCT_BITS = PSUM_BITS + MULTIPLIER_BITS


class Requantizer(Block):
    """One lane of the storer.

    Function: y = clamp((((acc + bias) * multiplier + 2^(shift-1)) >> shift) + zero, low, high);
        multiplier unsigned, shift 1 to 47, acc + bias within 32 bits. On the way `total` shows acc + bias.
    Throughput: one value a cycle.
    Handshake: none. `acc`, `bias`, `multiplier` and `shift` in cycle t; `total` in t+1; in t+4
        `zero`, `low` and `high` are read; `y` in t+5. The stages: sum, carry-save product, product, shift, clamp.
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
                "y": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = digit_count(MULTIPLIER_BITS + 1)
        tree = CarrySaveSum(products=1, factor_bits=PSUM_BITS, digits=count, width=PRODUCT_BITS)
        place(m, "tree", tree)
        digits = Signal.like(tree.digits, reset_less=True)
        shift = [Signal(SHIFT_BITS, name=f"shift_{stage}", reset_less=True) for stage in (1, 2, 3)]
        total = Signal(signed(PSUM_BITS), reset_less=True)
        addends = [Signal(PRODUCT_BITS, name=f"addend_{n}", reset_less=True) for n in range(2)]
        product = Signal(signed(PRODUCT_BITS), reset_less=True)
        shifted = Signal(signed(QUOTIENT_BITS), reset_less=True)
        y = Signal(8, reset_less=True)
        m.d.sync += [
            total.eq(self.acc + self.bias),
            digits.eq(recoded(Cat(self.multiplier, Const(0, 1)))),
            addends[0].eq(tree.addend_0),
            addends[1].eq(tree.addend_1),
            product.eq(addends[0] + addends[1]),
            Cat(shift).eq(Cat(self.shift, shift[:2])),
            shifted.eq(quotient(m, product, shift[2])),
            y.eq(rounded(m, shifted, self.zero, self.low, self.high)),
        ]
        m.d.comb += [tree.digits.eq(digits), tree.factors.eq(total), self.total.eq(total), self.y.eq(y)]
        return m
