"""The accelerator in a block design of Vivado: a wrapper whose attributes name the buses, and a Tcl script."""

from __future__ import annotations

from collections.abc import Mapping

from rtl import ipxact, verilog
from rtl.verilog import Port

WRAPPER, SCRIPT = "codeword_zynq.v", "codeword_zynq.tcl"
_TIED = ("weights_there", "maps_there", "scan_enable")
"""Inputs that are 0: DRAM holds everything before the run (`--l2-holds-all`), and nothing scans."""
_ZERO = "1'b0"
_EVENTS = ("begin_layer", "end_layer", "job_written", "tile_there", "overflow", "begin_run", "events")
"""Outputs that stay open."""

_TEXT = """\
// Wrapper for a block design of Vivado, in which it is a module reference: AXI4-Lite slave, AXI4 masters,
// interrupt, and a reset that is active low. The image must be compiled with --l2-holds-all.

`default_nettype none

module codeword_zynq (
  (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK",
     X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF {buses}, ASSOCIATED_RESET aresetn" *)
  input wire aclk,
  (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST",
     X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
  input wire aresetn,
  (* X_INTERFACE_INFO = "xilinx.com:signal:interrupt:1.0 irq INTERRUPT",
     X_INTERFACE_PARAMETER = "SENSITIVITY LEVEL_HIGH" *)
  output wire irq,
{ports}
);
  {top} accelerator (
    .clk(aclk),
    .rst(~aresetn),
    .irq(irq),
{connections}
  );
endmodule

`default_nettype wire
"""

_TCL = """\
# Zynq-7000 with the accelerator at its first high-performance port. In a project whose board or part is chosen:
#   add_files [glob *.v]
#   source {script}
create_bd_design system
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 -config {{make_external "FIXED_IO, DDR"}} $ps
set_property -dict {{
  CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1
  CONFIG.PCW_USE_FABRIC_INTERRUPT 1 CONFIG.PCW_IRQ_F2P_INTR 1
  CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ {clock_mhz}
}} $ps
create_bd_cell -type module -reference codeword_zynq accelerator
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {{Master /ps/M_AXI_GP0 Clk Auto}} \\
  [get_bd_intf_pins accelerator/s_axil]
# The high-performance ports are AXI3: SmartConnect cuts bursts of more than 16 beats.
set joint [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect joint]
set_property -dict {{CONFIG.NUM_SI {masters} CONFIG.NUM_MI 1}} $joint
{joins}
connect_bd_intf_net [get_bd_intf_pins joint/M00_AXI] [get_bd_intf_pins ps/S_AXI_HP0]
connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins joint/aclk] [get_bd_pins ps/S_AXI_HP0_ACLK]
connect_bd_net [get_bd_pins accelerator/aresetn] [get_bd_pins joint/aresetn]
connect_bd_net [get_bd_pins accelerator/irq] [get_bd_pins ps/IRQ_F2P]
assign_bd_address
validate_bd_design
make_wrapper -files [get_files system.bd] -top -import
"""
_CLOCK_MHZ = 50
"""Asked of the processing system; the accelerator runs with whatever it gets."""


def files(sources: Mapping[str, str]) -> dict[str, str]:
    """Wrapper and script by name, for Verilog by file name, the top module first."""
    ports = [
        port
        for port in verilog.ports(next(iter(sources.values())))
        if port.name not in ("clk", "rst", "irq", *_EVENTS)
    ]
    outer = [port for port in ports if port.name not in _TIED]
    buses = list(dict.fromkeys(_bus(port) for port in outer))
    masters = [bus for bus in buses if bus != ipxact.SLAVE]
    text = _TEXT.format(
        top=verilog.TOP,
        buses=":".join(buses),
        ports=",\n".join(map(_declared, outer)),
        connections=",\n".join(
            f"    .{port.name}({_ZERO if port.name in _TIED else port.name})" for port in ports
        ),
    )
    joins = "\n".join(
        f"connect_bd_intf_net [get_bd_intf_pins accelerator/{bus}] [get_bd_intf_pins joint/S{n:02}_AXI]"
        for n, bus in enumerate(masters)
    )
    script = _TCL.format(script=SCRIPT, clock_mhz=_CLOCK_MHZ, masters=len(masters), joins=joins)
    return {WRAPPER: text, SCRIPT: script}


def _bus(port: Port) -> str:
    return port.name.rpartition("_")[0]


def _declared(port: Port) -> str:
    bus, _, signal = port.name.rpartition("_")
    role = f'(* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 {bus} {signal.upper()}" *)'
    return f"  {role}\n  {port.direction} wire {port.range}{port.name}"
