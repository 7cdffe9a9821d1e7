"""The Verilog bench around the accelerator: memory, DRAM and software, so that no cycle passes Python.

One text for every simulator; what differs is in `rtl.verify.shells`. It prints, one event a line: begin,
layer, read, interrupt, protocol, and at last end or limit (`LINES`).
"""

from __future__ import annotations

from rtl.control.counters import COUNTER_BITS, COUNTERS
from rtl.packets import ANNOUNCE
from rtl.verify.activity import LINE as CHANGED
from rtl.verify.memory import MODULES
from rtl.verify.probe import LINES as PROBED
from rtl.verilog import TOP
from sim.accelerator import Accelerator
from sim.technology import off_chip

BENCH = "bench"

WRITE, READ, WAIT, END, PAUSE, RESET, DRAM = range(7)
"""Operations of the software: write or read a register, wait for the interrupt, stop, do nothing for so many
cycles, reset all but itself for so many, have DRAM bring transfers (number of the first, and << 16 of the last)."""
LINES = (
    "dram",
    "begin",
    "layer",
    "read",
    "refused",
    "interrupt",
    "overflow",
    "protocol",
    "end",
    "limit",
    CHANGED,
    *PROBED,
)
"""First words of the lines that it prints."""
LATE = 100
"""Cycles that each burst of commands comes late before a run begins, where `Conditions` say so."""
STEPS = 1 << 15
"""Operations of the software at most."""

