"""Descriptions of accelerators: presets by name, TOML files, plain fields."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sim.accelerator.systolic import FAMILIES, Accelerator, base
from sim.errors import InputError, nearest

__all__ = ["FAMILIES", "Accelerator", "build", "load", "preset"]


def preset(name: str) -> Accelerator:
    """`FAMILY-S` or `FAMILY-HxL`, any size from 4 to 64.

    Raises:
        InputError: unknown family (with the nearest name) or a size out of range.
    """
    match = re.fullmatch(r"(.+)-(\d+)(?:x(\d+))?", name)
    family = match.group(1) if match else name
    if family not in FAMILIES:
        raise InputError(
            "accelerator",
            name,
            "no such preset",
            nearest(family, FAMILIES) + ", followed by a size: for example ews-cms-64",
        )
    if match is None:
        raise InputError("accelerator", name, "size missing", f"write {name}-64")
    rows, columns = int(match.group(2)), int(match.group(3) or match.group(2))
    for field, value in (("rows", rows), ("columns", columns)):
        if not 4 <= value <= 64:
            raise InputError(field, value, "presets go from 4 to 64", "choose a size in that range")
    return build({"name": name} | base(rows, columns) | FAMILIES[family](columns))


def load(source: str | Path, overrides: Mapping[str, object] | None = None) -> Accelerator:
    """A preset name or a TOML file, with single fields replaced.

    A TOML file may name a preset as `base` and give only what differs.

    Raises:
        InputError: unknown preset or field, or a value out of range.
    """
    path = Path(source)
    if path.suffix == ".toml":
        try:
            fields = tomllib.loads(path.read_text())
        except OSError as error:
            raise InputError("accelerator", str(source), str(error), "give a readable TOML file") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError("accelerator", str(source), f"not TOML: {error}", "correct the file") from None
        base = fields.pop("base", None)
        start = preset(base).model_dump() if base else {}
        fields = start | {"name": path.stem} | fields
    else:
        fields = preset(str(source)).model_dump()
    return build(fields | dict(overrides or {}))


def build(fields: Mapping[str, object]) -> Accelerator:
    """An accelerator from plain fields, with errors in our form."""
    try:
        return Accelerator(**fields)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        field = ".".join(str(part) for part in first["loc"]) or "accelerator"
        fix = (
            nearest(field, Accelerator.model_fields)
            if first["type"] == "extra_forbidden"
            else "see the field's description in sim/accelerator/systolic.py"
        )
        raise InputError(field, first.get("input"), first["msg"], fix) from None
