"""An L1 group that holds maps."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.block import Block, check_positive, place
from rtl.l1.sram import Sram
from rtl.packets import WORD_ADDRESS_BITS, WORD_BITS
from sim.errors import InputError

WORD_BYTES = WORD_BITS // 8


class MapGroup(Block):
    """64-bit words in banks: word w lies in bank w mod `banks`.

    Function: writes the bytes that `write_enable` selects among the `banks` words from `write_word` on;
        reads `banks` words from `read_word` on. The first word is the lowest of the data. Words beyond the
        group read as anything; nobody enables their bytes.
    Throughput: one write and one read a cycle, of different words.
    Handshake: none. `read_enable` and `read_word` in cycle t, `read_data` in t+1 and until the next read.
    """

    def __init__(self, *, words: int, banks: int) -> None:
        check_positive(words=words, banks=banks)
        if banks & (banks - 1):
            raise InputError("banks", banks, "not a power of two", "round it up")
        if words > 1 << WORD_ADDRESS_BITS:
            raise InputError(
                "words",
                words,
                f"a word address has {WORD_ADDRESS_BITS} bits",
                f"lower l1_bytes: a group holds at most {1 << WORD_ADDRESS_BITS} words",
            )
        self.words, self.banks = words, banks
        self.kind = f"map_group_{words}x{banks}"
        super().__init__(
            {
                "write_enable": In(WORD_BYTES * banks),
                "write_word": In(WORD_ADDRESS_BITS),
                "write_data": In(WORD_BITS * banks),
                "read_enable": In(1),
                "read_word": In(WORD_ADDRESS_BITS),
                "read_data": Out(WORD_BITS * banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bank_bits = ceil_log2(self.banks)
        first_written, first_read = self.write_word[:bank_bits], self.read_word[:bank_bits]
        # The rotation that undoes the interleaving of the last read.
        turn = Signal(bank_bits, reset_less=True)
        with m.If(self.read_enable):
            m.d.sync += turn.eq(first_read)
        enable = Signal.like(self.write_enable)
        data = Signal.like(self.write_data)
        m.d.comb += [
            enable.eq(_turned(self.write_enable, WORD_BYTES, -first_written)),
            data.eq(_turned(self.write_data, WORD_BITS, -first_written)),
        ]
        read = []
        for n in range(self.banks):
            bank = place(
                m, f"bank_{n}", Sram(depth=-(-self.words // self.banks), width=WORD_BITS, granularity=8)
            )
            # Of the words from the first one on, a bank below the first one's holds that of the next row.
            after = self.banks - 1 - n
            m.d.comb += [
                bank.write_address.eq((self.write_word + after)[bank_bits:]),
                bank.write_enable.eq(enable.word_select(n, WORD_BYTES)),
                bank.write_data.eq(data.word_select(n, WORD_BITS)),
                bank.read_enable.eq(self.read_enable),
                bank.read_address.eq((self.read_word + after)[bank_bits:]),
            ]
            read.append(bank.read_data)
        m.d.comb += self.read_data.eq(_turned(Cat(read), WORD_BITS, turn))
        return m


def _turned(value: Value, width: int, steps: Value) -> Value:
    """Words of `width` bits turned down by `steps`, modulo their number: word `steps` becomes the lowest."""
    count = len(value) // width
    for bit in range(ceil_log2(count)):
        value = Mux(steps[bit], value.rotate_right(width << bit), value)
    return value
