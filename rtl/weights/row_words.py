"""From a looked-up weight row to the WRF words of an array row."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, address_bits, place
from rtl.geometry import Geometry
from rtl.weights.compactor import Compactor
from rtl.weights.signs import Signs
from sim.accelerator import Accelerator


class RowWords(Block):
    """What stands between look-up and WRF.

    Function: `values` are the weights of L columns, or raw bytes. On a signed machine `signs`
        negate them. With `diagonal` only the first `outputs` bytes count; they begin at byte `lane`,
        the others are 0. A sparse tile stores the weights that `masks` keep with their positions; with
        `raw`, the bytes at the fixed positions of sub-record `sub`, on a diagonal from position
        `base` on.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "row_words"
    clocked = False

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        columns = accelerator.columns
        ports = {
            "values": In(8 * columns),
            "diagonal": In(1),
            "outputs": In(bits_for(columns)),
            "lane": In(address_bits(geometry.words)),
            "words": Out(geometry.row_word_bits),
        }
        if accelerator.weights.signs:
            ports |= {"signs": In(columns)}
        if accelerator.sparse_tile:
            ports |= {
                "masks": In(columns),
                "raw": In(1),
                "sub": In(address_bits(accelerator.split)),
                "base": In(geometry.position_bits),
            }
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        values: Value = self.values
        if acc.weights.signs:
            signs = place(m, "signs_of_row", Signs(columns=acc.columns))
            m.d.comb += [signs.magnitudes.eq(values), signs.signs.eq(self.signs)]
            values = signs.weights
        raw = Signal(8 * geometry.words)
        m.d.comb += raw.eq(Mux(self.diagonal, self._moved(m), values))
        if not acc.sparse_tile:
            m.d.comb += self.words.eq(raw)
            return m
        d, lanes = acc.codeword_length, acc.multipliers_per_codeword
        for n in range(geometry.records):
            compactor = place(m, f"compactor_{n}", Compactor(length=d, keep=acc.keep, group=acc.group))
            m.d.comb += [
                compactor.values.eq(
                    Mux(self.raw, raw.word_select(n, 8 * lanes), values.word_select(n, 8 * d))
                ),
                compactor.mask.eq(self.masks.word_select(n, d)),
                compactor.raw.eq(self.raw),
                compactor.sub.eq(self.sub),
                compactor.base.eq(Mux(self.diagonal, self.base, 0)),
                self.words.word_select(n, lanes * geometry.word_bits).eq(compactor.words),
            ]
        return m

    def _moved(self, m: Module) -> Signal:
        """The weights of a group, from byte `lane` on."""
        count = self.geometry.words
        group = Signal(8 * count, name="group")
        m.d.comb += group.eq(
            Cat(Mux(self.outputs > n, self.values.word_select(n, 8), 0) for n in range(count))
        )
        for bit in range(len(self.lane)):
            moved = Signal(8 * count, name=f"moved_{bit}")
            m.d.comb += moved.eq(Mux(self.lane[bit], group << (8 << bit), group))
            group = moved
        return group
