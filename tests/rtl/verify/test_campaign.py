"""The default verification finds what one network misses, and says what its runs say nothing about."""

from __future__ import annotations

import re

import pytest

from evidence.mutation.lines import Mutant, judge, mutants, same
from rtl import verilog
from rtl.bus.register_map import register_map
from rtl.control.counters import COUNTERS
from rtl.verify import activity, verify_many, verify_random
from rtl.verify.campaign import NETWORKS, prepare, run_campaign
from rtl.verify.random_network import random_case
from sim.accelerator import preset
from sim.network import Add

NAME = "ews-4"


@pytest.fixture(scope="module")
def texts():
    return {f"{name}.v": text for name, text in verilog.modules(preset(NAME)).items()}


@pytest.fixture(scope="module")
def prepared():
    return [prepare(preset(NAME), seed) for seed in (1, 6)]


@pytest.mark.slow
def test_the_verilog_is_right(prepared):
    found = run_campaign(prepared, "auto", None)
    assert found.equal, found.first_mismatch
    assert (found.networks, found.simulator) == (2, "icarus")
    assert found.words_compared > 0
    assert found.cycles_rtl > found.cycles_model  # some with stalls
    assert any("stalls: " in layer.name for layer in found.layers)
    assert any("after wrong starts: " in layer.name for layer in found.layers)
    assert "registers.s_axil_wstrb" not in found.idle
    assert not [name for name in found.idle if "." not in name]


def test_where_l2_holds_everything():
    found = verify_many(preset(NAME), 3, 2, "icarus", l2_holds_all=True)
    assert found.equal, found.first_mismatch
    assert "accelerator.weights_there" in found.idle
    assert "accelerator.maps_there" in found.idle


def test_a_network_without_an_addition_says_nothing_of_residuals():
    """One convolution: `residual_lane` does nothing, and the result says so."""
    found = verify_random(preset(NAME), 13, "icarus")
    assert found.equal
    assert len(found.layers) == 1
    assert "residual_lane" in found.idle
    assert not [name for name in found.idle if name.startswith(("pe.", "prf.", "ifmap_loader.ready"))]


