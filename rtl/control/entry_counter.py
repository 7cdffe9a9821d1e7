"""The loop over the entries of a chunk."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, check_positive


class EntryCounter(Block):
    """Counts q < D, r < B, u < U, s < A, with s fastest, and starts over.

    Function: `entry` is e, `sub` is u, `word` is s. `vector`: s = u = 0, a new activation vector;
        `first`, `last`: q, r and u are all 0, all at their end; `group_tail`, `column_tail`: r, s
        at their end; `complete`: the last entry.
    Throughput: one entry a cycle.
    Handshake: `step` moves on at the end of the cycle; the extents stay while a chunk lasts.
    """

    kind = "entry_counter"

    def __init__(self, *, depth: int) -> None:
        check_positive(depth=depth)
        extent = bits_for(depth)
        super().__init__(
            {
                "step": In(1),
                "a": In(extent),
                "b": In(extent),
                "u": In(extent),
                "d": In(extent),
                "entry": Out(extent),
                "sub": Out(extent),
                "word": Out(extent),
                "vector": Out(1),
                "first": Out(1),
                "last": Out(1),
                "group_tail": Out(1),
                "column_tail": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        group = Signal.like(self.b)
        position = Signal.like(self.d)
        sub_end = Signal()
        position_end = Signal()
        m.d.comb += [
            self.column_tail.eq(self.word + 1 == self.a),
            sub_end.eq(self.sub + 1 == self.u),
            self.group_tail.eq(group + 1 == self.b),
            position_end.eq(position + 1 == self.d),
            self.vector.eq((self.word == 0) & (self.sub == 0)),
            self.first.eq((self.sub == 0) & (group == 0) & (position == 0)),
            self.last.eq(sub_end & self.group_tail & position_end),
            self.complete.eq(self.last & self.column_tail),
        ]
        with m.If(self.step):
            carry = self.column_tail
            m.d.sync += [self.entry.eq(self.entry + 1), self.word.eq(self.word + 1)]
            for counter, at_end in ((self.sub, sub_end), (group, self.group_tail), (position, position_end)):
                with m.If(carry):
                    m.d.sync += counter.eq(counter + 1)
                with m.If(carry & at_end):
                    m.d.sync += counter.eq(0)
                carry = carry & at_end
            with m.If(self.column_tail):
                m.d.sync += self.word.eq(0)
            with m.If(self.complete):
                m.d.sync += self.entry.eq(0)
        return m
