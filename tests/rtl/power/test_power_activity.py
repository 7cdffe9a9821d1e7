"""Toggles of every net against Icarus, values against NumPy, lanes against single runs."""

from __future__ import annotations

import re
import subprocess
from functools import cache

import numpy as np
import pytest

from rtl import verilog
from rtl.array.dense_tile import DenseTile
from rtl.array.prf import Prf
from rtl.array.sparse_tile import SparseTile
from rtl.block import module_name
from rtl.power.evaluator import LANES, Evaluator, Probe, fields, words
from rtl.power.netlist import flatten
from rtl.synth import synthesize_modules, yosys
from rtl.synth.function import parse
from rtl.synth.liberty import read
from rtl.synth.models import models
from rtl.verify.simulators import environment
from sim.errors import InputError
from tests.rtl.synth.synthesis import MINI, library

# Inputs change at the rising edge, together with the registers.
BENCH = """
`timescale 1ns/1ns
module bench;
  reg clk = 0;
  reg [{last}:0] inputs;
  integer source, status;
  reg [{last}:0] following;
{wires}
  assign {{{names}}} = inputs;
  {top} dut ({connections});
  initial begin
    source = $fopen("stimulus.hex", "r");
    status = $fscanf(source, "%h", inputs);
    #10 $dumpfile("run.vcd");
    $dumpvars(1, dut);
    status = $fscanf(source, "%h", following);
    while (status == 1) begin
      #5 clk = 1;
      inputs <= following;
      #5 clk = 0;
      status = $fscanf(source, "%h", following);
    end
    $finish;
  end
endmodule
"""


def flat(found, directory):
    """The netlist as one module, whose names Icarus and the evaluator share."""
    (directory / "netlist.v").write_text(found.netlist)
    top = module_name(found.top)
    yosys.run(
        [
            "read_verilog netlist.v",
            f"hierarchy -top {top}",
            "flatten -noscopeinfo",
            "opt_clean",
            "write_verilog -noattr -norename flat.v",
        ],
        directory,
    )
    return top, (directory / "flat.v").read_text()


def icarus(netlist, text, top, cells, stimulus, directory):
    """Rises and falls by net name, from the VCD of a run."""
    environment("icarus")
    widths = {name: len(nets) for name, nets in netlist.inputs.items() if name != "clk"}
    names = list(widths)
    bench = BENCH.format(
        last=sum(widths.values()) - 1,
        names=", ".join(reversed(names)),
        top=top,
        wires="".join(f"  wire [{width - 1}:0] {name};\n" for name, width in widths.items()),
        connections=", ".join(f".{name}({name})" for name in ["clk", *names]),
    )
    # Registers start at 0 there, too.
    (directory / "all.v").write_text(text + cells.replace("$random", "1'b0") + bench)
    lines = []
    for cycle in range(len(next(iter(stimulus.values())))):
        word = at = 0
        for name, width in widths.items():
            for bit in range(width):
                word |= int(stimulus[name][cycle, bit] & 1) << at
                at += 1
        lines.append(f"{word:x}\n")
    (directory / "stimulus.hex").write_text("".join(lines))
    subprocess.run(["iverilog", "-g2005", "-s", "bench", "-o", "bench", "all.v"], cwd=directory, check=True)
    subprocess.run(["vvp", "-n", "bench"], cwd=directory, check=True, capture_output=True)
    return changes((directory / "run.vcd").read_text())


def plain(name):
    """Escapes are spelled differently here and there."""
    return name.replace("\\", "")


def changes(vcd):
    head, _, body = vcd.partition("$enddefinitions")
    names, values, rises, falls = {}, {}, {}, {}
    for width, code, name in re.findall(r"\$var \w+ +(\d+) (\S+) (.*?) *\$end", head):
        name = plain(re.sub(r" \[\d+:\d+\]$", "", name))
        names.setdefault(code, []).append((name, int(width)))
    for line in body.split("\n"):
        if line[:1] in "01xzb" and line:
            bits, code = line[1:].split() if line[0] == "b" else (line[0], line[1:])
            for name, width in names[code]:
                for n, bit in enumerate(reversed(bits.rjust(width, "0" if bits[0] == "1" else bits[0]))):
                    key = f"{name}[{n}]" if width > 1 else name
                    rises[key] = rises.get(key, 0) + (values.get(key) == "0" and bit == "1")
                    falls[key] = falls.get(key, 0) + (values.get(key) == "1" and bit == "0")
                    values[key] = bit
    return {key: (rises[key], falls[key]) for key in rises}


