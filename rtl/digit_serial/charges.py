"""Charges of the last layer, neurons to memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from rtl.block import Block
from rtl.bus.row_mover import ROW_BYTES
from rtl.packets import ADDRESS_BITS, WORD_ADDRESS_BITS, WORD_BITS
from sim.digit_serial.accelerator import DigitSerial
from sim.errors import InputError


def value_bytes(acc: DigitSerial) -> int:
    """Of a charge in memory: 4 or 8, signed."""
    return 4 if acc.charge_bits <= 32 else 8


def row_bytes(acc: DigitSerial) -> int:
    """Of the charges of all columns in memory.

    Raises:
        InputError: a row that the row mover does not take.
    """
    found = value_bytes(acc) * acc.lanes
    if found > ROW_BYTES:
        raise InputError(
            "charge_bits",
            acc.charge_bits,
            f"makes rows of {found} bytes for {acc.lanes} lanes, and the row mover takes {ROW_BYTES}",
            "use 32 or fewer, or fewer lanes",
        )
    return found


class ChargeRows(Block):
    """Keeps a row of charges until the row mover has read it.

    Function: `give` takes `charges` and the number of their row; then a row lies at word 0 of what the mover reads,
        and goes to byte `row_number` times its size of memory.
    Throughput: a row when the one before has been read; the first word is there in the cycle after `give`.
    Handshake: `row_valid` until `row_ready`; `give` not while `row_valid`. What is read in cycle t is `read_data` in
        t+1.
    """

    kind = "charge_rows"

    def __init__(self, *, accelerator: DigitSerial) -> None:
        self.acc = accelerator
        self.size = row_bytes(accelerator)
        super().__init__(
            {
                "give": In(1),
                "charges": In(accelerator.charge_bits * accelerator.lanes),
                "number": In(24),
                "row_valid": Out(1),
                "row_ready": In(1),
                "row_bytes": Out(bits_for(ROW_BYTES)),
                "row_address": Out(ADDRESS_BITS),
                "read_enable": In(1),
                "read_word": In(WORD_ADDRESS_BITS),
                "read_data": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, acc = Module(), self.acc
        kept = Signal(acc.charge_bits * acc.lanes, reset_less=True)
        number = Signal(24, reset_less=True)
        wide = [Signal(8 * value_bytes(acc), name=f"wide_{n}") for n in range(acc.lanes)]
        m.d.comb += [word.eq(kept.word_select(n, acc.charge_bits).as_signed()) for n, word in enumerate(wide)]
        m.d.comb += [
            self.row_bytes.eq(self.size),
            self.row_address.eq(Cat(Const(0, exact_log2(self.size)), number)),
        ]
        with m.If(self.row_ready):
            m.d.sync += self.row_valid.eq(0)
        with m.If(self.give):
            m.d.sync += [kept.eq(self.charges), number.eq(self.number), self.row_valid.eq(1)]
        with m.If(self.read_enable):
            m.d.sync += self.read_data.eq(Cat(wide).word_select(self.read_word, WORD_BITS))
        return m
