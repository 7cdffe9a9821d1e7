"""Writes over AXI4."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.address_channel import REQUEST_BITS, AddressChannel
from rtl.bus.axi import BURST_BEATS, INCREMENT, OKAY, OUTSTANDING, SUPERVISION, beat_shift, write_signals
from rtl.bus.fifo import Fifo
from rtl.packets import ADDRESS_BITS

WAITING_WORDS = 8


class WritePort(Block):
    """AXI4 write master for words that come out of an SRAM.

    Function: writes `beats` > 0 words to `address` (a multiple of the word) for each request. The user
        announces a word with `word_valid` and gives `word_data` and `word_strobe` in the cycle after. Eight
        words wait at most, 32 responses are outstanding at most. `stop`, `clear`, `idle`, `error`:
        rtl.bus.axi.SUPERVISION; words of bursts that are out already follow `clear` with empty strobes.
    Throughput: one word and one burst a cycle. AW and the first `word_ready` may come in the cycle in which
        the request is offered; a word leaves two cycles after its announcement.
    Handshake: a request stays until its last burst is out. A word is announced when `word_valid` and
        `word_ready`; `word_ready` depends on `request_valid`, not on `word_valid`.
    """

    def __init__(self, *, data_bits: int) -> None:
        self.data_bits = data_bits
        self.size = beat_shift(data_bits)
        self.kind = f"write_port_{data_bits}"
        super().__init__(
            {
                "request_valid": In(1),
                "request_ready": Out(1),
                "address": In(ADDRESS_BITS),
                "beats": In(REQUEST_BITS),
                "word_ready": Out(1),
                "word_valid": In(1),
                "word_data": In(data_bits),
                "word_strobe": In(data_bits // 8),
                **write_signals(data_bits),
                **SUPERVISION,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self.data_bits // 8
        channel = place(m, "channel", AddressChannel(data_bits=self.data_bits, reserves=False))
        lengths = place(m, "lengths", Fifo(width=8, depth=OUTSTANDING))
        words = place(m, "queue", Fifo(width=self.data_bits + lanes, depth=WAITING_WORDS))

        # Words of the bursts that are out which nobody has announced: of older bursts, of the last cycle's one.
        owed = Signal(bits_for(OUTSTANDING * BURST_BEATS))
        fresh = Signal.like(channel.asked, name="fresh")
        some, room, announced, coming = (
            Signal(name=name) for name in ("some", "room", "announced", "coming")
        )
        strobe = Signal(lanes)
        sent = Signal(8)
        response = Signal()
        m.d.comb += [
            channel.request_valid.eq(self.request_valid),
            self.request_ready.eq(channel.request_ready),
            channel.address.eq(self.address),
            channel.beats.eq(self.beats),
            channel.stop.eq(self.stop),
            channel.clear.eq(self.clear),
            self.awvalid.eq(channel.burst_valid),
            channel.burst_ready.eq(self.awready),
            self.awaddr.eq(channel.burst_address),
            self.awlen.eq(channel.burst_length),
            self.awsize.eq(self.size),
            self.awburst.eq(INCREMENT),
            self.awid.eq(0),
            # As many lengths wait as responses are outstanding, never more.
            lengths.in_valid.eq(channel.begins),
            lengths.in_data.eq(channel.burst_length),
            some.eq((owed != 0) | (fresh != 0)),
            room.eq((some | channel.begins) & (words.level + coming < WAITING_WORDS)),
            self.word_ready.eq(room & ~channel.dropping),
            announced.eq(room & (self.word_valid | channel.dropping)),
            strobe.eq(Mux(channel.dropping, 0, self.word_strobe)),
            words.in_valid.eq(coming),
            words.in_data.eq(Cat(self.word_data, strobe)),
            self.wvalid.eq(words.out_valid),
            words.out_ready.eq(self.wready),
            Cat(self.wdata, self.wstrb).eq(words.out_data),
            self.wlast.eq(sent == lengths.out_data),
            lengths.out_ready.eq(self.wvalid & self.wready & self.wlast),
            self.bready.eq(1),
            response.eq(self.bvalid & self.bready),
            channel.finish.eq(response),
            self.idle.eq(channel.idle),
            self.error.eq(response & (self.bresp != OKAY) & ~(channel.dropping | self.clear)),
            self.error_address.eq(channel.oldest),
            *(
                getattr(self, name).eq(getattr(channel, name))
                for name in ("asks", "asked_address", "asks_nothing")
            ),
            channel.refuse.eq(self.refuse),
        ]
        m.d.sync += [
            fresh.eq(Mux(announced & ~some, channel.burst_length, channel.asked)),
            owed.eq(owed + fresh - (announced & some)),
            coming.eq(announced),
        ]
        with m.If(self.wvalid & self.wready):
            m.d.sync += sent.eq(Mux(self.wlast, 0, sent + 1))
        return m
