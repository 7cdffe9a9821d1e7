"""Codebook memory."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive, place
from rtl.l1.sram import SinglePortSram


class Codebook(Block):
    """CRF: k codewords of d INT8 weights with L/d read ports (MVQ sec. 5.2), a copy in single-port SRAM for each.

    Codewords are written in codebook jobs only, in which nothing is looked up: one port does for both.

    Function: codeword n of `read_data` (d bytes, lowest port first) = CRF[read_address n].
    Throughput: one codeword a port, or one write, a cycle.
    Handshake: none. With `read_enable` in cycle t the codewords are there in t+1. A write in cycle t, which is no
        cycle of a read, is found from t+1 on.
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
                "read_enable": In(1),
                "read_address": In(ports * self.address_bits),
                "read_data": Out(ports * 8 * length),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = 8 * self.length
        for n in range(self.count):
            copy = place(m, f"copy_{n}", SinglePortSram(depth=self.entries, width=width))
            m.d.comb += [
                copy.enable.eq(self.write_enable | self.read_enable),
                copy.write.eq(self.write_enable),
                copy.write_data.eq(self.write_data),
                copy.address.eq(self.read_address.word_select(n, self.address_bits)),
                self.read_data.word_select(n, width).eq(copy.read_data),
            ]
            with m.If(self.write_enable):
                m.d.comb += copy.address.eq(self.write_address)
        return m