BLOCKS = {
    "tile": lambda: DenseTile(rows=2, columns=4, depth=4, sum_bits=19),
    "sparse": lambda: SparseTile(rows=2, columns=8, multipliers=2, word_bits=11, depth=2, sum_bits=19),
    "prf": lambda: Prf(depth=4, columns=2, sum_bits=19),
}


@cache
def mapped(name):
    block = BLOCKS[name]()
    texts = {module_name(kind): text for kind, (_, text) in verilog.hierarchy(block).items()}
    return synthesize_modules(texts, module_name(block.kind), library(MINI), 3.0)


def random_stimulus(netlist, cycles, seed, keep=0.3):
    """Random words that often stay; reset for two cycles."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, nets in netlist.inputs.items():
        if name == "clk":
            continue
        values = rng.integers(0, 2**64, (cycles, len(nets)), dtype=np.uint64)
        for cycle in range(1, cycles):
            if rng.random() < keep:
                values[cycle] = values[cycle - 1]
        found[name] = values
    if "rst" in found:
        found["rst"][:] = 0
        found["rst"][:2] = 2**64 - 1
    return found


@pytest.mark.parametrize("name", BLOCKS)
def test_every_net_toggles_as_in_icarus(name, tmp_path):
    found = mapped(name)
    top, text = flat(found, tmp_path)
    netlist = flatten(text, top, library(MINI))
    stimulus = random_stimulus(netlist, 60, 1)
    activity = Evaluator(netlist).run(stimulus, lanes=1)
    expected = icarus(netlist, text, top, models(library(MINI), found.cell_names), stimulus, tmp_path)
    compared = 0
    for net, called in enumerate(netlist.names):
        if net > 1 and net != netlist.clock and called:
            assert (activity.rising[net], activity.falling[net]) == expected[plain(called)], called
            compared += 1
    driven = {instance.pins[pin] for instance in netlist.instances for pin in instance.cell.outputs}
    assert compared >= 0.95 * len(driven)
    assert activity.toggles.sum() > 5 * compared


def test_a_wrong_gate_shows(tmp_path):
    found = mapped("prf")
    top, text = flat(found, tmp_path)
    netlist = flatten(text, top, library(MINI))
    stimulus = random_stimulus(netlist, 60, 1)
    activity = Evaluator(netlist).run(stimulus, lanes=1)
    wrong = text.replace("  NAND2 ", "  NOR2 ", 1)
    expected = icarus(netlist, wrong, top, models(library(MINI), found.cell_names), stimulus, tmp_path)
    assert any(
        (activity.rising[net], activity.falling[net]) != expected[plain(called)]
        for net, called in enumerate(netlist.names)
        if plain(called) in expected
    )


def test_lanes_add_up():
    netlist = netlist_of("tile")
    evaluator = Evaluator(netlist)
    stimulus = random_stimulus(netlist, 12, 2)
    together = evaluator.run(stimulus)
    rising, falling = np.zeros_like(together.rising), np.zeros_like(together.falling)
    for lane in range(LANES):
        alone = evaluator.run(
            {name: values >> np.uint64(lane) & np.uint64(1) for name, values in stimulus.items()}, lanes=1
        )
        rising, falling = rising + alone.rising, falling + alone.falling
    assert (together.rising == rising).all()
    assert (together.falling == falling).all()
    assert together.cycles == 11 * LANES


def test_a_tile_multiplies_in_every_lane():
    netlist = netlist_of("tile")
    rng = np.random.default_rng(3)
    rows, columns, cycles = 2, 4, 30
    weights = rng.integers(-128, 128, (LANES, rows, columns))
    activations = rng.integers(-128, 128, (cycles, LANES, rows))
    load = [
        {
            "write_enable": words(np.full((1, LANES, 1), 1 << r), rows),
            "write_data": words(weights[None, :, r], 8),
        }
        for r in range(rows)
    ]
    stimulus = {
        "write_enable": np.concatenate(
            [load[0]["write_enable"], load[1]["write_enable"], np.zeros((cycles, rows), np.uint64)]
        ),
        "write_data": np.concatenate(
            [load[0]["write_data"], load[1]["write_data"], np.zeros((cycles, 8 * columns), np.uint64)]
        ),
        "activation_in": np.concatenate([np.zeros((2, 8 * rows), np.uint64), words(activations, 8)]),
        "valid_in": np.concatenate([np.zeros((2, 1), np.uint64), np.full((cycles, 1), 2**64 - 1, np.uint64)]),
    }
    sums = fields(Evaluator(netlist).run(stimulus).outputs["psum_out"], 19)
    sums = sums - (sums >> 18 << 19)
    expected = np.einsum("clr,lrk->clk", activations, weights)
    assert (sums[5:] == expected[:-3]).all()  # behind WRF, multipliers and adders: three cycles later


def netlist_of(name):
    found = mapped(name)
    return flatten(found.netlist, module_name(found.top), library(MINI))


def test_words_and_fields_are_inverse():
    rng = np.random.default_rng(4)
    values = rng.integers(0, 1 << 11, (5, LANES, 7))
    assert (fields(words(values, 11), 11) == values).all()
    few = words(values[:, :9], 11)
    assert few.shape == (5, 77)
    assert (fields(few, 11, 9) == values[:, :9]).all()


SHIFT = """module top(input clk, input d, output q);
  wire [16:0] s; assign s[0] = d; assign q = s[16];
  genvar n; generate for (n = 0; n < 16; n = n + 1) begin : stage
    DFF f(.CK(clk), .D(s[n]), .Q(s[n + 1])); end endgenerate
