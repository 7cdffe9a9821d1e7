"""Published tables, and a cell of ours beside one of theirs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

Rows = dict[str, list[float | None]]


@dataclass(frozen=True)
class Table:
    """A published table or figure, as published.toml holds it."""

    source: str
    what: str
    columns: list[str]
    rows: dict[str, list[float]]
    chart: bool = False
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One published value and ours."""

    table: str
    row: str
    column: str
    published: float
    ours: float | None

    @property
    def deviation(self) -> float | None:
        """Ours over published, minus 1."""
        return None if self.ours is None else self.ours / self.published - 1


@cache
def published() -> dict[str, Table]:
    """All tables of published.toml, by key."""
    text = (Path(__file__).parent / "published.toml").read_text()
    return {key: Table(**fields) for key, fields in tomllib.loads(text).items()}


def cells(key: str, ours: Rows) -> list[Cell]:
    """The cells of a table, row by row.

    Args:
        ours: with the rows and columns of the published table, None where we have no figure.
    """
    table = published()[key]
    return [
        Cell(key, row, column, value, found)
        for row, values in table.rows.items()
        for column, value, found in zip(table.columns, values, ours[row], strict=True)
    ]


def spread(found: list[Cell]) -> tuple[float, float, int]:
    """Median and largest absolute deviation, and the number of cells off by more than 25 %."""
    off = [abs(cell.deviation) for cell in found if cell.deviation is not None]
    return median(off), max(off), sum(value > 0.25 for value in off)
