"""A byte to five ternary weights."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, signed
from amaranth.lib.wiring import In, Out

from rtl.block import Block
from sim.formats.ternary import DIGITS


class TernaryDigits(Block):
    """The digits of a number below 243 in base three, less one.

    Function: weight n of `weights`, two bits, is digit n of `number`, lowest first: -1, 0 or 1. A number from 243 on
        gives weights of no meaning.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "ternary_digits"
    clocked = False

    def __init__(self) -> None:
        super().__init__({"number": In(8), "weights": Out(2 * DIGITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.Switch(self.number):
            for number in range(3**DIGITS):
                digits = (number // 3**n % 3 - 1 for n in range(DIGITS))
                with m.Case(number):
                    m.d.comb += self.weights.eq(Cat(Const(digit, signed(2)) for digit in digits))
        return m
