"""Clock gates on a cell library: the module that stands for one, and gates in place of enables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from rtl.block import module_name
from rtl.clocking import ClockGate, Latches
from rtl.synth.liberty import Cell, Library

NAME = module_name(ClockGate.kind)
LATCHES = module_name(Latches.kind_of)
"""Begins the names of the modules of latches."""
RULES = "enables.v"
_INSTANCE = re.compile(r"^[ \t]+(\w+)\s+(?:\\\S+\s+|[\w$]+\s*)\(([^;]*)\);", re.M)
LEAST = 4
"""Registers with a common enable that are worth a gate: it takes the area of as many multiplexers."""


def wrapper(cell: Cell) -> str:
    """Verilog of the module of a clock gate, made of a cell."""
    pins = cell.clock_gate
    assert pins is not None
    scan = f", .{pins.scan}(scan_enable)" if pins.scan else ""
    return (
        f"module {NAME}(clk, enable, scan_enable, gated_clk);\n"
        "  input clk, enable, scan_enable;\n"
        "  output gated_clk;\n"
        f"  {cell.name} gate_ (.{pins.clock}(clk), .{pins.enable}(enable){scan}, .{pins.output}(gated_clk));\n"
        "endmodule\n"
    )


def latches(cell: Cell, text: str) -> tuple[str, int]:
    """Verilog of a module of latches, whose behavioural text is `text`, made of cells, and their number."""
    pins = cell.latch
    assert pins is not None
    head, width = text[: text.index(");") + 2], int(text.split("input [")[1].split(":")[0]) + 1
    idle = "".join(f", .{pin}(1'b{value})" for pin, value in pins.idle.items())
    cells = [
        f"  {cell.name} latch_{n} (.{pins.enable}(enable), .{pins.data}(data[{n}]), .{pins.output}(held[{n}]){idle});\n"
        for n in range(width)
    ]
    ports = f"\n  input enable;\n  input [{width - 1}:0] data;\n  output [{width - 1}:0] held;\n"
    return "".join([head, ports, *cells, "endmodule\n"]), width


def always_clocked(netlists: Mapping[str, str], top: str) -> set[str]:
    """Modules that an instance chain gives the clock of `top` without a gate."""
    found, pending = set(), [top]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [
                kind
                for kind, connections in _INSTANCE.findall(netlists[name])
                if kind in netlists and ".clk(clk)" in connections
            ]
    return found


def sinks(netlist: str, library: Library) -> int:
    """Flip-flops and clock gates of a module that take its clock `clk` in every cycle, whatever happens."""
    count = 0
    for kind, connections in _INSTANCE.findall(netlist):
        cell = library.cells.get(kind)
        if kind == NAME:
            clock = "clk"
        elif cell and cell.clock_gate:
            clock = cell.clock_gate.clock
        elif cell and cell.flip_flop:
            clock = cell.flip_flop.clocked_on.pin
        else:
            continue
        count += f".{clock}(clk)" in connections
    return count


def resets_as_data() -> str:
    """Techmap rules: a register with enable and reset becomes one that the reset enables, too.

    The pass that makes gates leaves registers with a reset alone.
    """
    rules = []
    for reset, value, enable, over in product("PN", "01", "PN", ("", "C")):
        resets = "R" if reset == "P" else "~R"
        enables = "E" if enable == "P" else "~E"
        taken = f"({resets}) ? 1'b{value} : D"
        # In the kind with C the enable is asked before the reset.
        opened = enables if over else f"{enables} | {resets}"
        rules.append(
            f"module \\$_SDFF{over}E_P{reset}{value}{enable}_ (input D, C, R, E, output Q);\n"
            f"  \\$_DFFE_PP_ _TECHMAP_REPLACE_ (.D({taken}), .C(C), .E({opened}), .Q(Q));\n"
            "endmodule\n"
        )
    return "".join(rules)


def insertion(cell: Cell) -> list[str]:
    """Yosys commands that gate the clock of registers with a common enable; RULES holds `resets_as_data`."""
    pins = cell.clock_gate
    assert pins is not None
    scan = f" -tie_lo {pins.scan}" if pins.scan else ""
    ports = f"{pins.enable}:{pins.clock}:{pins.output}"
    return [
        f"techmap -map {RULES}",
        "simplemap",
        "opt_merge",
        "opt_clean",
        f"clockgate -pos {cell.name} {ports}{scan} -min_net_size {LEAST}",
    ]
