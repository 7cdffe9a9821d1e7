"""Finished rows, L1 to memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.axi import SUPERVISION, forward, reset, write_signals
from rtl.bus.write_port import WritePort
from rtl.packets import ADDRESS_BITS, WORD_ADDRESS_BITS, WORD_BITS

ROW_BYTES = 256
"""The widest row: 64 columns of 32 bits."""
LANES = WORD_BITS // 8


class FinishedRowMover(Block):
    """DMA of finished rows.

    Function: a row of `row_bytes` (1..256) bytes lies in L1 group `row_map`, from byte `row_offset` of word
        `row_word` on, and goes to byte `row_address` of memory, whose low 3 bits equal `row_offset`. L1 words
        are taken modulo `row_ring`, `row_word` is below twice that. `unit_sent`: pulse in the cycle of the
        last read of a row with `row_ends_unit`. `stop`, `clear`, `idle`, `error`: rtl.bus.axi.SUPERVISION.
    Throughput: one L1 word a cycle, also from row to row, from the cycle in which a row is offered to the
        free mover on, while AW and W are taken at once and at most 32 responses are outstanding; otherwise
        reads wait.
    Handshake: `row_ready` in the cycle of a row's last read; what is read in cycle t is `read_data` in t+1.
    """

    kind = "row_mover"

    def __init__(self) -> None:
        super().__init__(
            {
                "row_valid": In(1),
                "row_ready": Out(1),
                "row_map": In(1),
                "row_word": In(WORD_ADDRESS_BITS),
                "row_offset": In(3),
                "row_bytes": In(bits_for(ROW_BYTES)),
                "row_address": In(ADDRESS_BITS),
                "row_ends_unit": In(1),
                "row_ring": In(WORD_ADDRESS_BITS + 1),
                "read_enable": Out(1),
                "read_map": Out(1),
                "read_word": Out(WORD_ADDRESS_BITS),
                "read_data": In(WORD_BITS),
                "unit_sent": Out(1),
                **write_signals(WORD_BITS),
                **SUPERVISION,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = place(m, "port", WritePort(data_bits=WORD_BITS))
        forward(m, self, port, write_signals(WORD_BITS) | SUPERVISION)

        end = Signal(bits_for(ROW_BYTES + LANES))  # byte behind the row, from the start of its first word
        count = Signal(bits_for(ROW_BYTES // LANES + 1))
        # Whole words, and what the last ones' bytes fill: 0 bytes no word, up to 8 one, up to 14 two.
        odd = Signal(4)
        m.d.comb += [
            end.eq(self.row_offset + self.row_bytes),
            odd.eq(self.row_offset + self.row_bytes[:3]),
            count.eq(self.row_bytes[3:] + Mux(odd > LANES, 2, odd.any())),
        ]

        begun, requested = Signal(name="begun"), Signal(name="requested")
        rest_word = Signal(WORD_ADDRESS_BITS + 1)
        rest = Signal.like(count)
        word, folded, left = (
            Signal.like(rest_word, name="word"),
            Signal.like(rest_word, name="folded"),
            Signal.like(count, name="left"),
        )
        last = Signal()
        m.d.comb += [
            port.request_valid.eq(self.row_valid & ~requested),
            port.address.eq(Cat(Const(0, 3), self.row_address[3:])),
            port.beats.eq(count),
            word.eq(Mux(begun, rest_word, self.row_word)),
            folded.eq(Mux(word < self.row_ring, word, word - self.row_ring)),
            left.eq(Mux(begun, rest, count)),
            last.eq(Mux(begun, rest == 1, count == 1)),
            port.word_valid.eq(self.row_valid),
            self.read_enable.eq(self.row_valid & port.word_ready),
            self.read_map.eq(self.row_map),
            self.read_word.eq(folded),
            self.row_ready.eq(self.read_enable & last),
            self.unit_sent.eq(self.row_ready & self.row_ends_unit),
            port.word_data.eq(self.read_data),
        ]
        every = Const(-1, LANES)
        with m.If(port.request_ready):
            m.d.sync += requested.eq(1)
        with m.If(self.read_enable):
            m.d.sync += [
                begun.eq(~last),
                rest_word.eq(folded + 1),
                rest.eq(left - 1),
                port.word_strobe.eq(
                    (every << Mux(begun, 0, self.row_offset))
                    & ~(every << Mux(last & end[:3].any(), end[:3], LANES))
                ),
            ]
        with m.If(self.row_ready):
            m.d.sync += requested.eq(0)
        reset(m, self.clear, begun, requested)
        return m
