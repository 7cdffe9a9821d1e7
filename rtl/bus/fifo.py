"""Small queue."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import In, Member, Out

from rtl.block import Block, address_bits, check_positive
from rtl.clocking import Words
from sim.errors import InputError


def queue_outputs(width: int, depth: int) -> dict[str, Member]:
    """Ports of the reading side of a queue, and its level.

    Raises:
        InputError: width or depth is not positive, or depth no power of two.
    """
    check_positive(width=width, depth=depth)
    if depth & (depth - 1):
        raise InputError("depth", depth, "not a power of two", "round it up")
    return {"out_valid": Out(1), "out_ready": In(1), "out_data": Out(width), "level": Out(range(depth + 1))}


class Fifo(Block):
    """Queue of `depth` words in flip-flops.

    Function: words leave in the order in which they came. `level` of them are inside. `clear` empties it.
    Throughput: a word a cycle in and out. A word that enters in cycle t can leave in t+1.
    Handshake: valid and ready on both sides; `in_ready` does not depend on `out_ready`.
    """

    def __init__(self, *, width: int, depth: int, ahead: bool = False) -> None:
        """`ahead`: the oldest word stands in a register, too, for what has no time to read the queue."""
        outputs = queue_outputs(width, depth)
        self.width, self.depth, self.ahead = width, depth, ahead
        self.kind = f"fifo_{depth}x{width}" + "_ahead" * ahead
        super().__init__(
            {"clear": In(1), "in_valid": In(1), "in_ready": Out(1), "in_data": In(width), **outputs}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = Words(m, "storage", depth=self.depth, width=self.width)
        tail = Signal(address_bits(self.depth))
        # The oldest word, or the one behind it.
        head = Signal.like(tail, init=self.ahead % self.depth)
        enters, leaves = self.in_valid & self.in_ready, self.out_valid & self.out_ready
        m.d.comb += [self.in_ready.eq(self.level != self.depth), self.out_valid.eq(self.level != 0)]
        if self.ahead:
            front = Signal(self.width, reset_less=True)
            behind = words.read(head)
            m.d.comb += self.out_data.eq(front)
            with m.If(leaves | ~self.out_valid):
                m.d.sync += front.eq(Mux(self.level == leaves, self.in_data, behind))
        else:
            m.d.comb += self.out_data.eq(words.read(head))
        words.write(enters, tail, self.in_data)
        m.d.sync += [
            tail.eq(tail + enters),
            head.eq(head + leaves),
            self.level.eq(self.level + enters - leaves),
        ]
        with m.If(self.clear):
            m.d.sync += [tail.eq(0), head.eq(head.init), self.level.eq(0)]
        return m
