"""Weight register file."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive


class Wrf(Block):
    """WRF of one PE, on a sparse tile with its MRF above it (one address, one enable).

    Function: word = weight (8 bits), position (log2 d bits, sparse tile only).
    Throughput: one read and one write a cycle.
    Handshake: none. A read is combinational; a write in cycle t is visible in t+1.
    """

    kind = "wrf"

    def __init__(self, *, depth: int, word_bits: int) -> None:
        check_positive(depth=depth, word_bits=word_bits)
        self.depth, self.word_bits = depth, word_bits
        address = address_bits(depth)
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(address),
                "write_data": In(word_bits),
                "read_address": In(address),
                "read_data": Out(word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(shape=unsigned(self.word_bits), depth=self.depth, init=[])
        read = words.read_port(domain="comb")
        write = words.write_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
