"""The Liberty reader: expressions, groups, cells, and what it says of files that do not do."""

from __future__ import annotations

import gzip
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl.synth import liberty
from rtl.synth.function import parse
from sim.errors import InputError
from tests.rtl.synth.synthesis import LIBRARIES, MINI, library

TEXT = MINI.read_text()
PINS = ("A", "B", "C1")


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("A", "A"),
        ("!A", "not A"),
        ("A'", "not A"),
        ("A''", "A"),
        ("!A'", "A"),
        ("0", "False"),
        ("1", "True"),
        ("A*B", "A and B"),
        ("A&B", "A and B"),
        ("A B", "A and B"),
        ("A B'", "A and not B"),
        ("(A B)'", "not (A and B)"),
        ("A+B", "A or B"),
        ("A|B", "A or B"),
        ("A^B", "A != B"),
        ("A + B C1", "A or (B and C1)"),
        ("A B + C1", "(A and B) or C1"),
        ("A ^ B C1", "(A != B) and C1"),
        ("A B ^ C1", "A and (B != C1)"),
        ("!A B", "(not A) and B"),
        ("A !B", "A and not B"),
        ("!(A+B)(C1)", "(not (A or B)) and C1"),
        ("A(B+C1)", "A and (B or C1)"),
        ("(!A)|(!B&C1)", "(not A) or ((not B) and C1)"),
    ],
)
def test_operators_and_their_precedence(text, python):
    expression = parse(text)
    for values in product((0, 1), repeat=3):
        names = dict(zip(PINS, map(bool, values), strict=True))
        assert expression.evaluate(dict(zip(PINS, values, strict=True))) == int(eval(python, {}, names))


@pytest.mark.parametrize("text", ["", "A+", "(A", "A)", "A B)", "*A", "A $ B", "2"])
def test_broken_expressions(text):
    with pytest.raises(InputError):
        parse(text)


def _expressions():
    return st.recursive(
        st.sampled_from([*PINS, "0", "1"]),
        lambda inner: st.one_of(
            inner.map(lambda e: f"!({e})"),
            inner.map(lambda e: f"({e})'"),
            st.tuples(inner, st.sampled_from(["*", "&", " ", "+", "|", "^"]), inner).map(
                lambda parts: f"({parts[0]}){parts[1]}({parts[2]})"
            ),
        ),
        max_leaves=12,
    )


@given(_expressions())
def test_verilog_and_wide_words_say_the_same(text):
    expression = parse(text)
    assert parse(expression.verilog().replace("~", "!").replace("1'b", "")) is not None
    ones = 0xFF
    columns = dict(zip(PINS, (0b11110000, 0b11001100, 0b10101010), strict=True))
    word = expression.evaluate(columns, ones)
    bits = [expression.evaluate({pin: value >> n & 1 for pin, value in columns.items()}) for n in range(8)]
    assert [word >> n & 1 for n in range(8)] == bits
    arrays = {pin: np.array([value], np.uint64) for pin, value in columns.items()}
    assert expression.evaluate(arrays, np.uint64(ones)) == word
    # Independent of our evaluation: Python's operators on the printed form.
    printed = expression.verilog().replace("1'b1", "0xFF").replace("1'b0", "0")
    assert eval(printed, {}, columns) & ones == word


