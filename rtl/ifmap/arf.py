"""Activation register file."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive
from rtl.clocking import Words, hold


class Arf(Block):
    """ARF: one word of `width` bits, an activation for each array row, at each address.

    Function: `read_data` is what was last written at `read_address`.
    Throughput: one write and one read a cycle.
    Handshake: none. `read_enable` and `read_address` in cycle t, `read_data` in t+1 and until the next read.
        A read sees the write of its own cycle.
    """

    kind = "arf"

    def __init__(self, *, depth: int, width: int) -> None:
        check_positive(depth=depth, width=width)
        self.depth, self.width = depth, width
        address = address_bits(depth)
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(address),
                "write_data": In(width),
                "read_enable": In(1),
                "read_address": In(address),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = Words(m, "words", depth=self.depth, width=self.width)
        words.write(self.write_enable, self.write_address, self.write_data)
        given = Signal(self.width, reset_less=True)
        same = self.write_enable & (self.write_address == self.read_address)
        read = Mux(same, self.write_data, words.read(self.read_address))
        hold(m, "given", self.read_enable, [given.eq(read)])
        m.d.comb += self.read_data.eq(given)
        return m
