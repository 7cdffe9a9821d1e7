"""The accelerator: everything behind its AXI ports (docs/hardware.md)."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Member, Out

from rtl import packets
from rtl.block import Block, place
from rtl.bus.axi import read_signals, write_signals
from rtl.bus.command_port import CommandPort
from rtl.bus.registers import Registers, lite_signals
from rtl.bus.row_mover import RowMover
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from rtl.control.counters import COUNTER_BITS, COUNTERS, Counters
from rtl.control.layer_controller import LayerController
from rtl.control.sequencer import CAUSES
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
    return {
        "commands": read_signals(packets.WORD_BITS),
        "weights": read_signals(accelerator.weight_port_bits),
        "maps": read_signals(packets.WORD_BITS) | write_signals(packets.WORD_BITS),
    }


class Top(Block):
    """The complete accelerator.

    Function: runs the layers whose packets lie in memory (docs/hardware.md), from start to interrupt. The
    counters are
        those of the whole run; `end_layer` marks the last cycle of each layer.
    Throughput: one token a cycle; docs/timing.md gives every cycle of a layer.
    Handshake: AXI4-Lite `s_axil_*` for the registers, AXI4 `m_axi_commands_*`, `m_axi_weights_*` and
    `m_axi_maps_*`.
        `weights_there`, `maps_there`: pulses from what fills L2, for packets that wait. `begin_layer`,
        `end_layer`, `job_written`, `tile_there`: events for it. `overflow` stays 0: no queue without a ready
        ever lacks room.
    """

    kind = "accelerator"

    def __init__(self, *, accelerator: Accelerator, rom: np.ndarray | None = None) -> None:
        self.geometry = Geometry(accelerator)
        self.masters = _masters(accelerator)
        # Made here so that a description which one of them cannot build is refused at once.
        acc = accelerator
        self.registers = Registers(accelerator=acc, counters=COUNTERS)
        self.control = LayerController(accelerator=acc)
        self.commands, self.weights = CommandPort(accelerator=acc), WeightPort(accelerator=acc)
        self.tiles, self.rows = TileMover(accelerator=acc), RowMover()
        self.core = Core(accelerator=acc, rom=rom)
        self.ifmap, self.storer = IfmapLoader(accelerator=acc), Storer(accelerator=acc)
        self.psums = PsumStore(accelerator=acc)
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
                **{f"count_{name}": Out(COUNTER_BITS) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        registers = place(m, "registers", self.registers)
        commands = place(m, "command_port", self.commands)
        weights = place(m, "weight_port", self.weights)
        tiles = place(m, "tile_mover", self.tiles)
        rows = place(m, "row_mover", self.rows)
        counters = place(m, "counters", Counters())
        # The ports forget their work in their own time, since responses may be on their way.
        reset = registers.clear
        control = place(m, "layer_controller", self.control, reset)
        core = place(m, "core", self.core, reset)
        ifmap = place(m, "ifmap_loader", self.ifmap, reset)
        storer = place(m, "storer", self.storer, reset)
        psums = place(m, "psum_store", self.psums, reset)
        groups = [
            place(m, f"map_{n}", MapGroup(words=words, banks=acc.map_banks))
            for n, words in enumerate(geometry.map_words)
        ]
        residual = place(m, "residual", MapGroup(words=geometry.residual_words, banks=acc.map_banks))

        self._ports(m, registers, {"commands": commands, "weights": weights, "maps": tiles}, rows)
        self._supervise(
            m,
            registers,
            control,
            commands,
            {"commands": commands, "weights": weights, "maps_read": tiles, "maps_write": rows},
        )
        self._packets(m, commands, weights, tiles, core, ifmap, storer)
        self._l1(m, groups, residual, tiles, rows, ifmap, storer)
        m.d.comb += [
            control.chunk_valid.eq(commands.chunks_valid),
            control.settled.eq(core.settled),
            control.rows_waiting.eq(core.unit_there),
            control.pass_waiting.eq(storer.pass_waiting),
            control.active.eq(core.active),
            control.pass_busy.eq(storer.pass_busy),
            control.sent.eq(rows.unit_sent),
            control.idle.eq(rows.idle & ~storer.out_valid),
            core.load.eq(control.load),
            ifmap.load.eq(control.load),
            ifmap.allowed.eq(control.allowed),
            storer.pass_start.eq(control.pass_start),
            tiles.begin.eq(control.begin & ~storer.pass_waiting),
            tiles.visit_end.eq(core.visit_end),
            tiles.maps_there.eq(self.maps_there),
            weights.weights_there.eq(self.weights_there),
            ifmap.tile_there.eq(tiles.tile_there),
            core.unit_loaded.eq(storer.unit_loaded),
            core.unit_sent.eq(rows.unit_sent & ~control.passing),
            ifmap.starts.eq(core.starts),
            ifmap.request.eq(core.request),
            core.ready.eq(ifmap.ready),
            core.tile_missing.eq(ifmap.tile_missing),
            core.activation.eq(ifmap.activation),
            psums.read.eq(core.psum_read),
            psums.read_row.eq(core.psum_read_address),
            core.psum_read_data.eq(psums.read_data),
            psums.write.eq(core.psum_write),
            psums.write_row.eq(core.row_address),
            psums.write_data.eq(core.row),
            storer.row_valid.eq(core.finished),
            storer.row.eq(core.row),
            rows.row_valid.eq(storer.out_valid),
            storer.out_ready.eq(rows.row_ready),
            *(getattr(rows, f"row_{name}").eq(getattr(storer, f"out_{name}")) for name in MOVED),
            self.begin_layer.eq(control.begin),
            self.end_layer.eq(control.end),
            self.overflow.eq(storer.overflow | psums.overflow),
            self.job_written.eq(core.job_written),
            self.tile_there.eq(tiles.tile_there),
        ]
        causes = dict(zip(CAUSES, core.causes, strict=True))
        causes["control"] = causes["control"] | control.control
        events = causes | {"cycles": control.running, "vector": storer.pass_busy, "drain": control.drain}
        events |= dict(zip(EVENTS, core.events, strict=True))
        m.d.comb += [
            counters.clear.eq(registers.start),
            counters.events.eq(Cat(events[name] for name in COUNTERS)),
        ]
        for name in COUNTERS:
            count = getattr(counters, f"count_{name}")
            m.d.comb += [
                getattr(registers, f"count_{name}").eq(count),
                getattr(self, f"count_{name}").eq(count),
            ]
        return m

    def _ports(self, m: Module, registers: Registers, readers: dict[str, Block], rows: RowMover) -> None:
        for name, member in lite_signals().items():
            _join(m, getattr(self, f"s_axil_{name}"), getattr(registers, name), member)
        for master, members in self.masters.items():
            for name, member in members.items():
                written = name[0] in "bw" or name.startswith("aw")
                owner = rows if written else readers[master]
                _join(m, getattr(self, f"m_axi_{master}_{name}"), getattr(owner, name), member)
        m.d.comb += self.irq.eq(registers.irq)

    def _supervise(
        self,
        m: Module,
        registers: Registers,
        control: LayerController,
        commands: CommandPort,
        ports: dict[str, Block],
    ) -> None:
        m.d.comb += [
            control.start.eq(registers.start),
            control.layers.eq(registers.layer_count),
            control.primed.eq(commands.primed),
            control.halt.eq(registers.stop),
            registers.finished.eq(control.done),
            registers.layer_end.eq(control.end),
            registers.ports_idle.eq(Cat(port.idle for port in ports.values()).all()),
            commands.start.eq(registers.start),
            *(
                getattr(commands, f"{stream}_{what}").eq(getattr(registers, f"{stream}_{what}"))
                for stream in packets.STREAMS
                for what in ("base", "count")
            ),
        ]
        for name, port in ports.items():
            m.d.comb += [
                port.stop.eq(registers.stop),
                port.clear.eq(registers.clear),
                getattr(registers, f"{name}_error").eq(port.error),
                getattr(registers, f"{name}_error_address").eq(port.error_address),
            ]

    def _packets(
        self,
        m: Module,
        commands: CommandPort,
        weights: WeightPort,
        tiles: TileMover,
        core: Core,
        ifmap: IfmapLoader,
        storer: Storer,
    ) -> None:
        m.d.comb += [
            weights.in_valid.eq(commands.jobs_valid),
            weights.in_job.eq(commands.jobs_packet),
            commands.jobs_ready.eq(weights.in_ready),
            core.job_valid.eq(weights.out_valid),
            core.job.eq(weights.out_job),
            weights.out_ready.eq(core.job_ready),
            core.weight_valid.eq(weights.weight_valid),
            core.weight_data.eq(weights.weight_data),
            weights.weight_ready.eq(core.weight_ready),
            tiles.tile_valid.eq(commands.tiles_valid),
            tiles.tile_packet.eq(commands.tiles_packet),
            commands.tiles_ready.eq(tiles.tile_ready),
            *(
                getattr(unit, f"chunk{suffix}").eq(getattr(commands, f"chunks_{port}"))
                for unit in (core, ifmap)
                for suffix, port in (("_valid", "valid"), ("", "packet"))
            ),
            commands.chunks_ready.eq(core.chunk_ready),
            storer.word_valid.eq(commands.units_valid),
            storer.word.eq(commands.units_word),
            commands.units_ready.eq(storer.word_ready),
        ]

    def _l1(
        self,
        m: Module,
        groups: list[MapGroup],
        residual: MapGroup,
        tiles: TileMover,
        rows: RowMover,
        ifmap: IfmapLoader,
        storer: Storer,
    ) -> None:
        """Each group has one reader and one writer at a time (docs/hardware.md section 2)."""
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
        m.d.comb += [
            ifmap.read_data.eq(Mux(fetched_map, groups[1].read_data, groups[0].read_data)),
            storer.pass_data.eq(Mux(storer.pass_map, groups[1].read_data, groups[0].read_data)),
            rows.read_data.eq(Mux(moved_map, groups[1].read_data, groups[0].read_data)),
            residual.write_enable.eq(Mux(tiles.write_enable & tiles.write_group, WORD, 0)),
            residual.write_word.eq(tiles.write_word),
            residual.write_data.eq(tiles.write_data),
            residual.read_enable.eq(storer.residual_read),
            residual.read_word.eq(storer.residual_word),
            storer.residual_data.eq(residual.read_data),
        ]


def _join(m: Module, outer: Signal, inner: Signal, member: Member) -> None:
    m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
