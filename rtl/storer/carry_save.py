"""Sums of products in carry-save form: radix-4 Booth recoding, and a tree of 3:2 compressors."""

from __future__ import annotations

from itertools import count

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive, exporting

DIGIT_BITS = 3
"""A Booth digit of -2 to 2: its magnitude is 1, is 2; it is negative (or -0)."""


def digit_count(bits: int) -> int:
    """Radix-4 digits of a signed factor of so many bits."""
    return -(-bits // 2)


def recoded(factor: Value) -> Value:
    """The radix-4 Booth digits of a signed value, the lowest first."""
    bits = Cat(Const(0, 1), factor, factor[-1])
    digits = []
    for n in range(digit_count(len(factor))):
        right, middle, left = (bits[2 * n + place] for place in range(3))
        one = right ^ middle
        digits.append(Cat(one, ~one & (left ^ middle), left))
    return Cat(digits)


class CarrySaveSum(Block):
    """A sum of products before its carry chain.

    Function: `addend_0` + `addend_1` = the sum of the `products` factors (signed, `factor_bits` each), each times
        the number of which `digits` are the Booth digits, modulo 2^`width`. A register can stand behind it, and
        several products share one carry chain; Yosys alone puts a chain behind every product.
    Throughput: combinational.
    Handshake: none.
    """

    clocked = False

    def __init__(self, *, products: int, factor_bits: int, digits: int, width: int) -> None:
        check_positive(products=products, factor_bits=factor_bits, digits=digits, width=width)
        self.products, self.factor_bits, self.count, self.width = products, factor_bits, digits, width
        self.kind = f"carry_save_sum_{products}x{factor_bits}x{digits}"
        super().__init__(
            {
                "digits": In(products * digits * DIGIT_BITS),
                "factors": In(products * factor_bits),
                "addend_0": Out(width),
                "addend_1": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if exporting():
            self._tree(m)
        else:
            # Amaranth's simulator would take most of its time for the tree.
            total = sum(
                (Mux(negative, -((two << 1) + one), (two << 1) + one) << 2 * n) * factor
                for factor, digits in self._pairs()
                for n, (one, two, negative) in enumerate(digits)
            )
            m.d.comb += self.addend_0.eq(total)
        return m

    def _pairs(self) -> list[tuple[Value, list[Value]]]:
        """Each factor, and the digits that it is multiplied by."""
        return [
            (
                self.factors.word_select(product, self.factor_bits).as_signed(),
                [self.digits.word_select(product * self.count + n, DIGIT_BITS) for n in range(self.count)],
            )
            for product in range(self.products)
        ]

    def _tree(self, m: Module) -> None:
        bits, rows, constant = self.factor_bits, [], 0
        for product, (factor, digits) in enumerate(self._pairs()):
            negatives = []
            for n, (one, two, negative) in enumerate(digits):
                multiple = Signal(bits + 1, name=f"multiple_{product}_{n}")
                chosen = Mux(one, factor, 0) | Mux(two, factor << 1, 0)
                m.d.comb += multiple.eq(chosen ^ negative.replicate(bits + 1))
                # x = y - 2^bits, where y is x with its sign inverted: no row needs its sign repeated.
                rows.append(Cat(multiple[:bits], ~multiple[bits]) << 2 * n)
                constant -= 1 << (bits + 2 * n)
                negatives += [negative, Const(0, 1)]
            rows.append(Cat(negatives))
        rows.append(Const(constant % (1 << self.width), self.width))
        numbers = count()
        while len(rows) > 2:
            whole = len(rows) - len(rows) % 3
            groups = [self._compressor(m, next(numbers), rows[n : n + 3]) for n in range(0, whole, 3)]
            rows = [row for group in groups for row in group] + rows[whole:]
        m.d.comb += [self.addend_0.eq(rows[0]), self.addend_1.eq(rows[1])]

    def _compressor(self, m: Module, number: int, rows: list[Value]) -> list[Value]:
        a, b, c = rows
        total = Signal(self.width, name=f"sum_{number}")
        carry = Signal(self.width, name=f"carry_{number}")
        m.d.comb += [total.eq(a ^ b ^ c), carry.eq(((a & b) | (a & c) | (b & c)) << 1)]
        return [total, carry]
