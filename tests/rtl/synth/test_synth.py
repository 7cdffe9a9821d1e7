"""Synthesis: what it counts, what it maps to, what the command says."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from codeword import cli
from rtl import export, verilog
from rtl.synth import flow, kinds, timing, yosys
from rtl.synth.models import models
from sim.errors import InputError
from tests.rtl.synth.synthesis import LIBRARIES, MINI, accelerator, library, synthesis

SMALL = dict(wrf_depth=4, prf_depth=2)


@pytest.mark.parametrize("path", LIBRARIES)
def test_areas_and_counts(path, tmp_path):
    machine = accelerator("ews-4", tile_rows=2, tile_columns=2, **SMALL)
    found = synthesis(machine, "array", path)
    assert [c.kind for c in found.components] == ["array", "dense_tile", "pe", "wrf"]
    assert {c.kind: c.instances for c in found.components} == dict(array=1, dense_tile=4, pe=16, wrf=16)
    parts = found.by_kind
    assert (parts["array"].parts, parts["dense_tile"].parts) == ({"dense_tile": 4}, {"pe": 4})
    # Registers by hand: valid of both stages, address, 2 activations, 2 psums of 18 bits; 4 weights of 8 bits; the
    # weight that is read and the product.
    assert parts["dense_tile"].flip_flops == 2 + 2 + 2 * 8 + 2 * 18
    assert parts["wrf"].flip_flops == 4 * 8
    assert parts["pe"].flip_flops == 8 + 16
    cells = library(path).cells
    for component in found.components:
        assert component.area == pytest.approx(
            sum(count * cells[name].area for name, count in component.cells.items())
        )
        assert 0 <= component.flip_flop_area <= component.area
        assert component.path_ns > 0
    fields = found.to_json()
    assert fields["area_mm2"]["total"] * 1e6 == pytest.approx(found.area)
    assert sum(fields["area_mm2"].values()) == pytest.approx(2 * fields["area_mm2"]["total"])
    # Yosys adds the areas up from the same files, on a netlist that it reads back.
    files = yosys.write_library(library(path), tmp_path)
    (tmp_path / "netlist.v").write_text(found.netlist)
    given = " ".join(f"-liberty {file}" for file in files)
    log = yosys.run(
        [f"read_liberty -lib {file}" for file in files]
        + [
            "read_verilog netlist.v",
            "hierarchy -check -top codeword_array",
            f"stat {given} -top codeword_array",
        ],
        tmp_path,
    )
    chip = re.findall(r"Chip area for top module .*: ([\d.]+)", log)
    assert float(chip[-1]) == pytest.approx(found.area)


@pytest.mark.parametrize("path", LIBRARIES)
def test_the_netlist_holds_nothing_but_cells(path):
    found = synthesis(accelerator("ews-4", **SMALL), "pe", path)
    known = {"codeword_pe", "codeword_wrf"} | set(library(path).cells)
    instances = re.findall(r"^  (\w+) .*\($", found.netlist, re.M)
    assert set(instances) <= known
    assert found.cell_names == set(instances) - {"codeword_wrf"}
    # Assignments only rename.
    for value in re.findall(r"^  assign .* = (.*);$", found.netlist, re.M):
        assert not re.search(r"[~&|^?+*]|1'h", re.sub(r"\\\S+ ", "name", value)), value
    assert not re.search(r"^  (reg|always|initial)", found.netlist, re.M)


def test_the_same_every_time(fresh):
    machine = accelerator("ews-cms-8", **SMALL)
    first = synthesis(machine, "positions", MINI)
    assert flow.synthesize(machine, library(MINI), component="positions") == first


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A cache of its own, so that Yosys runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_clock_reaches_the_mapper(monkeypatch, fresh):
    scripts = []
    run = yosys.run

    def watched(script, directory):
        scripts.append(script)
        return run(script, directory)

    monkeypatch.setattr(yosys, "run", watched)
    found = flow.synthesize(accelerator("ews-4", clock_hz=500e6, **SMALL), library(MINI), component="wrf")
    assert found.period_ns == 2
    assert (
        "tee -q -o abc.log abc -liberty library_0.lib -D 2000 -constr limits.txt codeword_wrf" in scripts[1]
    )


def test_a_kind_is_mapped_once(monkeypatch, fresh):
    """Not again for another machine that has it; again for another clock or other text."""
    machine = accelerator("ews-cms-8", **SMALL)
    first = flow.synthesize(machine, library(MINI), component="lzc")
    runs = []
    run = yosys.run
    monkeypatch.setattr(yosys, "run", lambda *given: runs.append(1) or run(*given))
    other = accelerator("ews-cms-8", wrf_depth=4, prf_depth=4)
    assert flow.synthesize(other, library(MINI), component="lzc") == first
    assert not runs
    texts = dict(verilog.modules(machine))
    flow.synthesize_modules(texts, "codeword_lzc", library(MINI), 1)
    once = len(runs)
    assert once > 0
    texts["codeword_lzc"] = texts["codeword_lzc"].replace("endmodule", "  wire other;\nendmodule")
    flow.synthesize_modules(texts, "codeword_lzc", library(MINI), first.period_ns)
    assert len(runs) > once


def test_instances_are_found_whatever_their_names():
    texts = {
        "top": """module top(a);
  input a;
  leaf plain (
    .a(a)
  );
  other \\parameters[0] (
    .a(a)
  );
  third #(
    .FILE("a.hex"),
    .N(32'd3)
  ) \\with.dot (
    .a(a)
  );
  assign leaf4 = (a);
