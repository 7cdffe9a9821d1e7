"""Residual addition of one output channel."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.storer.carry_save import CarrySaveSum, digit_count, recoded
from rtl.storer.requantizer import MULTIPLIER_BITS
from rtl.storer.rounding import QUOTIENT_BITS, SHIFT_BITS, quotient, rounded

DIFFERENCE_BITS = 9
SUM_BITS = DIFFERENCE_BITS + MULTIPLIER_BITS + 1


class ResidualLane(Block):
    """Adds the residual operand to a requantized value, with one rounding.

    Function: y = clamp((((own - own_zero) * own_multiplier + (other - other_zero) * other_multiplier
        + 2^(shift-1)) >> shift) + zero, low, high).
    Throughput: one sum a cycle.
    Handshake: none. `own` and `other` with their zeros in cycle t, their multipliers in t+1, `shift` in t+3,
        `zero`, `low` and `high` in t+4, `y` in t+5. The stages: differences, carry-save sum of both products, sum,
        shift, clamp.
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
        tree = CarrySaveSum(
            products=2, factor_bits=MULTIPLIER_BITS + 1, digits=digit_count(DIFFERENCE_BITS), width=SUM_BITS
        )
        place(m, "tree", tree)
        differences = []
        for name in ("own", "other"):
            value, zero = getattr(self, name).as_signed(), getattr(self, f"{name}_zero").as_signed()
            difference = Signal(signed(DIFFERENCE_BITS), name=f"{name}_difference", reset_less=True)
            m.d.sync += difference.eq(value - zero)
            differences.append(difference)
        addends = [Signal(SUM_BITS, name=f"addend_{n}", reset_less=True) for n in range(2)]
        total = Signal(signed(SUM_BITS), reset_less=True)
        shifted = Signal(signed(QUOTIENT_BITS), reset_less=True)
        y = Signal(8, reset_less=True)
        m.d.sync += [
            addends[0].eq(tree.addend_0),
            addends[1].eq(tree.addend_1),
            total.eq(addends[0] + addends[1]),
            shifted.eq(quotient(m, total, self.shift)),
            y.eq(rounded(m, shifted, self.zero, self.low, self.high)),
        ]
        m.d.comb += [
            tree.digits.eq(Cat(recoded(difference) for difference in differences)),
            tree.factors.eq(Cat(self.own_multiplier, Const(0, 1), self.other_multiplier, Const(0, 1))),
            self.y.eq(y),
        ]
        return m
