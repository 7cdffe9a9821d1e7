"""Where the groups of a diagonal lie."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, address_bits
from sim.accelerator import Accelerator


class GroupCounter(Block):
    """Follows the rows of an entry whose groups lie on the diagonal (docs/timing.md section 2).

    Function: row h belongs to group g = h div `inputs`, which has the columns from g * `outputs` on.
        `lane` is the byte at which its weights begin in a row of raw bytes: that column, or on a
        sparse tile g * outputs div d * Q; there `base` is g * outputs mod d.
    Throughput: one row a cycle.
    Handshake: `step` moves to the next row at the end of the cycle, with `restart` to row 0; the
        extents stay while an entry lasts.
    """

    kind = "group_counter"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.accelerator = acc = accelerator
        sparse = {"base": Out(address_bits(acc.codeword_length))} if acc.sparse_tile else {}
        super().__init__(
            {
                "step": In(1),
                "restart": In(1),
                "inputs": In(bits_for(acc.rows)),
                "outputs": In(bits_for(acc.columns)),
                "lane": Out(address_bits(acc.columns // acc.split)),
                **sparse,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc = self.accelerator
        row = Signal.like(self.inputs)
        with m.If(self.step):
            m.d.sync += row.eq(row + 1)
            with m.If(row + 1 == self.inputs):
                m.d.sync += row.eq(0)
                if not acc.sparse_tile:
                    m.d.sync += self.lane.eq(self.lane + self.outputs)
                else:
                    m.d.sync += self.base.eq(self.base + self.outputs)
                    with m.If(self.base + self.outputs == acc.codeword_length):
                        m.d.sync += [self.base.eq(0), self.lane.eq(self.lane + acc.multipliers_per_codeword)]
            with m.If(self.restart):
                m.d.sync += [row.eq(0), self.lane.eq(0)]
                if acc.sparse_tile:
                    m.d.sync += self.base.eq(0)
        return m