endmodule
""",
        "leaf": "",
        "other": "",
        "third": "",
        "leaf4": "",
    }
    assert list(flow.reached(texts, "top")) == ["top", "leaf", "other", "third"]


def test_memories_stay_outside():
    texts = {
        "codeword_top": """module codeword_top(clk, rst, a, q);
  input clk, rst;
  input [7:0] a;
  output [7:0] q;
  wire [7:0] from_first;
  codeword_sram_64x8 first (
    .clk(clk),
    .a(a),
    .q(from_first)
  );
  codeword_sram_64x8 second (
    .clk(clk),
    .a(~from_first),
    .q(q)
  );
endmodule
""",
        "codeword_sram_64x8": """module codeword_sram_64x8(clk, a, q);
  input clk;
  input [7:0] a;
  output [7:0] q;
  reg [7:0] words [63:0];
  reg [7:0] q;
  always @(posedge clk) begin q <= words[a[5:0]]; words[a[5:0]] <= a; end
endmodule
""",
    }
    found = flow.synthesize_modules(texts, "codeword_top", library(MINI), 10)
    memory = found.by_kind["sram_64x8"]
    assert (memory.black_box, memory.instances, memory.area, memory.path_ns) == (True, 2, 0, None)
    assert found.by_kind["top"].cells["INV"] == 8
    assert found.by_kind["top"].flip_flops == 0
    assert "module codeword_sram" not in found.netlist
    assert found.netlist.count("  codeword_sram_64x8 ") == 2


def test_unknown_component():
    with pytest.raises(InputError, match="sparse_pe"):
        flow.synthesize(accelerator("ews-cms-8"), library(MINI), component="sparse_pes")


FAKE_STA = """#!/bin/sh
echo "OpenSTA"
cp timing.tcl {keep}
for top in $(sed -n 's/^link_design //p' timing.tcl); do
  echo "path $top"; echo "Warning: something"; echo "worst slack {slack}"
