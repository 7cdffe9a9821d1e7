"""Writes a network as files that a system can load and run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rtl import owned
from rtl.digit_serial import bench
from rtl.digit_serial import image as images
from rtl.digit_serial.charges import value_bytes
from rtl.digit_serial.image import Image, offsets
from rtl.image import Written
from rtl.image.write import MANIFEST, placed, require_base
from rtl.verify.run import START_WITH_INTERRUPT, programming
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.engine import CAUSES, Ran, run
from sim.network import Network

_TESTBENCH = """\
// Runs the memory image beside it, and compares the charges of the last layer; written by `codeword compile`. In this
// directory, with the Verilog of the accelerator, `rtl` here:
//
//   $ iverilog -g2005 -s testbench -o testbench.vvp testbench.v rtl/*.v && vvp testbench.vvp
//   $ verilator --binary --timing -Wno-lint -Wno-fatal --top-module testbench testbench.v rtl/*.v
//   $ obj_dir/Vtestbench
{bench}
module testbench;
  reg clk, rst;
  reg [63:0] expected [0:{last}];
  integer n, wrong;
  always #1 clk = ~clk;
  {module} #(.QUIET(1), .ORIGIN(40'h{base:x})) bench (clk, rst);

  initial begin
    $readmemh("expected.hex", expected);
    clk = 0;
    rst = 1;
    wrong = 0;
    repeat (4) @(negedge clk);
    // What the accelerator does not write will be found.
    for (n = 0; n <= {last}; n = n + 1) bench.memory[n] = ~expected[n];
    rst = 0;
    while (!bench.irq && bench.now < {limit}) @(negedge clk);
    for (n = 0; n <= {last}; n = n + 1)
      if (bench.memory[n] !== expected[n]) begin
        $display("word %0d of the output is %h, expected %h", n, bench.memory[n], expected[n]);
        wrong = wrong + 1;
      end
    $display("%0s: {words} words of the output, %0d cycles, {cycles} of the engine",
             wrong == 0 && bench.irq ? "PASS" : "FAIL", bench.dut.counters.count_cycles);
    $finish;
  end
endmodule
"""


def write(
    network: Network,
    acc: DigitSerial,
    directory: Path,
    inputs: np.ndarray,
    base: int = 0,
    *,
    force: bool = False,
) -> Written:
    """Memory image with an input int8 [C, H, W], registers, layout, expected charges, and a test bench.

    Raises:
        InputError: a network that the machine does not run, a base that does not do, or a file of the user in the way.
    """
    image = images.compiled(network, acc)
    require_base(base, image)
    ran = run(image.program, image.digits(inputs))
    cycles = int(ran.counts[:, : len(CAUSES)].sum())
    memory = image.write_input(inputs)
    expected = _expected(image, ran)
    limit = 4 * cycles + 100_000
    contents: dict[str, str | bytes] = {
        "memory.bin": memory.astype("<u8").tobytes(),
        "expected.hex": "".join(f"{word:016x}\n" for word in expected.tolist()),
        **bench.files(image, memory, limit, base=base),
        "registers.json": _json(_registers(image, base)),
        "layout.json": _json(_layout(image, cycles, base)),
        "testbench.v": _TESTBENCH.format(
            bench=bench.text(acc, len(memory)),
            module=bench.MODULE,
            last=len(expected) - 1,
            words=len(expected),
            limit=limit,
            cycles=cycles,
            base=base,
        ),
    }
    machine = acc.model_dump(mode="json")
    owned.write(directory, contents, machine=machine, force=force, manifest=MANIFEST)
    return Written(tuple(contents), 8 * len(memory), cycles, image.layers[-1].name, ())


def _expected(image: Image, ran: Ran) -> np.ndarray:
    """uint64 [words]: rows of charges, those of columns without an output too."""
    last = ran.trace.addresses < 0
    dtype = "<i4" if value_bytes(image.accelerator) == 4 else "<i8"
    return ran.trace.values[last].astype(dtype).view("<u8").ravel()


def _registers(image: Image, base: int) -> dict[str, object]:
    at = offsets(image.accelerator)
    return {
        "write": [
            {"register": name, "offset": at[name], "value": value}
            for name, value in programming(image, base).items()
        ],
        "start": {"register": "control", "offset": at["control"], "value": START_WITH_INTERRUPT},
        "ended": {"register": "status", "offset": at["status"], "mask": 0b111, "value": 0b010},
    }


def _layout(image: Image, cycles: int, base: int) -> dict[str, object]:
    """Where everything lies, in bytes of the system's memory."""
    place = image.program.places["input"]
    return {
        **placed(image, base),
        "input": {
            "digits": image.accelerator.steps,
            "shape": list(image.network.input.shape),
            "blocks": place.blocks,
        },
        "output": {
            "tensor": image.layers[-1].name,
            "address": base,
            "values": len(image.layers[-1].bias),
            "value_bits": 8 * value_bytes(image.accelerator),
            "expected": "expected.hex",
        },
        "cycles": cycles,
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
