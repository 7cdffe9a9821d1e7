"""Who reads a bank of the codebook ROM."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive, place
from rtl.weights.lzc import Lzc


class RomArbiter(Block):
    """Gives the read ports of one bank to the records that ask for it.

    Function: port p reads for the p-th of the `requests`, at that record's address; `granted`
        (a bit a record, for each port) says for which, `rest` are those that must ask again.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "rom_arbiter"
    clocked = False

    def __init__(self, *, records: int, ports: int, address_bits: int) -> None:
        check_positive(records=records, ports=ports, address_bits=address_bits)
        self.records, self.count, self.address_bits = records, ports, address_bits
        super().__init__(
            {
                "requests": In(records),
                "addresses": In(records * address_bits),
                "granted": Out(ports * records),
                "read_enable": Out(ports),
                "read_address": Out(ports * address_bits),
                "rest": Out(records),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rest = self.requests
        for port in range(self.count):
            first = place(m, f"first_{port}", Lzc(width=self.records))
            m.d.comb += [
                first.mask.eq(rest),
                self.read_enable[port].eq(rest.any()),
                self.granted.word_select(port, self.records).eq(first.onehot),
                self.read_address.word_select(port, self.address_bits).eq(
                    reduce(
                        or_,
                        (
                            Mux(first.onehot[n], self.addresses.word_select(n, self.address_bits), 0)
                            for n in range(self.records)
                        ),
                    )
                ),
            ]
            rest = first.rest
        m.d.comb += self.rest.eq(rest)
        return m