done
"""


def test_paths_of_opensta(tmp_path, monkeypatch):
    keep = tmp_path / "kept.tcl"
    tool = tmp_path / "sta"
    tool.write_text(FAKE_STA.format(slack="0.75", keep=keep))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    machine = accelerator("ews-4", clock_hz=500e6, **SMALL)
    found = flow.synthesize(machine, library(MINI), component="pe")
    assert found.timing == "opensta"
    assert {c.kind: c.path_ns for c in found.components} == dict(pe=1.25, wrf=1.25)
    assert found.path_ns == 1.25
    script = keep.read_text().splitlines()
    assert script[0] == "read_liberty library_0.lib"
    at = script.index("link_design codeword_pe")
    assert script[at - 2 : at] == ["read_verilog codeword_pe.mapped.v", "read_verilog codeword_wrf.mapped.v"]
    assert "set_driving_cell -lib_cell BUF $inputs" in script
    tool.write_text(FAKE_STA.format(slack="INF", keep=keep))
    assert flow.synthesize(machine, library(MINI), component="pe").path_ns is None


def test_an_opensta_that_fails_gives_way_to_abc(tmp_path, monkeypatch):
    """One that is too old says so before anything is mapped; what fails later does not lose the work."""
    tool = tmp_path / "sta"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    machine = accelerator("ews-4", **SMALL)

    def found(script):
        tool.write_text("#!/bin/sh\n" + script)
        tool.chmod(0o755)
        return flow.synthesize(machine, library(MINI), component="pe")

    old = "echo 'invalid command name \"set_cmd_units\"'; exit 1\n"
    result = found(old)
    assert result.timing == "abc"
    assert result.path_ns > 0
    assert 'invalid command name "set_cmd_units"' in result.no_opensta
    assert "too old" in result.no_opensta
    # It does not stop at an error, and then says nothing of the path.
    assert found("echo Error\n").timing == "abc"
    only_probe = 'grep -q "link_design probe" timing.tcl && echo "path probe" && echo "worst slack 1"\n'
    later = found(only_probe)
    assert (later.timing, later.path_ns) == ("abc", result.path_ns)
    order = []
    ask, run = timing.problem, kinds.map_kind
    monkeypatch.setattr(timing, "problem", lambda *given: order.append("ask") or ask(*given))
    monkeypatch.setattr(kinds, "map_kind", lambda *given, **how: order.append("map") or run(*given, **how))
    found(old)
    assert order == ["ask", "map", "map"]


def test_paths_are_those_of_the_installed_tool():
    found = synthesis(accelerator("ews-4", **SMALL), "dense_tile", MINI)
    tile, pe = found.by_kind["dense_tile"].path_ns, found.by_kind["pe"].path_ns
    assert tile > 0
    assert pe > found.by_kind["wrf"].path_ns > 0
    assert found.timing == ("abc" if timing.problem(library(MINI)) else "opensta")
    if found.timing == "opensta":  # a tile's path runs through its PEs; abc sees the tile's own cells only
        assert tile > pe


def _command(*arguments):
    words = ["synth", *arguments]
    return CliRunner().invoke(cli.application(words), words)


UNGATED = ("--set", "clock_gating=false")
"""The mini library has no clock gates."""


def test_a_library_without_clock_gates_is_named():
    done = _command("-a", "ews-cms-8", "--liberty", str(MINI), "--component", "positions")
    assert "clock_gating = false" in str(done.exception)


def test_command(tmp_path):
    done = _command(
        "-a",
        "ews-cms-8",
        "--liberty",
        str(MINI),
        "--component",
        "positions",
        "--set",
        "prf_depth=2",
        *UNGATED,
        "-o",
        str(tmp_path / "out"),
        "--json",
    )
    assert done.exit_code == 0, done.output
    (fields,) = json.loads(done.stdout)["libraries"]
    assert (fields["top"], fields["library"]) == ("positions", "mini")
    assert [c["kind"] for c in fields["components"]] == ["positions", "lzc"]
    netlist = (tmp_path / "out" / "mini.v").read_text()
    assert "module codeword_lzc(" in netlist
    twice = ("--liberty", str(MINI), "--liberty", str(MINI))
    readable = _command("-a", "ews-cms-8", *twice, "--component", "positions", *UNGATED)
    assert readable.exit_code == 0
    assert readable.stdout.count("mini") == 4
    assert "Libraries" in readable.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--liberty", "missing.lib"], "missing.lib"),
        (["--liberty", __file__], "cannot be read"),
        (["--liberty", str(MINI), "--component", "nonsense"], "component"),
    ],
)
def test_bad_input(arguments, word, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["codeword", "synth", "-a", "ews-4", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert word in capsys.readouterr().err


def test_models_of_unknown_cells():
    with pytest.raises(InputError, match="NAND9"):
        models(library(MINI), ["NAND9"])


def test_verilog_modules_are_the_source():
    texts = verilog.modules(accelerator("ews-4", **SMALL))
    assert set(flow.reached(texts, "codeword_pe")) == {"codeword_pe", "codeword_wrf"}
    assert set(flow.reached(texts, verilog.TOP)) == set(texts)


@pytest.mark.parametrize("path", LIBRARIES)
def test_what_is_too_slow_is_mapped_for_speed(path, fresh):
    """A carry chain of 32 bits: small where there is time, fast where there is none."""
    text = """module codeword_adder(input [31:0] a, input [31:0] b, output [31:0] y);
  assign y = a + b;
endmodule
"""
    slow, fast = (
        flow.synthesize_modules({"codeword_adder": text}, "codeword_adder", library(path), period)
        for period in (1000, 0.1)
    )
    assert fast.by_kind["adder"].path_ns < 0.7 * slow.by_kind["adder"].path_ns
    assert fast.area > slow.area


def test_the_constraints_of_an_export_name_every_input():
    """And the clock its period."""
    found = export.files(accelerator("ews-4", clock_hz=400e6))
    text, top = found["codeword.sdc"], found[f"{verilog.TOP}.v"]
    assert "create_clock -name clk -period 2.5000 [get_ports clk]" in text
    listed = re.search(r"get_ports \{(.*)\}", text)[1].split()
    declared = re.findall(r"^  input wire (?:\[\d+:\d+\] )?(\w+)", top, re.M)
    assert sorted([*listed, "clk"]) == sorted(declared)
    assert len(listed) > 30
