"""Codebook register file."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive


class Codebook(Block):
    """CRF: k codewords of d INT8 weights with L/d read ports (MVQ sec. 5.2).

    Function: codeword n of `read_data` (d bytes, lowest port first) = CRF[read_address n].
    Throughput: one codeword a port and one write a cycle.
    Handshake: none. Reads are combinational; a write in cycle t is visible in t+1.
    """

    kind = "codebook"

    def __init__(self, *, entries: int, length: int, ports: int) -> None:
        check_positive(entries=entries, length=length, ports=ports)
        self.entries, self.length, self.count = entries, length, ports
        self.address_bits = address_bits(entries)
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(self.address_bits),
                "write_data": In(8 * length),
                "read_address": In(ports * self.address_bits),
                "read_data": Out(ports * 8 * length),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = 8 * self.length
        m.submodules.words = words = Memory(shape=unsigned(width), depth=self.entries, init=[])
        write = words.write_port()
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        for n in range(self.count):
            read = words.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(self.read_address.word_select(n, self.address_bits)),
                self.read_data.word_select(n, width).eq(read.data),
            ]
        return m
