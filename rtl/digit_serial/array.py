"""The array of ternary adders."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.block import Block, address_bits, place
from rtl.clocking import hold
from rtl.digit_serial.ternary_tile import COLUMNS, ROWS, SUM_BITS, TernaryTile


class TernaryArray(Block):
    """S x S ternary adders in tiles, and the sums of the tiles of a column.

    Function: `sums` in t+2 are those of the tap in cycle t, one for each column, and `live` says that they are not all
        0 because no digit was one; then the registers kept their value.
    Throughput: a tap a cycle.
    Handshake: none. A word of `COLUMNS` weights is written for one row with `write`.
    """

    kind = "ternary_array"

    def __init__(self, *, lanes: int, depth: int) -> None:
        self.lanes, self.depth = lanes, depth
        self.sum_bits = SUM_BITS + ceil_log2(lanes // ROWS)
        address = address_bits(depth)
        super().__init__(
            {
                "valid": In(1),
                "digits": In(2 * lanes),
                "address": In(address),
                "write": In(1),
                "write_row": In(address_bits(lanes)),
                "write_word": In(address_bits(lanes // COLUMNS)),
                "write_address": In(address),
                "write_data": In(8 * COLUMNS),
                "live": Out(1),
                "sums": Out(self.sum_bits * lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiles = {
            (row, word): self._tile(m, row, word)
            for row in range(self.lanes // ROWS)
            for word in range(self.lanes // COLUMNS)
        }
        rows = range(self.lanes // ROWS)
        live = Signal()
        # The tiles of a row share their digits, and are live together.
        m.d.comb += live.eq(Cat(tiles[row, 0].live for row in rows).any())
        sums = []
        for column in range(self.lanes):
            word, at = divmod(column, COLUMNS)
            parts = []
            for row in rows:
                tile = tiles[row, word]
                part = tile.sums.word_select(at, SUM_BITS).as_signed()
                parts.append(Mux(tile.live, part, 0).as_signed())
            while len(parts) > 1:
                pairs = [parts[n : n + 2] for n in range(0, len(parts), 2)]
                parts = [pair[0] + pair[1] if len(pair) == 2 else pair[0] for pair in pairs]
            sums.append(parts[0])
        held = Signal(self.sum_bits * self.lanes, reset_less=True)
        hold(
            m,
            "sums",
            live,
            [held.word_select(column, self.sum_bits).eq(found) for column, found in enumerate(sums)],
        )
        m.d.sync += self.live.eq(live)
        m.d.comb += self.sums.eq(held)
        return m

    def _tile(self, m: Module, row: int, word: int) -> TernaryTile:
        tile = TernaryTile(depth=self.depth)
        place(m, f"tile_{row}_{word}", tile)
        chosen = self.write & (self.write_word == word) & (self.write_row[2:] == row)
        m.d.comb += [
            tile.valid.eq(self.valid),
            tile.digits.eq(self.digits.word_select(row, 2 * ROWS)),
            tile.address.eq(self.address),
            tile.write_enable.eq(chosen << self.write_row[:2]),
            tile.write_address.eq(self.write_address),
            tile.write_data.eq(self.write_data),
        ]
        return tile
