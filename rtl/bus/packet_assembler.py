"""Words to packets."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, check_positive
from rtl.packets import WORD_BITS


class PacketAssembler(Block):
    """Makes a packet of every `words` words.

    Function: the first word becomes the lowest bits. The next packet is collected while one waits.
        `empty`: no packet waits and none is collected.
    Throughput: one word a cycle. A packet whose last word enters in cycle t is there in t+1.
    Handshake: valid and ready; `in_ready` does not depend on `out_ready`.
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
        collected, shifted = (Signal(WORD_BITS * self.words, name=name) for name in ("collected", "shifted"))
        count = Signal(range(self.words))
        full = Signal()  # a whole packet is collected, and waits for the one in front to leave
        enters, complete, free = Signal(name="enters"), Signal(name="complete"), Signal(name="free")
        m.d.comb += [
            self.empty.eq(~self.out_valid & (count == 0)),
            self.in_ready.eq(~full),
            enters.eq(self.in_valid & self.in_ready),
            complete.eq(full | (enters & (count == self.words - 1))),
            free.eq(~self.out_valid | self.out_ready),
            shifted.eq(Mux(full, collected, Cat(collected, self.in_data)[WORD_BITS:])),
        ]
        m.d.sync += full.eq(complete & ~free)
        with m.If(enters):
            m.d.sync += [collected.eq(shifted), count.eq(Mux(complete, 0, count + 1))]
        with m.If(free):
            m.d.sync += self.out_valid.eq(complete)
        with m.If(free & complete):
            m.d.sync += self.out_data.eq(shifted)
        with m.If(self.clear):
            m.d.sync += [count.eq(0), full.eq(0), self.out_valid.eq(0)]
        return m
