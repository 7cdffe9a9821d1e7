"""Deep queue."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from rtl.block import Block, address_bits
from rtl.bus.fifo import queue_outputs


class SramFifo(Block):
    """Queue of `depth` words in an SRAM with one write and one read port, registered.

    Function: words leave in the order in which they came. `level` of them are inside. `clear` empties it.
    Throughput: a word a cycle in and out. A word that enters in cycle t can leave in t+2.
    Handshake: `write` only while `level` is below `depth`; valid and ready at the output.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        outputs = queue_outputs(width, depth)
        self.width, self.depth = width, depth
        self.kind = f"sram_fifo_{depth}x{width}"
        super().__init__({"clear": In(1), "write": In(1), "write_data": In(width), **outputs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.storage = words = Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        write, read = words.write_port(), words.read_port()
        tail = Signal(address_bits(self.depth))
        head = Signal.like(tail)
        leaves = Signal()
        m.d.comb += [
            leaves.eq(self.out_valid & self.out_ready),
            write.addr.eq(tail),
            write.data.eq(self.write_data),
            write.en.eq(self.write),
            # The next head is read ahead; it stands at the output of the SRAM until it leaves.
            read.addr.eq(head + leaves),
            read.en.eq(leaves | ~self.out_valid),
            self.out_data.eq(read.data),
        ]
        m.d.sync += [
            tail.eq(tail + self.write),
            head.eq(head + leaves),
            self.level.eq(self.level + self.write - leaves),
            self.out_valid.eq(self.level != leaves),
        ]
        with m.If(self.clear):
            m.d.sync += [tail.eq(0), head.eq(0), self.level.eq(0), self.out_valid.eq(0)]
        return m
