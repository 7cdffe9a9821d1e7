"""One answer in every form: a table for people, CSV, Markdown, LaTeX, JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, chop_cells

from codeword.tables import TEXT, Answer, Column, Table
from sim.errors import InputError, nearest

ANYTHING = 120
"""Columns of prose where there is no terminal."""
NAMES = 24
"""Cells to which a column of names is folded before a column of figures is left out."""
WORDS = 30
"""Likewise of prose."""
GAP = 2


@dataclass(frozen=True)
class Page:
    """Where a table for people goes.

    Attributes:
        width: of the terminal, None where there is none: nothing is folded or left out, prose breaks at `ANYTHING`.
        bold: titles may be.
        line: below the heads.
    """

    width: int | None = None
    bold: bool = False
    line: str = "─"

    @classmethod
    def of_stdout(cls) -> Page:
        try:
            line = "─"
            line.encode(sys.stdout.encoding or "utf-8")  # none of a text in memory
        except UnicodeEncodeError:
            line = "-"
        if not sys.stdout.isatty():
            return cls(line=line)
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        return cls(shutil.get_terminal_size().columns, not plain, line)


@dataclass(frozen=True)
class Request:
    """What is to be seen of an answer.

    Attributes:
        whole: repeated blocks too.
        only: name of one table; "" for all.
    """

    whole: bool = False
    only: str = ""
    page: Page = Page()

    def tables(self, answer: Answer) -> list[Table]:
        """Those that were asked for, their repeated blocks once.

        Raises:
            InputError: there is no table of that name.
        """
        return [found if self.whole else found.once() for found in self._named(answer)]

    def _named(self, answer: Answer) -> Sequence[Table]:
        if not self.only:
            return answer.tables
        known = {found.name: found for found in answer.tables if found.name}
        if self.only not in known:
            fix = nearest(self.only, known) if known else "leave the option out"
            raise InputError("--only", self.only, "no such table", fix)
        return [known[self.only]]

    def single(self, answer: Answer) -> Table:
        """What a CSV file holds, all rows of it; of an answer without tables the figures of its JSON."""
        if not self.only and answer.data is not None:
            return answer.data
        if self.only or answer.tables:
            return self._named(answer)[0]
        plain = {name: value for name, value in answer.fields.items() if not isinstance(value, dict | list)}
        return Table("", tuple(map(Column, plain)), (tuple(plain.values()),))


def for_people(answer: Answer, request: Request) -> str:
    """Tables, then notes, the last of which says what is not seen."""
    tables, page, left = request.tables(answer), request.page, []
    parts = []
    for found in tables:
        drawn, gone = draw(found, page)
        parts.append(drawn)
        left += [name for name in gone if name not in left]
    notes = list(answer.notes) if not request.only else []
    unseen = []
    if any(column.name == "times" for found in tables for column in found.columns):
        unseen.append("blocks that repeat stand once, with how many times; --all shows every row")
    if left:
        unseen.append(f"left out at this width: {', '.join(left)}; --format csv has every column")
    if unseen:
        line = "; ".join(unseen)
        notes.append(f"{line[0].upper()}{line[1:]}.")
    text = "\n\n".join(parts)
    told = "".join(f"{line}\n" for note in notes for line in wrapped(note, page.width or 10**6))
    return text + ("\n" if text else "") + ("\n" if text and told else "") + told


def draw(found: Table, page: Page) -> tuple[str, list[str]]:
    """A table as text, and the names of columns for which there was no room."""
    found = found.filled()
    across = _Grid(found.columns, found.shown())
    upright = _upright(found)
    grid = upright if found.upright and upright.natural <= (page.width or 10**6) else across
    kept, widths = grid.fit(page.width)
    lines = [
        f"\x1b[1m{line}\x1b[0m" if page.bold else line for line in wrapped(found.title, page.width or 10**6)
    ]
    heads = [grid.columns[at].name for at in kept]
    if any(heads):
        lines += _row(heads, [grid.columns[at] for at in kept], widths)
    lines.append("  " + page.line * (sum(widths) + GAP * (len(widths) - 1)))
    for row in grid.rows:
        lines += _row([row[at] for at in kept], [grid.columns[at] for at in kept], widths)
    gone = [column.name for at, column in enumerate(grid.columns) if at not in kept]
    return "\n".join(line.rstrip() for line in lines), gone


def _upright(found: Table) -> _Grid:
    names = [row[0] for row in found.shown()] if len(found.rows) > 1 else [""]
    columns = (Column(""), *(Column(name, found.columns[-1].kind) for name in names))
    first = 1 if len(found.rows) > 1 else 0
    by_column = zip(*found.shown(), strict=True) if found.rows else ()
    rows = [(column.name, *cells) for column, cells in zip(found.columns, by_column, strict=False)]
    numeric = tuple(replace(column, kind=replace(TEXT, numeric=True)) for column in columns[1:])
    return _Grid((columns[0], *numeric), rows[first:])


class _Grid:
    """Cells of text in columns that know how wide they would be."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        self.columns, self.rows = columns, rows
        self.widths = [
            max(cell_len(cell) for cell in (column.name, *(row[at] for row in rows)))
            for at, column in enumerate(columns)
        ]
        self.natural = _total(self.widths)

    def fit(self, width: int | None) -> tuple[list[int], list[int]]:
        """Numbers of the columns that have room, and how wide each is: prose gives way first, then names."""
        kept, widths = list(range(len(self.columns))), list(self.widths)
        room = width or max(ANYTHING, self._without_prose())
        for at, column in enumerate(self.columns):
            if column.kind.prose:
                widths[at] -= min(max(0, _total(widths) - room), max(0, widths[at] - WORDS))
        if not self.columns[0].kind.numeric:
            widths[0] -= min(max(0, _total(widths) - room), max(0, widths[0] - NAMES))
        while len(kept) > 1 and _total([widths[at] for at in kept]) > room:
            prose = [at for at in kept[1:] if self.columns[at].kind.prose]
            kept.remove((prose or kept)[-1])
        if not self.columns[0].kind.numeric:  # what a column that is gone leaves, names may take
            spare = room - _total([widths[at] for at in kept])
            widths[0] = max(1, min(self.widths[0], widths[0] + spare))
        return kept, [widths[at] for at in kept]

    def _without_prose(self) -> int:
        """A page that has no width takes all other columns."""
        return _total(
            [min(w, WORDS) if c.kind.prose else w for w, c in zip(self.widths, self.columns, strict=True)]
        )


