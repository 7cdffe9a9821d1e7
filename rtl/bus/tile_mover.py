"""Ifmap and residual tiles, memory to L1."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from rtl.block import Block, place
from rtl.bus.axi import SUPERVISION, forward, read_signals, reset
from rtl.bus.read_port import ReadPort
from rtl.bus.runs import Runs
from rtl.geometry import Geometry
from rtl.packets import WORD_ADDRESS_BITS, WORD_BITS, tile
from sim.accelerator import Accelerator
from sim.errors import InputError

CREDIT_BITS = 8


class TileMover(Block):
    """DMA of ifmap tiles (docs/timing.md section 7).

    Function: brings what each packet (rtl.packets.tile) asks for into L1: `write_group` 0 is map group 0, 1
        the residual group. A visit starts in cycle t if by then the visit before is there; with `begins`,
        `begin` was given (once for each such packet), otherwise `buffers` visits of the layer before it have
        ended (`visit_end`); and with `wait` a pulse of `maps_there` was left (up to 255 are kept). Pulses
        count from the cycle after them on. `tile_there`: pulse in the cycle before the tile may be read.
        `stop`, `clear`, `idle`, `error`: rtl.bus.axi.SUPERVISION.
    Throughput: one word a cycle. The first AR of a transfer of n words goes out in t + dma_setup, the last
        word is written in t + dma_setup + memory latency + n - 1; the residual follows as if it started in
        the cycle after. A visit without transfers is there in t, but one cycle after the visit before it at
        the earliest, and so is t of the visit behind it.
    Handshake: valid and ready; a packet is taken in the visit's first cycle, one without transfers in the cycle
        before.
    """

    kind = "tile_mover"

    def __init__(self, *, accelerator: Accelerator) -> None:
        for field, missing, problem, fix in (
            # A layer ends dma_setup + l2_latency after its last row has left L1.
            (
                "dma_setup",
                accelerator.dma_setup < 2,
                "a row takes two cycles from L1 to the port",
                "set dma_setup >= 2",
            ),
            (
                "l2_latency",
                accelerator.l2_latency < 1,
                "AXI answers in the cycle after at best",
                "set l2_latency >= 1",
            ),
            (
                "dma_burst_gap",
                accelerator.dma_burst_gap != 0,
                "bursts follow one another",
                "set dma_burst_gap = 0",
            ),
            ("dma_bits", accelerator.dma_bits != WORD_BITS, "L1 has words of 64 bits", "set dma_bits = 64"),
        ):
            if missing:
                raise InputError(field, getattr(accelerator, field), problem, fix)
        self.setup = accelerator.dma_setup
        self.layout = tile(Geometry(accelerator))
        self.transfer = StructLayout(
            {
                name.removeprefix("ifmap_"): field.shape
                for name, field in self.layout
                if name.startswith("ifmap_")
            }
        )
        super().__init__(
            {
                "tile_valid": In(1),
                "tile_ready": Out(1),
                "tile_packet": In(self.layout.size),
                "begin": In(1),
                "visit_end": In(1),
                "maps_there": In(1),
                "tile_there": Out(1),
                "write_enable": Out(1),
                "write_group": Out(1),
                "write_word": Out(WORD_ADDRESS_BITS),
                "write_data": Out(WORD_BITS),
                **read_signals(WORD_BITS),
                **SUPERVISION,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = place(m, "port", ReadPort(data_bits=WORD_BITS, reserves=False))
        forward(m, self, port, read_signals(WORD_BITS) | SUPERVISION)
        packet = View(self.layout, self.tile_packet)
        empty = (packet.ifmap_beats == 0) & (packet.residual_beats == 0)
        busy, visit_done = Signal(name="busy"), Signal(name="visit_done")

        # Whether a visit may start in the next cycle.
        begun = Signal()
        credits = Signal(CREDIT_BITS)
        resident = Signal(len(packet.buffers) + 1)  # visits of the layer that have started and not ended
        still = Signal.like(resident)
        room, starts, loads = Signal(name="room"), Signal(name="starts"), Signal(name="loads")
        m.d.comb += [
            still.eq(resident - (self.visit_end & resident.any())),
            # still < packet.buffers; the end of a visit comes late.
            room.eq(
                (resident < packet.buffers) | (self.visit_end & resident.any() & (resident <= packet.buffers))
            ),
            starts.eq(
                self.tile_valid
                & (~busy | (visit_done & ~empty))
                & ~self.clear
                & Mux(packet.begins, begun | self.begin, room)
                & (~packet.wait | (credits != 0) | self.maps_there)
            ),
            self.tile_ready.eq(loads | (starts & empty)),
            self.tile_there.eq(visit_done | (starts & empty)),
        ]
        m.d.sync += [
            begun.eq((begun | self.begin) & ~(starts & packet.begins)),
            credits.eq(credits + self.maps_there - (starts & packet.wait)),
            resident.eq(Mux(starts & packet.begins, 1, still + starts)),
        ]

        self._transfers(m, port, loads, packet, visit_done)
        # It is late when a visit may start; its transfers have dma_setup cycles to begin in.
        m.d.sync += [loads.eq(starts & ~empty), busy.eq((busy & ~visit_done) | (starts & ~empty))]
        reset(m, self.clear, busy, loads, begun, credits, resident)
        return m

    def _transfers(self, m: Module, port: ReadPort, loads: Value, packet: View, visit_done: Signal) -> None:
        runs = place(m, "runs", Runs())
        ifmap, residual, later, chosen = (
            Signal(self.transfer, name=name) for name in ("ifmap", "residual", "later", "chosen")
        )
        only_residual = packet.ifmap_beats == 0
        follows = Signal()  # a residual, behind the ifmap at hand
        wait = Signal(range(self.setup + 1))
        beats = Signal(WORD_ADDRESS_BITS)
        awaited = Signal(WORD_ADDRESS_BITS + 1)
        all_asked = Signal()
        done = Signal()
        for name in self.transfer.members:
            m.d.comb += [
                getattr(ifmap, name).eq(getattr(packet, f"ifmap_{name}")),
                getattr(residual, name).eq(getattr(packet, f"residual_{name}")),
            ]
        m.d.comb += [
            chosen.eq(Mux(loads, Mux(only_residual, residual, ifmap), later)),
            runs.load.eq(loads | (done & follows)),
            runs.start.eq(chosen.address),
            runs.lines.eq(chosen.lines),
            runs.line_stride.eq(chosen.line_stride),
            runs.planes.eq(chosen.planes),
            runs.plane_stride.eq(chosen.plane_stride),
            runs.clear.eq(self.clear),
            port.request_valid.eq(runs.valid & (wait == 0)),
            port.address.eq(runs.address),
            port.beats.eq(beats),
            runs.ready.eq(port.request_ready),
            port.data_ready.eq(1),
            done.eq(port.data_valid & all_asked & (awaited == 1)),
            visit_done.eq(done & ~follows),
            self.write_enable.eq(port.data_valid),
            self.write_data.eq(port.data),
        ]
        m.d.sync += [
            wait.eq(Mux(wait == 0, 0, wait - 1)),
            self.write_word.eq(self.write_word + port.data_valid),
            # Words of a run may come before the whole run is asked for; once all is, the number is right.
            awaited.eq(Mux(port.request_ready, awaited + beats - port.data_valid, awaited - port.data_valid)),
        ]
        with m.If(port.request_ready & runs.last):
            m.d.sync += all_asked.eq(1)
        with m.If(runs.load):
            m.d.sync += [
                wait.eq(Mux(loads, self.setup - 1, self.setup)),
                beats.eq(chosen.beats),
                awaited.eq(0),
                all_asked.eq(0),
                self.write_word.eq(chosen.to),
                self.write_group.eq(~loads | only_residual),
                follows.eq(0),
            ]
        with m.If(loads):
            m.d.sync += [later.eq(residual), follows.eq((packet.residual_beats != 0) & ~only_residual)]
