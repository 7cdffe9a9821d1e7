"""`codeword presets`, `networks`, `explain` and `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from codeword import api
from codeword.tables import COUNT, PROSE, Answer, Column, Kind, Table
from sim.saved import document

_BYTES = Kind(lambda n: f"{n / 1024:g} KB", "bytes")


def presets(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="of a preset or TOML file, to see every field")
    ] = "",
    size: Annotated[int, typer.Option(min=4, max=256, help="rows and columns of those that are listed")] = 64,
) -> Answer:
    """List the presets of accelerators, or every field of one."""
    if name:
        return _fields(name)
    from sim.machine import KINDS, machine

    listed = api.presets(size)
    columns = (
        Column("preset"),
        Column("flow"),
        Column("weights"),
        Column("tile"),
        Column("L1", _BYTES),
        Column("L2", _BYTES),
        Column("WRF", COUNT),
        Column("d", COUNT),
        Column("k", COUNT),
    )
    rows = []
    for label, found in listed.items():
        said = machine(found.kind).summary(found)
        rows.append((label, *(said.get(column.name, "") for column in columns[1:])))
    sizes = ", ".join(f"{kind} from {machine(kind).sizes[0]} to {machine(kind).sizes[1]}" for kind in KINDS)
    notes = [
        f"Any size, square or HxL: ews-16x32 ({sizes}); `codeword presets NAME` shows every field, "
        "`codeword explain FIELD` what it is."
    ]
    fields = {"presets": {label: found.model_dump() for label, found in listed.items()}}
    return Answer(document("presets", fields), [Table("Presets", columns, tuple(rows))], notes)


def _fields(name: str) -> Answer:
    from codeword import inputs
    from sim.accelerator.page import fields

    found = inputs.accelerator(name)
    values = found.model_dump()
    columns = (Column("field"), Column("value"), Column("default"), Column("what", PROSE))
    rows = []
    for field in fields():
        if field.kind == found.kind:
            value = values[field.name]
            rows.append((field.name, "" if value is None else str(value), field.default, field.what))
    return Answer(document("presets", {"presets": {name: values}}), [Table(found.name, columns, tuple(rows))])


def networks() -> Answer:
    """List the networks that have a name."""
    listed = api.networks()
    columns = (
        Column("network"),
        Column("layers", COUNT),
        Column("MACs", COUNT),
        Column("parameters", COUNT),
        Column("passes", COUNT),
        Column("values"),
        Column("also"),
    )
    rows = tuple(
        (
            one.name,
            one.layers,
            one.macs,
            "" if one.parameters is None else one.parameters,
            one.passes,
            "yes" if one.values else "",
            ", ".join(one.others),
        )
        for one in listed
    )
    notes = [
        "MACs of one evaluation; those with values can be simulated and verified, all estimated, as can .onnx, "
        ".safetensors and SCALE-Sim .csv files."
    ]
    fields = {"networks": [one.to_json() for one in listed]}
    return Answer(document("networks", fields), [Table("Networks", columns, rows)], notes)


def explain(
    word: Annotated[
        str, typer.Argument(metavar="WORD", help="a field, cause of cycles, component, memory or term")
    ],
) -> Answer:
    """Say what a word or figure means: definition, unit, formula, source."""
    found = api.explain(word)
    tables = []
    for entry in found:
        said = {"is": entry.meaning, "unit": entry.unit, "from": entry.source, "in general": entry.about}
        rows = tuple((head, text) for head, text in said.items() if text)
        title = f"{', '.join(entry.names)} ({entry.section})"
        tables.append(Table(title, (Column(""), Column("", PROSE)), rows))
    return Answer(
        document("explain", {"entries": [entry.to_json() for entry in found]}),
        tables,
        data=Table(
            word,
            tuple(map(Column, ("name", "section", "is", "unit", "from", "about"))),
            tuple(tuple(entry.to_json().values()) for entry in found),
        ),
    )


def doctor() -> Answer:
    """Say what is installed, which simulators run, and the command that mends what is missing."""
    health = api.doctor()
    columns = (Column("what"), Column("found"), Column("of"), Column("to mend"))
    rows = tuple((one.name, one.found or "missing", one.group, one.mend) for one in health.findings)
    missing = dict.fromkeys(one.mend for one in health.findings if one.missing)
    notes = ["Everything is there." if not missing else f"To have all: {'; '.join(missing)}."]
    fields = document("doctor", health.to_json())
    return Answer(fields, [Table("Installation", columns, rows)], notes, ok=health.well)
