"""The loop over the entries of a chunk."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
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
        carry: Value = self.step
        at_start = {}
        for name, counter, extent, end in (
            ("word", self.word, self.a, self.column_tail),
            ("sub", self.sub, self.u, sub_end),
            ("group", group, self.b, self.group_tail),
            ("position", position, self.d, position_end),
        ):
            at_start[name] = self._count(m, name, counter, extent, end, carry)
            carry = carry & end
        m.d.comb += [
            self.vector.eq(at_start["word"] & at_start["sub"]),
            self.first.eq(at_start["sub"] & at_start["group"] & at_start["position"]),
            self.last.eq(sub_end & self.group_tail & position_end),
            self.complete.eq(self.last & self.column_tail),
        ]
        with m.If(self.step):
            m.d.sync += self.entry.eq(Mux(self.complete, 0, self.entry + 1))
        return m

    def _count(
        self, m: Module, name: str, counter: Signal, extent: Value, end: Signal, moves: Value
    ) -> Signal:
        """A loop; whether it is at its start and at its end stands in registers, but for loops of one."""
        start, ends = Signal(name=f"{name}_start", init=1), Signal(name=f"{name}_ends")
        m.d.comb += end.eq(ends | (start & (extent == 1)))
        with m.If(moves):
            m.d.sync += [
                counter.eq(Mux(end, 0, counter + 1)),
                start.eq(end),
                ends.eq(~end & (counter + 2 == extent)),
            ]
        return start
