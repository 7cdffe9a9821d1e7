"""Activation register file."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive


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
        m.submodules.words = words = Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        write = words.write_port()
        read = words.read_port(domain="comb")
        given = Signal(self.width, reset_less=True)
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
            self.read_data.eq(given),
        ]
        with m.If(self.read_enable):
            m.d.sync += given.eq(read.data)
            with m.If(self.write_enable & (self.write_address == self.read_address)):
                m.d.sync += given.eq(self.write_data)
        return m
