"""The verb `trace`: when each unit is at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codeword import inputs, outputs
from codeword.options import MOST, AcceleratorName, NetworkName, Objective, Settings
from codeword.tables import COUNT, SHARE, TEXT, Answer, Column, Table
from sim.errors import InputError
from sim.saved import document
from sim.trace import TRACKS, Span

if TYPE_CHECKING:
    from codeword.tracing import Traced

MOST_CYCLES = 10_000_000
"""Of a window: each is kept, and drawn."""
Window = Annotated[
    str | None, typer.Option(metavar="FIRST:END", help="cycles of the network to look at one by one")
]


def trace(
    network: NetworkName,
    accelerator: AcceleratorName,
    output: Annotated[
        list[Path],
        typer.Option(
            "--output",
            "-o",
            help="spans for ui.perfetto.dev (.json), or a row a layer as SCALE-Sim has it (.csv); repeatable",
        ),
    ],
    settings: Settings = [],  # noqa: B006
    source: Annotated[
        str, typer.Option("--from", help="engine, rtl (the Verilog, simulated), or both, which are compared")
    ] = "engine",
    window: Window = None,
    image: Annotated[
        Path | None, typer.Option("--input", help=".npy image, int8 or float [1, C, H, W]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="of a random image, without --input")] = 0,
    objective: Objective = "edp",
    simulator: Annotated[str, typer.Option(help="icarus, verilator or auto")] = "auto",
    rtl: Annotated[
        Path | None,
        typer.Option(
            help="trace this folder of `codeword verilog`, edited or not, instead of a fresh export"
        ),
    ] = None,
) -> Answer:
    """Write when each unit is at work: layers, DRAM, DMA, loader, array, storer, vector unit."""
    from codeword import tracing

    for path in output:
        outputs.file(path, tracing.FORMS)
    machine = inputs.accelerator(accelerator, settings)
    net = inputs.integer_network(network, machine)
    found = tracing.trace(
        net,
        machine,
        inputs.images(net, image, 1, seed)[:1],
        source=source,
        window=cycles(window),
        objective=objective,
        simulator=simulator,
        rtl_dir=rtl,
    )
    for path in output:
        found.write(path)
    return Answer(
        document("trace", found.to_json()), _tables(found), _notes(found, output), ok=found.difference is None
    )


def cycles(text: str | None) -> range:
    """Cycles from FIRST to before END; none of nothing."""
    if text is None:
        return range(0)
    first, _, end = text.partition(":")
    try:
        window = range(int(first or 0), int(end))
    except ValueError:
        raise InputError("--window", text, "is not FIRST:END", "write for example 0:2000") from None
    if not len(window) or window.start < 0:
        raise InputError("--window", text, "has no cycle", "write for example 0:2000")
    if len(window) > MOST_CYCLES:
        raise InputError("--window", text, f"has over {MOST_CYCLES:,} cycles", "look at fewer")
    return window


def _tables(found: Traced) -> list[Table]:
    rows = [
        (track, trace.source, len(trace.on(track)), trace.busy(track), trace.busy(track) / trace.cycles)
        for track in TRACKS
        for trace in found.traces
        if trace.on(track)
    ]
    columns = (
        Column("unit", TEXT),
        Column("from", TEXT),
        Column("spans", COUNT),
        Column("busy cycles", COUNT),
        Column("of all", SHARE),
    )
    return [Table("At work", columns, tuple(rows), "units")]


def _notes(found: Traced, output: list[Path]) -> list[str]:
    totals = ", ".join(f"{trace.source} {trace.cycles:,} cycles" for trace in found.traces)
    notes = [f"{found.network} on {found.accelerator.name}: {totals}; in {', '.join(map(str, output))}."]
    first = found.difference
    if first is not None:
        notes.append(
            f"DIFFERENT from cycle {first.cycle:,} on, {first.track}: engine {_said(first.expected)}, "
            f"RTL {_said(first.found)}."
        )
    elif len(found.traces) > 1:
        notes.append(f"Engine and RTL: the same {len(found.traces[0].spans):,} spans.")
    return notes


def _said(span: Span | None) -> str:
    return "nothing" if span is None else f"{span.name}, cycles {span.begin:,} to {span.end:,}"
