"""The accelerator: everything behind its AXI ports (docs/hardware.md)."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Member, Out

from rtl import packets
from rtl.block import Block, place
from rtl.bus.axi import read_signals, write_signals
from rtl.bus.command_port import CommandPort, systolic_streams
from rtl.bus.register_map import WINDOW_OF
from rtl.bus.registers import Registers, lite_signals
from rtl.bus.row_mover import FinishedRowMover
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from rtl.bus.window import Window, guard
from rtl.control.counters import COUNTERS, Counters
from rtl.control.layer_controller import LayerController
from rtl.control.sequencer import CAUSES
from rtl.control.watchdog import Watchdog
from rtl.core import EVENTS, Core
from rtl.geometry import Geometry
from rtl.ifmap.ifmap_loader import IfmapLoader
from rtl.l1.map_group import MapGroup
from rtl.l1.psum_store import PsumStore
from rtl.storer.storer import Storer
from sim.accelerator import Accelerator

MASTERS = ("commands", "weights", "maps")
"""The AXI4 masters, by the name in `m_axi_<name>_*`."""
MOVED = ("map", "word", "offset", "bytes", "address", "ring", "ends_unit")
"""Of the storer's rows, what the row mover needs to know."""
WORD = (1 << packets.WORD_BITS // 8) - 1
"""Byte enables of one word."""


def _masters(accelerator: Accelerator) -> dict[str, dict[str, Member]]:
    word, address = packets.WORD_BITS, accelerator.address_bits
    return {
        "commands": read_signals(word, address),
        "weights": read_signals(accelerator.weight_port_bits, address),
        "maps": read_signals(word, address) | write_signals(word, address),
    }


class Top(Block):
    """The complete accelerator.

    Function: runs the layers whose packets lie in memory (docs/hardware.md), from start to interrupt.
        `end_layer` marks the last cycle of each layer. Bit n of `events` is 1 in each cycle that counter n of
        the registers counts; `begin_run` (pulse) sets the counters to 0.
    Throughput: one token a cycle; docs/timing.md gives every cycle of a layer.
    Handshake: AXI4-Lite `s_axil_*` for the registers, AXI4 `m_axi_commands_*`, `m_axi_weights_*` and
    `m_axi_maps_*`.
        `weights_there`, `maps_there`: pulses from what fills L2, for packets that wait. `begin_layer`,
        `end_layer`, `job_written`, `tile_there`: events for it. `overflow` stays 0: no queue without a ready
        ever lacks room, unless packets contradict one another.
    """

    kind = "accelerator"

    def __init__(self, *, accelerator: Accelerator, rom: np.ndarray | None = None) -> None:
        self.geometry = Geometry(accelerator)
        self.masters = _masters(accelerator)
        # Made here so that a description which one of them cannot build is refused at once.
        acc = accelerator
        self.registers = Registers(accelerator=acc, counters=COUNTERS)
        self.control = LayerController(accelerator=acc)
        self.commands, self.weights = CommandPort(streams=systolic_streams(acc)), WeightPort(accelerator=acc)
        self.tiles, self.rows = TileMover(accelerator=acc), FinishedRowMover()
        self.core = Core(accelerator=acc, rom=rom)
        self.ifmap, self.storer = IfmapLoader(accelerator=acc), Storer(accelerator=acc)
        self.psums = PsumStore(accelerator=acc)
        self.groups = [MapGroup(words=words, banks=acc.map_banks) for words in self.geometry.map_words]
        self.residual = MapGroup(words=self.geometry.residual_words, banks=acc.map_banks)
        self.counters, self.watchdog = Counters(), Watchdog()
        self.ports = {
            "commands": self.commands,
            "weights": self.weights,
            "maps_read": self.tiles,
            "maps_write": self.rows,
        }
        self.windows = {
            port: Window(
                data_bits=acc.weight_port_bits if port == "weights" else packets.WORD_BITS,
                address_bits=acc.address_bits,
            )
            for port in self.ports
        }
        super().__init__(
            {
                **{f"s_axil_{name}": member for name, member in lite_signals().items()},
                **{
                    f"m_axi_{master}_{name}": member
                    for master, members in self.masters.items()
                    for name, member in members.items()
                },
                "irq": Out(1),
                "weights_there": In(1),
                "maps_there": In(1),
                "begin_layer": Out(1),
                "end_layer": Out(1),
                "job_written": Out(1),
                "tile_there": Out(1),
                "overflow": Out(1),
                "begin_run": Out(1),
                "events": Out(len(COUNTERS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers = place(m, "registers", self.registers)
        place(m, "command_port", self.commands)
        place(m, "weight_port", self.weights)
        place(m, "tile_mover", self.tiles)
        place(m, "row_mover", self.rows)
        place(m, "counters", self.counters)
        place(m, "watchdog", self.watchdog)
        for port, window in self.windows.items():
            place(m, f"{port}_window", window)
        # The ports forget their work in their own time, since responses may be on their way.
        reset = registers.clear
        place(m, "layer_controller", self.control, reset)
        place(m, "core", self.core, reset)
        place(m, "ifmap_loader", self.ifmap, reset)
        place(m, "storer", self.storer, reset)
        place(m, "psum_store", self.psums, reset)
        for n, group in enumerate(self.groups):
            place(m, f"map_{n}", group)
        place(m, "residual", self.residual)

        self._ports(m)
        self._supervise(m)
        self._packets(m)
        self._l1(m)
        self._layers(m)
        self._work(m)
        self._events(m)
        return m

    def _layers(self, m: Module) -> None:
        """When layers and their visits begin and end."""
        m.d.comb += [
            self.control.chunk_valid.eq(self.commands.chunks_valid),
            self.control.settled.eq(self.core.settled),
            self.control.rows_waiting.eq(self.core.unit_there),
            self.control.pass_waiting.eq(self.storer.pass_waiting),
            self.control.active.eq(self.core.active),
            self.control.pass_busy.eq(self.storer.pass_busy),
            self.control.sent.eq(self.rows.unit_sent),
            self.control.idle.eq(self.rows.idle & ~self.storer.out_valid),
            self.core.load.eq(self.control.load),
            self.ifmap.load.eq(self.control.load),
            self.ifmap.allowed.eq(self.control.allowed),
            self.storer.pass_start.eq(self.control.pass_start),
            self.tiles.begin.eq(self.control.begin & ~self.storer.pass_waiting),
            self.tiles.visit_end.eq(self.core.visit_end),
            self.tiles.maps_there.eq(self.maps_there),
            self.weights.weights_there.eq(self.weights_there),
            self.ifmap.tile_there.eq(self.tiles.tile_there),
        ]

    def _work(self, m: Module) -> None:
        """Stripes, activations and psums between core, ifmap loader, storer and row mover."""
        m.d.comb += [
            self.core.unit_loaded.eq(self.storer.unit_loaded),
            self.core.unit_sent.eq(self.rows.unit_sent & ~self.control.passing),
            self.ifmap.starts.eq(self.core.starts),
            self.ifmap.request.eq(self.core.request),
            self.core.ready.eq(self.ifmap.ready),
            self.core.tile_missing.eq(self.ifmap.tile_missing),
            self.core.activation.eq(self.ifmap.activation),
            self.psums.read.eq(self.core.psum_read),
            self.psums.read_row.eq(self.core.psum_read_address),
            self.core.psum_read_data.eq(self.psums.read_data),
            self.psums.write.eq(self.core.psum_write),
            self.psums.write_row.eq(self.core.row_address),
            self.psums.write_data.eq(self.core.row),
            self.storer.row_valid.eq(self.core.finished),
            self.storer.row.eq(self.core.row),
            self.rows.row_valid.eq(self.storer.out_valid),
            self.storer.out_ready.eq(self.rows.row_ready),
            *(getattr(self.rows, f"row_{name}").eq(getattr(self.storer, f"out_{name}")) for name in MOVED),
            self.begin_layer.eq(self.control.begin),
            self.end_layer.eq(self.control.end),
            self.overflow.eq(self.storer.overflow | self.psums.overflow),
            self.job_written.eq(self.core.job_written),
            self.tile_there.eq(self.tiles.tile_there),
        ]

    def _events(self, m: Module) -> None:
        """What is counted."""
        causes = dict(zip(CAUSES, self.core.causes, strict=True))
        causes["control"] = causes["control"] | self.control.control
        events = causes | {
            "cycles": self.control.running,
            "vector": self.storer.pass_busy,
            "drain": self.control.drain,
        }
        events |= dict(zip(EVENTS, self.core.events, strict=True))
        m.d.comb += [
            self.begin_run.eq(self.registers.start),
            self.events.eq(Cat(events[name] for name in COUNTERS)),
            self.counters.clear.eq(self.begin_run),
            self.counters.events.eq(self.events),
        ]
        for name in COUNTERS:
            count = f"count_{name}"
            m.d.comb += getattr(self.registers, count).eq(getattr(self.counters, count))

    def _ports(self, m: Module) -> None:
        readers = {"commands": "commands", "weights": "weights", "maps": "maps_read"}
        for name, member in lite_signals().items():
            _join(m, getattr(self, f"s_axil_{name}"), getattr(self.registers, name), member)
        for master, members in self.masters.items():
            for name, member in members.items():
                written = name[0] in "bw" or name.startswith("aw")
                port = "maps_write" if written else readers[master]
                owner, outer = self.ports[port], getattr(self, f"m_axi_{master}_{name}")
                if name in ("araddr", "awaddr"):
                    window = self.windows[port]
                    m.d.comb += [window.burst_address.eq(getattr(owner, name)), outer.eq(window.bus_address)]
                else:
                    _join(m, outer, getattr(owner, name), member)
        m.d.comb += self.irq.eq(self.registers.irq)

    def _supervise(self, m: Module) -> None:
        registers = self.registers
        m.d.comb += [
            registers.left.eq(
                ~(self.commands.empty & self.weights.empty & self.core.empty & self.storer.empty)
            ),
            registers.overflow.eq(self.overflow),
            registers.expired.eq(self.watchdog.expired),
            self.watchdog.watches.eq(registers.watches),
            self.watchdog.limit.eq(registers.watchdog),
            self.watchdog.progress.eq(self.commands.moves | self.control.end),
            self.control.start.eq(self.registers.start),
            self.control.layers.eq(self.registers.layer_count),
            self.control.halt.eq(self.registers.stop),
            self.registers.finished.eq(self.control.done),
            self.registers.layer_end.eq(self.control.end),
            self.registers.ports_idle.eq(Cat(port.idle for port in self.ports.values()).all()),
            self.commands.start.eq(self.registers.start),
            *(
                getattr(self.commands, f"{stream}_{what}").eq(getattr(self.registers, f"{stream}_{what}"))
                for stream in packets.STREAMS
                for what in ("base", "count")
            ),
        ]
        guard(m, registers, self.ports, self.windows, WINDOW_OF)

    def _packets(self, m: Module) -> None:
        # Weights that need not wait for DRAM are fetched before the first layer and loaded from its cycle 0 on.
        begun = Signal()
        m.d.sync += begun.eq((begun | self.control.begin) & ~self.registers.clear)
        waits = View(self.weights.layout, self.weights.out_job).wait
        there = ~self.weights.empty & (waits | self.weights.weight_valid)
        m.d.comb += [
            self.control.primed.eq(self.commands.primed & there),
            self.weights.in_valid.eq(self.commands.jobs_valid),
            self.weights.in_job.eq(self.commands.jobs_packet),
            self.commands.jobs_ready.eq(self.weights.in_ready),
            self.core.job_valid.eq(self.weights.out_valid & begun),
            self.core.job.eq(self.weights.out_job),
            self.weights.out_ready.eq(self.core.job_ready & begun),
            self.core.weight_valid.eq(self.weights.weight_valid),
            self.core.weight_data.eq(self.weights.weight_data),
            self.weights.weight_ready.eq(self.core.weight_ready),
            self.tiles.tile_valid.eq(self.commands.tiles_valid),
            self.tiles.tile_packet.eq(self.commands.tiles_packet),
            self.commands.tiles_ready.eq(self.tiles.tile_ready),
            *(
                getattr(unit, f"chunk{suffix}").eq(getattr(self.commands, f"chunks_{port}"))
                for unit in (self.core, self.ifmap)
                for suffix, port in (("_valid", "valid"), ("", "packet"))
            ),
            self.commands.chunks_ready.eq(self.core.chunk_ready),
            self.storer.word_valid.eq(self.commands.units_valid),
            self.storer.word.eq(self.commands.units_word),
            self.commands.units_ready.eq(self.storer.word_ready),
        ]

    def _l1(self, m: Module) -> None:
        """Each group has one reader and one writer at a time (docs/hardware.md section 2)."""
        groups, residual = self.groups, self.residual
        tiles, rows, ifmap, storer = self.tiles, self.rows, self.ifmap, self.storer
        # Which group the ifmap loader has read.
        fetched_map = Signal()
        m.d.sync += fetched_map.eq(ifmap.read_map)
        moved_map = Signal()
        m.d.sync += moved_map.eq(rows.read_map)
        for n, group in enumerate(groups):
            filled = tiles.write_enable & ~tiles.write_group if n == 0 else Const(0)
            fetched = ifmap.read_enable & (ifmap.read_map == n)
            passed = storer.pass_read & (storer.pass_map == n)
            moved = rows.read_enable & (rows.read_map == n)
            m.d.comb += [
                group.write_enable.eq(Mux(filled, WORD, Mux(storer.write_map == n, storer.write_enable, 0))),
                group.write_word.eq(Mux(filled, tiles.write_word, storer.write_word)),
                group.write_data.eq(Mux(filled, tiles.write_data, storer.write_data)),
                group.read_enable.eq(fetched | passed | moved),
                group.read_word.eq(
                    Mux(fetched, ifmap.read_word, Mux(passed, storer.pass_word, rows.read_word))
                ),
            ]
        added = tiles.write_enable & tiles.write_group
        m.d.comb += [
            ifmap.read_data.eq(Mux(fetched_map, groups[1].read_data, groups[0].read_data)),
            storer.pass_data.eq(Mux(storer.pass_map, groups[1].read_data, groups[0].read_data)),
            rows.read_data.eq(Mux(moved_map, groups[1].read_data, groups[0].read_data)),
            residual.write_enable.eq(Mux(added, WORD, storer.line_enable)),
            residual.write_word.eq(Mux(added, tiles.write_word, storer.line_word)),
            residual.write_data.eq(Mux(added, tiles.write_data, storer.line_data)),
            residual.read_enable.eq(storer.residual_read),
            residual.read_word.eq(storer.residual_word),
            storer.residual_data.eq(residual.read_data),
        ]


def _join(m: Module, outer: Signal, inner: Signal, member: Member) -> None:
    m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
