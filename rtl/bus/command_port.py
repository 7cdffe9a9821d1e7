"""Packet streams, memory to units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from rtl.block import Block, place
from rtl.bus.axi import SUPERVISION, forward, read_signals, reset
from rtl.bus.command_buffer import COMMAND_BURST, LENGTH_BITS, CommandBuffer
from rtl.bus.fifo import Fifo
from rtl.bus.packet_assembler import PacketAssembler
from rtl.bus.read_port import ReadPort
from rtl.geometry import Geometry
from rtl.packets import ADDRESS_BITS, LAYOUTS, STREAMS, WORD_BITS, words
from sim.accelerator import Accelerator

PACKETS = ("jobs", "tiles", "chunks")
"""Streams that leave as whole packets; the others leave as words."""
FETCHES = 16
"""That wait for their words at most."""


def systolic_streams(accelerator: Accelerator) -> dict[str, StructLayout | None]:
    """What the streams of a systolic machine hold."""
    geometry = Geometry(accelerator)
    return {name: LAYOUTS[name](geometry) if name in PACKETS else None for name in STREAMS}


class CommandPort(Block):
    """Fetches packet streams ahead of their units.

    Function: after `start` each stream S is `S_count` 64-bit words from byte `S_base` (a multiple of 8) on.
        Streams with room for 8 words among their 256 take turns in fetching 8. Those with a layout
        leave as `S_packet` (rtl.packets), others as `S_word`. `primed`: every stream has filled its
        buffer, or all of it is there, and everything rests. `empty`: all packets have left, none was cut short;
        `moves`: one moves, or a word. `stop`, `clear`, `idle`, `error`:
        rtl.bus.axi.SUPERVISION.
    Throughput: one word a cycle over all streams, 16 fetches under way; a packet of n words every n
        cycles.
    Handshake: valid and ready; `start` only when the streams of the start before have left, or after `clear`.
    """

    kind = "command_port"

    def __init__(self, *, streams: Mapping[str, StructLayout | None]) -> None:
        """`streams`: by name what a packet holds, or None."""
        self.streams = dict(streams)
        super().__init__(
            {"start": In(1), "primed": Out(1), "empty": Out(1), "moves": Out(1)}
            | {f"{name}_base": In(ADDRESS_BITS) for name in streams}
            | {f"{name}_count": In(LENGTH_BITS) for name in streams}
            | {f"{name}_valid": Out(1) for name in streams}
            | {f"{name}_ready": In(1) for name in streams}
            | {f"{name}_packet": Out(layout.size) for name, layout in streams.items() if layout}
            | {f"{name}_word": Out(WORD_BITS) for name, layout in streams.items() if not layout}
            | read_signals(WORD_BITS)
            | SUPERVISION
        )

    def elaborate(self, platform: object) -> Module:
        m, number = Module(), len(self.streams)
        port = place(m, "port", ReadPort(data_bits=WORD_BITS, reserves=False))
        forward(m, self, port, read_signals(WORD_BITS) | SUPERVISION)
        buffers, empty = zip(*(self._stream(m, name) for name in self.streams), strict=True)
        m.d.comb += [
            self.empty.eq(Cat(empty).all()),
            self.moves.eq(
                Cat(
                    getattr(self, f"{name}_valid") & getattr(self, f"{name}_ready") for name in self.streams
                ).any()
            ),
        ]

        # Fetches that wait for their burst, and the order in which words return.
        size = Signal(bits_for(COMMAND_BURST))
        fetches = place(m, "fetches", Fifo(width=ADDRESS_BITS + len(size), depth=2))
        order = place(m, "order", Fifo(width=len(size) + bits_for(number - 1), depth=FETCHES))
        turn = Signal(range(number))
        choice = Signal.like(turn)
        take = Signal()
        self._choose(m, buffers, turn, choice)
        wanted = Cat(buffer.wants for buffer in buffers).any()
        m.d.comb += [
            take.eq(wanted & fetches.in_ready & order.in_ready & ~self.clear),
            fetches.in_valid.eq(take),
            fetches.clear.eq(self.clear),
            port.request_valid.eq(fetches.out_valid),
            Cat(port.address, size).eq(fetches.out_data),
            port.beats.eq(size),
            fetches.out_ready.eq(port.request_ready),
            port.data_ready.eq(1),
            order.in_valid.eq(take),
            order.clear.eq(self.clear),
        ]
        with m.If(take):
            m.d.sync += turn.eq(choice)
        returning, returned_size = (
            Signal.like(turn, name="returning"),
            Signal.like(size, name="returned_size"),
        )
        count = Signal.like(size)
        m.d.comb += [
            Cat(returned_size, returning).eq(order.out_data),
            order.out_ready.eq(port.data_valid & (count + 1 == returned_size)),
        ]
        with m.If(port.data_valid):
            m.d.sync += count.eq(count + 1)
        with m.If(order.out_ready):
            m.d.sync += count.eq(0)
        for n, buffer in enumerate(buffers):
            chosen = choice == n
            m.d.comb += [
                buffer.take.eq(take & chosen),
                buffer.write.eq(port.data_valid & (returning == n)),
                buffer.write_data.eq(port.data),
            ]
            with m.If(chosen):
                m.d.comb += [
                    order.in_data.eq(Cat(buffer.words, choice)),
                    fetches.in_data.eq(Cat(buffer.address, buffer.words)),
                ]

        started = Signal()
        with m.If(self.start):
            m.d.sync += started.eq(1)
        # A register: the units' `ready` goes in here, and what they do when all is primed must not come back.
        m.d.sync += self.primed.eq(started & Cat(buffer.settled for buffer in buffers).all() & ~self.start)
        reset(m, self.clear, count, turn, started, self.primed)
        return m

    def _choose(self, m: Module, buffers: Sequence[CommandBuffer], turn: Signal, choice: Signal) -> None:
        """The first stream behind the one whose turn it was that wants to fetch."""
        with m.Switch(turn):
            for last in range(len(buffers)):
                with m.Case(last):
                    for n in reversed(range(len(buffers))):
                        stream = (last + 1 + n) % len(buffers)
                        with m.If(buffers[stream].wants):
                            m.d.comb += choice.eq(stream)

    def _stream(self, m: Module, name: str) -> tuple[CommandBuffer, Value]:
        """The buffer of a stream, and whether all of the stream has left."""
        buffer = place(m, name, CommandBuffer())
        m.d.comb += [
            buffer.start.eq(self.start),
            buffer.clear.eq(self.clear),
            buffer.base.eq(getattr(self, f"{name}_base")),
            buffer.count.eq(getattr(self, f"{name}_count")),
        ]
        layout, out, empty = self.streams[name], buffer, buffer.empty
        data = getattr(self, f"{name}_packet" if layout else f"{name}_word")
        if layout:
            out = place(m, f"{name}_assembler", PacketAssembler(words=words(layout)))
            empty = buffer.empty & out.empty
            m.d.comb += [
                out.clear.eq(self.clear),
                out.in_valid.eq(buffer.out_valid),
                out.in_data.eq(buffer.out_data),
                buffer.out_ready.eq(out.in_ready),
            ]
        m.d.comb += [
            getattr(self, f"{name}_valid").eq(out.out_valid),
            data.eq(out.out_data),
            out.out_ready.eq(getattr(self, f"{name}_ready")),
        ]
        return buffer, empty
