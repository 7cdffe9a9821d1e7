"""One answer in every form: nothing is cut, what is left out is named, and raw values stay raw."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from codeword.rendering import FORMS, NAMES, Page, Request, draw
from codeword.tables import COUNT, ENERGY, PROSE, TEXT, Answer, Column, Quantity, Table, engineering, record
from sim.errors import InputError

LETTERS = st.characters(codec="utf-8", categories=("L", "N", "S", "P"))
WORD = st.text(LETTERS, min_size=1, max_size=12) | st.text(LETTERS, min_size=NAMES + 1, max_size=3 * NAMES)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A column of names, some of counts, and perhaps one of prose."""
    counts = draw(st.integers(0, 8))
    prose = draw(st.booleans())
    columns = [Column("name"), *(Column(f"count{i}", COUNT) for i in range(counts))]
    columns += [Column("why", PROSE)] if prose else []
    sentence = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
    row = st.tuples(WORD, *[st.integers(0, 10**15)] * counts, *([sentence] if prose else []))
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return Table("title", tuple(columns), tuple(rows))


@given(tables(), st.integers(NAMES + 2, 200))
def test_no_line_is_wider_than_the_page_and_no_cell_is_cut(table: Table, width: int) -> None:
    text, gone = draw(table, Page(width))
    assert all(cell_len(line) <= width for line in text.splitlines())
    kept = [at for at, column in enumerate(table.columns) if column.name not in gone]
    assert 0 in kept
    seen = sorted(re.sub(r"\s", "", "".join(text.splitlines()[3:])))
    wanted = "".join(row[at] for row in table.shown() for at in kept)
    assert seen == sorted(re.sub(r"\s", "", wanted))


@given(tables())
def test_without_a_terminal_every_column_is_there(table: Table) -> None:
    assert draw(table, Page())[1] == []


def test_a_column_that_has_no_room_is_named_once() -> None:
    columns = (Column("layer"), *(Column(f"column{i}", COUNT) for i in range(9)))
    table = Table("t", columns, (("a", *range(9)),))
    shown = FORMS["table"](Answer({}, [table, table]), Request(page=Page(60)))
    assert shown.count("column8") == 1
    assert "Left out at this width: column" in shown
    assert "column8" in FORMS["table"](Answer({}, [table]), Request(page=Page(200)))


def test_blocks_that_repeat_stand_once_unless_all_is_asked_for() -> None:
    rows = [("stem", 1), *[(f"block{i}.{part}", n) for i in range(4) for part, n in (("a", 2), ("b", 3))]]
    answer = Answer({}, [Table("t", (Column("layer"), Column("cycles", COUNT)), tuple(rows), folds=True)])
    shown = FORMS["table"](answer, Request())
    assert re.search(r"block0\.a +4 +2\n", shown)
    assert "block1.a" not in shown
    assert "--all" in shown
    whole = FORMS["table"](answer, Request(whole=True))
    assert re.search(r"block3\.b +3\n", whole)
    assert "times" not in whole
    assert len(FORMS["csv"](answer, Request()).splitlines()) == 1 + len(rows)


def test_csv_has_raw_values_and_units() -> None:
    table = Table("t", (Column("part"), Column("energy", ENERGY)), (("a, b", 1.5e12), ("c", None)))
    found = list(csv.reader(io.StringIO(FORMS["csv"](Answer({}, [table]), Request()))))
    assert found == [["part", "energy_pj"], ["a, b", "1500000000000.0"], ["c", ""]]
    assert "1.5 J" in FORMS["table"](Answer({}, [table]), Request())
    assert "unknown" in FORMS["table"](Answer({}, [table]), Request())


def test_csv_of_an_answer_without_tables_has_its_figures() -> None:
    answer = Answer({"verb": "compress", "bits": 1.5, "tensors": [{"name": "a"}]})
    assert FORMS["csv"](answer, Request()) == "verb,bits\ncompress,1.5\n"
    assert FORMS["table"](answer, Request()) == ""
    with pytest.raises(InputError, match="leave the option out"):
        FORMS["csv"](answer, Request(only="sums"))


def test_markdown_and_latex_escape() -> None:
    answer = Answer({}, [Table("t_1", (Column("a|b"), Column("n", COUNT)), (("x_y & 50 %", 7),))], ["note"])
    assert FORMS["markdown"](answer, Request()) == (
        "**t\\_1**\n\n| a\\|b | n |\n|---|---:|\n| x\\_y & 50 % | 7 |\n\nnote\n"
    )
    latex = FORMS["latex"](answer, Request())
    assert r"x\_y \& 50 \% & 7 \\" in latex
    assert r"\begin{tabular}{lr}" in latex


def test_one_table_by_name_and_an_unknown_one() -> None:
    tables = [
        record("Sums", {Column("cycles", COUNT): 3}, "sums"),
        Table("u", (Column("x"),), (("y",),), "u"),
    ]
    answer = Answer({"cycles": 3}, tables, ["a note"])
    assert FORMS["csv"](answer, Request(only="u")) == "x\ny\n"
    assert "a note" not in FORMS["table"](answer, Request(only="u"))
    with pytest.raises(InputError, match="'sums'"):
        FORMS["table"](answer, Request(only="sum"))
    assert json.loads(FORMS["json"](answer, Request(only="u"))) == {"cycles": 3}


def test_a_record_reads_from_top_to_bottom_and_runs_beside_one_another() -> None:
    one = record("", {Column("cycles", COUNT): 3, Column("energy", ENERGY): 2.0})
    assert [line.split() for line in draw(one, Page())[0].splitlines()[2:]] == [
        ["cycles", "3"],
        ["energy", "2", "pJ"],
    ]
    columns = (Column("run"), Column("cycles", COUNT), Column("note", TEXT))
    two = Table("", columns, (("a", 3, "x"), ("b", Quantity(0.5, ENERGY), "y")), upright=True)
    lines = [line.split() for line in draw(two, Page())[0].splitlines()]
    assert lines[1:2] + lines[3:] == [["a", "b"], ["cycles", "3", "500", "fJ"], ["note", "x", "y"]]
    narrow = [line.split() for line in draw(two, Page(18))[0].splitlines()]
    assert narrow[1][:2] == ["run", "cycles"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1e9, "Hz", "1 GHz"),
        (21.2e3, "J", "21.2 kJ"),
        (999_999, "B", "1 MB"),
        (0, "J", "0 J"),
        (3e-16, "J", "0.3 fJ"),
    ],
)
def test_units(value: float, unit: str, text: str) -> None:
    assert engineering(value, unit) == text
    assert engineering(-value, unit) == (f"-{text}" if value else text)
