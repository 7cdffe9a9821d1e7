"""The verb `sweep`: many designs at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codeword import api
from codeword.options import MOST
from codeword.tables import Answer, Column, Kind, Table, engineering
from sim.saved import document

if TYPE_CHECKING:
    from codeword.sweeping import Sweep

SHOWN_REASONS = 5
"""Of refusals, the most frequent."""


def sweep(
    space: Annotated[
        Path, typer.Argument(metavar="SPACE.toml", help="what may be chosen, and what a design is judged by")
    ],
    directory: Annotated[
        Path, typer.Option("--output", "-o", help="folder of the table, to which a later sweep adds")
    ],
    method: Annotated[
        str, typer.Option("--search", metavar="HOW", help="exhaustive, random, tpe or nsga2")
    ] = "exhaustive",
    evaluations: Annotated[
        int | None, typer.Option(help="designs to try at most; by default the whole space")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="of the choice of designs")] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, max=1024, help="of this machine; by default one a core")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="of a Dask scheduler, whose workers compute instead")
    ] = None,
) -> Answer:
    """Try many designs on some networks; a table of all of them, and the front of the best."""
    found = api.sweep(
        space,
        directory,
        method=method,
        evaluations=evaluations,
        seed=seed,
        processes=processes,
        scheduler=scheduler,
    )
    return Answer(document("sweep", found.to_json()), _front(found), _notes(found), ok=bool(found.front))


def _front(found: Sweep) -> list[Table]:
    if not found.front:
        return []
    varied = [dimension.name for dimension in found.space.varied]
    objectives = found.space.objectives
    rows = tuple(
        (*(row[name] for name in varied), *(row[one.name] for one in objectives))
        for row in found.front_rows()
    )
    columns = (*map(Column, varied), *(Column(one.name, _in(one.unit)) for one in objectives))
    title = f"Front: {len(rows)} of {int(found.feasible.sum()):,} designs that keep every constraint"
    return [Table(title, columns, rows, "front")]


def _in(unit: str) -> Kind:
    """Seconds and joules take a prefix, mm2 none."""
    if unit in ("s", "J"):
        return Kind(lambda value: engineering(value, unit))
    return Kind(lambda value: f"{value:,.4g} {unit}".strip())


def _notes(found: Sweep) -> list[str]:
    networks = len(found.space.networks)
    several = f" on {networks} networks (means: geometric)" if networks > 1 else ""
    notes = [
        f"{len(found.designs):,} of {found.space.size:,} designs{several}; {found.computed:,} rows computed, the "
        f"others were in {found.path}."
    ]
    if found.of_others:
        notes.append(
            f"{found.of_others:,} rows of another version of Codeword lie in the table and are not used."
        )
    for reason, count in list(found.refused.items())[:SHOWN_REASONS]:
        notes.append(f"{count:,} designs are refused: {reason}")
    if not found.front:
        notes.append("No design keeps every constraint. " + " ".join(_nearest(found)))
    return notes


def _nearest(found: Sweep) -> list[str]:
    """Of each constraint, how many designs keep it."""
    return [
        f"{one.text}: kept by {count:,}."
        for one, count in zip(found.space.constraints, found.keeping, strict=True)
    ]
