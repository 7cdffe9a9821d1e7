"""Buffer of one packet stream."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.axi import reset
from rtl.bus.sram_fifo import SramFifo
from rtl.packets import ADDRESS_BITS, COMMAND_WORDS, WORD_BITS

COMMAND_BURST = 8
LENGTH_BITS = 32


class CommandBuffer(Block):
    """What a stream has fetched and what it has still to fetch.

    Function: after `start` the stream is `count` words from `base` on. While `wants`, its next fetch is
        `words` (up to 8) words from `address`; `take` takes it, and `write` brings the words later. They
        leave in order. `settled`: nothing is on its way, nothing more is wanted, and nobody takes the word
        that is there. `empty`: all words have left. `clear` forgets everything.
    Throughput: one word a cycle in and out.
    Handshake: `take` only while `wants`; valid and ready at the output.
    """

    kind = "command_buffer"

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "base": In(ADDRESS_BITS),
                "count": In(LENGTH_BITS),
                "clear": In(1),
                "wants": Out(1),
                "address": Out(ADDRESS_BITS),
                "words": Out(bits_for(COMMAND_BURST)),
                "take": In(1),
                "write": In(1),
                "write_data": In(WORD_BITS),
                "out_valid": Out(1),
                "out_ready": In(1),
                "out_data": Out(WORD_BITS),
                "settled": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fifo = place(m, "fifo", SramFifo(width=WORD_BITS, depth=COMMAND_WORDS))
        left = Signal(LENGTH_BITS)
        reserved = Signal(bits_for(COMMAND_WORDS))
        taken = Signal.like(self.words)
        m.d.comb += [
            self.wants.eq((left != 0) & (reserved <= COMMAND_WORDS - COMMAND_BURST)),
            self.words.eq(Mux(left < COMMAND_BURST, left, COMMAND_BURST)),
            taken.eq(Mux(self.take, self.words, 0)),
            fifo.write.eq(self.write),
            fifo.write_data.eq(self.write_data),
            fifo.clear.eq(self.clear),
            self.out_valid.eq(fifo.out_valid),
            fifo.out_ready.eq(self.out_ready),
            self.out_data.eq(fifo.out_data),
            self.empty.eq((left == 0) & (reserved == 0)),
            self.settled.eq(
                ~self.wants
                & (reserved == fifo.level)
                & ((fifo.level == 0) | (self.out_valid & ~self.out_ready))
            ),
        ]
        m.d.sync += reserved.eq(reserved + taken - (self.out_valid & self.out_ready))
        with m.If(self.take):
            m.d.sync += [left.eq(left - self.words), self.address.eq(self.address + (self.words << 3))]
        with m.If(self.start):
            m.d.sync += [left.eq(self.count), self.address.eq(self.base)]
        reset(m, self.clear, left, reserved)
        return m