def _total(widths: Sequence[int]) -> int:
    return 2 + sum(widths) + GAP * (len(widths) - 1)


def _row(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    """A row's lines; what is wider than its column goes on below."""
    split = [
        wrapped(cell, width) if column.kind.prose else _chopped(cell, width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    lines = []
    for number in range(max(map(len, split))):
        parts = [part[number] if number < len(part) else "" for part in split]
        padded = [
            " " * (width - cell_len(part)) + part
            if column.kind.numeric
            else part + " " * (width - cell_len(part))
            for part, column, width in zip(parts, columns, widths, strict=True)
        ]
        lines.append("  " + (" " * GAP).join(padded))
    return lines


def _chopped(text: str, width: int) -> list[str]:
    return [text] if cell_len(text) <= width else chop_cells(text, width)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words; a word that is wider than a line is split."""
    lines = []
    for line in text.split("\n"):
        found = ""
        for word in line.split(" "):
            if found and cell_len(found) + 1 + cell_len(word) > width:
                lines.append(found)
                found = word
            else:
                found = f"{found} {word}" if found else word
            while cell_len(found) > width:
                first, *_ = chop_cells(found, width)
                lines.append(first)
                found = found[len(first) :]
        lines.append(found)
    return lines


def as_csv(answer: Answer, request: Request) -> str:
    """One table, raw values; None is an empty field."""
    found, text = request.single(answer), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.head for column in found.columns])
    writer.writerows(found.raw())
    return text.getvalue()


def as_markdown(answer: Answer, request: Request) -> str:
    parts = []
    for found in request.tables(answer):
        lines = [_piped(column.name for column in found.columns)]
        lines.append("|" + "|".join("---:" if c.kind.numeric else "---" for c in found.columns) + "|")
        lines += [_piped(row) for row in found.shown()]
        parts.append(f"**{_marked(found.title)}**\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, *(() if request.only else map(_marked, answer.notes))]) + "\n"


def _piped(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_marked, cells)) + " |"


def _marked(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\|*_`<[" else c for c in text).replace("\n", " ")


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "\n": " "}


def as_latex(answer: Answer, request: Request) -> str:
    """Tables of the package booktabs; notes are comments."""
    parts = []
    for found in request.tables(answer):
        form = "".join("r" if column.kind.numeric else "l" for column in found.columns)
        rows = [tuple(column.name for column in found.columns), *found.shown()]
        head, *body = [" & ".join(map(_typeset, row)) + r" \\" for row in rows]
        lines = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", head, r"\midrule", *body]
        parts.append("\n".join([f"% {_typeset(found.title)}", *lines, r"\bottomrule", r"\end{tabular}"]))
    notes = [] if request.only else [f"% {line}" for note in answer.notes for line in note.split("\n")]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _typeset(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def as_json(answer: Answer, request: Request) -> str:
    """One line, the same whatever else is asked for."""
    return json.dumps(answer.fields, allow_nan=False) + "\n"


Form = Callable[[Answer, Request], str]
FORMS: dict[str, Form] = {
    "table": for_people,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}
SUFFIXES = {".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex"}
"""How a file of figures ends, and its form."""


def show(*parts: Table | str) -> None:
    """Prints tables and lines for people."""
    page = Page.of_stdout()
    for part in parts:
        print(part if isinstance(part, str) else draw(part, page)[0] + "\n")
