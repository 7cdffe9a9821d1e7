"""Tables of raw values; each column says what its values are, and `codeword.rendering` writes them in any form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim.shown import folded

_PREFIXES = [(10.0 ** (3 * (5 - place)), prefix) for place, prefix in enumerate("PTGMk munpf")]
EXACT = 10**7
"""Counts below it are written digit by digit, others with a prefix."""
UNKNOWN = "unknown"


def engineering(value: float | None, unit: str, digits: int = 3) -> str:
    """Significant digits and an SI prefix: 21.2 kJ."""
    if value is None:
        return UNKNOWN
    value = float(f"{value:.{digits}g}")  # 999,999 is 1 M and not 1e+03 k
    scale, prefix = next(
        ((s, p) for s, p in _PREFIXES if abs(value) >= s), _PREFIXES[-1] if value else (1.0, "")
    )
    return f"{value / scale:.{digits}g} {prefix.strip()}{unit}".strip()


def number(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def share(part: float | None, whole: float | None) -> str:
    """Percent of a total, or nothing where one is not known."""
    return "" if part is None or not whole else f"{part / whole:.1%}"


def joule(pj: float | None) -> str:
    return engineering(None if pj is None else pj * 1e-12, "J")


def count(value: float | None) -> str:
    """Exact, or from ten millions on with four digits and a prefix."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) < EXACT else engineering(value, "", 4)


@dataclass(frozen=True)
class Kind:
    """What the values of a column are.

    Attributes:
        show: a value as people read it; the raw one is in `unit`.
        unit: of the raw value, as the head of a column of a CSV file ends; "" where it has none.
        numeric: set to the right.
        prose: whole sentences, which may break anywhere.
    """

    show: Callable[[Any], str] = str
    unit: str = ""
    numeric: bool = True
    prose: bool = False


TEXT = Kind(numeric=False)
PROSE = Kind(numeric=False, prose=True)
PLAIN = Kind()
COUNT = Kind(count)
RATIO = Kind(number)
ENERGY = Kind(joule, "pj")
AREA = Kind(lambda mm2: number(mm2, 3) + ("" if mm2 is None else " mm2"), "mm2")
TIME = Kind(lambda s: engineering(s, "s"), "s")
FREQUENCY = Kind(lambda hz: engineering(hz, "Hz"), "hz")
RATE = Kind(lambda tops: number(tops, 3))
SHARE = Kind(lambda part: "" if part is None else f"{part:.1%}")


@dataclass(frozen=True)
class Quantity:
    """A cell that is of another kind than its column."""

    value: Any
    kind: Kind


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind = TEXT

    @property
    def head(self) -> str:
        """In a CSV file: words joined, and the unit behind them."""
        name = self.name.lower().replace(" ", "_")
        return name if not self.kind.unit or name.endswith(self.kind.unit) else f"{name}_{self.kind.unit}"


@dataclass(frozen=True)
class Table:
    """Rows of cells, one a column.

    Attributes:
        name: by which `--only` finds it.
        upright: each row is a column of what people read, if that is not too wide.
        folds: rows that repeat in blocks are shown once; the first cell is a row's name.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    name: str = ""
    upright: bool = False
    folds: bool = False

    def shown(self) -> list[tuple[str, ...]]:
        """Cells as people read them."""
        return [
            tuple(_shown(cell, c) for cell, c in zip(row, self.columns, strict=True)) for row in self.rows
        ]

    def raw(self) -> list[tuple[Any, ...]]:
        return [
            tuple(cell.value if isinstance(cell, Quantity) else cell for cell in row) for row in self.rows
        ]

    def filled(self) -> Table:
        """Without columns in which nobody reads anything."""
        rows = self.shown()
        kept = [at for at in range(len(self.columns)) if not rows or any(row[at] for row in rows)]
        cells = tuple(tuple(row[at] for at in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[at] for at in kept), rows=cells)

    def once(self) -> Table:
        """Blocks of rows that repeat, told apart by their names alone, once, and how often."""
        runs = folded([row[1:] for row in self.rows]) if self.folds else []
        if all(run.times == 1 for run in runs):
            return self
        rows = [
            (row[0], run.times, *row[1:])
            for run in runs
            for row in self.rows[run.first : run.first + run.length]
        ]
        columns = (self.columns[0], Column("times", COUNT), *self.columns[1:])
        return replace(self, columns=columns, rows=tuple(rows))


def _shown(cell: Any, column: Column) -> str:
    kind, value = (cell.kind, cell.value) if isinstance(cell, Quantity) else (column.kind, cell)
    return "" if value == "" else kind.show(value)


@dataclass(frozen=True)
class Answer:
    """What a verb found, for people and for programs.

    Attributes:
        fields: of the JSON.
        tables: the sums first.
        notes: lines behind the tables.
        data: what a CSV file holds; None for the first of the tables.
        ok: False where a check failed: exit status 1.
    """

    fields: Mapping[str, Any]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    data: Table | None = None
    ok: bool = True


def table(title: str, columns: Sequence[str | Column], rows: Sequence[Sequence[Any]], text: int = 1) -> Table:
    """A table whose columns that are named by a word alone hold texts: the first `text` of them to the left."""
    made = [
        column if isinstance(column, Column) else Column(column, TEXT if number < text else PLAIN)
        for number, column in enumerate(columns)
    ]
    return Table(title, tuple(made), tuple(map(tuple, rows)))


def record(title: str, values: Mapping[Column, Any], name: str = "") -> Table:
    """One row, which people read from top to bottom."""
    return Table(title, tuple(values), (tuple(values.values()),), name, upright=True)
