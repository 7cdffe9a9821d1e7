"""Runs one stimulus on Verilog of a component, be it the RTL or a netlist with cell models."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.lib.wiring import In

from rtl.block import Block, module_name
from rtl.verify.simulators import environment

# Inputs change at the falling edge; outputs are read just before the rising one.
_BENCH = """\
`timescale 1ns/1ns
module bench;
  reg clk = 0, rst = 1;
  reg [{last_input}:0] stimulus;
  wire [{last_output}:0] response;
  integer source, sink, status;
{wires}
  assign {{{inputs}}} = stimulus;
  assign response = {{{outputs}}};
  {top} dut ({connections});
  always #5 clk = ~clk;
  initial begin
    source = $fopen("stimulus.hex", "r");
    sink = $fopen("response.txt", "w");
    stimulus = 0;
    @(negedge clk); @(negedge clk); rst = 0;
    status = $fscanf(source, "%h", stimulus);
    while (status == 1) begin
      #4 $fwrite(sink, "%b\\n", response);
      @(negedge clk) status = $fscanf(source, "%h", stimulus);
    end
    $fclose(sink);
    $finish;
  end
endmodule
"""


def simulate(
    block: Block, sources: Sequence[str], stimulus: Sequence[Mapping[str, int]]
) -> list[dict[str, int | None]]:
    """Outputs of a component in every cycle, None where a bit is unknown.

    Args:
        block: tells module name and ports.
        sources: Verilog texts that hold the module and all it needs.
        stimulus: inputs of each cycle by port; what a cycle leaves out is 0. Reset comes before.

    Raises:
        InputError: Icarus Verilog is not installed.
    """
    environment("icarus")
    members = block.signature.members
    inputs = {name: _width(block, name) for name, member in members.items() if member.flow == In}
    outputs = {name: _width(block, name) for name in members if name not in inputs}
    connections = [f".{name}({name})" for name in (*(("clk", "rst") if block.clocked else ()), *members)]
    bench = _BENCH.format(
        last_input=sum(inputs.values()) - 1,
        last_output=sum(outputs.values()) - 1,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in (inputs | outputs).items()),
        inputs=", ".join(reversed(inputs)),
        outputs=", ".join(reversed(outputs)),
        top=module_name(block.kind),
        connections=", ".join(connections),
    )
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for number, text in enumerate([*sources, bench]):
            (directory / f"{number}.v").write_text(text)
        (directory / "stimulus.hex").write_text(
            "".join(f"{_pack(values, inputs):x}\n" for values in stimulus)
        )
        files = [f"{number}.v" for number in range(len(sources) + 1)]
        _run(["iverilog", "-g2005", "-s", "bench", "-o", "bench", *files], directory)
        _run(["vvp", "-n", "bench"], directory)
        lines = (directory / "response.txt").read_text().split()
    return [_unpack(line, outputs) for line in lines]


def _width(block: Block, name: str) -> int:
    return len(getattr(block, name))


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _pack(values: Mapping[str, int], widths: Mapping[str, int]) -> int:
    word = at = 0
    for name, width in widths.items():
        word |= (values.get(name, 0) & (1 << width) - 1) << at
        at += width
    return word


def _unpack(line: str, widths: Mapping[str, int]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    end = len(line)
    for name, width in widths.items():
        bits = line[end - width : end]
        found[name] = int(bits, 2) if set(bits) <= {"0", "1"} else None
        end -= width
    return found
