"""The verb `page`: something to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codeword import api
from codeword.options import Dram, Objective, Settings, TechnologyName
from codeword.tables import Answer
from codeword.trace_verb import cycles
from sim.errors import InputError
from sim.saved import document


def page(
    path: Annotated[Path, typer.Option("--output", "-o", help="the .html file to write")],
    networks: Annotated[
        list[str], typer.Argument(metavar="[NETWORK]...", help="networks, each on every accelerator")
    ] = [],  # noqa: B006
    accelerators: Annotated[
        list[str],
        typer.Option("--accelerator", "-a", help="a preset such as ews-cms-64, or a TOML file; repeatable"),
    ] = [],  # noqa: B006
    swept: Annotated[
        Path | None,
        typer.Option("--sweep", metavar="SPACE.toml", help="show this sweep, from the table in --table"),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="folder that `codeword sweep` wrote")] = None,
    settings: Settings = [],  # noqa: B006
    technology: TechnologyName = None,
    dram: Dram = None,
    objective: Objective = "edp",
    window: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:END", help="show these cycles unit by unit, as the cycle engine runs an image"
        ),
    ] = None,
) -> Answer:
    """Write one HTML file with the figures of some designs, side by side, or of a sweep."""
    if swept is not None:
        if table is None or networks or accelerators:
            fix = "give --sweep SPACE.toml --table FOLDER and neither networks nor accelerators"
            raise InputError("--sweep", str(swept), "goes with --table alone", fix)
        if window is not None:
            raise InputError("--window", window, "is of a run, and a sweep runs none", "leave it out")
        made = api.page(api.sweep(swept, table), path)
    else:
        if not networks or not accelerators:
            raise InputError("page", networks, "has no design to show", "give NETWORK and -a ACCELERATOR")
        chosen = {"technology": technology, "dram": dram, "objective": objective, "settings": settings}
        found = [api.estimate(net, one, **chosen) for net in networks for one in accelerators]  # type: ignore[arg-type]
        cut = cycles(window)
        traces = [
            api.trace(net, one.accelerator, window=cut, objective=objective)
            for net, one in zip([net for net in networks for _ in accelerators], found, strict=True)
            if len(cut)
        ]
        made = api.page(found, path, traces=traces)
    return Answer(document("page", {"page": str(made), "bytes": made.stat().st_size}), notes=[f"{made}"])
