"""Words to packets."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive
from rtl.packets import WORD_BITS


class PacketAssembler(Block):
    """Makes a packet of every `words` words.

    Function: the first word becomes the lowest bits. The next packet is collected while one waits, up to its
        last word. `empty`: no packet waits and none is collected.
    Throughput: one word a cycle. A packet whose last word enters in cycle t is there in t+1.
    Handshake: valid and ready; `in_ready` depends on `out_ready`.
    """

    def __init__(self, *, words: int) -> None:
        check_positive(words=words)
        self.words = words
        self.kind = f"packet_assembler_{words}"
        super().__init__(
            {
                "clear": In(1),
                "in_valid": In(1),
                "in_ready": Out(1),
                "in_data": In(WORD_BITS),
                "out_valid": Out(1),
                "out_ready": In(1),
                "out_data": Out(WORD_BITS * words),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        collected = Signal(WORD_BITS * (self.words - 1))
        count = Signal(range(self.words))
        complete = Signal()
        m.d.comb += [
            self.empty.eq(~self.out_valid & (count == 0)),
            complete.eq(count == self.words - 1),
            self.in_ready.eq(~complete | ~self.out_valid | self.out_ready),
        ]
        with m.If(self.out_ready):
            m.d.sync += self.out_valid.eq(0)
        with m.If(self.in_valid & self.in_ready):
            with m.If(complete):
                m.d.sync += [
                    self.out_data.eq(Cat(collected, self.in_data)),
                    self.out_valid.eq(1),
                    count.eq(0),
                ]
            with m.Else():
                m.d.sync += [collected.eq(Cat(collected, self.in_data)[WORD_BITS:]), count.eq(count + 1)]
        with m.If(self.clear):
            m.d.sync += [count.eq(0), self.out_valid.eq(0)]
        return m
