"""One stage of the position finder."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive


class Lzc(Block):
    """First set bit of a mask, from element 0, and the mask without it (MVQ sec. 5.3).

    Function: `onehot` marks the first set element, `position` is its number, `rest` the mask with
        it XOR-ed out. An empty mask gives 0 three times.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "lzc"
    clocked = False

    def __init__(self, *, width: int) -> None:
        check_positive(width=width)
        self.width = width
        super().__init__(
            {
                "mask": In(width),
                "onehot": Out(width),
                "position": Out(address_bits(width)),
                "rest": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.onehot.eq(self.mask & -self.mask)
        for bit in range(len(self.position)):
            members = sum(1 << n for n in range(self.width) if n >> bit & 1)
            m.d.comb += self.position[bit].eq((self.onehot & members).any())
        m.d.comb += self.rest.eq(self.mask ^ self.onehot)
        return m
