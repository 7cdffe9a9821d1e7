"""Descriptions of accelerators: presets by name, TOML files, plain fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError, nearest
from sim.files import read_toml
from sim.machine import KINDS, Machine, machine

__all__ = ["Accelerator", "build", "families", "load", "preset"]


def families() -> dict[str, Machine]:
    """Every family of presets, by name, and the kind of machine that it belongs to."""
    return {family: found for found in map(machine, KINDS) for family in found.families}


def preset(name: str) -> Accelerator:
    """`FAMILY-S` or `FAMILY-HxL`, any size of the family's kind.

    Raises:
        InputError: unknown family (with the nearest name) or a size out of range.
    """
    match = re.fullmatch(r"(.+)-([0-9]{1,9})(?:x([0-9]{1,9}))?", name)
    family, known = match.group(1) if match else name, families()
    if family not in known:
        raise InputError(
            "accelerator",
            name,
            "no such preset",
            nearest(family, known) + ", followed by a size: for example ews-cms-64",
        )
    if match is None:
        raise InputError("accelerator", name, "size missing", f"write {name}-64")
    rows, columns = int(match.group(2)), int(match.group(3) or match.group(2))
    least, most = known[family].sizes
    for field, value in (("rows", rows), ("columns", columns)):
        if not least <= value <= most:
            raise InputError(
                field, value, f"presets go from {least} to {most}", "choose a size in that range"
            )
    return build({"name": name, "kind": known[family].kind} | known[family].families[family](rows, columns))


def load(source: str | Path, overrides: Mapping[str, object] | None = None) -> Accelerator:
    """A preset name or a TOML file, with single fields replaced.

    A TOML file may name a preset as `base` and give only what differs.

    Raises:
        InputError: unknown preset or field, or a value out of range.
    """
    path = Path(source)
    if path.suffix == ".toml":
        fields = read_toml(path, "accelerator")
        base = fields.pop("base", None)
        if base is not None and not isinstance(base, str):
            raise InputError(f"{path.name}: base", base, "is no name", 'name a preset: base = "ews-cms-64"')
        try:
            start = {} if base is None else preset(base).model_dump()
            return build(start | {"name": path.stem} | fields | dict(overrides or {}))
        except InputError as error:
            raise error if error.field in (overrides or {}) else error.within(f"{path.name}: ") from None
    return build(preset(str(source)).model_dump() | dict(overrides or {}))


def build(fields: Mapping[str, object]) -> Accelerator:
    """An accelerator from plain fields, of the kind that `kind` says; without it, the first of `KINDS`.

    Raises:
        InputError: an unknown kind or field, or a value out of range.
    """
    description = machine(str(fields.get("kind", next(iter(KINDS))))).description
    try:
        found: Accelerator = description(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        field = ".".join(str(part) for part in first["loc"]) or "accelerator"
        top, known = str(next(iter(first["loc"]), "")), description.model_fields
        fix = (
            nearest(field, known)
            if top not in known
            else f"give a legal value; {top} is: {known[top].description}"
        )
        raise InputError(field, first.get("input"), first["msg"], fix) from None
    return found
