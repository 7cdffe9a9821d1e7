"""Reads over AXI4."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.address_channel import REQUEST_BITS, ROOM_BITS, AddressChannel
from rtl.bus.axi import BURST_BEATS, INCREMENT, OKAY, SUPERVISION, beat_shift, read_signals
from rtl.packets import ADDRESS_BITS


class ReadPort(Block):
    """AXI4 read master.

    Function: reads `beats` > 0 beats from `address` (a multiple of the beat) for each request and hands them
        on in order. `room`, `asked`: as in the address channel; a user that reserves room for its beats keeps
        `data_ready` at 1. `stop`, `clear`, `idle`, `error`: rtl.bus.axi.SUPERVISION; the beats of a failed
        burst are handed on all the same.
    Throughput: one beat and one burst a cycle, 32 bursts outstanding. The first AR goes out in the cycle in
        which the request is offered; a beat is handed on in the cycle in which it arrives.
    Handshake: valid and ready; a request stays until its last burst is out.
    """

    def __init__(self, *, data_bits: int, reserves: bool = True) -> None:
        """`reserves`: as of the address channel."""
        self.data_bits, self.reserves = data_bits, reserves
        self.size = beat_shift(data_bits)
        self.kind = f"read_port_{data_bits}" + ("" if reserves else "_free")
        super().__init__(
            {
                "request_valid": In(1),
                "request_ready": Out(1),
                "address": In(ADDRESS_BITS),
                "beats": In(REQUEST_BITS),
                **({"room": In(ROOM_BITS)} if reserves else {}),
                "asked": Out(bits_for(BURST_BEATS)),
                "data_valid": Out(1),
                "data_ready": In(1),
                "data": Out(data_bits),
                **read_signals(data_bits),
                **SUPERVISION,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channel = place(m, "channel", AddressChannel(data_bits=self.data_bits, reserves=self.reserves))
        discard = channel.dropping | self.clear
        beat = self.rvalid & self.rready
        m.d.comb += [
            channel.request_valid.eq(self.request_valid),
            self.request_ready.eq(channel.request_ready),
            channel.address.eq(self.address),
            channel.beats.eq(self.beats),
            *([channel.room.eq(self.room)] if self.reserves else []),
            self.asked.eq(channel.asked),
            channel.stop.eq(self.stop),
            channel.clear.eq(self.clear),
            self.arvalid.eq(channel.burst_valid),
            channel.burst_ready.eq(self.arready),
            self.araddr.eq(channel.burst_address),
            self.arlen.eq(channel.burst_length),
            self.arsize.eq(self.size),
            self.arburst.eq(INCREMENT),
            self.arid.eq(0),
            self.data_valid.eq(self.rvalid & ~discard),
            self.data.eq(self.rdata),
            self.rready.eq(self.data_ready | discard),
            channel.finish.eq(beat & self.rlast),
            self.idle.eq(channel.idle),
            self.error.eq(beat & (self.rresp != OKAY) & ~discard),
            self.error_address.eq(channel.oldest),
            *(
                getattr(self, name).eq(getattr(channel, name))
                for name in ("asks", "asked_address", "asks_nothing")
            ),
            channel.refuse.eq(self.refuse),
        ]
        return m
