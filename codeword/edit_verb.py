"""`codeword edit`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from codeword import api, inputs, outputs
from codeword.tables import Answer
from sim.saved import document


def edit(
    clip: Annotated[
        str,
        typer.Argument(
            metavar="CLIP",
            help=".npy of bytes [frames, height, width, 3], or shapes:NUMBER, a made clip that --source describes",
        ),
    ],
    source: Annotated[str, typer.Option(help="what the clip shows: 'a red disc moves left over sand'")],
    target: Annotated[str, typer.Option(help="what it shall show: 'a blue disc moves left over sand'")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".npy or .gif of the edit; .png: frames, the source above")
    ],
    method: Annotated[str, typer.Option(help="dfvedit, freemask or sdedit")] = "dfvedit",
    words: Annotated[
        list[str],
        typer.Option(
            "--word", help="of --source, whose place is masked; by default those that change; repeatable"
        ),
    ] = [],  # noqa: B006
    mask: Annotated[
        Path | None, typer.Option(help=".npy of booleans [frames, height, width]: where the clip may change")
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="of the method, such as steps=20; repeatable"),
    ] = [],  # noqa: B006
    model: Annotated[
        str | None,
        typer.Option(help="dit or unet, which ship, or a folder of a Wan or CogVideoX pipeline of diffusers"),
    ] = None,
) -> Answer:
    """Edit a video by words: DFVEdit, FreeMask or SDEdit."""
    outputs.file(output, [".npy", ".gif", ".png"])
    with inputs.extra(), redirect_stdout(sys.stderr):
        found = api.edit(
            clip,
            source=source,
            target=target,
            method=method,
            words=words,
            mask=mask,
            settings=settings,
            model=model,
        )
        found.save(output)
    fields = {
        "method": method,
        "output": str(output),
        "settings": found.settings,
        "passes": found.passes,
        "wall_s": found.seconds,
    }
    chosen = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    line = f"{output}: {found.passes} evaluations in {found.seconds:.1f} s"
    return Answer(document("edit", fields), notes=[f"{method}: {chosen}", line])
