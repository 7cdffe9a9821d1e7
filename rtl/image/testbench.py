"""A test bench in plain Verilog that runs a memory image as a system would: registers, memory, comparison."""

from __future__ import annotations

from rtl.bus.register_map import IDENTITY, register_map
from rtl.compiler import Image, Map
from rtl.control.counters import COUNTERS
from rtl.image import system
from rtl.verilog import TOP

NAME = "testbench"
FILES = {
    "memory": "memory.hex",
    "registers": "registers.hex",
    "expected": "expected.hex",
    "transfers": "dram.hex",
}
"""Files that it reads, by what they hold; the last one may be empty."""

_TEXT = """\
// Test bench of {top} and the memory image beside it; written by `codeword compile`.
//
// The image lies in the system's memory from {base} on. Software writes the registers, starts the accelerator,
// waits for its interrupt, and compares every word of the network's output. Run in this directory, where the
// files are, with the Verilog of the accelerator, `rtl` here:
//
//   $ iverilog -g2005 -s testbench -o testbench.vvp testbench.v axi_memory.v rtl/*.v && vvp testbench.vvp
//   $ verilator --binary --timing -Wno-lint -Wno-fatal --top-module testbench testbench.v axi_memory.v rtl/*.v
//   $ obj_dir/Vtestbench
`timescale 1ns/1ns

module testbench;
{system}
  localparam REGISTERS = {registers};
  localparam OUTPUT = {output};           // first word of the output
  localparam OUTPUT_WORDS = {output_words};
  localparam PITCH = {pitch};             // words of a pixel of the output
  localparam [63:0] LAST = 64'h{last:x};  // bytes of a pixel's last word that hold channels
  localparam LIMIT = {limit};             // cycles
  localparam CYCLES = {cycles};           // of the cycle engine

  // Software: accesses of AXI4-Lite, driven at falling edges and sampled at rising ones.
  reg [11:0] awaddr, araddr;
  reg [31:0] wdata, result;
  reg awvalid, wvalid, bready, arvalid, rready;
  assign s_axil_awaddr = awaddr;
  assign s_axil_awprot = 0;
  assign s_axil_awvalid = awvalid;
  assign s_axil_wdata = wdata;
  assign s_axil_wstrb = 4'hf;
  assign s_axil_wvalid = wvalid;
  assign s_axil_bready = bready;
  assign s_axil_araddr = araddr;
  assign s_axil_arprot = 0;
  assign s_axil_arvalid = arvalid;
  assign s_axil_rready = rready;

  reg took_address, took_data;
  task write_register;
    input [11:0] address;
    input [31:0] value;
    begin
      awaddr = address;
      wdata = value;
      awvalid = 1;
      wvalid = 1;
      while (awvalid | wvalid) begin
        @(posedge clk) {{took_address, took_data}} = {{s_axil_awready, s_axil_wready}};
        @(negedge clk);
        if (took_address) awvalid = 0;
        if (took_data) wvalid = 0;
      end
      bready = 1;
      while (bready) begin
        @(posedge clk) took_data = s_axil_bvalid;
        @(negedge clk) bready = !took_data;
      end
    end
  endtask

  task read_register;  // into `result`
    input [11:0] address;
    begin
      araddr = address;
      arvalid = 1;
      while (arvalid) begin
        @(posedge clk) took_address = s_axil_arready;
        @(negedge clk) arvalid = !took_address;
      end
      rready = 1;
      while (rready) begin
        @(posedge clk) {{took_data, result}} = {{s_axil_rvalid, s_axil_rdata}};
        @(negedge clk) rready = !took_data;
      end
    end
  endtask

  reg [43:0] registers [0:REGISTERS-1];  // address and value of each write
  reg [63:0] expected [0:OUTPUT_WORDS-1];
  reg [63:0] mask;
  reg [63:0] cycles;
  integer n, wrong;

  initial begin
    $readmemh("{memory_file}", memory);
    $readmemh("{registers_file}", registers);
    $readmemh("{expected_file}", expected);
    if (TRANSFERS != 0) $readmemh("{transfers_file}", dram.table_, 0, TRANSFERS - 1);
    clk = 0;
    rst = 1;
    restart = 0;
    {{awvalid, wvalid, bready, arvalid, rready}} = 0;
    {{awaddr, wdata, araddr}} = 0;
    repeat (4) @(negedge clk);
    // What the accelerator does not write will be found.
    for (n = 0; n < OUTPUT_WORDS; n = n + 1) memory[OUTPUT + n] = ~expected[n];
    rst = 0;
    @(negedge clk);

    read_register(12'h{id:x});
    if (result != 32'h{identity:x}) $display("FAIL: no accelerator, its id reads %h", result);
    for (n = 0; n < REGISTERS; n = n + 1) write_register(registers[n][43:32], registers[n][31:0]);
    restart = 1;
    @(negedge clk);
    restart = 0;
    write_register(12'h{control:x}, 32'h5);  // start, interrupt enable
    while (!irq && now < LIMIT) @(negedge clk);

    read_register(12'h{status:x});
    wrong = 0;
    if (result[2:0] != 3'b010) begin
      $display("the run has not ended well: busy %b, error %b, code %0d", result[0], result[2], result[15:12]);
      wrong = 1;
    end
    for (n = 0; n < OUTPUT_WORDS; n = n + 1) begin
      mask = n % PITCH == PITCH - 1 ? LAST : ~64'd0;
      if (((memory[OUTPUT + n] ^ expected[n]) & mask) !== 64'd0) begin
        if (wrong < 10)
          $display("word %0d of the output is %h, expected %h", n, memory[OUTPUT + n] & mask, expected[n] & mask);
        wrong = wrong + 1;
      end
    end
    read_register(12'h{cycles_lo:x});
    cycles = result;
    read_register(12'h{cycles_hi:x});
    cycles[63:32] = result;
    $display("%0s: %0d words of the output, %0d cycles, %0d of the engine",
             wrong == 0 ? "PASS" : "FAIL", OUTPUT_WORDS, cycles, CYCLES);
    $finish;
  end
endmodule
"""


def sources(image: Image, base: int, registers: int, transfers: int, cycles: int) -> dict[str, str]:
    """Verilog by file name.

    Args:
        base: where the image lies.
        registers: that software writes before start.
        transfers: of DRAM.
        cycles: of the engine, for the whole network.
    """
    offset = {register.name: register.offset for register in register_map(image.accelerator, COUNTERS)}
    output = image.maps[image.layers[-1].tensor]
    text = _TEXT.format(
        top=TOP,
        base=base,
        system=system.text(image, base, transfers),
        registers=registers,
        output=output.address // 8,
        output_words=output.words,
        pitch=output.pitch,
        last=(1 << 8 * used_bytes(output)) - 1,
        limit=4 * cycles + 100_000,
        cycles=cycles,
        identity=IDENTITY,
        **{name: offset[name] for name in ("id", "control", "status")},
        cycles_lo=offset["count_cycles_lo"],
        cycles_hi=offset["count_cycles_hi"],
        **{f"{what}_file": name for what, name in FILES.items()},
    )
    return {f"{NAME}.v": text, system.MODULES_FILE: system.modules()}


def used_bytes(output: Map) -> int:
    """Of a pixel's last word, those that hold channels."""
    return (output.shape[0] * (4 if output.wide else 1) - 1) % 8 + 1