FAULTS = {
    "begin before all streams": (
        "command_port",
        r"units_settled & (\S+) & (\S+) & (\S+)",
        r"(units_settled | \1 | \2 | \3)",
    ),
    "rows without a unit": ("storer", r"(row_intake_enable = \S+) &", r"\1 |"),
    "lanes of a write": ("registers", r"wdata\[0\] & wstrb\[0\]", "(wdata[0] | wstrb[0])"),
    "ID of a burst": ("read_port_64", r"arid = 1'h0", "arid = 1'h1"),
    "counters after a run": ("counters", r"if \(clear \| rst\)", "if (clear & rst)"),
    "a response that is an error": ("read_port_64", r"\(\|rresp\)", "1'h0"),
    "where a burst was refused": ("registers", r"\+ commands_error_address", "- commands_error_address"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_network_shows_is_found(fault, texts, prepared):
    kind, before, after = FAULTS[fault]
    file = f"codeword_{kind}.v"
    lines = texts[file].splitlines()
    at = next(n for n, line in enumerate(lines) if re.search(before, line))
    changed = [*lines]
    changed[at] = re.sub(before, after, lines[at])
    mutant = Mutant("by hand", file, at + 1, lines[at], changed[at], "\n".join(changed) + "\n")
    assert judge(mutant, texts, prepared).found
    assert not same(mutant, texts, 5)


def test_mutants_are_one_edit_of_one_line(texts):
    found = list(mutants(texts, 60, 3))
    assert len({(one.file, one.line, one.after) for one in found}) == 60
    assert len({one.kind for one in found}) >= 5
    for one in found:
        old, new = texts[one.file].splitlines(), one.text.splitlines()
        assert [n + 1 for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b] == [one.line]
    assert [one.text for one in mutants(texts, 5, 3)] == [one.text for one in found[:5]]
    assert [one.text for one in mutants(texts, 5, 4)] != [one.text for one in found[:5]]


def test_what_changes_nothing_is_proven(texts):
    file = "codeword_pe.v"
    sums = re.sub(r"^//.*$", "", texts[file], flags=re.M)
    assert " + " in sums
    assert same(Mutant("", file, 0, "", "", sums.replace(" + ", " - -", 1)), texts)
    assert not same(Mutant("", file, 0, "", "", sums.replace(" + ", " - ", 1)), texts, 5)


def test_ports_that_are_watched(texts):
    found = activity.ports(texts)
    names = {(file, port) for file, _, port in found}
    assert ("codeword_accelerator.v", "irq") in names
    assert not [port for _, port in names if port in ("clk", "rst")]
    numbers = range(len(found))
    assert activity.idle(texts, numbers) == ()
    still = activity.idle(texts, [n for n in numbers if found[n][0] != "codeword_prf.v"])
    assert still == ("prf",)
    watched = activity.watched(texts)
    assert all(watched[file].startswith(text.rpartition("endmodule")[0]) for file, text in texts.items())


def test_every_register_is_read_and_written():
    from rtl.verify.misuse import _accesses

    mapped = register_map(preset(NAME), COUNTERS)
    operations, expected = _accesses(mapped)
    assert {offset for kind, offset, *_ in operations if kind == 1} >= {one.offset for one in mapped}
    assert len(expected) == sum(kind == 1 for kind, *_ in operations) + sum(
        kind == "refused" for kind, _ in expected
    )


def test_what_the_contract_excludes_does_not_count():
    """A rounding that is lost only where the limit takes its place: equal as long as low <= high."""
    texts = {"codeword_residual_lane.v": CLAMPED.format(limited="sum < low ? low : sum > high ? high : sum")}
    lost = CLAMPED.format(limited="sum <= low ? low : sum > high ? high : sum")
    assert same(Mutant("", "codeword_residual_lane.v", 0, "", "", lost), texts)
    wrong = CLAMPED.format(limited="sum < low ? low : sum > low ? high : sum")
    assert not same(Mutant("", "codeword_residual_lane.v", 0, "", "", wrong), texts, 5)
    swapped = CLAMPED.format(limited="sum > high ? high : sum < low ? low : sum")
    assert same(Mutant("", "codeword_residual_lane.v", 0, "", "", swapped), texts)
    texts["codeword_other.v"] = texts["codeword_residual_lane.v"].replace("residual_lane", "other")
    swapped = swapped.replace("residual_lane", "other")
    assert not same(Mutant("", "codeword_other.v", 0, "", "", swapped), texts, 5)


CLAMPED = """
module codeword_residual_lane (
  input wire clk,
  input wire rst,
  input wire [5:0] shift,
  input wire signed [7:0] low,
  input wire signed [7:0] high,
  input wire signed [7:0] sum,
  output reg [7:0] y = 8'h00
);
  always @(posedge clk)
    y <= {limited};
endmodule
"""


def test_the_default_networks_add():
    """Half of them, in both orders of the operands, with ties, saturation and narrow limits among them."""
    drawn = [random_case(preset("ews-cms-4"), seed).network for seed in range(NETWORKS)]
    adding = [[layer for layer in one.layers if isinstance(layer, Add)] for one in drawn]
    found = [layer for layers in adding for layer in layers]
    assert sum(map(bool, adding)) >= NETWORKS // 2
    assert any(layer.high - layer.low < 8 for layer in found)
    assert any(max(layer.multipliers) < 4 for layer in found)
    assert any(max(layer.multipliers) > 1 << 15 for layer in found)
    assert {layer.inputs[0].startswith("conv") for layer in found} == {True, False}


@pytest.mark.slow
def test_mutants_of_lines_are_found_or_change_nothing():
    """The table of docs/verification.md has 40; about a minute each where the machine is busy."""
    accelerator = preset("ews-cms-4")
    export = {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    drawn = [prepare(accelerator, seed) for seed in range(24)]
    for mutant in mutants(export, 12, 2):
        verdict = judge(mutant, export, drawn)
        assert verdict.found or same(mutant, export), mutant
