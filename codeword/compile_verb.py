"""`codeword compile`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from codeword import api, inputs, outputs
from codeword.options import MOST, AcceleratorName, L2HoldsAll, NetworkName, Objective, Settings, address
from codeword.tables import Answer
from sim.saved import document


def compile_(
    network: NetworkName,
    accelerator: AcceleratorName,
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory to write")],
    settings: Settings = [],  # noqa: B006
    source: Annotated[
        Path | None,
        typer.Option("--input", help=".npy image, int8 or float [1, C, H, W], to put into the memory"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="of a random image, without --input")] = 0,
    objective: Objective = "edp",
    l2_holds_all: L2HoldsAll = False,
    base: Annotated[
        str, typer.Option(help="address of the memory image in the system, a multiple of 4096; 0x... too")
    ] = "0",
    soc: Annotated[
        bool, typer.Option("--soc", help="a RISC-V system with its firmware too; takes --base 0x80000000")
    ] = False,
    step: Annotated[
        int, typer.Option(min=0, help="of a network file of several, whose registers and output are written")
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="replace files that were edited since the last time")
    ] = False,
) -> Answer:
    """Write a network's memory image, registers, layout and expected output, and a test bench that runs it."""
    outputs.folder(directory)
    machine = inputs.accelerator(accelerator, settings)
    steps = inputs.time_steps(network, machine)
    image = inputs.images(inputs.chosen_step(steps, step), source, 1, seed)
    written = api.compile(
        steps,
        machine,
        directory,
        image=image[:1],
        objective=objective,
        l2_holds_all=l2_holds_all,
        base=address("--base", base),
        soc=soc,
        force=force,
        step=step,
    )
    fields = document("compile", {"directory": str(directory)} | asdict(written))
    line = (
        f"{len(written.files)} files in {directory}: {written.memory_bytes:,} bytes of memory, output "
        f"{written.output}, {written.cycles:,} cycles; testbench.v runs them"
    )
    return Answer(fields, notes=[*written.warnings, line])