_TEMPLATE = """\
// Test bench of {top}, synthesizable but for what it prints. Its shell fills `run` (cycle limit,
// page at which the memory begins, stalls, seed, faulty, fault, words, late), `memory`, `software` (operations,
// address and value each) and the DRAM's table, and ends the run when `over`.
`timescale 1ns/1ns

module {bench} (input clk, input rst, output reg over);
  reg [63:0] memory [0:{words}-1];
  localparam [31:0] LATE = {late};
  reg [31:0] run [0:7];
  reg late;  // until a run begins commands come late, which must not be seen: it begins when it has them
  reg [51:0] software [0:{steps}-1];
  reg [63:0] window [0:5];
  reg [31:0] now, passed;
  reg [{step_bits}-1:0] step;
  reg asked, addressed, given, ended, overflowed;
  integer n;

{wires}
  // The counters again, from the events: those of the accelerator are registers alone.
{counts}
  wire write;
  wire [31:0] commands_address, weights_address, maps_address, write_address;
  wire [63:0] write_data;
  wire [7:0] write_strobe;
  wire misplaced;
  wire [3:0] operation = software[step][47:44];
  wire [11:0] place = software[step][43:32];
  wire [31:0] value = software[step][31:0];
  wire reset = rst | operation == {reset_op};
  // The memory is part of that of a system.
  wire [{address_bits}-1:0] origin = {{run[1], 12'd0}};
  wire [{address_bits}-1:0] commands_from = m_axi_commands_araddr - origin;
  wire [{address_bits}-1:0] weights_from = m_axi_weights_araddr - origin;
  wire [{address_bits}-1:0] maps_from = m_axi_maps_araddr - origin;
  wire [{address_bits}-1:0] maps_to = m_axi_maps_awaddr - origin;
  // Bases and sizes as software has written them: commands, weights, maps.
  wire beyond = {beyond};

  wire [3:0] broken;
{rules}
  {top} dut ({connections});

  bench_read #(.LATENCY({latency}), .SHIFT(3), .SEED(32'h13579bdf)) commands_memory ({commands});
  bench_read #(.LATENCY({latency}), .SHIFT({weight_shift}), .SEED(32'h2468ace1)) weights_memory ({weights});
  bench_read #(.LATENCY({latency}), .SHIFT(3), .SEED(32'h5a5a5a5a)) maps_memory ({maps});
  bench_write #(.LATENCY({latency}), .SEED(32'h3c3c3c3c)) maps_writes ({writes});
  bench_dram #(.LATENCY({dram_latency}), .ANNOUNCE({announce})) dram (
    .clk(clk), .rst(reset), .now(now), .restart(operation == {dram_op}), .first(value[15:0]), .last(value[31:16]),
    .begin_layer(begin_layer), .job_written(job_written),
    .tile_there(tile_there), .weights_there(weights_there), .maps_there(maps_there));

  assign m_axi_commands_rdata = memory[commands_address[31:3]];
  assign m_axi_maps_rdata = memory[maps_address[31:3]];
  assign m_axi_weights_rdata = {{{weight_words}}};
  assign m_axi_commands_rresp = {{run[4][0] & commands_address[31:3] == run[5][31:3], 1'b0}};
  assign m_axi_maps_rresp = {{run[4][0] & maps_address[31:3] == run[5][31:3], 1'b0}};
  assign m_axi_weights_rresp = {{
    run[4][0] & weights_address[31:{weight_shift}] == run[5][31:{weight_shift}], 1'b0}};

  // Software: one register access after the other.
  assign s_axil_awaddr = place;
  assign s_axil_awprot = 0;
  assign s_axil_awvalid = ~rst & operation == {write_op} & ~addressed;
  assign s_axil_wdata = value;
  assign s_axil_wstrb = ~software[step][51:48];
  assign s_axil_wvalid = ~rst & operation == {write_op} & ~given;
  assign s_axil_bready = 1;
  assign s_axil_araddr = place;
  assign s_axil_arprot = 0;
  assign s_axil_arvalid = ~rst & operation == {read_op} & ~asked;
  assign s_axil_rready = 1;

  always @(posedge clk) begin
    now <= rst ? 0 : now + 1;
    if (s_axil_awvalid & s_axil_awready) addressed <= 1;
    if (s_axil_wvalid & s_axil_wready) given <= 1;
    if (s_axil_arvalid & s_axil_arready) asked <= 1;
    passed <= passed + 1;
    if (s_axil_bvalid | s_axil_rvalid | (operation == {wait_op} & irq) | operation == {dram_op}
        | ((operation == {pause_op} | operation == {reset_op}) & passed == value)) begin
      step <= step + 1;
      passed <= 0;
      {{addressed, given, asked}} <= 0;
    end
    if (s_axil_rvalid) $display("read %0d %0d %0d", place, s_axil_rdata, s_axil_rresp);
    if (s_axil_bvalid & s_axil_bresp != 0) $display("refused %0d %0d", place, s_axil_bresp);
    if (s_axil_wvalid & s_axil_wready & place >= 'h60 & place < 'h90)
      window[(place - 'h60) >> 3][32*place[2] +: 32] <= value;
    if (reset) for (n = 0; n < 6; n = n + 1) window[n] <= 0;
    if (write)
      for (n = 0; n < 8; n = n + 1)
        if (write_strobe[n]) memory[write_address[31:3]][8*n +: 8] <= write_data[8*n +: 8];
    if (~rst & operation == {dram_op}) $display("dram %0d", now);
    if (~rst & operation == {wait_op} & irq) $display("interrupt %0d", now);
    if (~reset & overflow & ~overflowed) $display("overflow %0d", now);
    if (~reset & (misplaced | beyond | broken != 0 | (write & write_address[31:3] >= {words})
                | (m_axi_maps_awvalid & maps_to >> 3 >= {words})
                | (m_axi_commands_arvalid & commands_from >> 3 >= {words})
                | (m_axi_weights_arvalid & weights_from >> 3 >= {words})
                | (m_axi_maps_arvalid & maps_from >> 3 >= {words})))
      $display("protocol %0d", now);
    // What happened in the last cycle of a layer is in the counters one cycle later.
    late <= run[7][0] & ~reset & (operation == {dram_op} | late & ~begin_layer);
    ended <= ~reset & end_layer;
    overflowed <= ~reset & overflow;
{counting}
    if (~reset & begin_layer) $display("begin %0d", now);
    if (ended) $display("layer %0d{formats}", now - 1, {counters});
    if (rst) begin
      step <= 0;
      passed <= 0;
      {{addressed, given, asked}} <= 0;
    end
    over <= ~rst & (operation == {end_op} | now >= run[0]);
    if (~rst & operation == {end_op}) $display("end %0d", now);
    else if (~rst & now >= run[0]) $display("limit %0d", now);
  end
{probes}endmodule
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
_CHANNEL = {"len": 8, "size": 3, "burst": 2, "id": 1, "valid": 1, "ready": 1}
_EVENTS = (
    "irq",
    "weights_there",
    "maps_there",
    "begin_layer",
    "end_layer",
    "job_written",
    "tile_there",
    "overflow",
    "begin_run",
)


def _reads(bits: int, address_bits: int) -> dict[str, int]:
    return {f"ar{name}": width for name, width in ({"addr": address_bits} | _CHANNEL).items()} | {
        "rdata": bits,
        "rresp": 2,
        "rlast": 1,
        "rid": 1,
        "rvalid": 1,
        "rready": 1,
    }


def _writes(address_bits: int) -> dict[str, int]:
    return {f"aw{name}": width for name, width in ({"addr": address_bits} | _CHANNEL).items()} | {
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
    """Ports of the accelerator's function, with widths: those that `clocks` leaves."""
    bits = accelerator.address_bits
    weights = _reads(accelerator.weight_port_bits, bits)
    return (
        {f"s_axil_{name}": width for name, width in _LITE.items()}
        | {f"m_axi_commands_{name}": width for name, width in _reads(64, bits).items()}
        | {f"m_axi_weights_{name}": width for name, width in weights.items()}
        | {f"m_axi_maps_{name}": width for name, width in (_reads(64, bits) | _writes(bits)).items()}
        | dict.fromkeys(_EVENTS, 1)
        | {"events": len(COUNTERS)}
    )


