"""Ports and registers of rtl.bus in one bench top, and its Verilog."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib.wiring import In

from rtl import verilog
from rtl.block import Block, module_name, place
from rtl.bus.axi import SUPERVISION, read_signals, write_signals
from rtl.bus.registers import Registers
from rtl.bus.row_mover import FinishedRowMover
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from sim.accelerator import load

ACC = load("ews-4")
COUNTERS = ("cycles",)
INSIDE = {"start", "clear", "stop", "ports_idle", "left", "expired", "overflow"} | {
    f"{port}_{what}"
    for port in ("commands", "weights", "maps_read", "maps_write")
    for what in ("error", "error_address", "refused")
}


class BusBench(Block):
    """Weight port, tile mover, row mover and registers; the movers share the AXI port `maps`."""

    kind = "bus_bench"

    def __init__(self):
        self.units = {
            "weights": WeightPort(accelerator=ACC),
            "tiles": TileMover(accelerator=ACC),
            "rows": FinishedRowMover(),
            "registers": Registers(accelerator=ACC, counters=COUNTERS),
        }
        self.shown = {}  # port of the bench: (unit, port of the unit)
        members = {}
        for name, unit in self.units.items():
            maps = {"tiles": read_signals(64), "rows": write_signals(64)}.get(name, {})
            for port, member in unit.signature.members.items():
                if port not in SUPERVISION and not (name == "registers" and port in INSIDE):
                    prefix = "maps" if port in maps else name
                    self.shown[f"{prefix}_{port}"] = (name, port)
                    members[f"{prefix}_{port}"] = member
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        units = {name: place(m, name, unit) for name, unit in self.units.items()}
        for port, (name, inner) in self.shown.items():
            mine, its = getattr(self, port), getattr(units[name], inner)
            m.d.comb += its.eq(mine) if self.signature.members[port].flow == In else mine.eq(its)
        registers = units["registers"]
        idle = 1
        for port, name in (("weights", "weights"), ("maps_read", "tiles"), ("maps_write", "rows")):
            unit = units[name]
            idle &= unit.idle
            m.d.comb += [
                unit.stop.eq(registers.stop),
                unit.clear.eq(registers.clear),
                getattr(registers, f"{port}_error").eq(unit.error),
                getattr(registers, f"{port}_error_address").eq(unit.error_address),
            ]
        m.d.comb += registers.ports_idle.eq(idle)
        return m


def modules(top: Block) -> dict[str, str]:
    """Verilog text by module name, one for each kind."""
    return {module_name(kind): text for kind, (_, text) in verilog.hierarchy(top).items()}