endmodule
"""


def test_registers_sample_before_any_of_them_changes():
    netlist = flatten(SHIFT, "top", library(MINI))
    pulse = np.zeros((20, 1), np.uint64)
    pulse[1] = 1
    activity = Evaluator(netlist).run({"d": pulse}, lanes=1)
    assert activity.outputs["q"][:, 0].tolist() == [0] * 17 + [1, 0, 0]
    for instance in netlist.instances:
        assert activity.rising[instance.pins["Q"]] == activity.falling[instance.pins["Q"]] == 1


def test_probes_count_conditions_on_now_and_before():
    netlist = flatten(SHIFT, "top", library(MINI))
    d, q = netlist.inputs["d"][0], netlist.outputs["q"][0]
    probes = [
        Probe(parse("a !b"), {"a": d, "b": d + netlist.nets}),
        Probe(parse("a + b"), {"a": d, "b": q}),
        Probe(parse("!a"), {"a": d}),
        Probe(parse("1"), {}),
    ]
    values = np.array([[0], [1], [1], [0], [1]], np.uint64)
    counts = Evaluator(netlist, probes).run({"d": values}, lanes=1).probes
    assert counts.tolist() == [2, 3, 1, 4]


ENABLE = """library (one) {
  cell (FLOP) {
    ff ("IQ", "IQN") { clocked_on : "CK"; next_state : "(D E) + (IQ E')"; clear : "RN'"; }
    pin (CK, D, E, RN) { direction : input; }
    pin (QN) { direction : output; function : "IQN"; }
  }
}
"""


def enable_library(tmp_path):
    path = tmp_path / "one.lib"
    path.write_text(MINI.read_text().rstrip().removesuffix("}") + ENABLE.partition("{")[2])
    return read(path)


def test_a_clear_may_be_tied_off_by_a_cell(tmp_path):
    text = """module top(input clk, d, output q); wire high; TIE1 t(.Y(high));
      FLOP f(.CK(clk), .D(d), .E(high), .RN(high), .QN(q)); endmodule"""
    netlist = flatten(text, "top", enable_library(tmp_path))
    assert len(netlist.registers) == 1


def test_a_register_may_hold_and_show_its_inverse_only(tmp_path):
    text = """module top(input clk, d, e, output q);
      FLOP f(.CK(clk), .D(d), .E(e), .RN(1'b1), .QN(q)); endmodule"""
    netlist = flatten(text, "top", enable_library(tmp_path))
    rng = np.random.default_rng(5)
    d, e = (rng.integers(0, 2, (50, 1)).astype(np.uint64) for _ in range(2))
    found = Evaluator(netlist).run({"d": d, "e": e}, lanes=1).outputs["q"][:, 0] & np.uint64(1)
    state, expected = 0, []
    for cycle in range(50):
        if cycle and e[cycle - 1, 0]:
            state = int(d[cycle - 1, 0])
        expected.append(1 - state)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("MEMORY m(.A(d), .Y(q));", "no cell of mini"),
        ("INV a(.A(q), .Y(x)); INV b(.A(x), .Y(q));", "loop"),
        ("INV a(.A(clk), .Y(x)); DFF f(.CK(x), .D(d), .Q(q));", "no common clock"),
        ("FLOP f(.CK(clk), .D(d), .E(d), .RN(d), .QN(q));", "clear is in use"),
    ],
)
def test_netlists_that_cannot_be_evaluated(body, problem, tmp_path):
    text = f"module top(input clk, d, output q); wire x; {body} endmodule"
    with pytest.raises(InputError, match=problem):
        flatten(text, "top", enable_library(tmp_path))
