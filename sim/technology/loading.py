"""Technologies from their files, and what a machine has of its own."""

from __future__ import annotations

import json
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sim.accelerator.systolic import Accelerator
from sim.errors import InputError, nearest
from sim.files import read_toml
from sim.technology import DEFAULT, NAMES, dram
from sim.technology.base import Technology as Technology
from sim.technology.provenance import Figure as Figure
from sim.technology.published import Published
from sim.technology.scaling import scaled
from sim.technology.synthesized import Synthesized

PJ_OF_MW_SECOND = 1e9
SMALLEST, LARGEST = 1e-12, 1e12
"""Of a coefficient that is not 0; of a clock in Hz too."""
_FOLDER = Path(__file__).parent
_KINDS: dict[str, type[Published] | type[Synthesized]] = {"published": Published, "synthesized": Synthesized}


@lru_cache
def load(name: str) -> Technology:
    """A technology by name, `NAME@NODE` for another node, or from a TOML file.

    Raises:
        InputError: unknown name (with the nearest), unreadable file, or a bad coefficient.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    base, at, node = name.partition("@")
    if base not in NAMES:
        raise InputError("technology", name, "unknown", nearest(base, NAMES))
    found = _read(_FOLDER / f"{base}.toml")
    if not at:
        return found
    if isinstance(found, Synthesized):
        raise InputError(
            "technology",
            name,
            f"no factor from {found.node_nm} nm is at hand",
            f"use {base} itself, or {DEFAULT} with another node",
        )
    return scaled(found, node)


@lru_cache(maxsize=256)
def mapping_energy(accelerator: Accelerator) -> tuple[str, dict[str, float]]:
    """Whose energies weigh the mapping, and pJ by access, of a `cycle` and of a `token`.

    MVQ's where one of an access that the machine makes is not known.
    """
    chosen = load(accelerator.technology)
    prices = {what: price.value for what, price in chosen.energies(accelerator).items()}
    if not accelerator.weights.universal:
        prices["rom"] = 0.0  # it has none, and a ROM of its sizes may not have been evaluated
    known = {what: value for what, value in prices.items() if value is not None}
    if len(known) == len(prices):
        clock_hz = min(accelerator.clock_hz, chosen.clock_limit(accelerator).value or inf)
        every = sum(price.value or 0.0 for price in chosen.per_cycle(accelerator).values())
        standing = sum(price.value or 0.0 for price in chosen.standing(accelerator).values())
        found = known | {"cycle": every + standing * PJ_OF_MW_SECOND / clock_hz, "token": 0.0}
        for what, price in (chosen.clock_pulses(accelerator) or {}).items():
            found[what] += price
        return accelerator.technology, found
    standard = load(DEFAULT)
    assert isinstance(standard, Published)
    return DEFAULT, standard.access_pj | {"cycle": 0.0, "token": 0.0}


@lru_cache(maxsize=256)
def off_chip(accelerator: Accelerator) -> dram.Cycles:
    """Its DRAM in its own cycles: what the description says, else what the type `dram` does at the clock it runs at.

    Raises:
        InputError: unknown type or technology, or a clock too fast for the type.
    """
    found = dram.NAMELESS
    if accelerator.dram:
        limit = load(accelerator.technology).clock_limit(accelerator).value
        found = dram.named(accelerator.dram).timing.cycles(min(accelerator.clock_hz, limit or inf))
    given = {
        "bits": accelerator.dram_bits,
        "latency": accelerator.dram_latency,
        "row_bytes": accelerator.dram_row_bytes,
        "row_cycles": accelerator.dram_row_cycles,
    }
    return found._replace(**{name: value for name, value in given.items() if value is not None})


def _read(path: Path) -> Published | Synthesized:
    fields = read_toml(path, "technology")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(
            f"{path.name}: kind", kind, "unknown" if kind else "missing", nearest(str(kind), _KINDS)
        )
    _require_sane(path, fields)
    try:
        # As JSON, in which a strict model takes a list for a tuple and a text for the key of a table.
        return _KINDS[kind].model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        raise _explained(path, kind, error.errors()[0]) from None


def _require_sane(path: Path, value: Any, field: str = "") -> None:
    """Raises InputError where a number is so large or small that no unit makes it a coefficient."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            _require_sane(path, part, f"{field}.{key}" if field else str(key))
    elif isinstance(value, int | float) and value and not SMALLEST <= abs(value) <= LARGEST:
        problem = f"lies outside {SMALLEST:g} to {LARGEST:g}"
        raise InputError(f"{path.name}: {field}", value, problem, "give it in the unit of the field")


def _explained(path: Path, kind: str, first: Any) -> InputError:
    cause = first.get("ctx", {}).get("error")
    field = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, InputError):
        return InputError(f"{path.name}: {cause.field}", cause.value, cause.problem, cause.fix)
    if first["type"] == "extra_forbidden":
        return InputError(f"{path.name}: {field}", first["input"], "no such field", "take it out")
    example = _example(DEFAULT if kind == "published" else "sg13g2", first["loc"])
    if first["type"] == "missing":
        return InputError(f"{path.name}: {field}", None, "missing", f"add it{example}")
    return InputError(f"{path.name}: {field}", first["input"], first["msg"], f"correct it{example}")


def _example(technology: str, place: tuple[int | str, ...]) -> str:
    """What a technology of ours has in a field."""
    value: Any = read_toml(_FOLDER / f"{technology}.toml", "technology")
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else f"; that of {technology} is {str(value)[:80]}"
