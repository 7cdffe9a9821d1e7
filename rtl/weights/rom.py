"""Codebook ROM in banks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from rtl.block import Block, address_bits, place
from rtl.weights.rom_arbiter import RomArbiter
from rtl.weights.rom_bank import RomBank
from sim.accelerator import Accelerator
from sim.errors import InputError


class Rom(Block):
    """ROM of k codewords; codeword n lies in bank n mod B at n div B (docs/timing.md section 3).

    Function: serves the records of a row, `requests` of them, from their `indices`. Each bank
        reads up to `rom_ports` codewords a cycle, the lowest records first; equal reads are not
        merged. `hits` and `codewords` show what was read in the cycle before.
    Throughput: a row in as many cycles as its fullest bank needs.
    Handshake: `look` with the row's requests until `done`, which is 1 in its last cycle.
    """

    kind = "rom"

    def __init__(self, *, accelerator: Accelerator, contents: np.ndarray | None = None) -> None:
        """`contents`: int8 [k, d], the first codewords; what it leaves out is 0."""
        acc = accelerator
        self.words = bank_words(acc, contents)
        self.records = acc.columns // acc.codeword_length
        self.banks, self.ports, self.length = acc.rom_banks, acc.rom_ports, acc.codeword_length
        self.depth = len(self.words[0])
        self.index_bits = address_bits(acc.codebook_entries)
        super().__init__(
            {
                "look": In(1),
                "requests": In(self.records),
                "indices": In(self.records * self.index_bits),
                "done": Out(1),
                "hits": Out(self.records),
                "codewords": Out(8 * self.length * self.records),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        served = Signal(self.records)  # of the row at hand, in earlier cycles
        pending = Signal(self.records)
        m.d.comb += pending.eq(self.requests & ~served)
        places = [self._place(m, n) for n in range(self.records)]
        arriving: list[tuple[Value, Value]] = []
        left: list[Value] = []
        for number in range(self.banks):
            bank = place(
                m,
                f"bank_{number}",
                RomBank(
                    depth=self.depth,
                    length=self.length,
                    ports=self.ports,
                    file=file_name(number),
                    words=self.words[number],
                ),
            )
            arbiter = place(
                m,
                f"arbiter_{number}",
                RomArbiter(records=self.records, ports=self.ports, address_bits=bank.address_bits),
            )
            granted = Signal(self.ports * self.records, name=f"granted_{number}")
            m.d.comb += [
                arbiter.requests.eq(pending & Cat(where == number for where, _ in places)),
                arbiter.addresses.eq(Cat(address for _, address in places)),
                bank.read_enable.eq(Mux(self.look, arbiter.read_enable, 0)),
                bank.read_address.eq(arbiter.read_address),
            ]
            m.d.sync += granted.eq(Mux(self.look, arbiter.granted, 0))
            arriving += [
                (granted.word_select(port, self.records), bank.read_data.word_select(port, 8 * self.length))
                for port in range(self.ports)
            ]
            left.append(arbiter.rest)
        remain = _merge(left)
        m.d.comb += self.done.eq(remain == 0)
        with m.If(self.look):
            m.d.sync += served.eq(Mux(self.done, 0, self.requests & ~remain))
        for n in range(self.records):
            m.d.comb += [
                self.hits[n].eq(Cat(granted[n] for granted, _ in arriving).any()),
                self.codewords.word_select(n, 8 * self.length).eq(
                    _merge(Mux(granted[n], data, 0) for granted, data in arriving)
                ),
            ]
        return m

    def _place(self, m: Module, n: int) -> tuple[Signal, Signal]:
        """Bank of record n's codeword, and its address there."""
        index = self.indices.word_select(n, self.index_bits)
        bank = Signal(address_bits(self.banks), name=f"bank_of_{n}")
        address = Signal(address_bits(self.depth), name=f"address_of_{n}")
        # A multiplication by the reciprocal is exact for all indices; for a power of two it is a shift.
        shift = self.index_bits + ceil_log2(self.banks)
        quotient = Signal(self.index_bits, name=f"quotient_{n}")
        m.d.comb += [
            quotient.eq(index * -(-(1 << shift) // self.banks) >> shift),
            address.eq(quotient),
            bank.eq(index - quotient * self.banks),
        ]
        return bank, address


def _merge(values: Iterable[Value]) -> Value:
    """OR of all values, as a tree."""
    level = list(values)
    while len(level) > 1:
        level = [level[n] | level[n + 1] if n + 1 < len(level) else level[n] for n in range(0, len(level), 2)]
    return level[0]


def file_name(bank: int) -> str:
    """The file from which a bank's Verilog reads its words."""
    return f"codebook_rom_{bank}.hex"


def bank_words(accelerator: Accelerator, contents: np.ndarray | None) -> list[list[int]]:
    """The codewords of each bank as integers, element 0 in the lowest byte.

    Raises:
        InputError: contents that do not fit the machine's ROM.
    """
    k, d, banks = accelerator.codebook_entries, accelerator.codeword_length, accelerator.rom_banks
    codewords = np.zeros((-(-k // banks) * banks, d), np.int8)
    if contents is not None:
        if contents.dtype != np.int8 or contents.ndim != 2 or contents.shape[1] != d or len(contents) > k:
            raise InputError(
                "rom",
                f"{contents.dtype}{list(contents.shape)}",
                f"the codebook ROM holds int8 [{k}, {d}]",
                "give the codebook of this machine",
            )
        codewords[: len(contents)] = contents
    return [
        [int.from_bytes(codeword.tobytes(), "little") for codeword in codewords[bank::banks]]
        for bank in range(banks)
    ]


def init_files(accelerator: Accelerator, contents: np.ndarray | None) -> dict[str, str]:
    """Text by name of the files that the exported ROM reads; none for a machine without a ROM."""
    if not accelerator.weights.universal:
        return {}
    digits = 2 * accelerator.codeword_length
    return {
        file_name(bank): "".join(f"{word:0{digits}x}\n" for word in words)
        for bank, words in enumerate(bank_words(accelerator, contents))
    }
