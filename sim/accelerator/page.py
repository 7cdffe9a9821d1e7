"""The page of accelerator fields, from the descriptions themselves."""

from __future__ import annotations

from typing import Annotated, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from sim.accelerator import preset
from sim.machine import KINDS, Machine, machine

_HEAD = """# Accelerators

An accelerator is a preset, or a TOML file that names one as `base` and gives what differs:

    base = "ews-cms-64"
    l1_bytes = 524288
    dram_bits = 128

`--set field=value` does the same for one run. A preset is a family and a size, `ews-cms-64` or `ews-16x32` (H x L, 4 to
256 each; Verilog up to 64, beyond which memories grow with the PEs and buses with the side). This page is printed by
`python -m sim.accelerator` from the descriptions in `sim/accelerator`; a field whose description ends in *assumed* is
our choice, since nobody published it.
"""

_SHOWN = 64
"""Size of the presets that the page compares, the largest published one, of machines that come so large."""


def page() -> str:
    """Markdown: what a description of each kind holds, field by field, and what its families change."""
    return "\n".join([_HEAD, *(part for kind in KINDS for part in _kind(machine(kind)))]) + "\n"


def _kind(of: Machine) -> list[str]:
    size = min(_SHOWN, of.sizes[1])
    presets = [f"{family}-{size}" for family in of.families]
    fields: dict[str, FieldInfo] = of.description.model_fields
    return [
        f"## Kind `{of.kind}`\n",
        "| field | legal | default | what |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | {_legal(field)} | {_value(field.get_default())} | {field.description or ''} |"
            for name, field in fields.items()
            if name != "kind"
        ),
        f"\nWhat the presets of size {size} set otherwise than these defaults:\n",
        "| preset | fields |",
        "|---|---|",
        *(f"| `{name}` | {_differences(name, fields)} |" for name in presets),
    ]


def _differences(chosen: str, fields: dict[str, FieldInfo]) -> str:
    found = preset(chosen)
    return ", ".join(
        f"`{name}` = {_value(getattr(found, name))}"
        for name, field in fields.items()
        if name not in ("name", "kind") and getattr(found, name) != field.get_default()
    )


def _legal(field: FieldInfo) -> str:
    """Choices of a literal, or type and bounds."""
    types = get_args(field.annotation)
    if types and all(isinstance(choice, str | int) for choice in types):
        return ", ".join(_value(choice) for choice in types)
    if type(None) in types:
        (inner,) = (one for one in types if one is not type(None))
        return f"{_type(inner)}{_bounds(field)}, or none"
    return _type(field.annotation) + _bounds(field)


def _type(of: object) -> str:
    """In words; of a tuple, how many of what."""
    parts = get_args(of)
    if get_origin(of) is Annotated:
        return _type(parts[0])
    if parts:
        return f"{len(parts)} x {_type(parts[0])}"
    return {int: "integer", float: "number", str: "text", bool: "true, false"}[of]  # type: ignore[index]


def _bounds(field: FieldInfo) -> str:
    low = next((limit.ge for limit in field.metadata if isinstance(limit, annotated_types.Ge)), None)
    high = next((limit.le for limit in field.metadata if isinstance(limit, annotated_types.Le)), None)
    above = next((limit.gt for limit in field.metadata if isinstance(limit, annotated_types.Gt)), None)
    if low is not None and high is not None:
        return f" {low} to {high}"
    return f" >= {low}" if low is not None else f" > {above}" if above is not None else ""


def _value(value: object) -> str:
    """As TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or "Undefined" in str(value) else str(value)
