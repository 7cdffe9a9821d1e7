"""Address channel of an AXI master."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from rtl.block import Block, place
from rtl.bus.axi import BURST_BEATS, OUTSTANDING, PAGE_BYTES, beat_shift, reset
from rtl.bus.fifo import Fifo
from rtl.packets import ADDRESS_BITS

REQUEST_BITS = 17
"""A request has up to 2^16 beats."""
ROOM_BITS = 6


class AddressChannel(Block):
    """Requests to bursts, and the bursts that are on their way.

    Function: splits a request of `beats` > 0 beats at `address` (a multiple of the beat) into INCR bursts of
        up to 16 beats that do not cross 4 KiB. A burst goes out when `room` covers it, 32 bursts at most are
        outstanding, and neither `stop`, `refuse` nor `dropping` hold it back; it `begins` then, and `asked` is
        its number of beats, otherwise 0. `finish`: the oldest burst, whose address is `oldest`, is complete.
        After `clear`, `dropping` until all are. `asks`, `asked_address`, `asks_nothing`: rtl.bus.axi.SUPERVISION.
    Throughput: one burst a cycle; the first in the cycle in which the request is offered.
    Handshake: the request stays until `request_ready`, which comes with its last burst. `burst_valid` and
        what goes with it stay until `burst_ready`, whatever happens to the request.
    """

    def __init__(self, *, data_bits: int, reserves: bool = True) -> None:
        """`reserves`: bursts wait for room; else there is none of `room`."""
        self.shift, self.reserves = beat_shift(data_bits), reserves
        self.kind = f"address_channel_{data_bits}" + ("" if reserves else "_free")
        super().__init__(
            {
                "request_valid": In(1),
                "request_ready": Out(1),
                "address": In(ADDRESS_BITS),
                "beats": In(REQUEST_BITS),
                **({"room": In(ROOM_BITS)} if reserves else {}),
                "stop": In(1),
                "clear": In(1),
                "burst_valid": Out(1),
                "burst_ready": In(1),
                "burst_address": Out(ADDRESS_BITS),
                "burst_length": Out(8),
                "begins": Out(1),
                "asked": Out(bits_for(BURST_BEATS)),
                "finish": In(1),
                "oldest": Out(ADDRESS_BITS),
                "idle": Out(1),
                "dropping": Out(1),
                "asks": Out(1),
                "asked_address": Out(ADDRESS_BITS),
                "asks_nothing": Out(1),
                "refuse": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        underway = place(m, "underway", Fifo(width=ADDRESS_BITS, depth=OUTSTANDING))

        # The rest of a request of which bursts are out.
        begun = Signal()
        rest_address = Signal(ADDRESS_BITS)
        rest_beats = Signal(REQUEST_BITS)
        address, left = Signal.like(rest_address, name="address"), Signal.like(rest_beats, name="left")
        m.d.comb += [
            address.eq(Mux(begun, rest_address, self.address)),
            left.eq(Mux(begun, rest_beats, self.beats)),
        ]

        block_bits = self.shift + exact_log2(BURST_BEATS)
        limit, size = Signal.like(self.asked, name="limit"), Signal.like(self.asked, name="size")
        length = Signal.like(self.burst_length, name="length")
        page_ends = Signal()
        beyond = Signal(signed(REQUEST_BITS + 1))  # beats behind the longest burst that may go out
        offered, last = Signal(name="offered"), Signal(name="last")
        # The smaller of the two is the size.
        fits = (left <= self.room) | (limit <= self.room) if self.reserves else Const(1)
        # A burst that was not taken at once waits here.
        waiting = Signal()
        waiting_address = Signal(ADDRESS_BITS)
        waiting_length = Signal(8)
        m.d.comb += [
            # A page ends where its last block of 16 beats does.
            page_ends.eq(address[block_bits : exact_log2(PAGE_BYTES)].all()),
            limit.eq(BURST_BEATS - Mux(page_ends, address[self.shift : block_bits], 0)),
            beyond.eq(left - limit),
            last.eq(beyond <= 0),
            size.eq(Mux(last, left, limit)),
            length.eq(Mux(last, left - 1, limit - 1)),
            self.asks.eq(self.request_valid & ~waiting & ~(self.stop | self.clear | self.dropping)),
            self.asked_address.eq(address),
            # Of a request that has begun something is left.
            self.asks_nothing.eq(~begun & (self.beats == 0)),
            offered.eq(self.asks & underway.in_ready & fits & ~self.refuse),
            self.begins.eq(offered),
            self.request_ready.eq(offered & last),
            self.asked.eq(Mux(offered, size, 0)),
            self.burst_valid.eq(waiting | offered),
            self.burst_address.eq(Mux(waiting, waiting_address, address)),
            self.burst_length.eq(Mux(waiting, waiting_length, length)),
            underway.in_valid.eq(offered),
            underway.in_data.eq(address),
            underway.out_ready.eq(self.finish),
            self.oldest.eq(underway.out_data),
            self.idle.eq(underway.level == 0),
        ]
        m.d.sync += waiting.eq(self.burst_valid & ~self.burst_ready)
        with m.If(offered):
            m.d.sync += [
                begun.eq(~last),
                # Where the burst is the last one nobody reads them; so they need not wait for its size.
                rest_address.eq(Cat(Mux(page_ends, 0, address[:block_bits]), address[block_bits:] + 1)),
                rest_beats.eq(beyond),
                waiting_address.eq(address),
                waiting_length.eq(length),
            ]
        reset(m, self.clear, begun)
        with m.If(self.clear):
            m.d.sync += self.dropping.eq(1)
        with m.Elif(self.idle):
            m.d.sync += self.dropping.eq(0)
        return m
