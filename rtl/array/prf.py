"""Psum register file."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive
from rtl.clocking import Words, hold
from rtl.geometry import PSUM_BITS


class Prf(Block):
    """PRF and its adders: one psum for each column and output group.

    Function: with `valid`, word `word` takes `sums` plus itself, or with `first` plus `stored`
        (if `use_stored`) or 0. Psums are 32-bit two's complement and wrap. `row` shows the row
        last accumulated.
    Throughput: one row a cycle, also to the same word.
    Handshake: none. What enters in cycle t is visible in t+1.
    """

    kind = "prf"

    def __init__(self, *, depth: int, columns: int, sum_bits: int) -> None:
        check_positive(depth=depth, columns=columns, sum_bits=sum_bits)
        self.depth, self.columns, self.sum_bits = depth, columns, sum_bits
        super().__init__(
            {
                "valid": In(1),
                "word": In(address_bits(depth)),
                "first": In(1),
                "use_stored": In(1),
                "stored": In(PSUM_BITS * columns),
                "sums": In(sum_bits * columns),
                "row": Out(PSUM_BITS * columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = PSUM_BITS * self.columns
        words = Words(m, "words", depth=self.depth, width=width)
        start = Signal(width)
        total = Signal(width)
        m.d.comb += [
            start.eq(Mux(self.first, Mux(self.use_stored, self.stored, 0), words.read(self.word))),
            total.eq(
                Cat(
                    (
                        start.word_select(c, PSUM_BITS).as_signed()
                        + self.sums.word_select(c, self.sum_bits).as_signed()
                    )[:PSUM_BITS]
                    for c in range(self.columns)
                )
            ),
        ]
        row = Signal(width, reset_less=True)
        words.write(self.valid, self.word, total)
        hold(m, "row", self.valid, [row.eq(total)])
        m.d.comb += self.row.eq(row)
        return m
