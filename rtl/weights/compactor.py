"""From a masked codeword to the words of Q sparse PEs."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl.block import Block, address_bits, check_positive, place
from rtl.weights.positions import Positions
from sim.errors import InputError


class Compactor(Block):
    """Keeps the Q = d N/M weights that a mask selects, with their positions.

    Function: word i of `words` (log2 d + 8 bits, position above weight) is the i-th kept element
        of `values` (d bytes). With `raw`, it is byte i of `values` at the fixed position
        base + sub * Q + i: a sub-record of dense weights, or the weights of a group on the
        diagonal, which begins at `base`.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "compactor"
    clocked = False

    def __init__(self, *, length: int, keep: int, group: int) -> None:
        check_positive(length=length, keep=keep, group=group)
        if length % group or group % keep:
            raise InputError(
                "group",
                group,
                f"does not tile d = {length} with {keep} kept each",
                "choose M that divides d and N that divides M",
            )
        self.length, self.keep, self.group = length, keep, group
        self.count = length * keep // group
        self.position_bits = address_bits(length)
        super().__init__(
            {
                "values": In(8 * length),
                "mask": In(length),
                "raw": In(1),
                "sub": In(address_bits(group // keep)),
                "base": In(self.position_bits),
                "words": Out(self.count * (8 + self.position_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words: list[Signal] = []
        for first in range(0, self.length, self.group):
            finder = place(m, f"positions_{first}", Positions(keep=self.keep, group=self.group))
            m.d.comb += finder.mask.eq(self.mask[first : first + self.group])
            for n in range(self.keep):
                words.append(self._word(m, finder, first, n, len(words)))
        m.d.comb += self.words.eq(Cat(words))
        return m

    def _word(self, m: Module, finder: Positions, first: int, n: int, i: int) -> Signal:
        onehot = finder.onehots.word_select(n, self.group)
        kept = 0
        for element in range(self.group):
            byte = self.values.word_select(first + element, 8)
            kept = kept | Mux(onehot[element], byte, 0)
        found = first + finder.positions.word_select(n, address_bits(self.group))
        weight, position = Signal(8, name=f"weight_{i}"), Signal(self.position_bits, name=f"position_{i}")
        m.d.comb += [
            weight.eq(Mux(self.raw, self.values.word_select(i, 8), kept)),
            position.eq(Mux(self.raw, self.base + self.sub * self.count + i, found)),
        ]
        return Cat(weight, position)
