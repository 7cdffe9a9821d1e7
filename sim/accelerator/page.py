"""The page of accelerator fields, from the descriptions themselves."""

from __future__ import annotations

from typing import get_args

import annotated_types
from pydantic.fields import FieldInfo

from sim.accelerator import FAMILIES, Accelerator, preset

_SHOWN = 64
"""Size of the presets whose values the page shows."""

_HEAD = """# Accelerators

An accelerator is a preset, or a TOML file that names one as `base` and gives what differs:

    base = "ews-cms-64"
    l1_bytes = 524288
    dram_bits = 128

`--set field=value` does the same for one run. A preset is a family and a size, `ews-cms-64` or `ews-16x32` (H x L, 4 to
64 each). This page is printed by `python -m sim.accelerator` from the descriptions in `sim/accelerator`; a field whose
description ends in *assumed* is our choice, since nobody published it.
"""


def page() -> str:
    """Markdown: what a description holds, field by field, and what the families change."""
    fields = Accelerator.model_fields
    rows = [
        f"| `{name}` | {_legal(field)} | {_value(field.get_default())} | {field.description or ''} |"
        for name, field in fields.items()
        if name != "kind"
    ]
    parts = [
        _HEAD,
        f'## Fields of kind "{fields["kind"].default}"\n',
        "| field | legal | default | what |",
        "|---|---|---|---|",
        *rows,
        "",
        f"## Families\n\nWhat each preset of size {_SHOWN} sets otherwise than the defaults; sizes differ in what "
        "depends on rows and columns.\n",
        "| preset | fields |",
        "|---|---|",
        *(f"| `{family}-{_SHOWN}` | {_differences(family)} |" for family in FAMILIES),
    ]
    return "\n".join(parts) + "\n"


def _differences(family: str) -> str:
    found = preset(f"{family}-{_SHOWN}")
    return ", ".join(
        f"`{name}` = {_value(getattr(found, name))}"
        for name, field in Accelerator.model_fields.items()
        if name not in ("name", "kind") and getattr(found, name) != field.get_default()
    )


def _legal(field: FieldInfo) -> str:
    """Choices of a literal, or type and bounds."""
    choices = get_args(field.annotation)
    if choices and all(isinstance(choice, str | int) for choice in choices):
        return ", ".join(_value(choice) for choice in choices)
    kind = getattr(field.annotation, "__name__", None) if not choices else None
    name = {"int": "integer", "float": "number", "str": "text", "bool": "true, false"}.get(
        kind or "", str(field.annotation).replace("|", "or")
    )
    bounds = [text for limit in field.metadata if (text := _bound(limit))]
    return " ".join([name, *bounds])


def _bound(limit: object) -> str:
    if isinstance(limit, annotated_types.Ge):
        return f">= {limit.ge}"
    if isinstance(limit, annotated_types.Gt):
        return f"> {limit.gt}"
    if isinstance(limit, annotated_types.Le):
        return f"<= {limit.le}"
    return ""


def _value(value: object) -> str:
    """As TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None or "Undefined" in str(value) else str(value)
