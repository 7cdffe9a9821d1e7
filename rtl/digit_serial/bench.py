"""A Verilog bench around the machine: memory behind its ports, software, and all that neurons say."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rtl.digit_serial import export
from rtl.digit_serial.image import Image, offsets
from rtl.digit_serial.top import COUNTERS
from rtl.verify import build, given, shells
from rtl.verify.memory import MODULES
from rtl.verify.run import POISON, START_WITH_INTERRUPT, programming
from rtl.verify.simulators import environment
from sim.digit_serial.accelerator import DigitSerial
from sim.steps import step

MODULE = "bench_files"
_WORDS = 20
"""log2 of the words that the bench's memory has at least."""
_BENCH = """\
`timescale 1ns/1ns

// Memory, and software that writes `registers`, waits for the interrupt, and reads the registers of `reads`.
// `run`: operations; seed of stalls or 0; cycles at most; registers that are read; words to print at the end.
module {module} #(parameter QUIET = 0, parameter [39:0] ORIGIN = 0) (input clk, input rst);
  reg [63:0] memory [0:{last}];
  reg [43:0] registers [0:63];
  reg [11:0] reads [0:63];
  reg [31:0] run [0:4];
  reg [31:0] now, step, base;
  reg addressed, given, asked, works;
  integer n;
{wires}
  wire write, misplaced;
  wire [31:0] read_at, write_at;
  wire [63:0] write_data;
  wire [7:0] write_strobe;
  wire stalls = run[1] != 0;
  // The memory is part of that of a system.
  wire [39:0] from = m_axi_commands_araddr - ORIGIN;
  wire [39:0] to = m_axi_maps_awaddr - ORIGIN;
  {top} dut (.clk(clk), .rst(rst),{scan} {connections});

  bench_read #(.LATENCY({latency}), .SHIFT(3), .SEED(32'h13579bdf)) commands_memory ({common}, .later(32'd0),
    .araddr(from[31:0]), .address(read_at), {read});
  bench_write #(.LATENCY({latency}), .SEED(32'h3c3c3c3c)) maps_memory ({common}, .faulty(1'b0), .fault(32'd0),
    .awaddr(to[31:0]), .write(write), .address(write_at), .data(write_data),
    .strobe(write_strobe), .misplaced(misplaced), {written});
  assign m_axi_commands_rdata = memory[read_at[31:3]];
  assign m_axi_commands_rresp = 0;

  wire writes = !rst && step < run[0];
  wire waits = step == run[0];
  wire looks = step > run[0] && step <= run[0] + run[3];
  assign s_axil_awaddr = registers[step][43:32];
  assign s_axil_wdata = registers[step][31:0];
  assign s_axil_awvalid = writes && !addressed;
  assign s_axil_wvalid = writes && !given;
  assign s_axil_wstrb = 4'hf;
  assign s_axil_bready = 1;
  assign s_axil_araddr = reads[step - run[0] - 1];
  assign s_axil_arvalid = !rst && looks && !asked;
  assign s_axil_rready = 1;
  assign s_axil_awprot = 0;
  assign s_axil_arprot = 0;

  initial begin
    $readmemh("memory.hex", memory);
    $readmemh("registers.hex", registers);
    $readmemh("reads.hex", reads);
    $readmemh("run.hex", run);
  end

  always @(posedge clk) begin
    now <= rst ? 0 : now + 1;
    if (write)
      for (n = 0; n < 8; n = n + 1)
        if (write_strobe[n]) memory[write_at[31:3]][8*n +: 8] <= write_data[8*n +: 8];
    if (s_axil_awready && s_axil_awvalid) addressed <= 1;
    if (s_axil_wready && s_axil_wvalid) given <= 1;
    if (s_axil_arready && s_axil_arvalid) asked <= 1;
    if (s_axil_bvalid || s_axil_rvalid || (waits && irq)) begin
      step <= step + 1;
      {{addressed, given, asked}} <= 0;
    end
    // A run begins with the first cycle that is counted; it is printed relative to that.
    works <= dut.control.running;
    if (dut.control.running && !works) base <= now;
    if (rst) begin
      step <= 0;
      {{addressed, given, asked, works}} <= 0;
    end else if (!QUIET) begin
      if (dut.core.valid && dut.core.ready && dut.core.resting)
        $display("packet %0d", dut.control.running && !works ? 0 : now - base);
      if (dut.core.said) $display("said %0d %0d %h", now - base, dut.core.said_address, dut.core.said_digits);
      if (dut.core.given) $display("given %0d %0d %h", now - base, dut.core.given_row, dut.core.charges);
      if (misplaced) $display("misplaced");
      if (s_axil_rvalid) $display("read %0d", s_axil_rdata);
      if (step > run[0] + run[3] || now == run[2]) begin
        for (n = 0; n < run[4]; n = n + 1) $display("memory %h", memory[n]);
        $display("end %0d", now);
        $finish(0);
      end
    end
  end
endmodule
"""
_COMMON = ".clk(clk), .rst(rst), .now(now), .stalls(stalls), .seed(run[1])"
_READ = ("arlen", "arid", "arvalid", "arready", "rlast", "rid", "rvalid", "rready")
_WRITE = (
    *("awlen", "awid", "awvalid", "awready", "wdata", "wstrb", "wlast", "wvalid", "wready"),
    *("bresp", "bid", "bvalid", "bready"),
)


