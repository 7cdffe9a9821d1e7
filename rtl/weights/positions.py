"""Cascade of position finders."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_pattern, place
from rtl.weights.lzc import Lzc


class Positions(Block):
    """The N kept elements of an N:M mask in ascending order, by N cascaded LZCs.

    Function: stage n of `onehots` (M bits each) and `positions` (log2 M bits each) is the n-th
        set element; `rest` is the mask after the last stage, 0 for a legal mask.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "positions"
    clocked = False

    def __init__(self, *, keep: int, group: int) -> None:
        check_pattern(keep, group)
        self.keep, self.group = keep, group
        super().__init__(
            {
                "mask": In(group),
                "onehots": Out(keep * group),
                "positions": Out(keep * address_bits(group)),
                "rest": Out(group),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rest = self.mask
        for n in range(self.keep):
            lzc = place(m, f"lzc_{n}", Lzc(width=self.group))
            m.d.comb += [
                lzc.mask.eq(rest),
                self.onehots.word_select(n, self.group).eq(lzc.onehot),
                self.positions.word_select(n, len(lzc.position)).eq(lzc.position),
            ]
            rest = lzc.rest
        m.d.comb += self.rest.eq(rest)
        return m
