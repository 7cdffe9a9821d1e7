"""Energy of off-chip memory by type."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from pydantic import Field, model_validator

from sim.errors import InputError, nearest
from sim.technology.provenance import Figure, Label, Strict, missing

_FILE = Path(__file__).with_name("dram.toml")


class Dram(Strict):
    """One type. `activation_pj`: of opening a row; `background_mw`: of a chip that does nothing."""

    pj_per_bit: float | None = Field(None, gt=0)
    activation_pj: float | None = Field(None, gt=0)
    background_mw: float | None = Field(None, gt=0)
    label: Label = "missing"
    source: str = ""
    missing: str = ""

    @model_validator(mode="after")
    def _explained(self) -> Dram:
        if (self.pj_per_bit is None) != bool(self.missing) or bool(self.missing) == bool(self.source):
            raise ValueError("give pj_per_bit with its source, or the reason in missing")
        return self


@lru_cache
def types() -> dict[str, Dram]:
    """All types by name."""
    return {name: Dram.model_validate(fields) for name, fields in tomllib.loads(_FILE.read_text()).items()}


def energy(kind: str) -> Figure:
    """pJ of a byte.

    Raises:
        InputError: unknown type (with the nearest).
    """
    known = types()
    if kind not in known:
        raise InputError("dram", kind, "unknown", nearest(kind, known))
    found = known[kind]
    if found.pj_per_bit is None:
        return missing(found.missing)
    return Figure(
        8 * found.pj_per_bit,
        found.label,
        f"{found.source}: {kind.upper()} {found.pj_per_bit} pJ/bit",
        "activation and background not known on their own",
    )