@dataclass(frozen=True, eq=False)
class Ran:
    """Cycles count from the first one of the run.

    Attributes:
        packets: cycle in which each packet's first word is taken, int64; a map's too.
        said: cycle and address, int64 [n, 2], -1 where charges are given.
        words: digits or charges of each, as plain integers.
        status: of the registers, -1 if the run did not end.
        counters: by cause, and `cycles`.
        memory: uint64, what lies where the charges go.
        cycles: of the simulation, software's included.
        run_s, build_s: seconds.
    """

    packets: np.ndarray
    said: np.ndarray
    words: tuple[int, ...]
    status: int
    counters: dict[str, int]
    memory: np.ndarray
    cycles: int
    run_s: float
    build_s: float = 0.0


def run(
    image: Image,
    inputs: np.ndarray,
    limit: int,
    simulator: str,
    rtl_dir: Path | None = None,
    stalls: int | None = None,
) -> Ran:
    """Runs an input, int8 [C, H, W].

    Args:
        limit: cycles after which it is ended.
        rtl_dir: Verilog to simulate; None exports it.
        stalls: seed; every channel of the bus then waits in a quarter of the cycles.

    Raises:
        InputError: no such simulator, or Verilog that does not build.
    """
    begin = time.perf_counter()
    built = _build(image.accelerator, simulator, rtl_dir, len(image.memory))
    build_s = time.perf_counter() - begin
    return replace(simulated(built, image, inputs, limit, simulator, stalls), build_s=build_s)


def simulated(
    built: Path,
    image: Image,
    inputs: np.ndarray,
    limit: int,
    simulator: str,
    stalls: int | None = None,
    arguments: Sequence[str] = (),
    seconds: float | None = None,
) -> Ran:
    """As `run`, on a bench that is built.

    Args:
        arguments: of the simulation.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`.
    """
    memory = image.write_input(inputs)
    memory[: image.output_words] = POISON
    with tempfile.TemporaryDirectory() as scratch:
        for name, numbers in files(image, memory, limit, stalls).items():
            (Path(scratch) / name).write_text(numbers)
        begin = time.perf_counter()
        printed = build.run(built, simulator, Path(scratch), arguments, seconds)
    return _parsed(printed, time.perf_counter() - begin)


def files(
    image: Image, memory: np.ndarray, limit: int, stalls: int | None = None, base: int = 0
) -> dict[str, str]:
    """What the bench reads: hexadecimal numbers by file name; `base`: where the memory lies in the system."""
    at = offsets(image.accelerator)
    software = [*programming(image, base).items(), ("control", START_WITH_INTERRUPT)]
    reads = [at["status"], *(at[f"count_{name}_lo"] for name in COUNTERS)]
    settings = (len(software), 0 if stalls is None else 2 * stalls + 1, limit, len(reads), image.output_words)
    numbers = {
        "memory.hex": memory.tolist(),
        "registers.hex": [at[name] << 32 | value for name, value in software],
        "reads.hex": reads,
        "run.hex": settings,
    }
    return {name: "".join(f"{number:x}\n" for number in values) for name, values in numbers.items()}


def _parsed(printed: str, run_s: float) -> Ran:
    lines: dict[str, list[list[str]]] = {
        kind: [] for kind in ("packet", "said", "read", "memory", "end", "misplaced")
    }
    for line in printed.splitlines():
        kind, *values = line.split()
        if kind == "given":
            kind, values = "said", [values[0], "-1", values[2]]
        if kind in lines:
            lines[kind].append(values)
    said = np.array([[int(cycle), int(address)] for cycle, address, _ in lines["said"]], np.int64)
    status, *counts = [int(value) for (value,) in lines["read"]] or [-1]
    counts += [0] * (len(COUNTERS) - len(counts))
    return Ran(
        np.array([int(cycle) for (cycle,) in lines["packet"]]),
        said.reshape(-1, 2),
        tuple(_number(word) for *_, word in lines["said"]),
        -1 if lines["misplaced"] else status,
        dict(zip(COUNTERS, counts, strict=True)),
        np.array([_number(word) for (word,) in lines["memory"]], np.uint64),
        int(lines["end"][0][0]) if lines["end"] else 0,
        run_s,
    )


def _number(word: str) -> int:
    """Of hexadecimal digits; 0 where a bit has no value, which no word of a network of ours is everywhere."""
    return int(word, 16) if set(word) <= set("0123456789abcdef") else 0


def _build(acc: DigitSerial, simulator: str, rtl_dir: Path | None, words: int) -> Path:
    settings = environment(simulator)
    design = (
        {f"{name}.v": text for name, text in export.modules(acc).items()}
        if rtl_dir is None
        else given.texts(rtl_dir)
    )
    texts = design | {f"{MODULE}.v": text(acc, words)}
    shell = shells.around(simulator)

    @step(f"building the simulation, {simulator}")
    def make(directory: Path) -> None:
        build.compiled(simulator, directory, [*texts, *shell], settings)

    try:
        return build.cached(simulator, (build.RECIPE[simulator], "digit"), texts | shell, make)
    except RuntimeError as error:
        if rtl_dir is None:
            raise
        raise given.blame(rtl_dir, design, str(error)) from None


def text(acc: DigitSerial, words: int) -> str:
    """Verilog of the bench and of its memory; `words`: of that, at least."""
    ports = export.ports(acc)
    slaves = "\n".join(MODULES[name] for name in ("bench_pauses", "bench_read", "bench_write"))
    return slaves + _BENCH.format(
        module=MODULE,
        last=(1 << max(_WORDS, (words - 1).bit_length())) - 1,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in ports.items()),
        top=export.TOP,
        scan=" .scan_enable(1'b0)," if acc.clock_gating else "",
        connections=", ".join(f".{name}({name})" for name in ports),
        latency=acc.l2_latency,
        common=_COMMON,
        read=", ".join(f".{name}(m_axi_commands_{name})" for name in _READ),
        written=", ".join(f".{name}(m_axi_maps_{name})" for name in _WRITE),
    )
