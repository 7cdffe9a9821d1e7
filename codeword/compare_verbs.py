"""`codeword compare` and `codeword diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeword import api
from codeword.options import Dram, Objective, Settings, TechnologyName
from codeword.tables import (
    AREA,
    COUNT,
    ENERGY,
    FREQUENCY,
    PLAIN,
    SHARE,
    TIME,
    Answer,
    Column,
    Kind,
    Quantity,
    Table,
)

if TYPE_CHECKING:
    from sim.saved import Change

_BY = Kind(lambda part: "" if part is None else f"{part:+.1%}")
_FLOAT = Kind(lambda value: f"{value:.4g}")
TITLES = {"": "Sums", "stall_cycles": "Cycles by cause", "energy_pj": "Energy", "area_mm2": "Area"}
"""Of groups of figures; others are called as the field is."""
MOST = 20
"""Layers' figures that `diff` shows without `--all`, those that changed most."""


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK|RESULT...", help="networks by name or file, and .json files of results"
        ),
    ],
    accelerators: Annotated[
        list[str],
        typer.Option(
            "--accelerator", "-a", help="preset or TOML file; repeatable: each network runs on each"
        ),
    ] = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    technology: TechnologyName = None,
    dram: Dram = None,
    objective: Objective = "edp",
) -> Answer:
    """Accelerators, networks and results side by side: sums, and differences by cause and component."""
    from codeword import priced

    found = api.compare(
        runs, accelerators, settings=settings, technology=technology, dram=dram, objective=objective
    )
    fields = {name: run.to_json() for name, run in found.runs.items()}
    return Answer(found.document(), priced.comparison(fields), (), priced.flat(fields))


def diff(
    before: Annotated[Path, typer.Argument(help=".json file of a result")],
    after: Annotated[Path, typer.Argument(help="another, of the same verb")],
    whole: bool = False,
) -> Answer:
    """Every figure in which two results differ, sums first, by cause, component and layer."""
    from sim.saved import document

    changes = api.diff(before, after)
    fields = document(
        "diff", {"before": str(before), "after": str(after), "changes": list(map(change_json, changes))}
    )
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.path[0] if len(change.path) > 1 else "", []).append(change)
    layers = groups.pop("layers", [])
    shown = sorted(layers, key=_weight) if whole else sorted(layers, key=_weight)[:MOST]
    tables = [_table(TITLES.get(field, field), group) for field, group in groups.items()]
    tables.sort(key=lambda table: table.title != TITLES[""])
    tables += [_table("Layers", shown)] if shown else []
    notes = [] if changes else ["The two are equal in every figure."]
    if len(shown) < len(layers):
        notes.append(
            f"{len(layers) - len(shown):,} more figures of layers differ, by less; --all shows them."
        )
    return Answer(fields, tables, notes, _table("", changes))


def change_json(change: Change) -> dict[str, Any]:
    return {"path": list(change.path), "before": change.before, "after": change.after}


def _weight(change: Change) -> float:
    """Negative of the change by its size before: what sorts first changed most; texts come first of all."""
    if change.difference is None:
        return float("-inf")
    return -abs(change.difference) / abs(change.before or change.after or 1)


def _table(title: str, changes: list[Change]) -> Table:
    """Changes of one group, by the rest of their names; all changes by their full names where there is no title."""
    rows = []
    for change in changes:
        kind = _kind(change)
        cells = (
            Quantity(value, kind) if value is not None else "" for value in (change.before, change.after)
        )
        by = None if change.difference is None or not change.before else change.difference / change.before
        more = "" if change.difference is None else Quantity(change.difference, _signed(kind))
        path = change.path[1:] if title and len(change.path) > 1 else change.path
        rows.append((" ".join(path), *cells, more, by))
    columns = (
        Column("figure"),
        Column("before", PLAIN),
        Column("after", PLAIN),
        Column("difference", PLAIN),
        Column("by", _BY),
    )
    return Table(title, columns, tuple(rows), title.lower().replace(" ", "_"))


def _signed(kind: Kind) -> Kind:
    return Kind(lambda value: ("+" if value > 0 else "") + kind.show(value))


def _kind(change: Change) -> Kind:
    """By the unit that names end in, of the figure or of what it is part of."""
    if any(isinstance(v, str | bool) for v in (change.before, change.after)):
        return PLAIN
    for ending, kind in (("_pj", ENERGY), ("_mm2", AREA), ("_s", TIME), ("_hz", FREQUENCY)):
        if any(name.endswith(ending) for name in change.path):
            return kind
    if change.path[-1] in ("utilization", "mapping_gap"):
        return SHARE
    return COUNT if isinstance(change.before or change.after or 0, int) else _FLOAT
