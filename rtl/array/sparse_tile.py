"""Tile of a sparse array."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal, Value

from rtl.array.sparse_pe import SparsePe
from rtl.array.tile import Tile
from rtl.block import place


class SparseTile(Tile):
    """TH rows of Q multipliers for d columns (MVQ sec. 5.3, Fig. 8).

    Function: as the dense tile, with the d - Q pruned weights of each row left out. The Q
        positions of a row differ, so a lane takes the OR of the Q demultiplexers and each row
        has one adder for a lane.
    Throughput: one token a cycle.
    Handshake: none. A token that enters in cycle t leaves in t+1, its psums in t+3, where `psum_in` is that of t+2;
        without a token the registers hold.
    """

    kind = "sparse_tile"

    def __init__(
        self,
        *,
        rows: int,
        columns: int,
        multipliers: int,
        word_bits: int,
        depth: int,
        sum_bits: int,
        latches: bool = False,
    ) -> None:
        super().__init__(
            rows=rows,
            columns=columns,
            words=multipliers,
            word_bits=word_bits,
            depth=depth,
            sum_bits=sum_bits,
            latches=latches,
        )

    def _row(self, m: Module, row: int, psums: list[Value]) -> list[Value]:
        lanes = []
        for word in range(self.words):
            pe = place(
                m, f"pe_{row}_{word}", SparsePe(depth=self.depth, lanes=self.columns, latches=self.latches)
            )
            self._connect(m, pe, row, word)
            lanes.append(pe.lanes)
        merged = Signal(16 * self.columns, name=f"products_{row}")
        m.d.comb += merged.eq(reduce(or_, lanes))
        below = []
        for column, psum in enumerate(psums):
            total = Signal(self.sum_bits, name=f"psum_{row}_{column}")
            m.d.comb += total.eq(psum.as_signed() + merged.word_select(column, 16).as_signed())
            below.append(total)
        return below
