"""Tile of a dense array."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from rtl.array.pe import Pe
from rtl.array.tile import Tile
from rtl.block import place


class DenseTile(Tile):
    """TH x TL PEs; each column is a chain of TH adders that ends in a psum register.

    Function: psum_out[c] = psum_in[c] + sum over rows of activation[row] * WRF[row, c][address].
    Throughput: one token a cycle.
    Handshake: none. A token that enters in cycle t leaves in t+1, its psums in t+3, where `psum_in` is that of t+2;
        without a token the registers hold.
    """

    kind = "dense_tile"

    def __init__(self, *, rows: int, columns: int, depth: int, sum_bits: int, latches: bool = False) -> None:
        super().__init__(
            rows=rows,
            columns=columns,
            words=columns,
            word_bits=8,
            depth=depth,
            sum_bits=sum_bits,
            latches=latches,
        )

    def _row(self, m: Module, row: int, psums: list[Value]) -> list[Value]:
        below = []
        for column, psum in enumerate(psums):
            pe = place(
                m, f"pe_{row}_{column}", Pe(depth=self.depth, sum_bits=self.sum_bits, latches=self.latches)
            )
            self._connect(m, pe, row, column)
            m.d.comb += pe.psum_in.eq(psum)
            below.append(pe.psum_out)
        return below
