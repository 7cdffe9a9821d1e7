"""How networks and results show themselves in a notebook: a table of layers, blocks that repeat but once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from html import escape

LONGEST = 64
"""Layers of a block that is looked for."""


@dataclass(frozen=True)
class Run:
    """Rows `first` to `first + length - 1`, which follow one another `times` times in all."""

    first: int
    length: int
    times: int


def folded(keys: Sequence[Hashable]) -> list[Run]:
    """The rows by their keys, each block that repeats at once as one run; from the top, the block that
    leaves out most rows, the shortest one of equals."""
    runs: list[Run] = []
    at = 0
    while at < len(keys):
        best = Run(at, 1, 1)
        for length in range(1, min(LONGEST, (len(keys) - at) // 2) + 1):
            times = 1
            while keys[at : at + length] == keys[(start := at + times * length) : start + length]:
                times += 1
            if length * (times - 1) > best.length * (best.times - 1):
                best = Run(at, length, times)
        runs.append(best)
        at += best.length * best.times
    return runs


def html(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of rows whose first cell is a name; rows that agree in all others are the same."""
    body = []
    for run in folded([tuple(row[1:]) for row in rows]):
        if run.times > 1:
            body.append(
                f'<tr><td colspan="{len(columns)}"><i>{run.times} times, {run.length} rows each:</i></td></tr>'
            )
        body += [_row("td", row) for row in rows[run.first : run.first + run.length]]
    head = _row("th", columns)
    return f"<table><caption>{escape(title)}</caption><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(value)}</{cell}>" for value in values) + "</tr>"
