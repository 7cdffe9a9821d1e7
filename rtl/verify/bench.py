"""The Verilog bench around the accelerator: memory, DRAM and software, so that no cycle passes Python.

One text for every simulator; what differs is in `rtl.verify.shells`. It prints, one event a line: begin,
layer, read, protocol, and at last end or limit (`LINES`).
"""

from __future__ import annotations

from rtl.control.counters import COUNTER_BITS, COUNTERS
from rtl.packets import ANNOUNCE
from rtl.verify.memory import MODULES
from rtl.verilog import TOP
from sim.accelerator import Accelerator
from sim.technology import off_chip

BENCH = "bench"

WRITE, READ, WAIT, END = range(4)
"""Operations of the software: write or read a register, wait for the interrupt, stop."""
LINES = ("begin", "layer", "read", "protocol", "end", "limit")
"""First words of the lines that it prints."""

_TEMPLATE = """\
// Test bench of {top}, synthesizable but for what it prints. Its shell fills `run` (cycle limit,
// transfers of DRAM, stalls, seed, faulty, fault, words), `memory`, `software` (operations, address and value
// each) and the DRAM's table, and ends the run when `over`.
`timescale 1ns/1ns

module {bench} (input clk, input rst, output reg over);
  reg [63:0] memory [0:{words}-1];
  reg [31:0] run [0:6];
  reg [47:0] software [0:255];
  reg [31:0] now;
  reg [7:0] step;
  reg asked, addressed, given, ended;
  integer n;

{wires}
  wire write;
  wire [31:0] commands_address, weights_address, maps_address, write_address;
  wire [63:0] write_data;
  wire [7:0] write_strobe;
  wire misplaced;

  {top} dut ({connections});

  bench_read #(.LATENCY({latency}), .SHIFT(3), .SEED(32'h13579bdf)) commands_memory ({commands});
  bench_read #(.LATENCY({latency}), .SHIFT({weight_shift}), .SEED(32'h2468ace1)) weights_memory ({weights});
  bench_read #(.LATENCY({latency}), .SHIFT(3), .SEED(32'h5a5a5a5a)) maps_memory ({maps});
  bench_write #(.LATENCY({latency}), .SEED(32'h3c3c3c3c)) maps_writes ({writes});
  bench_dram #(.LATENCY({dram_latency}), .ANNOUNCE({announce})) dram (
    .clk(clk), .rst(rst), .now(now), .transfers(run[1]), .begin_layer(begin_layer), .job_written(job_written),
    .tile_there(tile_there), .weights_there(weights_there), .maps_there(maps_there));

  assign m_axi_commands_rdata = memory[commands_address[31:3]];
  assign m_axi_maps_rdata = memory[maps_address[31:3]];
  assign m_axi_weights_rdata = {{{weight_words}}};
  assign m_axi_commands_rresp = {{run[4][0] & commands_address[31:3] == run[5][31:3], 1'b0}};
  assign m_axi_maps_rresp = {{run[4][0] & maps_address[31:3] == run[5][31:3], 1'b0}};
  assign m_axi_weights_rresp = {{
    run[4][0] & weights_address[31:{weight_shift}] == run[5][31:{weight_shift}], 1'b0}};

  // Software: one register access after the other.
  wire [3:0] operation = software[step][47:44];
  assign s_axil_awaddr = software[step][43:32];
  assign s_axil_awprot = 0;
  assign s_axil_awvalid = ~rst & operation == {write_op} & ~addressed;
  assign s_axil_wdata = software[step][31:0];
  assign s_axil_wstrb = 4'hf;
  assign s_axil_wvalid = ~rst & operation == {write_op} & ~given;
  assign s_axil_bready = 1;
  assign s_axil_araddr = software[step][43:32];
  assign s_axil_arprot = 0;
  assign s_axil_arvalid = ~rst & operation == {read_op} & ~asked;
  assign s_axil_rready = 1;

  always @(posedge clk) begin
    now <= rst ? 0 : now + 1;
    if (s_axil_awvalid & s_axil_awready) addressed <= 1;
    if (s_axil_wvalid & s_axil_wready) given <= 1;
    if (s_axil_arvalid & s_axil_arready) asked <= 1;
    if (s_axil_bvalid | s_axil_rvalid | (operation == {wait_op} & irq)) begin
      step <= step + 1;
      {{addressed, given, asked}} <= 0;
    end
    if (s_axil_rvalid) $display("read %0d %0d", software[step][43:32], s_axil_rdata);
    if (write)
      for (n = 0; n < 8; n = n + 1)
        if (write_strobe[n]) memory[write_address[31:3]][8*n +: 8] <= write_data[8*n +: 8];
    if (~rst & (overflow | misplaced | (write & write_address[31:3] >= {words})
                | (m_axi_commands_arvalid & m_axi_commands_araddr[31:3] >= {words})
                | (m_axi_weights_arvalid & m_axi_weights_araddr[31:3] >= {words})
                | (m_axi_maps_arvalid & m_axi_maps_araddr[31:3] >= {words})))
      $display("protocol %0d", now);
    // What happened in the last cycle of a layer is in the counters one cycle later.
    ended <= ~rst & end_layer;
    if (~rst & begin_layer) $display("begin %0d", now);
    if (ended) $display("layer %0d{formats}", now - 1, {counters});
    if (rst) begin
      step <= 0;
      {{addressed, given, asked}} <= 0;
    end
    over <= ~rst & (operation == {end_op} | now >= run[0]);
    if (~rst & operation == {end_op}) $display("end %0d", now);
    else if (~rst & now >= run[0]) $display("limit %0d", now);
  end
endmodule
"""

