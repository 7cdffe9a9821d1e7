"""Energies against sums worked out by hand, and what is said of libraries that cannot give any."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rtl.power import EnergyModel, Tables, flatten
from rtl.synth.liberty import read
from sim.errors import InputError
from tests.rtl.synth.synthesis import MINI, library

CHAIN = """module top(input a, output q); wire x;
  INV u1(.A(a), .Y(x)); INV u2(.A(x), .Y(q)); endmodule"""
STORED = "module top(input clk, d, output q); DFF f(.CK(clk), .D(d), .Q(q)); endmodule"


def with_cells(tmp_path, cells, change=lambda text: text):
    path = tmp_path / "more.lib"
    path.write_text(change(MINI.read_text()).rstrip().removesuffix("}") + cells + "}\n")
    return read(path)


def energy_of(text, found, stimulus, **options):
    netlist = flatten(text, "top", found)
    model = EnergyModel(netlist, Tables(found), **options)
    words = {name: np.array(bits, np.uint64)[:, None] for name, bits in stimulus.items()}
    return netlist, model.energy(model.evaluator.run(words, lanes=1))


def test_two_inverters():
    netlist, energy = energy_of(CHAIN, library(MINI), {"a": [0, 1, 0, 1, 0]}, input_slew=0.1)
    # a and x: 2 fF each, 1 V, four toggles: 0.5 * 2 fF * 1 V^2 * 4 = 4 fJ each; q drives nothing.
    a, q = netlist.inputs["a"][0], netlist.outputs["q"][0]
    x = netlist.instances[0].pins["Y"]
    assert energy.switching[[a, x, q]] == pytest.approx([4e-15, 4e-15, 0], rel=1e-9)
    # u1 at slew 0.1 ns: 2.2 fJ a rise, 1.8 fJ a fall, two of each: 8 fJ.
    # x rises with slew 0.0380 and falls with 0.0364 (slew 0.1, load 2 fF). u2 rises as x falls:
    # 2.0 + 0.2 * (0.0364 - 0.02) / 0.08 = 2.041 fJ; and falls as x rises:
    # 1.6 + 0.2 * (0.0380 - 0.02) / 0.08 = 1.645 fJ.
    assert energy.internal == pytest.approx([8e-15, 2 * (2.041e-15 + 1.645e-15)], rel=1e-3)
    assert energy.leakage == pytest.approx([1e-9, 1e-9])
    assert energy.total == pytest.approx(4e-15 + 4e-15 + 8e-15 + 7.372e-15, rel=1e-3)
    assert energy.part("u1") == pytest.approx(12e-15, rel=1e-9)


def test_a_wire_weighs_on_each_input_that_it_reaches():
    netlist, energy = energy_of(CHAIN, library(MINI), {"a": [0, 1, 0, 1, 0]}, wire_farads=3e-15)
    # 2 fF and 3 fF: 0.5 * 5 fF * 1 V^2 * 4 = 10 fJ.
    assert energy.switching[netlist.inputs["a"][0]] == pytest.approx(10e-15)


def test_a_register():
    netlist, energy = energy_of(STORED, library(MINI), {"d": [0, 1, 1, 0, 0, 0]}, input_slew=0.1)
    # Five cycles. Clock pin: 2 fF * 1 V^2 a cycle = 2 fJ; internal 10 + 5 * 0.08 / 0.48 = 10.833 fJ an edge,
    # two edges: 21.667 fJ a cycle. Together 23.667 * 5 = 118.33 fJ.
    assert energy.clock == pytest.approx([118.33e-15], rel=1e-4)
    # Q rises and falls once, at clock slew 0.1: 22.0 + 17.6 fJ; D toggles twice: 0.5 * 2 fF * 2 = 2 fJ.
    assert energy.internal == pytest.approx([39.6e-15], rel=1e-9)
    assert energy.switching[netlist.inputs["d"][0]] == pytest.approx(2e-15)
    assert energy.total == pytest.approx(118.33e-15 + 39.6e-15 + 2e-15, rel=1e-4)


def constant(rise, fall, attributes=""):
    return (
        f'internal_power () {{ {attributes} rise_power (scalar) {{ values ("{rise}"); }} '
        f'fall_power (scalar) {{ values ("{fall}"); }} }}'
    )


TRANSITION = """timing () { related_pin : "%s"; timing_sense : negative_unate;
  rise_transition (scalar) { values ("0.1"); } fall_transition (scalar) { values ("0.1"); } }"""

STATES = f"""
cell (GATE) {{
  area : 1;
  leakage_power () {{ value : 10; when : "A&B"; }}
  leakage_power () {{ value : 40; when : "!A"; }}
  cell_leakage_power : 20;
  pin (A) {{ direction : input; capacitance : 0;
    {constant(7, 9, 'when : "!B";')} }}
  pin (B) {{ direction : input; capacitance : 0; }}
  pin (Y) {{ direction : output; function : "!(A B)";
    {TRANSITION % "A"} {TRANSITION % "B"}
    {constant(1, 2, 'related_pin : "A";')}
    {constant(3, 5, 'related_pin : "B";')} }}
}}
cell (STATE) {{
  area : 1; cell_leakage_power : 0;
  ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
  pin (D) {{ direction : input; capacitance : 0; }}
  pin (CK) {{ direction : input; clock : true; capacitance : 0;
    {constant(1, 100, 'when : "D*Q";')} {constant(0, 200, 'when : "D*!Q";')}
    {constant(4, 300, 'when : "!D*!Q";')} {constant(0, 400, 'when : "!D*Q";')} }}
  pin (Q) {{ direction : output; function : "IQ"; {
    TRANSITION.replace("negative_unate", "non_unate; timing_type : rising_edge") % "CK"
}
    {constant(10, 20, 'related_pin : "CK";')} }}
}}
"""


def test_states_choose_the_tables(tmp_path):
    found = with_cells(tmp_path, STATES)
    text = "module top(input a, b, output y); GATE g(.A(a), .B(b), .Y(y)); endmodule"
    _, energy = energy_of(text, found, {"a": [1, 0, 1, 1, 1, 0, 1, 0], "b": [1, 1, 1, 0, 1, 1, 0, 0]})
    # Cycle:   0  1  2  3  4  5  6  7      y = 0 1 0 1 0 1 1 1
    # 1 y rises by a: 1 pJ; 2 y falls by a: 2; 3 y rises by b: 3; 4 y falls by b: 5; 5 y rises by a: 1;
    # 6 a rises, b falls, y stays: a rises with b = 0: 7; 7 a falls with b = 0: 9.
    # Rises of y: two by a, one by b; falls: one each.
    assert energy.internal.sum() == pytest.approx((1 + 2 + 3 + 5 + 1 + 7 + 9) * 1e-12, rel=1e-9)
    # Leakage in cycles 1..7: !A in 1, 5, 7: 40; A&B in 2, 4: 10; A&!B in 3, 6: the cell's 20 nW.
    assert energy.leakage.sum() == pytest.approx((3 * 40 + 2 * 10 + 2 * 20) / 7 * 1e-9)


def test_a_clock_edge_finds_the_state_before_it(tmp_path):
    found = with_cells(tmp_path, STATES)
    text = "module top(input clk, d, output q); STATE f(.CK(clk), .D(d), .Q(q)); endmodule"
    _, energy = energy_of(text, found, {"d": [0, 0, 1, 1, 0, 0]})
    # Cycle:          0 1 2 3 4 5      d = 0 0 1 1 0 0, q = 0 0 0 1 1 0
    # Rising edges 1..5 find (d, q) = 00 00 10 11 01: 4 + 4 + 0 + 1 + 0 = 9 pJ.
    # Falling edges 1..5 find 00 10 11 01 00: 300 + 200 + 100 + 400 + 300 = 1300 pJ.
    assert energy.clock.sum() == pytest.approx(1309e-12)
    assert energy.internal.sum() == pytest.approx(30e-12)


GROUND = f"""
cell (RAILS) {{
  area : 1; cell_leakage_power : 0;
  pg_pin (VDD) {{ pg_type : primary_power; }} pg_pin (VSS) {{ pg_type : primary_ground; }}
  pin (A) {{ direction : input; capacitance : 0; }}
  pin (Y) {{ direction : output; function : "!A"; {TRANSITION % "A"}
    {constant(1, 2, 'related_pin : "A"; related_pg_pin : VDD;')}
    {constant(50, 50, 'related_pin : "A"; related_pg_pin : VSS;')} }}
}}
"""


def test_the_ground_is_not_counted_again(tmp_path):
    found = with_cells(tmp_path, GROUND)
    text = "module top(input a, output y); RAILS g(.A(a), .Y(y)); endmodule"
    _, energy = energy_of(text, found, {"a": [0, 1, 0, 1]})
    assert energy.total == pytest.approx((2 + 1 + 2) * 1e-12)


def test_units_follow_the_library(tmp_path):
    _, pico = energy_of(STORED, library(MINI), {"d": [0, 1, 0, 1]})
    small = with_cells(
        tmp_path,
        "",
        lambda text: text.replace("capacitive_load_unit (1, pf)", "capacitive_load_unit (1, ff)").replace(
            '"1nW"', '"1uW"'
        ),
    )
    _, femto = energy_of(STORED, small, {"d": [0, 1, 0, 1]})
    assert femto.total == pytest.approx(pico.total / 1000)
    assert femto.leakage == pytest.approx(pico.leakage * 1000)


def test_look_up_between_and_beyond_the_points():
    found = library(MINI)
    table = Tables(found).transitions(found.cells["INV"], "Y")[0].rise
    assert table is not None
    # Midway between 0.0300, 0.1020, 0.0380 and 0.1100.
    assert table.at(0.06, 0.011) == pytest.approx(0.07)
    # The line through 0.1020 (20 fF) and 0.8220 (200 fF): 4 ns/pF on.
    assert table.at(0.02, 0.3) == pytest.approx(0.8220 + 0.1 * 4)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (r"internal_power \(\)", "no_power ()", "lacks power tables"),
        (r"nom_voltage : 1;", "", "lacks nom_voltage"),
        (
            r"variable_2 : total_output_net_capacitance",
            "variable_2 : equal_or_opposite_output_net_capacitance",
            "cannot be looked up",
        ),
        (r'values \("0.0020, 0.0020, 0.0020", ', "values (", "a table has 6 values, its indices say 9"),
        (r"(rise|fall)_transition", "other", "lacks transition tables of cell (INV|BUF)"),
    ],
)
def test_libraries_without_what_energy_needs(old, new, problem, tmp_path):
    path = tmp_path / "bad.lib"
    path.write_text(re.sub(old, new, MINI.read_text()))
    found = read(path)
    netlist = flatten(CHAIN, "top", found)
    with pytest.raises(InputError, match=problem) as caught:
        EnergyModel(netlist, Tables(found))
    assert "bad.lib" in str(caught.value)


def test_a_cell_without_power_tables(tmp_path):
    cells = f"""cell (SILENT) {{ area : 1; pin (A) {{ direction : input; }}
      pin (Y) {{ direction : output; function : "!A"; {TRANSITION % "A"} }} }}"""
    found = with_cells(tmp_path, cells)
    text = "module top(input a, output y); SILENT s(.A(a), .Y(y)); endmodule"
    with pytest.raises(InputError, match="of cell SILENT"):
        EnergyModel(flatten(text, "top", found), Tables(found))


def test_files_of_two_libraries(tmp_path):
    (tmp_path / "a.lib").write_text(MINI.read_text())
    (tmp_path / "b.lib").write_text(MINI.read_text().replace("nom_voltage : 1;", "nom_voltage : 2;"))
    with pytest.raises(InputError, match="differ in nom_voltage"):
        Tables(read(tmp_path))
