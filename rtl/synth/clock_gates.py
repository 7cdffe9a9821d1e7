"""Clock gates on a cell library: the module that stands for one, and gates in place of enables."""

from __future__ import annotations

from rtl.block import module_name
from rtl.clocking import ClockGate
from rtl.synth.liberty import Cell

NAME = module_name(ClockGate.kind)
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


def insertion(cell: Cell) -> list[str]:
    """Yosys commands that gate the clock of registers with a common enable."""
    pins = cell.clock_gate
    assert pins is not None
    scan = f" -tie_lo {pins.scan}" if pins.scan else ""
    ports = f"{pins.enable}:{pins.clock}:{pins.output}"
    return [f"clockgate -pos {cell.name} {ports}{scan} -min_net_size {LEAST}"]