def test_cells_of_the_mini_library():
    found = library(MINI)
    assert found.name == "mini"
    assert set(found.cells) == {
        "INV",
        "BUF",
        "NAND2",
        "NOR2",
        "XOR2",
        "MUX2",
        "AOI21",
        "HA",
        "TIE0",
        "TIE1",
        "DFF",
    }
    truths = {
        "INV": (1, 0),
        "BUF": (0, 1),
        "NAND2": (1, 1, 1, 0),
        "NOR2": (1, 0, 0, 0),
        "XOR2": (0, 1, 1, 0),
        "MUX2": (0, 0, 0, 1, 1, 0, 1, 1),
        "AOI21": (1, 0, 1, 0, 1, 0, 0, 0),
        "TIE0": (0,),
        "TIE1": (1,),
    }
    for name, truth in truths.items():
        assert found.cells[name].computes(truth), name
    adder = found.cells["HA"]
    assert [adder.pins[pin].function.truth(("A", "B")) for pin in ("S", "C")] == [(0, 1, 1, 0), (0, 0, 0, 1)]
    register = found.cells["DFF"]
    assert (register.inputs, register.outputs) == (("D", "CK"), ("Q",))
    assert register.flip_flop.next_state.pins == ("D",)
    assert register.flip_flop.clear is None
    assert register.pins["CK"].clock
    assert not register.pins["D"].clock
    assert found.cells["INV"].pins["A"].capacitance == pytest.approx(2e-15)
    assert found.cells["NAND2"].area == 6
    for cell in found.cells.values():
        assert cell.has_timing == cell.has_power == bool(cell.inputs), cell.name
    assert found.driver.name == "BUF"
    assert [(cell.name, pin) for cell, pin in found.ties] == [("TIE0", "Y"), ("TIE1", "Y")]
    # Tables stay as they are: 3 x 3 values, of which the first is d + 0.2 slew + 3 load.
    table = next(next(iter(found.cells["INV"].pins["Y"].timing)).all("cell_rise"))
    rows = [[float(number) for number in row.split(",")] for row in table.list("values")]
    assert np.shape(rows) == (3, 3)
    assert rows[0][0] == pytest.approx(0.02 + 0.2 * 0.02 + 3 * 0.002)


@pytest.mark.parametrize("path", LIBRARIES)
def test_libraries_are_read_whole(path):
    found = library(path)
    heads = sum(len(re.findall(r"^\s*cell\s*\(", text, re.M)) for text in found.texts)
    assert len(found.cells) == heads
    assert found.ties is not None


def test_compressed_and_split_files(tmp_path):
    (tmp_path / "a.lib.gz").write_bytes(gzip.compress(TEXT.encode()))
    head, register = TEXT[: TEXT.index("  cell (DFF)")] + "}\n", TEXT[TEXT.index("  cell (DFF)") :]
    folder = tmp_path / "split"
    folder.mkdir()
    (folder / "1.lib").write_text(head)
    (folder / "2.lib.gz").write_bytes(gzip.compress(f"library (registers) {{\n{register}".encode()))
    (folder / "notes.txt").write_text("not a library")
    for found in (liberty.read(tmp_path / "a.lib.gz"), liberty.read(folder)):
        assert found.name == "mini"
        assert {name: cell.area for name, cell in found.cells.items()} == {
            name: cell.area for name, cell in library(MINI).cells.items()
        }
    with pytest.raises(InputError, match=r"lacks a D flip-flop.*other files"):
        liberty.read(folder / "1.lib")


def _without(name: str) -> str:
    at = TEXT.index(f"  cell ({name})")
    following = TEXT.find("\n  cell (", at)
    return TEXT[:at] + (TEXT[following + 1 :] if following > 0 else "}\n")


def _unusable(name: str) -> str:
    return TEXT.replace(f"cell ({name}) {{", f"cell ({name}) {{\n    dont_use : true;")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT[: TEXT.index("  cell (MUX2)") - 30], "truncated"),
        (TEXT[:20_000], "truncated"),
        (TEXT[: TEXT.index("cell_rise") + 40], "truncated"),
        (TEXT.replace("}", "", 1), "truncated"),
        (TEXT + "}\n", "cannot be read"),
        (TEXT.replace("area : 6;", "= 6;", 1), "line .* cannot be read"),
        ("", "no library group"),
        ("library (empty) { }", "no cells"),
        (_without("DFF"), "lacks a D flip-flop"),
        (_unusable("INV"), "lacks an inverter"),
        (_without("NAND2").replace('"(A+B)\'"', '"A B C"'), "lacks a 2-input NAND or NOR"),
        (TEXT.replace('"A^B"', '"A^"'), "cell XOR2: function"),
        (TEXT.replace("area : 12;", "area : big;"), "cell XOR2.*big"),
        (TEXT.replace('clocked_on : "CK";', ""), "cell DFF.*clocked_on"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, message):
    file = tmp_path / "bad.lib"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        liberty.read(file)
    assert str(file) in str(error.value)
    assert error.value.fix


def test_files_that_are_none(tmp_path):
    whole = gzip.compress(TEXT.encode())
    (tmp_path / "cut.lib.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.lib.gz").write_bytes(whole[:30] + bytes(50) + whole[80:])
    (tmp_path / "folder").mkdir()
    for name in ("cut.lib.gz", "bad.lib.gz", "folder", "missing.lib"):
        with pytest.raises(InputError) as error:
            liberty.read(tmp_path / name)
        assert name in str(error.value)
