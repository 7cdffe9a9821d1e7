"""Weight register file."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Member, Out

from rtl.block import Block, address_bits, check_positive, gated
from rtl.clocking import Words


def write_ports(depth: int) -> dict[str, Member]:
    """What selects the word to write: address and enable, in a gated export a clock for each word."""
    if gated():
        return {"write_clk": In(depth)}
    return {"write_enable": In(1), "write_address": In(address_bits(depth))}


class Wrf(Block):
    """WRF of one PE, on a sparse tile with its MRF above it (one address, one enable).

    Function: word = weight (8 bits), position (log2 d bits, sparse tile only).
    Throughput: one read and one write a cycle.
    Handshake: none. A read is combinational; a write in cycle t is visible in t+1. With clock gates
        `write_clk` has a clock for each word, from the gates of the tile; with latches `write_data` is that of
        the cycle before its pulse, held by the tile.
    """

    kind = "wrf"

    def __init__(self, *, depth: int, word_bits: int, latches: bool = False) -> None:
        check_positive(depth=depth, word_bits=word_bits)
        self.depth, self.word_bits, self.latches = depth, word_bits, latches
        self.clocked = not gated()
        super().__init__(
            write_ports(depth)
            | {
                "write_data": In(word_bits),
                "read_address": In(address_bits(depth)),
                "read_data": Out(word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = Words(m, "words", depth=self.depth, width=self.word_bits, latches=self.latches)
        if gated():
            words.write_by(self.write_clk, self.write_data)
        else:
            words.write(self.write_enable, self.write_address, self.write_data)
        m.d.comb += self.read_data.eq(words.read(self.read_address))
        return m