_LITE = {
    "awaddr": 12,
    "awprot": 3,
    "awvalid": 1,
    "awready": 1,
    "wdata": 32,
    "wstrb": 4,
    "wvalid": 1,
    "wready": 1,
    "bresp": 2,
    "bvalid": 1,
    "bready": 1,
    "araddr": 12,
    "arprot": 3,
    "arvalid": 1,
    "arready": 1,
    "rdata": 32,
    "rresp": 2,
    "rvalid": 1,
    "rready": 1,
}
_ADDRESS = {"addr": 32, "len": 8, "size": 3, "burst": 2, "id": 1, "valid": 1, "ready": 1}
_EVENTS = (
    "irq",
    "weights_there",
    "maps_there",
    "begin_layer",
    "end_layer",
    "job_written",
    "tile_there",
    "overflow",
)


def _reads(bits: int) -> dict[str, int]:
    return {f"ar{name}": width for name, width in _ADDRESS.items()} | {
        "rdata": bits,
        "rresp": 2,
        "rlast": 1,
        "rid": 1,
        "rvalid": 1,
        "rready": 1,
    }


def _writes() -> dict[str, int]:
    return {f"aw{name}": width for name, width in _ADDRESS.items()} | {
        "wdata": 64,
        "wstrb": 8,
        "wlast": 1,
        "wvalid": 1,
        "wready": 1,
        "bresp": 2,
        "bid": 1,
        "bvalid": 1,
        "bready": 1,
    }


def ports(accelerator: Accelerator) -> dict[str, int]:
    """Ports of the accelerator but clk and rst, with widths."""
    return (
        {f"s_axil_{name}": width for name, width in _LITE.items()}
        | {f"m_axi_commands_{name}": width for name, width in _reads(64).items()}
        | {f"m_axi_weights_{name}": width for name, width in _reads(accelerator.weight_port_bits).items()}
        | {f"m_axi_maps_{name}": width for name, width in (_reads(64) | _writes()).items()}
        | dict.fromkeys(_EVENTS, 1)
        | {f"count_{name}": COUNTER_BITS for name in COUNTERS}
    )


def bench(accelerator: Accelerator, words: int) -> dict[str, str]:
    """Verilog by module name of the bench around an accelerator, with a memory of `words` 64-bit words."""
    signals = ports(accelerator)
    shift = (accelerator.weight_port_bits // 8).bit_length() - 1
    lanes = range(accelerator.weight_port_bits // 64)
    text = _TEMPLATE.format(
        top=TOP,
        bench=BENCH,
        words=words,
        latency=accelerator.l2_latency,
        announce=ANNOUNCE,
        dram_latency=off_chip(accelerator).latency,
        weight_shift=shift,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in signals.items()),
        connections=", ".join(f".{name}({name})" for name in ("clk", "rst", *signals)),
        commands=_slave("commands"),
        weights=_slave("weights"),
        maps=_slave("maps"),
        writes=_write_slave(),
        weight_words=", ".join(
            f"memory[{{weights_address[31:{shift}], {shift - 3}'d{lane}}}]"
            if shift > 3
            else "memory[weights_address[31:3]]"
            for lane in reversed(lanes)
        ),
        formats=" %0d" * len(COUNTERS),
        counters=", ".join(f"count_{name}" for name in COUNTERS),
        write_op=WRITE,
        read_op=READ,
        wait_op=WAIT,
        end_op=END,
    )
    return {BENCH: text} | MODULES


_SHARED = ".clk(clk), .rst(rst), .now(now), .stalls(run[2][0]), .seed(run[3])"


def _slave(master: str) -> str:
    names = ("araddr", "arlen", "arid", "arvalid", "arready", "rlast", "rid", "rvalid", "rready")
    return ", ".join(
        [_SHARED, f".address({master}_address)", *(f".{name}(m_axi_{master}_{name})" for name in names)]
    )


def _write_slave() -> str:
    names = (
        "awaddr",
        "awlen",
        "awid",
        "awvalid",
        "awready",
        "wdata",
        "wstrb",
        "wlast",
        "wvalid",
        "wready",
        "bresp",
        "bid",
        "bvalid",
        "bready",
    )
    return ", ".join(
        [
            _SHARED,
            ".faulty(run[4][0])",
            ".fault(run[5])",
            ".write(write)",
            ".address(write_address)",
            ".data(write_data)",
            ".strobe(write_strobe)",
            ".misplaced(misplaced)",
            *(f".{name}(m_axi_maps_{name})" for name in names),
        ]
    )