def clocks(accelerator: Accelerator, reset: str) -> list[str]:
    """Connections of the accelerator's ports that are no part of its function."""
    scan = [".scan_enable(1'b0)"] if accelerator.clock_gating else []
    return [".clk(clk)", f".rst({reset})", *scan]


def bench(accelerator: Accelerator, words: int, probes: str = "") -> dict[str, str]:
    """Verilog by module name of the bench around an accelerator, with a memory of `words` 64-bit words.

    Args:
        probes: Verilog that looks into the accelerator, in the bench's module.
    """
    signals = ports(accelerator)
    shift = (accelerator.weight_port_bits // 8).bit_length() - 1
    lanes = range(accelerator.weight_port_bits // 64)
    text = _TEMPLATE.format(
        top=TOP,
        bench=BENCH,
        words=words,
        address_bits=accelerator.address_bits,
        latency=accelerator.l2_latency,
        announce=ANNOUNCE,
        dram_latency=off_chip(accelerator).latency,
        weight_shift=shift,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in signals.items()),
        connections=", ".join([*clocks(accelerator, "reset"), *(f".{name}({name})" for name in signals)]),
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
        counts="".join(f"  reg [{COUNTER_BITS - 1}:0] count_{name};\n" for name in COUNTERS),
        counting="".join(
            f"    count_{name} <= reset | begin_run ? 0 : count_{name} + events[{n}];\n"
            for n, name in enumerate(COUNTERS)
        ),
        formats=" %0d" * len(COUNTERS),
        counters=", ".join(f"count_{name}" for name in COUNTERS),
        write_op=WRITE,
        read_op=READ,
        wait_op=WAIT,
        end_op=END,
        pause_op=PAUSE,
        reset_op=RESET,
        dram_op=DRAM,
        steps=STEPS,
        late=LATE,
        step_bits=(STEPS - 1).bit_length(),
        beyond=_beyond(accelerator),
        rules=_rules(accelerator),
        probes=probes,
    )
    return {BENCH: text} | MODULES


_OFFER = ("addr", "len", "size", "burst", "id", "valid", "ready")


def _rules(accelerator: Accelerator) -> str:
    """One for each channel of addresses."""
    lines = []
    for number, (master, way) in enumerate(
        (("commands", "r"), ("weights", "r"), ("maps", "r"), ("maps", "w"))
    ):
        beat = accelerator.weight_port_bits // 8 if master == "weights" else 8
        parameters = f".BITS({accelerator.address_bits}), .SHIFT({beat.bit_length() - 1})"
        ports_ = ", ".join(f".{name}(m_axi_{master}_a{way}{name})" for name in _OFFER)
        lines.append(
            f"  bench_rules #({parameters}) rules_{number} (\n"
            f"    .clk(clk), .rst(reset), {ports_}, .broken(broken[{number}]));\n"
        )
    return "".join(lines)


def _beyond(accelerator: Accelerator) -> str:
    """Whether an address channel offers a burst that does not lie in its window."""
    found = []
    for number, master in enumerate(("commands", "weights", "maps", "maps")):
        channel = f"m_axi_{master}_a{'w' if number == 3 else 'r'}"
        size = accelerator.weight_port_bits // 8 if master == "weights" else 8
        base = f"window[{2 * min(number, 2)}]"
        end = f"64'd0 + {channel}addr + ({channel}len + 64'd1) * {size}"
        found.append(
            f"({channel}valid & ({channel}addr < {base} | {end} > {base} + window[{2 * min(number, 2) + 1}]))"
        )
    return "\n    | ".join(found)


_SHARED = ".clk(clk), .rst(reset), .now(now), .stalls(run[2][0]), .seed(run[3])"


def _slave(master: str) -> str:
    names = ("arlen", "arid", "arvalid", "arready", "rlast", "rid", "rvalid", "rready")
    later = "late ? LATE : 32'd0" if master == "commands" else "32'd0"
    places = (f".later({later})", f".araddr({master}_from[31:0])", f".address({master}_address)")
    return ", ".join([_SHARED, *places, *(f".{name}(m_axi_{master}_{name})" for name in names)])


def _write_slave() -> str:
    names = (
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
            ".awaddr(maps_to[31:0])",
            ".write(write)",
            ".address(write_address)",
            ".data(write_data)",
            ".strobe(write_strobe)",
            ".misplaced(misplaced)",
            *(f".{name}(m_axi_maps_{name})" for name in names),
        ]
    )
