"""The page of accelerator fields, from the descriptions themselves."""

from __future__ import annotations

from dataclasses import dataclass
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

`--set field=value` does the same for one run. A preset is a family and a size, `ews-cms-64` or `ews-16x32` (H x L;
Verilog up to 64, beyond which memories grow with the PEs and buses with the side). This page is printed by `python -m
sim.accelerator` from the descriptions; a field whose description ends in *assumed* is our choice, since nobody
published it.
"""

_SHOWN = 64
"""Size of the presets that the page compares, the largest published one, of machines that come so large."""


@dataclass(frozen=True)
class Field:
    """A field of the descriptions of a kind, in words; `default` as TOML writes it, "" where there is none."""

    kind: str
    name: str
    legal: str
    default: str
    what: str


def fields() -> list[Field]:
    """What descriptions hold, kind by kind."""
    return [field for kind in KINDS for field in _fields(machine(kind))]


def _fields(of: Machine) -> list[Field]:
    described: dict[str, FieldInfo] = of.description.model_fields
    return [
        Field(of.kind, name, _legal(field), _value(field.get_default()), field.description or "")
        for name, field in described.items()
        if name != "kind"
    ]


def page() -> str:
    """Markdown: what a description of each kind holds, field by field, and what its families change."""
    return "\n".join([_HEAD, *("\n".join((*_kind(machine(kind)), "")) for kind in KINDS)])


def _kind(of: Machine) -> list[str]:
    size, (least, most) = min(_SHOWN, of.sizes[1]), of.sizes
    presets = [f"{family}-{size}" for family in of.families]
    return [
        f"## Kind `{of.kind}`\n",
        f"Presets from {least} to {most} rows and columns.\n",
        "| field | legal | default | what |",
        "|---|---|---|---|",
        *(f"| `{field.name}` | {field.legal} | {field.default} | {field.what} |" for field in _fields(of)),
        f"\nWhat the presets of size {size} set otherwise than these defaults:\n",
        "| preset | fields |",
        "|---|---|",
        *(f"| `{name}` | {', '.join(_differences(name))} |" for name in presets),
    ]


def _differences(chosen: str) -> list[str]:
    found = preset(chosen)
    described: dict[str, FieldInfo] = type(found).model_fields
    return [
        f"`{name}` = {_value(getattr(found, name))}"
        for name, field in described.items()
        if name not in ("name", "kind") and getattr(found, name) != field.get_default()
    ]


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
