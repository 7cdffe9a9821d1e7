"""Verilog with names against the Verilog that Yosys wrote: proven to be the same."""

from __future__ import annotations

import random
import re

import pytest

from rtl import verilog, yosys
from rtl.readable import NAMELESS, readable
from sim.accelerator import preset

INPUTS = {"a": 1, "b": 3, "c": 8, "d": 8, "e": 5, "f": 1}
BINARY = ("+", "-", "*", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "<<", ">>", "&&", "||")
UNARY = ("~", "-", "!", "&", "|", "^")


def random_module(seed: int) -> str:
    """A module as Yosys writes one: an operator a line, results in nameless wires, carries that nobody reads."""
    rng = random.Random(seed)
    widths, lines = dict(INPUTS), []

    def operand() -> str:
        name = rng.choice([*widths])
        width = widths[name]
        kind = rng.random()
        if kind < 0.15:
            digits = rng.randint(1, 8)
            return f"{digits}'h{rng.getrandbits(digits):x}"
        if kind < 0.3 and width > 1:
            low = rng.randrange(width)
            high = rng.randrange(low, width)
            return f"{name}[{high}:{low}]" if high > low else f"{name}[{low}]"
        if kind < 0.4:
            return f"{{ {name}, {rng.choice([*widths])}, 2'h{rng.randrange(4)} }}"
        return f"$signed({name})" if kind < 0.45 else name

    for n in range(40):
        kind, width = rng.random(), rng.choice((1, 1, 3, 5, 8, 9))
        if kind < 0.2:
            conditions = [name for name, bits in widths.items() if bits == 1]
            value = f"{rng.choice(conditions)} ? {operand()} : {operand()}"
        elif kind < 0.35:
            value = f"{rng.choice(UNARY)} {operand()}"
        else:
            value = f"{operand()} {rng.choice(BINARY)} {operand()}"
        lines.append(f"  assign _{n:02}_ = {value};")
        widths[f"_{n:02}_"] = width
    carried = f"  assign {{ _90_[8], sum }} = {operand()} + {operand()};\n  assign _90_[7:0] = sum;"
    wires = [f"  wire [{widths[f'_{n:02}_'] - 1}:0] _{n:02}_;".replace("[0:0] ", "") for n in range(40)]
    ports = [f"  input [{width - 1}:0] {name};".replace("[0:0] ", "") for name, width in INPUTS.items()]
    outputs = rng.sample([f"_{n:02}_" for n in range(40)], 8)
    total = sum(widths[name] for name in outputs)
    return "\n".join(
        (
            f"module some({', '.join([*INPUTS, 'y', 'sum'])});",
            *ports,
            f"  output [{total - 1}:0] y;",
            "  output [7:0] sum;",
            *wires,
            "  wire [8:0] _90_;",
            *lines,
            carried,
            f"  assign y = {{ {', '.join(outputs)} }};",
            "endmodule",
        )
    )


def _renamed(text: str, name: str) -> str:
    return re.sub(r"^module \w+", f"module {name}", text, flags=re.M)


@pytest.mark.parametrize("first", [0, 16])
def test_random_expressions_keep_their_values(first, tmp_path):
    script = []
    for seed in range(first, first + 8):
        text = random_module(seed)
        better = readable(text)
        assert not re.search(rf"\b{NAMELESS.pattern}\b", better)
        for side, content in (("gold", text), ("gate", better)):
            (tmp_path / f"{side}_{seed}.v").write_text(_renamed(content, f"{side}_{seed}"))
            script.append(f"read_verilog {side}_{seed}.v")
        script += [
            f"miter -equiv -flatten gold_{seed} gate_{seed} miter_{seed}",
            f"sat -verify -prove trigger 0 miter_{seed}",
        ]
    assert yosys.run(script, tmp_path).count("SAT proof finished - no model found: SUCCESS!") == 8


def test_a_wrong_width_would_be_seen(tmp_path):
    """The proof itself: a carry that is lost."""
    gold = (
        "module gold(input [3:0] a, output y);\n  wire [4:0] s = {1'h0, a} + 5'h1;\n"
        "  assign y = s == 5'h10;\nendmodule"
    )
    (tmp_path / "sides.v").write_text(
        gold + "\nmodule gate(input [3:0] a, output y);\n  assign y = a + 4'h1 == 4'h0;\nendmodule\n"
        "module bad(input [3:0] a, output y);\n  assign y = a == 4'h0;\nendmodule\n"
    )
    check = [
        "read_verilog sides.v",
        "miter -equiv -flatten gold gate one",
        "sat -verify -prove trigger 0 one",
    ]
    yosys.run(check, tmp_path)
    with pytest.raises(RuntimeError, match="Yosys failed"):
        yosys.run(
            [*check, "miter -equiv -flatten gold bad two", "sat -verify -prove trigger 0 two"], tmp_path
        )


def _pairs(name, monkeypatch) -> dict[str, tuple[str, str]]:
    """What Yosys wrote and what an export has, by module."""
    found = {}

    def kept(text, ports=()):
        better = readable(text, ports)
        found[re.findall(r"^module (\w+)", text, re.M)[0]] = text, better
        return better

    monkeypatch.setattr(verilog, "readable", kept)
    verilog.modules.__wrapped__(preset(name))
    return found


@pytest.mark.parametrize("module", ["codeword_segments", "codeword_entry_counter", "codeword_watchdog"])
def test_a_module_with_registers_is_the_same(module, tmp_path, monkeypatch):
    gold, gate = _pairs("ews-cms-4", monkeypatch)[module]
    steps = [
        "read_verilog gold.v",
        "read_verilog gate.v",
        "proc",
        "opt_clean",
        "equiv_make gold gate equiv",
        "hierarchy -top equiv",
        "equiv_simple -undef",
        "equiv_induct -undef",
        "equiv_status -assert",
    ]
    for side, content in (("gold", gold), ("gate", gate)):
        (tmp_path / f"{side}.v").write_text(_renamed(content, side))
    yosys.run(steps, tmp_path)
    assert len(gate.splitlines()) < len(gold.splitlines())


def test_keywords_and_numbers_in_names():
    text = "\n".join(
        (
            "module m(clk, y);",
            "  input clk;",
            "  output y;",
            "  reg \\wait  = 1'h0;",
            "  reg \\y$3  = 1'h0;",
            "  wire _0_;",
            "  assign _0_ = ~ \\wait ;",
            "  assign y = \\y$3 ;",
            "  always @(posedge clk)",
            "    \\wait  <= _0_;",
            "  always @(posedge clk)",
            "    \\y$3  <= _0_;",
            "endmodule",
        )
    )
    assert "reg wait_ = 1'h0;" in readable(text)
    assert "  assign y = y_now;\n" in readable(text)
    assert "    y_now <= ~wait_;\n" in readable(text)
