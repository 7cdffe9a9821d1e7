"""Verilog of a system around the accelerator, for simulation: memory behind its ports, and DRAM behind that."""

from __future__ import annotations

from rtl.compiler import Image
from rtl.packets import ANNOUNCE
from rtl.verify.bench import clocks, ports
from rtl.verify.memory import MODULES
from rtl.verilog import TOP
from sim.technology import off_chip

MODULES_FILE = "axi_memory.v"
"""What the text of a system instantiates, but the accelerator."""

_TEXT = """\
  localparam WORDS = {words};            // of 64 bits: the memory image
  localparam [39:0] BASE = 40'h{base:x};  // where it lies
  localparam TRANSFERS = {transfers};     // that DRAM makes on the way to L2
  localparam LATENCY = {latency};         // of L2: from an address to its first beat

  reg clk, rst;
  always #1 clk = ~clk;

  // The accelerator.
{wires}
  {top} dut ({connections});

  // Memory of 64-bit words behind its AXI ports. Addresses count from BASE.
  reg [63:0] memory [0:WORDS-1];
  reg [31:0] now;
  wire write, misplaced;
  wire [31:0] commands_at, weights_at, maps_at, write_at;
  wire [63:0] write_data;
  wire [7:0] write_strobe;
  wire [39:0] commands_from = m_axi_commands_araddr - BASE;
  wire [39:0] weights_from = m_axi_weights_araddr - BASE;
  wire [39:0] maps_from = m_axi_maps_araddr - BASE;
  wire [39:0] maps_to = m_axi_maps_awaddr - BASE;
{slaves}
  assign m_axi_commands_rdata = memory[commands_at[31:3]];
  assign m_axi_maps_rdata = memory[maps_at[31:3]];
  assign m_axi_weights_rdata = {{{weight_words}}};
  assign m_axi_commands_rresp = 0;
  assign m_axi_maps_rresp = 0;
  assign m_axi_weights_rresp = 0;

  // DRAM, which fills L2: it announces what packets with `wait` need. Where L2 holds everything it does nothing.
  reg restart;
  bench_dram #(.LATENCY({dram_latency}), .ANNOUNCE({announce})) dram (
    .clk(clk), .rst(rst), .now(now), .restart(restart), .first(16'd0), .last(TRANSFERS[15:0]),
    .begin_layer(begin_layer), .job_written(job_written), .tile_there(tile_there),
    .weights_there(weights_there), .maps_there(maps_there));

  integer byte_;
  always @(posedge clk) begin
    now <= rst ? 0 : now + 1;
    if (write)
      for (byte_ = 0; byte_ < 8; byte_ = byte_ + 1)
        if (write_strobe[byte_]) memory[write_at[31:3]][8*byte_ +: 8] <= write_data[8*byte_ +: 8];
  end
"""


def text(image: Image, base: int, transfers: int) -> str:
    """The body of a module up to the registers: clock, accelerator, memory. The rest drives `rst`, `restart` and
    the inputs `s_axil_...`.

    Args:
        base: where the image lies.
        transfers: of DRAM.
    """
    acc = image.accelerator
    signals = ports(acc)
    shift = (acc.weight_port_bits // 8).bit_length() - 1
    return _TEXT.format(
        top=TOP,
        words=len(image.memory),
        base=base,
        transfers=transfers,
        latency=acc.l2_latency,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in signals.items()),
        connections=", ".join([*clocks(acc, "rst"), *(f".{name}({name})" for name in signals)]),
        slaves=_slaves(shift),
        weight_words=", ".join(
            f"memory[{{weights_at[31:{shift}], {shift - 3}'d{lane}}}]"
            if shift > 3
            else "memory[weights_at[31:3]]"
            for lane in reversed(range(acc.weight_port_bits // 64))
        ),
        dram_latency=off_chip(acc).latency,
        announce=ANNOUNCE,
    )


def modules() -> str:
    """Of `MODULES_FILE`."""
    return "\n".join(MODULES.values())


_READ = ("arlen", "arid", "arvalid", "arready", "rlast", "rid", "rvalid", "rready")
_WRITE = (
    *("awlen", "awid", "awvalid", "awready", "wdata", "wstrb", "wlast", "wvalid", "wready"),
    *("bresp", "bid", "bvalid", "bready"),
)
_SHARED = ".clk(clk), .rst(rst), .now(now), .stalls(1'b0), .seed(32'd0)"


def _slaves(weight_shift: int) -> str:
    """The memory's side of every AXI channel."""
    lines = []
    for master, shift in (("commands", 3), ("weights", weight_shift), ("maps", 3)):
        lines.append(
            f"  bench_read #(.LATENCY(LATENCY), .SHIFT({shift})) {master}_reads ({_SHARED},\n"
            f"    .later(32'd0), .araddr({master}_from[31:0]), .address({master}_at),\n    "
            + ", ".join(f".{name}(m_axi_{master}_{name})" for name in _READ)
            + ");\n"
        )
    lines.append(
        f"  bench_write #(.LATENCY(LATENCY)) maps_writes ({_SHARED},\n"
        "    .faulty(1'b0), .fault(32'd0), .awaddr(maps_to[31:0]), .write(write), .address(write_at),\n"
        "    .data(write_data), .strobe(write_strobe), .misplaced(misplaced),\n    "
        + ", ".join(f".{name}(m_axi_maps_{name})" for name in _WRITE)
        + ");\n"
    )
    return "".join(lines)
