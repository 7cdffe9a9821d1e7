"""A test bench that streams packets and writes down all that neurons say."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl.digit_serial import export
from rtl.digit_serial.top import COUNTERS
from rtl.verify import build, given, shells
from rtl.verify.simulators import environment
from sim.digit_serial.accelerator import DigitSerial
from sim.steps import step

_WORDS = 20
"""log2 of the words that the bench's memory has at least."""
_BENCH = """\
`timescale 1ns/1ns

module bench_files (input clk, input rst);
  reg [63:0] stream [0:{last}];
  reg [31:0] run [0:2];
  reg [31:0] at, cycle, seed;
  wire ready, begins, said, given, idle;
  wire [23:0] address;
  wire [{digits}:0] digits;
  wire [{charges}:0] charges;
{wires}
  wire there = at < run[0];
  wire waits = run[1] != 0 && seed[31:30] == 0;
  wire valid = there && !waits;
  {top} dut (.clk(clk), .rst(rst),{scan} .valid(valid), .ready(ready), .begins(begins),
    .data(stream[at]), .said(said),
    .said_address(address), .said_digits(digits), .given(given), .charges(charges), .idle(idle){ports});

  initial begin
    $readmemh("stream.hex", stream);
    $readmemh("run.hex", run);
    at = 0;
    cycle = 0;
    seed = run[1];
  end

  always @(posedge clk) if (!rst) begin
    cycle <= cycle + 1;
    seed <= {{seed[30:0], seed[31] ^ seed[21] ^ seed[1] ^ seed[0]}};
    if (valid && ready) at <= at + 1;
    if (valid && begins) $display("packet %0d", cycle);
    if (said) $display("said %0d %0d %h", cycle, address, digits);
    if (given) $display("given %0d 0 %h", cycle, charges);
    if (!there && idle || cycle == run[2]) begin
      $display("end %0d{formats}", cycle{counts});
      $finish(0);
    end
  end
endmodule
"""


@dataclass(frozen=True, eq=False)
class Ran:
    """
    Attributes:
        packets: cycle in which each packet's first word is taken, int64; a map's too.
        said: cycle and address, int64 [n, 2], -1 where charges are given.
        words: digits or charges of each, as plain integers.
        cycles: until all is done, the pipeline's included.
        counters: by cause.
        build_s, run_s: seconds.
    """

    packets: np.ndarray
    said: np.ndarray
    words: tuple[int, ...]
    cycles: int
    counters: dict[str, int]
    build_s: float
    run_s: float


def run(
    acc: DigitSerial,
    words: np.ndarray,
    limit: int,
    simulator: str,
    rtl_dir: Path | None = None,
    stalls: int | None = None,
) -> Ran:
    """Streams words, uint64.

    Args:
        limit: cycles after which it is ended.
        rtl_dir: Verilog to simulate; None exports it.
        stalls: seed; the stream then waits in a quarter of the cycles.

    Raises:
        InputError: no such simulator, or Verilog that does not build.
    """
    begin = time.perf_counter()
    built = _build(acc, simulator, rtl_dir, len(words))
    build_s = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "stream.hex").write_text("".join(f"{word:x}\n" for word in words.tolist()))
        settings = (len(words), 0 if stalls is None else 2 * stalls + 1, limit)
        (directory / "run.hex").write_text("".join(f"{one:x}\n" for one in settings))
        begin = time.perf_counter()
        printed = build.run(built, simulator, directory)
    return _parsed(printed, build_s, time.perf_counter() - begin)


def _parsed(printed: str, build_s: float, run_s: float) -> Ran:
    packets, said, words = [], [], []
    end = [0] * (1 + len(COUNTERS))
    for line in printed.splitlines():
        kind, *values = line.split()
        if kind == "packet":
            packets.append(int(values[0]))
        elif kind in ("said", "given"):
            said.append((int(values[0]), int(values[1]) if kind == "said" else -1))
            words.append(int(values[2], 16) if set(values[2]) <= set("0123456789abcdef") else -1)
        elif kind == "end":
            end = [int(value) for value in values]
    counters = dict(zip(COUNTERS, end[1:], strict=True))
    pairs = np.array(said, np.int64).reshape(-1, 2)
    return Ran(np.array(packets), pairs, tuple(words), end[0], counters, build_s, run_s)


def _build(acc: DigitSerial, simulator: str, rtl_dir: Path | None, words: int) -> Path:
    settings = environment(simulator)
    design = (
        {f"{name}.v": text for name, text in export.modules(acc).items()}
        if rtl_dir is None
        else given.texts(rtl_dir)
    )
    texts = design | {"bench_files.v": _text(acc, words)}
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


def _text(acc: DigitSerial, words: int) -> str:
    wires = "\n".join(f"  wire [31:0] c_{cause};" for cause in COUNTERS)
    ports = "".join(f",\n    .count_{cause}(c_{cause})" for cause in COUNTERS)
    return _BENCH.format(
        last=(1 << max(_WORDS, (words - 1).bit_length())) - 1,
        digits=2 * acc.lanes - 1,
        charges=acc.charge_bits * acc.lanes - 1,
        wires=wires,
        top=export.TOP,
        scan=" .scan_enable(1'b0)," if acc.clock_gating else "",
        ports=ports,
        formats=" %0d" * len(COUNTERS),
        counts="".join(f", c_{cause}" for cause in COUNTERS),
    )
